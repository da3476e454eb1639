// One row per request on 64 connections, against everything that answers JSON over HTTP.
import { load } from '../load.ts'
import { iris } from '../models.ts'
import { type Peer, startEcho, startFastapi, startMlflow } from '../peers.ts'
import { linesWith, type Measured, startRelais } from '../relais.ts'
import { interleave, type Pace, type Summary } from '../rounds.ts'
import { most, ratio, type Verdict } from '../verdict.ts'

const connections = 64
const route = '/v1/models/{model}:predict'

/** RULES §22: the log holds one line for each request that the server has counted. */
async function logged(relais: Measured): Promise<Verdict> {
  // Lines are written a few times a second.
  await Bun.sleep(1000)
  const counted = await relais.metric('http_requests_total', { route })
  const lines = await linesWith(relais.log, `"route":"${route}"`)
  const note = `${lines} lines for ${counted} requests`
  return most('requests without a line in the log', Math.abs(counted - lines), 0, '', { note })
}

export async function oneRow(pace: Pace): Promise<Verdict[]> {
  await using relais = await startRelais()
  await relais.serve(iris)
  await using echo = await startEcho(iris)
  await using fastapi1 = await startFastapi(iris, 1)
  await using fastapi2 = await startFastapi(iris, 2)
  await using mlflow = await startMlflow(iris)
  const closed = (peer: Peer) => (seconds: number) => load(peer.json(1), connections, seconds)
  const result = await interleave(
    {
      echo: closed(echo),
      relais: (seconds) => load(relais.json(iris, 1), connections, seconds),
      fastapi1: closed(fastapi1),
      fastapi2: closed(fastapi2),
      mlflow: closed(mlflow),
    },
    pace,
  )
  const better = (a: Summary, b: Summary): Summary => (a.rate >= b.rate ? a : b)
  const fastapi = better(result.fastapi1, result.fastapi2)
  const lowest = Math.min(result.fastapi1.p99, result.fastapi2.p99, result.mlflow.p99)
  const failures = Object.values(result).reduce((sum, { errors }) => sum + errors, 0)
  return [
    ratio('requests/s against a bare JSON echo', result.relais, result.echo, 0.6),
    ratio('requests/s against the better FastAPI', result.relais, fastapi, 5),
    ratio("requests/s against MLflow's scoring server", result.relais, result.mlflow, 6),
    most('p99 against the lowest of FastAPI and MLflow', result.relais.p99, lowest, 'ms'),
    // A peer that fails fast must not be taken for a fast one.
    most('failed requests, peers included', failures, 0, ''),
    await logged(relais),
  ]
}
