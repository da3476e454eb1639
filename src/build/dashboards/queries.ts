// Parts of queries that dashboards and alert rules share, and the objectives they are held against.
import { parseDuration, settings } from '../../config.ts'

/** What a promise is made for: never probes, uploads or whole files (RULES §20). */
export const served = 'route_class=~"predict|registry"'
export const predict = 'route_class="predict"'

/** What the variables of a dashboard leave of a series. */
export const own = 'job=~"$job",instance=~"$instance"'
export const ofModel = `${own},model=~"$model"`
export const ofVersion = `${ofModel},model_version=~"$model_version"`

/** Share of requests that may fail in 30 days. */
export const errorBudget = 0.01

export type Objective = 'p50' | 'p95' | 'p99'

const secondsOf = (objective: Objective): number =>
  parseDuration(settings[`sla-${objective}`].fallback) / 1000

/** Defaults of the settings; panels draw the lines of the running server over them. */
export const objectives: Readonly<Record<Objective, number>> = {
  p50: secondsOf('p50'),
  p95: secondsOf('p95'),
  p99: secondsOf('p99'),
}

/** Window of figures that stand beside an alert: the alert's own. */
export const alertWindow = '5m'

/** Window that follows the zoom and never holds fewer than four scrapes. */
export const zoom = '$__rate_interval'

/** `q` of a histogram, for each value of the labels `by`. */
export const quantile = (q: number, histogram: string, by = ''): string => {
  const [name, rest] = [
    histogram.slice(0, histogram.indexOf('{')),
    histogram.slice(histogram.indexOf('{')),
  ]
  return `histogram_quantile(${q}, sum by (${by}le) (rate(${name}_bucket${rest})))`
}

/** Answers of predictions that went well; refusals are quick and would flatter the figures. */
export const predictTime = (window: string, selector = own): string =>
  `http_request_duration_seconds{${selector},${predict},status_class="2xx"}[${window}]`

/** Mean of a histogram. */
export const mean = (name: string, range: string, by = ''): string => {
  const head = by === '' ? 'sum' : `sum by (${by}) `
  return `${head}(rate(${name}_sum${range})) / ${head}(rate(${name}_count${range}))`
}
