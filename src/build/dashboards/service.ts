// Dashboard 1: is the service within its promise, and if not, what holds it up?
import { causes } from './causes.ts'
import {
  bars,
  type Dashboard,
  heatmap,
  lines,
  logs,
  section,
  stat,
  type Step,
  table,
} from './panel.ts'
import {
  alertWindow,
  errorBudget,
  type Objective,
  objectives,
  own,
  predict,
  predictTime,
  quantile,
  served,
  zoom,
} from './queries.ts'

const requests = (more: string, window: string): string =>
  `http_requests_total{${own},${more}}[${window}]`

/** Failed share of what was served in a window; 0 when nothing failed. */
const failedShare = (window: string): string =>
  `(sum(increase(${requests(`${served},code=~"5.."`, window)})) or vector(0)) / ` +
  `(sum(increase(${requests(served, window)})) > 0)`

/** The worse of the two classes, as the alert sees it. */
const worstClass =
  `max((sum by (route_class) (rate(${requests(`${served},code=~"5.."`, alertWindow)})) ` +
  `or 0 * sum by (route_class) (rate(${requests(served, alertWindow)}))) ` +
  `/ sum by (route_class) (rate(${requests(served, alertWindow)}))) >= 0`

const latencySteps = (objective: Objective): readonly Step[] => [
  [null, 'green'],
  [Math.round(objectives[objective] * 800) / 1000, 'yellow'],
  [objectives[objective], 'red'],
]

const latencyStat = (id: number, objective: Objective, q: number) =>
  stat(
    {
      id,
      title: `${objective}, 5 min`,
      about:
        `Time that ${q * 100} % of the predictions answered with 2xx stayed below. Promise: ` +
        `${objectives[objective] * 1000} ms unless set otherwise. Next: "Where the time goes" of the ` +
        'Models dashboard tells queue, model and HTTP apart.',
      unit: 's',
      width: 3,
    },
    `${quantile(q, predictTime(alertWindow))} >= 0`,
    { steps: latencySteps(objective), empty: 'no traffic' },
  )

const promise = section(100, 'Is the promise kept?', [
  latencyStat(1, 'p50', 0.5),
  latencyStat(2, 'p95', 0.95),
  latencyStat(3, 'p99', 0.99),
  stat(
    {
      id: 4,
      title: 'Within 150 ms',
      about:
        'Share of predictions answered within 150 ms, counted at a bucket bound and not estimated. ' +
        'The promise is 95 %. Next: the heatmap shows whether all got slower or a few very slow.',
      unit: 'percentunit',
      width: 3,
    },
    `sum(rate(http_request_duration_seconds_bucket{${own},${predict},status_class="2xx",le="0.15"}[${alertWindow}])) / ` +
      `(sum(rate(http_request_duration_seconds_count{${own},${predict},status_class="2xx"}[${alertWindow}])) > 0)`,
    {
      steps: [
        [null, 'red'],
        [0.95, 'yellow'],
        [0.97, 'green'],
      ],
      decimals: 1,
      empty: 'no traffic',
    },
  ),
  stat(
    {
      id: 5,
      title: 'Errors, 5 min',
      about:
        'Share of requests answered with 5xx, the worse of predictions and registry. HighErrorRate ' +
        'fires above 1 % for 5 minutes. Next: "Errors by status" names the status, the log below the cause.',
      unit: 'percentunit',
      width: 3,
    },
    worstClass,
    {
      steps: [
        [null, 'green'],
        [errorBudget / 2, 'yellow'],
        [errorBudget, 'red'],
      ],
      decimals: 2,
      empty: 'no traffic',
    },
  ),
  stat(
    {
      id: 6,
      title: 'Requests',
      about:
        'Requests per second without probes and scrapes. Next, when it falls to nothing: is the proxy ' +
        'or the client at fault? `up` and "Instances" tell whether Relais runs.',
      unit: 'reqps',
      width: 3,
    },
    `sum(rate(${requests('route_class!="health"', alertWindow)}))`,
    { steps: [[null, 'blue']], spark: true },
  ),
  stat(
    {
      id: 7,
      title: 'Availability, 30 d',
      about:
        'Share of predictions and registry requests of 30 days that were not answered with 5xx. The ' +
        'objective is 99 %. Next: "Error budget left" tells how much room there is for risky changes.',
      unit: 'percentunit',
      width: 3,
    },
    `1 - (${failedShare('30d')})`,
    {
      steps: [
        [null, 'red'],
        [1 - errorBudget, 'yellow'],
        [1 - errorBudget / 2, 'green'],
      ],
      decimals: 2,
      empty: 'no traffic',
    },
  ),
  stat(
    {
      id: 8,
      title: 'Error budget left, 30 d',
      about:
        'What is left of the 1 % of requests that may fail in 30 days; below 0 % the objective is ' +
        'missed. Next, when it is low: no risky promotion until it recovers; the burn-rate alerts say how fast it goes.',
      unit: 'percentunit',
      width: 3,
    },
    `1 - (${failedShare('30d')}) / ${errorBudget}`,
    {
      steps: [
        [null, 'red'],
        [0, 'orange'],
        [0.25, 'green'],
      ],
      decimals: 1,
      empty: 'no traffic',
    },
  ),
])

