// Three times as many requests as the heavy model can take: the best it can for some, a quick and
// polite no for the rest.
import { peakOf, resetPeak } from '../../tests/support/binary.ts'
import { Histogram } from '../histogram.ts'
import { load, type Round } from '../load.ts'
import { heavy as model } from '../models.ts'
import { openLoop, type OpenReport } from '../openloop.ts'
import { residentOf } from '../process.ts'
import { startRelais } from '../relais.ts'
import { interleave, type Pace } from '../rounds.ts'
import { most, ratio, type Verdict } from '../verdict.ts'

const connections = 32
const times = 3
const polite = new Set(['200', '429', '503'])

export async function overload(pace: Pace): Promise<Verdict[]> {
  await using relais = await startRelais()
  await relais.serve(model)
  const target = relais.json(model, 1)
  // As it was found just before each flood, for a machine that others use, too.
  let capacity = 0
  const best = async (seconds: number): Promise<Round> => {
    const round = await load(target, connections, seconds)
    capacity = round.rate
    return round
  }
  await best(Math.min(2, pace.seconds))
  await best(pace.seconds)

  const reports: OpenReport[] = []
  const flood = async (seconds: number): Promise<Round> => {
    const rate = times * capacity
    const report = await openLoop({ ...target, rate, seconds, connections: 4096 })
    reports.push(report)
    const { p50, p99 } = report.ok
    return { rate: report.okPerSecond, p50, p99, errors: report.broken + report.unanswered }
  }
  const before = residentOf(relais.pid)
  await resetPeak(relais.pid)
  // Long enough for any queue to fill.
  await flood(pace.seconds * 2)
  const result = await interleave({ best, flood }, pace)
  const growth = peakOf(relais.pid) - before

  const rejected = new Histogram()
  for (const report of reports) rejected.merge(report.rejected.buckets)
  const odd = reports
    .flatMap(({ statuses }) => Object.entries(statuses))
    .filter(([status]) => !polite.has(status))
  const oddCount = odd.reduce((sum, [, count]) => sum + count, 0)
  const silent = reports.reduce((sum, { broken, unanswered }) => sum + broken + unanswered, 0)
  const rude = reports.reduce((sum, { withoutRetryAfter }) => sum + withoutRetryAfter, 0)
  const kinds = [...new Set(odd.map(([status]) => status))].join(', ')
  const late = Math.max(...reports.map(({ lag }) => lag.p99))
  const note = `${rejected.count} rejected, p50 ${rejected.percentile(50).toFixed(1)} ms; the generator was late by up to ${late.toFixed(1)} ms (p99)`
  return [
    ratio('answers/s at three times the capacity', result.flood, result.best, 0.8),
    most('answers that are neither 200 nor 429 nor 503', oddCount, 0, '', {
      note: kinds === '' ? 'none' : kinds,
    }),
    most('requests without an answer', silent, 0, ''),
    most('rejections without Retry-After', rude, 0, ''),
    most('p99 of rejections', rejected.count === 0 ? 0 : rejected.percentile(99), 50, 'ms', {
      note,
    }),
    most('growth of the HTTP process', growth, 64, 'MiB', {
      note: `from ${before.toFixed(0)} MiB`,
    }),
  ]
}
