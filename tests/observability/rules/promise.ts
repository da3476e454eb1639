// Cases of the alerts on errors, latency and dead instances. Counters rise per minute.
import type { RuleCase, Series } from './case.ts'

const requests = (code: string, values: string, routeClass = 'predict'): Series => ({
  [`http_requests_total{job="relais",instance="a",route_class="${routeClass}",code="${code}"}`]:
    values,
})

/** A histogram of predictions: how many are within each bound, per minute. */
function durations(perMinute: Record<string, string>): Series {
  const series = Object.entries(perMinute).map(([le, values]) => [
    `http_request_duration_seconds_bucket{job="relais",instance="a",route_class="predict",status_class="2xx",le="${le}"}`,
    values,
  ])
  const count = perMinute['+Inf']!
  return {
    ...Object.fromEntries(series),
    'http_request_duration_seconds_count{job="relais",instance="a",route_class="predict",status_class="2xx"}':
      count,
    'sla_latency_objective_seconds{job="relais",instance="a",objective="p50"}': '0.05x200',
    'sla_latency_objective_seconds{job="relais",instance="a",objective="p95"}': '0.15x200',
    'sla_latency_objective_seconds{job="relais",instance="a",objective="p99"}': '0.3x200',
  }
}

const up = 'up{job="relais",instance="a"}'

export const promiseCases: readonly RuleCase[] = [
  {
    alert: 'HighErrorRate',
    labels: { job: 'relais', route_class: 'predict' },
    summary: '2% of predict requests fail',
    fires: {
      series: {
        ...requests('200', '0+980x30'),
        ...requests('500', '0+20x30'),
        // The many good requests of the registry do not hide it.
        ...requests('200', '0+100000x30', 'registry'),
      },
      pending: '5m',
      at: '7m',
    },
    below: {
      series: {
        ...requests('200', '0+991x30'),
        ...requests('503', '0+9x30'),
        // Probes and whole files are no part of it.
        ...requests('503', '0+500x30', 'health'),
        ...requests('500', '0+500x30', 'stream'),
      },
      at: ['7m', '15m', '30m'],
    },
    resolves: {
      series: { ...requests('200', '0+980x60'), ...requests('500', '0+20x20 400x40') },
      at: '20m',
      silent: '27m',
    },
  },
  {
    alert: 'HighLatency',
    labels: { job: 'relais' },
    summary: 'p95 of predictions is 175ms, above its objective',
    fires: {
      // 90 of 100 within 150 ms, all within 200 ms: the 95th lies in the middle.
      series: durations({
        '0.1': '0+90x30',
        '0.15': '0+90x30',
        '0.2': '0+100x30',
        '+Inf': '0+100x30',
      }),
      pending: '5m',
      at: '7m',
    },
    below: {
      series: durations({
        '0.1': '0+80x30',
        '0.15': '0+96x30',
        '0.2': '0+100x30',
        '+Inf': '0+100x30',
      }),
      at: ['7m', '15m', '30m'],
    },
    resolves: {
      series: durations({
        '0.1': '0+90x20 1900+100x40',
        '0.15': '0+90x20 1900+100x40',
        '0.2': '0+100x60',
        '+Inf': '0+100x60',
      }),
      at: '20m',
      silent: '27m',
    },
  },
  {
    alert: 'InstanceDown',
    labels: { job: 'relais', instance: 'a' },
    summary: 'a cannot be scraped',
    // At the first evaluation that sees it.
    fires: { series: { [up]: '1x4 0x10' }, pending: '4m', at: '5m' },
    below: { series: { [up]: '1x20' }, at: ['5m', '20m'] },
    resolves: { series: { [up]: '1x4 0x4 1x10' }, at: '9m', silent: '10m' },
  },
  {
    alert: 'InstanceAbsent',
    labels: { job: 'relais' },
    summary: 'Prometheus knows no target of job relais',
    fires: {
      series: { 'up{job="other",instance="b"}': '1x20', [up]: '1 1 stale' },
      pending: '2m',
      at: '4m',
    },
    below: { series: { [up]: '0x20' }, at: ['5m', '20m'] },
    resolves: { series: { [up]: 'stale _x5 1x20' }, at: '4m', silent: '6m' },
  },
  {
    alert: 'LatencyP50OverSla',
    labels: { job: 'relais' },
    summary: 'p50 of predictions is 55ms, above its objective',
    fires: {
      series: durations({ '0.05': '0+40x40', '0.075': '0+90x40', '+Inf': '0+100x40' }),
      pending: '10m',
      at: '12m',
    },
    below: {
      series: durations({ '0.05': '0+51x40', '0.075': '0+90x40', '+Inf': '0+100x40' }),
      at: ['12m', '30m'],
    },
    resolves: {
      series: durations({
        '0.05': '0+40x20 880+80x40',
        '0.075': '0+90x20 1890+90x40',
        '+Inf': '0+100x60',
      }),
      at: '20m',
      silent: '27m',
    },
  },
  {
    alert: 'LatencyP99OverSla',
    labels: { job: 'relais' },
    summary: 'p99 of predictions is 400ms, above its objective',
    fires: {
      series: durations({
        '0.2': '0+980x40',
        '0.3': '0+980x40',
        '0.5': '0+1000x40',
        '+Inf': '0+1000x40',
      }),
      pending: '10m',
      at: '12m',
    },
    below: {
      series: durations({
        '0.2': '0+980x40',
        '0.3': '0+991x40',
        '0.5': '0+1000x40',
        '+Inf': '0+1000x40',
      }),
      at: ['12m', '30m'],
    },
    resolves: {
      series: durations({
        '0.2': '0+980x20 20600+1000x40',
        '0.3': '0+980x20 20600+1000x40',
        '0.5': '0+1000x60',
        '+Inf': '0+1000x60',
      }),
      at: '20m',
      silent: '27m',
    },
  },
]
