// A heavy model kept busy, while a light one on the same server must not feel it.
import { Histogram } from '../histogram.ts'
import { load, type LoadResult } from '../load.ts'
import { heavy as model, iris } from '../models.ts'
import { openLoop, type OpenReport } from '../openloop.ts'
import { raw } from '../peers.ts'
import { startRelais } from '../relais.ts'
import { interleave, type Pace } from '../rounds.ts'
import { most, ratio, type Verdict } from '../verdict.ts'
import { costOf, watch, type Watched } from '../watch.ts'

const connections = 32
const irisRate = 200
/** Milliseconds below which a p99 is good enough whatever it is without load. */
const goodEnough = 15

const failuresOf = (reports: readonly OpenReport[]): number =>
  reports.reduce((sum, { planned, statuses }) => sum + planned - (statuses['200'] ?? 0), 0)

export async function heavy(pace: Pace): Promise<Verdict[]> {
  await using relais = await startRelais()
  await relais.serve(iris)
  await relais.serve(model)
  const engine = relais.heaviestEngine()
  const light = (seconds: number): Promise<OpenReport> =>
    openLoop({ ...relais.json(iris, 1), rate: irisRate, seconds })
  await light(Math.min(2, pace.seconds))
  const unloaded = await light(pace.seconds)

  const reports: OpenReport[] = []
  let seen: Watched<[LoadResult, OpenReport]> | undefined
  const result = await interleave(
    {
      raw: (seconds) => {
        const { batch = connections / 2, beside = [], result = [] } = seen ?? {}
        return raw(model, { batch, seconds, beside: [...beside, ...result.map(({ cpu }) => cpu)] })
      },
      relais: async (seconds) => {
        const work = () =>
          Promise.all([load(relais.json(model, 1), connections, seconds), light(seconds)])
        seen = await watch(relais, model, engine, work)
        reports.push(seen.result[1])
        return seen.result[0]
      },
    },
    pace,
  )
  // Those of the rounds that count, after the warm-up and whatever was run again.
  const loaded = new Histogram()
  for (const { ok } of reports.slice(-pace.rounds)) loaded.merge(ok.buckets)
  const p99 = loaded.percentile(99)
  const share = ratio('rows/s against the raw loop', result.relais, result.raw, 0.85)
  const cost = seen ? costOf(seen, ...seen.result.map(({ cpu }) => cpu)) : ''
  const limit = Math.max(5 * unloaded.ok.p99, goodEnough)
  return [
    { ...share, note: `${share.note}; ${cost}` },
    most('p99 of iris at 200/s meanwhile', p99, limit, 'ms', {
      note: `${unloaded.ok.p99.toFixed(2)} ms without load`,
    }),
    most('failed requests of iris', failuresOf([unloaded, ...reports]), 0, ''),
    most('failed requests of the heavy model', result.relais.errors, 0, ''),
  ]
}
