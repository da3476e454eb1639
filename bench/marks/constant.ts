// 1000 requests per second for a minute: a tenth of the latencies that requirement A4 allows.
import { iris } from '../models.ts'
import { openLoop } from '../openloop.ts'
import { startRelais } from '../relais.ts'
import type { Pace } from '../rounds.ts'
import { most, type Verdict } from '../verdict.ts'

const rate = 1000
const roundsInMinute = 12

export async function constant({ seconds }: Pace): Promise<Verdict[]> {
  await using relais = await startRelais()
  await relais.serve(iris)
  const target = relais.json(iris, 1)
  await openLoop({ ...target, rate, seconds: Math.min(3, seconds) })
  const report = await openLoop({ ...target, rate, seconds: seconds * roundsInMinute })
  const { ok, lag } = report
  const note = `max ${ok.max.toFixed(1)} ms; the generator was late by ${lag.p50.toFixed(2)} ms (p50), ${lag.p99.toFixed(2)} ms (p99)`
  return [
    most('p50 at 1000 requests/s', ok.p50, 5, 'ms', { note }),
    most('p95 at 1000 requests/s', ok.p95, 15, 'ms'),
    most('p99 at 1000 requests/s', ok.p99, 30, 'ms'),
    most('failed requests', report.planned - (report.statuses['200'] ?? 0), 0, ''),
  ]
}
