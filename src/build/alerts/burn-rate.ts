// Alerts on how fast the error budget of 30 days is spent (Google's SRE workbook, chapter 5).
import { errorBudget, objectives, predict, served } from '../dashboards/queries.ts'
import { type Alert, type Group, job, type Recording } from './rule.ts'

const windows = ['5m', '30m', '1h', '2h', '6h', '1d', '3d'] as const
type Window = (typeof windows)[number]

interface Burn {
  factor: number
  long: Window
  short: Window
  severity: 'critical' | 'warning'
  lasting: string
  spent: string
}

/** Both windows must be above: the long one that it matters, the short one that it still goes on. */
export const burns: readonly Burn[] = [
  { factor: 14.4, long: '1h', short: '5m', severity: 'critical', lasting: '2m', spent: '2 %' },
  { factor: 6, long: '6h', short: '30m', severity: 'critical', lasting: '15m', spent: '5 %' },
  { factor: 3, long: '1d', short: '2h', severity: 'warning', lasting: '1h', spent: '10 %' },
  { factor: 1, long: '3d', short: '6h', severity: 'warning', lasting: '3h', spent: '10 %' },
]

interface Slo {
  alert: string
  /** Name of the recorded ratio, without its window. */
  record: string
  budget: number
  ratio: (window: Window) => string
  /** How many spent of it in a window. */
  spent: (window: Window) => string
  what: string
  description: string
  panel: Alert['panel']
}

const requests = (more: string, window: Window): string =>
  `sum by (job) (rate(http_requests_total{${job},${served}${more}}[${window}]))`

const answers = (kind: string, window: Window): string =>
  `sum by (job) (rate(http_request_duration_seconds_${kind}[${window}]))`

/**
 * With fewer, one failure in a quiet hour would be a ratio that pages somebody at night. It counts what
 * was bad and not requests, as HighErrorRate does.
 */
const fewest = 3

const increases = (metric: string, window: Window): string =>
  `sum by (job) (increase(${metric}[${window}]))`

const answered = `${job},${predict},status_class="2xx"`

export const slos: readonly Slo[] = [
  {
    alert: 'ErrorBudgetBurn',
    record: 'job:slo_errors:ratio_rate',
    budget: errorBudget,
    // Without a failure there is no series of failures: that is a ratio of 0, not an unknown one.
    ratio: (window) =>
      `(${requests(',code=~"5.."', window)} or 0 * ${requests('', window)})\n` +
      `/ ${requests('', window)}`,
    spent: (window) => increases(`http_requests_total{${job},${served},code=~"5.."}`, window),
    what: 'requests fail',
    description:
      'The error budget of 30 days goes too fast. Find the status and the time it began; roll back ' +
      'what was promoted then. Until it recovers: no risky change.',
    panel: ['relais-service', 8],
  },
  {
    alert: 'LatencyBudgetBurn',
    record: 'job:slo_slow:ratio_rate',
    budget: 0.05,
    ratio: (window) =>
      `1 - ${answers(`bucket{${answered},le="${objectives.p95}"}`, window)}\n` +
      `/ ${answers(`count{${answered}}`, window)}`,
    spent: (window) =>
      `${increases(`http_request_duration_seconds_count{${answered}}`, window)} - ` +
      increases(`http_request_duration_seconds_bucket{${answered},le="${objectives.p95}"}`, window),
    what: 'predictions take longer than 150 ms',
    description:
      'More than 5 % of the predictions of 30 days will be slow if this goes on. Where does the time ' +
      'go (Models dashboard), and which version is it?',
    panel: ['relais-service', 4],
  },
]

/** Part of what was asked, in the digits of the budget and not of the machine. */
export const limitOf = (slo: Slo, { factor }: Burn): number =>
  Number((slo.budget * factor).toFixed(4))

const alertOf = (slo: Slo, burn: Burn): Alert => ({
  alert: slo.alert,
  severity: burn.severity,
  labels: { window: burn.long },
  expr:
    `${slo.record}${burn.long}{${job}} > ${limitOf(slo, burn)}\n` +
    `and on (job) ${slo.record}${burn.short}{${job}} > ${limitOf(slo, burn)}\n` +
    `and on (job) ${slo.spent(burn.long)} >= ${fewest}`,
  lasting: burn.lasting,
  summary: `{{ $value | humanizePercentage }} of ${slo.what}: ${burn.spent} of the budget in ${burn.long}`,
  description: slo.description,
  panel: slo.panel,
})

export const burnRate: readonly Group[] = slos.map((slo) => {
  const records: Recording[] = windows.map((window) => ({
    record: `${slo.record}${window}`,
    expr: slo.ratio(window),
  }))
  return { name: `relais-${slo.alert}`, rules: [...records, ...burns.map((b) => alertOf(slo, b))] }
})
