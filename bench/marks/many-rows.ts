// 1000 rows of 30 features per request: JSON against FastAPI, binary against ONNX Runtime itself.
import { load, type LoadResult } from '../load.ts'
import { cancer } from '../models.ts'
import { raw, startFastapi } from '../peers.ts'
import { startRelais } from '../relais.ts'
import { interleave, type Pace } from '../rounds.ts'
import { most, ratio, type Verdict } from '../verdict.ts'
import { watch } from '../watch.ts'

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

  // What the last binary round has cost, for the loop that follows it.
  let beside: number[] = []
  let batch = rows
  const result = await interleave(
    {
      fastapi: async (seconds) => inRows(await load(fastapi.json(rows), connections, seconds)),
      json: async (seconds) => inRows(await load(relais.json(cancer, rows), connections, seconds)),
      binary: async (seconds) => {
        const work = () => load(relais.binary(cancer, rows), connections, seconds)
        const seen = await watch(relais, cancer, relais.heaviestEngine(), work)
        beside = [...seen.beside, seen.result.cpu]
        if (seen.batch > 0) batch = seen.batch
        return inRows(seen.result)
      },
      raw: (seconds) => raw(cancer, { batch, seconds, beside }),
    },
    pace,
  )
  const binary = ratio('rows/s in binary against the raw loop', result.binary, result.raw, 0.7)
  const burnt = beside.map((share) => share.toFixed(2)).join(' + ')
  const errors = result.json.errors + result.fastapi.errors
  return [
    ratio(`rows/s in JSON against FastAPI, ${workers} workers`, result.json, result.fastapi, 3),
    {
      ...binary,
      passed: binary.passed && result.binary.errors === 0,
      note: `${binary.note}; ${batch.toFixed(0)} rows per run beside ${burnt} cores`,
    },
    most('failed requests in JSON', errors, 0, ''),
    most('failed requests in binary', result.binary.errors, 0, ''),
  ]
}
