// Runs and versions written through MLflow's REST API by eight connections, to both servers in turn.
import { median, percentile } from '../../tests/support/figures.ts'
import type { Server } from './server.ts'

const connections = 8
/** Interleaved A B A B…, so that both meet the same machine. */
const rounds = 5

type Work = (server: Server, at: number) => Promise<void>

async function post(server: Server, path: string, body: object): Promise<any> {
  const answer = await fetch(`${server.url}/api/2.0/mlflow/${path}`, {
    method: 'POST',
    headers: { ...server.headers, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${server.name} ${path}: ${text.slice(0, 300)}`)
  return JSON.parse(text)
}

const ten = Array.from({ length: 10 }, (_, at) => at)

/** What a training script sends: a run with ten parameters and ten metrics, and its end. */
const writeRun: Work = async (server, at) => {
  const now = Date.now()
  const run = { experiment_id: '0', user_id: 'bench', run_name: `run-${at}`, start_time: now }
  const { run: made } = await post(server, 'runs/create', run)
  const { run_id } = made.info
  await post(server, 'runs/log-batch', {
    run_id,
    params: ten.map((n) => ({ key: `param-${n}`, value: String(at * n) })),
    metrics: ten.map((n) => ({ key: `metric-${n}`, value: at / (n + 1), timestamp: now, step: 0 })),
    tags: [],
  })
  await post(server, 'runs/update', { run_id, status: 'FINISHED', end_time: now })
}

interface Source {
  name: string
  run_id: string
  source: string
}

/** Models to give versions to, and a run of each that they come from. */
async function makeSources(server: Server): Promise<Source[]> {
  const made: Source[] = []
  for (let at = 0; at < connections; at += 1) {
    const name = `written-${at}`
    await post(server, 'registered-models/create', { name })
    const { run } = await post(server, 'runs/create', { experiment_id: '0' })
    const { run_id, artifact_uri } = run.info
    made.push({ name, run_id, source: `${artifact_uri}/model` })
  }
  return made
}

/** A version of files that are not there: neither server looks into them. */
const versionWriter =
  (sources: ReadonlyMap<Server, Source[]>): Work =>
  async (server, at) => {
    await post(server, 'model-versions/create', sources.get(server)?.[at % connections] as Source)
  }

/** Calls `work` for `count` numbers from `from` on; returns milliseconds of each, and of all. */
async function run(server: Server, work: Work, from: number, count: number) {
  const times: number[] = []
  const began = performance.now()
  let next = from
  const worker = async (): Promise<void> => {
    while (next < from + count) {
      const at = next
      next += 1
      const start = performance.now()
      await work(server, at)
      times.push(performance.now() - start)
    }
  }
  await Promise.all(Array.from({ length: connections }, worker))
  return { times, perSecond: (count * 1000) / (performance.now() - began) }
}

async function compare(servers: readonly [Server, Server], work: Work, count: number) {
  const rates: number[][] = [[], []]
  const times: number[][] = [[], []]
  const each = Math.ceil(count / rounds)
  for (let round = 0; round < rounds; round += 1) {
    for (const [index, server] of servers.entries()) {
      const part = await run(server, work, round * each, each)
      rates[index]?.push(part.perSecond)
      times[index]?.push(...part.times)
    }
  }
  const [ours = 0, theirs = 0] = rates.map(median)
  const [own = 0, other = 0] = times.map((own) => percentile(own, 0.95))
  return {
    count: each * rounds,
    per_second: [ours, theirs],
    p95_ms: [own, other],
    throughput_ratio: ours / theirs,
    p95_ratio: own / other,
  }
}

export async function compareWrites(relais: Server, mlflow: Server) {
  const sources = new Map<Server, Source[]>()
  for (const server of [relais, mlflow]) sources.set(server, await makeSources(server))
  const found = {
    runs: await compare([relais, mlflow], writeRun, 1000),
    versions: await compare([relais, mlflow], versionWriter(sources), 2000),
  }
  for (const [name, { count, per_second, p95_ms, throughput_ratio, p95_ratio }] of Object.entries(
    found,
  )) {
    const [ours = 0, theirs = 0] = per_second
    const [own = 0, other = 0] = p95_ms
    console.log(
      `${count} ${name}: ${ours.toFixed(0)}/s against ${theirs.toFixed(1)}/s (${throughput_ratio.toFixed(1)} ×), ` +
        `p95 ${own.toFixed(1)} against ${other.toFixed(1)} ms (${p95_ratio.toFixed(3)})`,
    )
  }
  return found
}
