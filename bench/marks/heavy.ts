// A heavy model kept busy, while a light one on the same server must not feel it.
import { Histogram } from '../histogram.ts'
import { load } from '../load.ts'
import { heavy as model, iris } from '../models.ts'
import { openLoop, type OpenReport } from '../openloop.ts'
import { raw } from '../peers.ts'
import { startRelais } from '../relais.ts'
import { interleave, type Pace } from '../rounds.ts'
import { most, ratio, type Verdict } from '../verdict.ts'
import { watch } from '../watch.ts'

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
  let beside: number[] = []
  let batch = connections / 2
  let busy = 0
  const result = await interleave(
    {
      raw: (seconds) => raw(model, { batch, seconds, beside }),
      relais: async (seconds) => {
        const work = () =>
          Promise.all([load(relais.json(model, 1), connections, seconds), light(seconds)])
        const seen = await watch(relais, model, engine, work)
        const [result, report] = seen.result
        reports.push(report)
        beside = [...seen.beside, result.cpu, report.cpu]
        ;({ batch, engine: busy } = seen)
        return result
      },
    },
    pace,
  )
  // The first report is of the warm-up.
  const loaded = new Histogram()
  for (const { ok } of reports.slice(1)) loaded.merge(ok.buckets)
  const p99 = loaded.percentile(99)
  const share = ratio('rows/s against the raw loop', result.relais, result.raw, 0.85)
  const burnt = beside.map((cores) => cores.toFixed(2)).join(' + ')
  const runs = `${batch.toFixed(1)} rows per run, engine on ${busy.toFixed(2)} cores`
  const limit = Math.max(5 * unloaded.ok.p99, goodEnough)
  return [
    { ...share, note: `${share.note}; ${runs}, beside ${burnt}` },
    most('p99 of iris at 200/s meanwhile', p99, limit, 'ms', {
      note: `${unloaded.ok.p99.toFixed(2)} ms without load`,
    }),
    most('failed requests of iris', failuresOf([unloaded, ...reports]), 0, ''),
    most('failed requests of the heavy model', result.relais.errors, 0, ''),
  ]
}