const traffic = section(101, 'Traffic', [
  lines(
    {
      id: 11,
      title: 'Latency of predictions',
      about:
        'Percentiles of predictions answered with 2xx, with the objectives of the running server as ' +
        'dashed lines. Next: compare the time of a step with the promotions marked on the axis.',
      unit: 's',
      width: 12,
    },
    [
      { expr: quantile(0.5, predictTime(zoom)), legend: 'p50' },
      { expr: quantile(0.95, predictTime(zoom)), legend: 'p95' },
      { expr: quantile(0.99, predictTime(zoom)), legend: 'p99' },
      {
        expr: `max by (objective) (sla_latency_objective_seconds{${own}})`,
        legend: 'SLA {{objective}}',
      },
    ],
    {
      colours: { p50: 'blue', p95: 'orange', p99: 'purple' },
      limits: '^SLA',
    },
  ),
  heatmap(
    {
      id: 12,
      title: 'Spread of latency',
      about:
        'How many predictions took how long. Two bands are two kinds of requests (two models, one and ' +
        'many rows); one band that moves up is load. Next: the Models dashboard, by version.',
      unit: 's',
      width: 12,
    },
    `sum by (le) (increase(http_request_duration_seconds_bucket{${own},${predict}}[${zoom}]))`,
  ),
  lines(
    {
      id: 13,
      title: 'Requests by route',
      about:
        'Requests per second of the ten busiest routes, probes left out. Next, when one jumps: the ' +
        'access log (log_type="access") names the caller.',
      unit: 'reqps',
      width: 12,
    },
    [
      {
        expr: `topk(10, sum by (route) (rate(${requests('route_class!="health"', zoom)})))`,
        legend: '{{route}}',
      },
    ],
  ),
  bars(
    {
      id: 14,
      title: 'Errors by status',
      about:
        'Refused (4xx) and failed (5xx) requests per second. 422: the input does not fit the model. ' +
        '503: overload or no engine. 504: too slow. Next: the error log below, or the Quality dashboard for 422.',
      unit: 'reqps',
      width: 12,
    },
    [
      {
        expr: `sum by (code) (rate(${requests('route_class!="health",code=~"[45].."', zoom)}))`,
        legend: '{{code}}',
      },
    ],
    {
      colours: {
        '^4': 'blue',
        '^40[13]$': 'purple',
        '^422$': 'yellow',
        '^5': 'red',
        '^503$': 'orange',
      },
    },
  ),
  table(
    {
      id: 15,
      title: 'Slowest routes',
      about:
        'Routes by their 95th percentile over the chosen time. Next: a slow registry route points to ' +
        'SQLite below, a slow prediction to the Models dashboard.',
      width: 12,
    },
    [
      `${quantile(0.95, `http_request_duration_seconds{${own},route_class!="health"}[$__range]`, 'route, ')} >= 0`,
      `sum by (route) (rate(${requests('route_class!="health"', '$__range')}))`,
      `(sum by (route) (rate(${requests('route_class!="health",code=~"5.."', '$__range')})) ` +
        `or 0 * sum by (route) (rate(${requests('route_class!="health"', '$__range')}))) / ` +
        `(sum by (route) (rate(${requests('route_class!="health"', '$__range')})) > 0)`,
    ],
    {
      columns: [
        { field: 'route', title: 'Route' },
        { field: 'A', title: 'p95', unit: 's', width: 90 },
        { field: 'B', title: 'Per second', unit: 'reqps', width: 110 },
        { field: 'C', title: 'Failed', unit: 'percentunit', width: 90 },
      ],
      sortBy: 'p95',
      most: 10,
    },
  ),
  table(
    {
      id: 16,
      title: 'Firing alerts',
      about:
        'What Prometheus reports as firing. Watchdog always fires: when it is missing, the rules are ' +
        'not loaded. Next: the runbook of that name in docs/observability.md.',
      width: 12,
    },
    ['sum by (alertname, severity, instance) (ALERTS{alertstate="firing",job=~"$job|"})'],
    {
      columns: [
        { field: 'alertname', title: 'Alert' },
        { field: 'severity', title: 'Severity', width: 100 },
        { field: 'instance', title: 'Instance', width: 180 },
      ],
      sortBy: 'Severity',
    },
  ),
])

const errors = section(103, 'Logs', [
  logs(
    {
      id: 31,
      title: 'Recent errors',
      about:
        'Lines of level error. Next: copy a trace_id into the log search of the Registry dashboard to ' +
        'see everything that request did.',
      width: 24,
    },
    '{service_name="relais"} | json | level="error"',
  ),
])

export const service: Dashboard = {
  uid: 'relais-service',
  name: 'service',
  title: 'Relais: service',
  about: 'Rate, errors and latency against the SLA; below them what holds requests up.',
  variables: [],
  sections: [promise, traffic, causes, errors],
}
