// Cases of the burn-rate alerts: a steady ratio a fifth above or a tenth below the limit of each window.
import { burns, limitOf, slos } from '../../../src/build/alerts/burn-rate.ts'
import type { RuleCase, Series } from './case.ts'

/** Two minutes between samples: four hours are 120. */
const perSample = 10_000
const steady = 'x130'

/** Good and bad answers; `values` turns a rise per sample into samples. */
const makers: Record<string, (bad: number, values: (rise: number) => string) => Series> = {
  ErrorBudgetBurn: (bad, values) => ({
    'http_requests_total{job="relais",route_class="predict",code="200"}': values(perSample - bad),
    'http_requests_total{job="relais",route_class="registry",code="500"}': values(bad),
    'http_requests_total{job="relais",route_class="health",code="503"}': values(perSample),
  }),
  LatencyBudgetBurn: (bad, values) => {
    const labels = 'job="relais",route_class="predict",status_class="2xx"'
    return {
      [`http_request_duration_seconds_bucket{${labels},le="0.15"}`]: values(perSample - bad),
      [`http_request_duration_seconds_count{${labels}}`]: values(perSample),
    }
  },
}

/** Bad for four hours, then all good for seven. */
function recovered(make: NonNullable<(typeof makers)[string]>, bad: number): Series {
  const before = make(bad, (rise) => `0+${rise}x119`)
  const after = make(0, (rise) => `+${rise}x220`)
  return Object.fromEntries(
    Object.entries(before).map(([name, values]) => {
      const rise = Number(/\+(\d+)x/.exec(values)?.[1])
      return [name, `${values} ${rise * 120}${after[name]}`]
    }),
  )
}

/** Four hours and the short window: nothing bad is left in it. */
const after: Record<string, string> = { '5m': '4h6m', '30m': '4h30m', '2h': '6h', '6h': '10h' }

const percent = (ratio: number): string => `${Number((ratio * 100).toPrecision(4))}%`

export const burnCases: readonly RuleCase[] = slos.flatMap((slo) => {
  const make = makers[slo.alert]!
  return burns.map((burn) => {
    const ratio = limitOf(slo, burn) * 1.2
    const bad = Math.round(perSample * ratio)
    const nearly = Math.round(perSample * limitOf(slo, burn) * 0.9)
    const said = ({ spent, long }: (typeof burns)[number]) => ({
      labels: { job: 'relais', window: long },
      summary: `${percent(ratio)} of ${slo.what}: ${spent} of the budget in ${long}`,
    })
    return {
      alert: slo.alert,
      ...said(burn),
      others: burns.filter(({ factor }) => factor < burn.factor).map(said),
      interval: '2m',
      fires: {
        series: make(bad, (rise) => `0+${rise}${steady}`),
        pending: burn.lasting,
        at: '4h',
      },
      below: { series: make(nearly, (rise) => `0+${rise}${steady}`), at: ['30m', '2h', '4h'] },
      resolves: {
        series: recovered(make, bad),
        at: '3h58m',
        silent: after[burn.short]!,
      },
    }
  })
})
