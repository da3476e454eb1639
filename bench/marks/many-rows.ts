// 1000 rows of 30 features per request: JSON against FastAPI, binary against ONNX Runtime itself.
import { load, type LoadResult, type Target } from '../load.ts'
import { cancer } from '../models.ts'
import { raw, startFastapi } from '../peers.ts'
import { startRelais } from '../relais.ts'
import { interleave, type Pace } from '../rounds.ts'
import { most, ratio, type Verdict } from '../verdict.ts'
import { costOf, watch, type Watched } from '../watch.ts'

const rows = 1000
const connections = 16

const inRows = (result: LoadResult): LoadResult => ({ ...result, rate: result.rate * rows })

export async function manyRows(pace: Pace): Promise<Verdict[]> {
  await using relais = await startRelais()
  await relais.serve(cancer)
  await using one = await startFastapi(cancer, 1)
  await using two = await startFastapi(cancer, 2)
  const brief = Math.min(3, pace.seconds)
  const single = await load(one.json(rows), connections, brief)
  const double = await load(two.json(rows), connections, brief)
  const [workers, fastapi] = double.rate > single.rate ? [2, two] : [1, one]

  // What the last rounds have cost; the loop runs beside what the binary one did.
  let json: Watched<LoadResult> | undefined
  let binary: Watched<LoadResult> | undefined
  const watched = (target: Target, seconds: number): Promise<Watched<LoadResult>> =>
    watch(relais, cancer, relais.heaviestEngine(), () => load(target, connections, seconds))
  const result = await interleave(
    {
      fastapi: async (seconds) => inRows(await load(fastapi.json(rows), connections, seconds)),
      json: async (seconds) => {
        json = await watched(relais.json(cancer, rows), seconds)
        return inRows(json.result)
      },
      binary: async (seconds) => {
        binary = await watched(relais.binary(cancer, rows), seconds)
        return inRows(binary.result)
      },
      raw: (seconds) => {
        const { batch = rows, beside = [], result } = binary ?? {}
        return raw(cancer, { batch, seconds, beside: [...beside, result?.cpu ?? 0] })
      },
    },
    pace,
  )
  const errors = result.json.errors + result.fastapi.errors
  return [
    noted(
      ratio(`rows/s in JSON against FastAPI, ${workers} workers`, result.json, result.fastapi, 3),
      json,
    ),
    noted(ratio('rows/s in binary against the raw loop', result.binary, result.raw, 0.7), binary),
    most('failed requests in JSON', errors, 0, ''),
    most('failed requests in binary', result.binary.errors, 0, ''),
  ]
}

const noted = (verdict: Verdict, watched: Watched<LoadResult> | undefined): Verdict => ({
  ...verdict,
  note: watched ? `${verdict.note}; ${costOf(watched, watched.result.cpu)}` : (verdict.note ?? ''),
})
