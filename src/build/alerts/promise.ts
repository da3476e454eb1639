// Alerts on what users feel: errors, latency, a server that is gone.
import { errorBudget, type Objective, predict, served } from '../dashboards/queries.ts'
import { type Alert, type Group, job } from './rule.ts'

const perClass = 'sum by (job, route_class)'
const all = `http_requests_total{${job},${served}}[5m]`
const failed = `http_requests_total{${job},${served},code=~"5.."}[5m]`

/**
 * The condition is "more than 1 % for 5 minutes" for predictions and for the registry each, so that many
 * good requests of one do not hide the failures of the other. The guard asks for three failures: from
 * one request per second upwards 1 % is more than that and the guard changes nothing; below, a single
 * failure would be a percentage that says nothing. It counts failures and not requests, so that a
 * server that fails everything is heard however little is asked of it.
 */
const highErrorRate: Alert = {
  alert: 'HighErrorRate',
  severity: 'critical',
  expr:
    `${perClass} (rate(${failed})) / ${perClass} (rate(${all})) > ${errorBudget}\n` +
    `and ${perClass} (increase(${failed})) >= 3`,
  lasting: '5m',
  summary: '{{ $value | humanizePercentage }} of {{ $labels.route_class }} requests fail',
  description:
    'Look which status it is and since when. A promotion just before: relais rollback NAME. 503: ' +
    'engines or overload. 500: the error log has the cause.',
  panel: ['relais-service', 14],
}

const answered = `${job},${predict},status_class="2xx"`

/**
 * A percentile above the objective of the running server, so that a changed setting moves the alert. The
 * guard: with fewer than 1/(1−q) requests the percentile is just the slowest one.
 */
const latency = (
  objective: Objective,
  q: number,
  alert: Pick<Alert, 'alert' | 'lasting' | 'description'>,
): Alert => ({
  ...alert,
  severity: 'warning',
  expr:
    `histogram_quantile(${q}, sum by (job, le) (rate(http_request_duration_seconds_bucket{${answered}}[5m])))\n` +
    `> on (job) max by (job) (sla_latency_objective_seconds{${job},objective="${objective}"})\n` +
    'and on (job) sum by (job) (increase(http_request_duration_seconds_count{' +
    `${answered}}[5m])) >= ${Math.round(1 / (1 - q))}`,
  summary: `${objective} of predictions is {{ $value | humanizeDuration }}, above its objective`,
  panel: ['relais-service', 11],
})

const where =
  'Look where the time goes (Models dashboard): waiting means too little CPU, running a slow ' +
  'version (relais rollback NAME), the rest large bodies or a slow disk.'

export const promise: Group = {
  name: 'relais-promise',
  rules: [
    highErrorRate,
    latency('p95', 0.95, { alert: 'HighLatency', lasting: '5m', description: where }),
    {
      alert: 'InstanceDown',
      severity: 'critical',
      expr: `up{${job}} == 0`,
      lasting: '0m',
      summary: '{{ $labels.instance }} cannot be scraped',
      description:
        'Is the process there (systemctl status relais, docker compose ps)? Its last log lines say why ' +
        'it ended. If it runs: token of the scrape, network, /health/live.',
      panel: ['relais-service', 27],
    },
    {
      alert: 'InstanceAbsent',
      severity: 'critical',
      expr: `absent(up{${job}})`,
      lasting: '1m',
      summary: 'Prometheus knows no target of job relais',
      description:
        'The target vanished from the scrape configuration or from discovery: nothing is watched. ' +
        'Look at the targets page of Prometheus.',
      panel: ['relais-service', 27],
    },
    latency('p50', 0.5, { alert: 'LatencyP50OverSla', lasting: '10m', description: where }),
    latency('p99', 0.99, { alert: 'LatencyP99OverSla', lasting: '10m', description: where }),
  ],
}
