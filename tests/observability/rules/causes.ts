// Cases of the alerts on models, the server's own means, and the watching itself.
import type { RuleCase, Series } from './case.ts'

const one = (name: string, labels: string, values: string): Series => ({
  [`${name}{job="relais",instance="a"${labels === '' ? '' : `,${labels}`}}`]: values,
})

/** A histogram by bound. */
const buckets = (name: string, labels: string, values: Record<string, string>): Series =>
  Object.fromEntries(
    Object.entries(values).flatMap(([le, samples]) =>
      Object.entries(
        one(`${name}_bucket`, `${labels === '' ? '' : `${labels},`}le="${le}"`, samples),
      ),
    ),
  )

const perInstance = { job: 'relais', instance: 'a' }

const modelCases: readonly RuleCase[] = [
  {
    alert: 'ModelOnFallback',
    labels: { job: 'relais', model: 'm', stage: 'Production' },
    summary: 'm Production serves an older version',
    fires: {
      series: one('model_fallback', 'model="m",stage="Production"', '1x20'),
      pending: '4m',
      at: '6m',
    },
    below: { series: one('model_fallback', 'model="m",stage="Production"', '0x20'), at: ['20m'] },
    resolves: {
      series: one('model_fallback', 'model="m",stage="Production"', '1x10 0x10'),
      at: '10m',
      silent: '12m',
    },
  },
  {
    alert: 'EngineRestarts',
    labels: { job: 'relais', cause: 'crash' },
    summary: 'Engines end again and again, cause crash',
    fires: {
      series: one('engine_restarts_total', 'cause="crash"', '0x16 1 2 3 4x20'),
      pending: '16m',
      at: '20m',
    },
    below: {
      series: one('engine_restarts_total', 'cause="crash"', '0x16 1 2x20'),
      at: ['18m', '25m', '30m'],
    },
    resolves: {
      series: one('engine_restarts_total', 'cause="crash"', '0x16 1 2 3 4x40'),
      at: '20m',
      silent: '40m',
    },
  },
  {
    alert: 'EngineQueueSlow',
    labels: { job: 'relais' },
    summary: 'Predictions wait 125ms for an engine (p95)',
    fires: {
      series: buckets('inference_queue_wait_seconds', '', {
        '0.1': '0+90x20',
        '0.15': '0+100x20',
        '+Inf': '0+100x20',
      }),
      pending: '5m',
      at: '7m',
    },
    below: {
      series: buckets('inference_queue_wait_seconds', '', {
        '0.1': '0+96x20',
        '0.15': '0+100x20',
        '+Inf': '0+100x20',
      }),
      at: ['7m', '20m'],
    },
    resolves: {
      series: buckets('inference_queue_wait_seconds', '', {
        '0.1': '0+90x20 1900+100x20',
        '0.15': '0+100x40',
        '+Inf': '0+100x40',
      }),
      at: '20m',
      silent: '27m',
    },
  },
  {
    alert: 'InputsRejected',
    labels: { job: 'relais', model: 'm' },
    summary: '12% of the inputs of m do not fit',
    fires: {
      series: {
        ...one('predictions_total', 'model="m",outcome="ok"', '0+88x60'),
        ...one('predictions_total', 'model="m",outcome="rejected"', '0+12x60'),
        ...one('prediction_errors_total', 'model="m",reason="schema"', '0+12x60'),
      },
      pending: '15m',
      at: '17m',
    },
    below: {
      series: {
        ...one('predictions_total', 'model="m",outcome="ok"', '0+91x60'),
        ...one('predictions_total', 'model="m",outcome="rejected"', '0+9x60'),
        ...one('prediction_errors_total', 'model="m",reason="schema"', '0+9x60'),
        // Overload is nobody's wrong input.
        ...one('prediction_errors_total', 'model="m",reason="overload"', '0+50x60'),
      },
      at: ['17m', '40m'],
    },
    resolves: {
      series: {
        ...one('predictions_total', 'model="m",outcome="ok"', '0+88x90'),
        ...one('predictions_total', 'model="m",outcome="rejected"', '0+12x30 360x60'),
        ...one('prediction_errors_total', 'model="m",reason="schema"', '0+12x30 360x60'),
      },
      at: '30m',
      silent: '47m',
    },
  },
]

const serverCases: readonly RuleCase[] = [
  {
    alert: 'EventLoopLag',
    labels: perInstance,
    summary: 'The event loop of a is 120ms late',
    fires: {
      series: one('nodejs_eventloop_lag_seconds', 'objective="p99"', '0.12x30'),
      pending: '9m',
      at: '11m',
    },
    below: {
      series: {
        ...one('nodejs_eventloop_lag_seconds', 'objective="p99"', '0.1x30'),
        ...one('nodejs_eventloop_lag_seconds', 'objective="max"', '0.9x30'),
      },
      at: ['11m', '30m'],
    },
    resolves: {
      series: one('nodejs_eventloop_lag_seconds', 'objective="p99"', '0.12x15 0.02x15'),
      at: '14m',
      silent: '17m',
    },
  },
  {
    alert: 'ServerRestarting',
    labels: perInstance,
    summary: 'a started 2 times in 15 minutes',
    fires: {
      series: one('process_start_time_seconds', '', '100x3 200x3 300x20'),
      pending: '5m',
      at: '10m',
    },
    below: { series: one('process_start_time_seconds', '', '100x3 200x30'), at: ['6m', '15m'] },
    resolves: {
      series: one('process_start_time_seconds', '', '100x3 200x3 300x40'),
      at: '10m',
      silent: '30m',
    },
  },
  {
    alert: 'FileDescriptorsLow',
    labels: perInstance,
    summary: 'a uses 90% of its file descriptors',
    fires: {
      series: {
        ...one('process_open_fds', '', '900x30'),
        ...one('process_max_fds', '', '1000x30'),
      },
      pending: '9m',
      at: '11m',
    },
    below: {
      series: {
        ...one('process_open_fds', '', '800x30'),
        ...one('process_max_fds', '', '1000x30'),
      },
      at: ['11m', '30m'],
    },
    resolves: {
      series: {
        ...one('process_open_fds', '', '900x15 100x15'),
        ...one('process_max_fds', '', '1000x30'),
      },
      at: '14m',
      silent: '17m',
    },
  },
  {
    alert: 'SqliteSlow',
    labels: { job: 'relais', operation: 'write' },
    summary: 'SQLite takes 150ms per write (p99)',
    fires: {
      series: buckets('sqlite_query_duration_seconds', 'operation="write"', {
        '0.05': '0+980x30',
        '0.25': '0+1000x30',
        '+Inf': '0+1000x30',
      }),
      pending: '10m',
      at: '12m',
    },
    below: {
      series: buckets('sqlite_query_duration_seconds', 'operation="write"', {
        '0.05': '0+991x30',
        '0.25': '0+1000x30',
        '+Inf': '0+1000x30',
      }),
      at: ['12m', '30m'],
    },
    resolves: {
      series: buckets('sqlite_query_duration_seconds', 'operation="write"', {
        '0.05': '0+980x20 20600+1000x20',
        '0.25': '0+1000x40',
        '+Inf': '0+1000x40',
      }),
      at: '20m',
      silent: '27m',
    },
  },
  {
    alert: 'SqliteBusy',
    labels: perInstance,
    summary: 'SQLite of a is found locked',
    fires: { series: one('sqlite_busy_total', '', '0x10 6x10'), pending: '10m', at: '12m' },
    below: { series: one('sqlite_busy_total', '', '0x10 4x10'), at: ['12m', '15m', '20m'] },
    resolves: { series: one('sqlite_busy_total', '', '0x10 6x30'), at: '12m', silent: '25m' },
  },
  {
    alert: 'SqliteWalLarge',
    labels: perInstance,
    summary: 'The write-ahead log of a holds 512MiB',
    fires: { series: one('sqlite_wal_bytes', '', '536870912x60'), pending: '29m', at: '31m' },
    below: { series: one('sqlite_wal_bytes', '', '268435456x60'), at: ['31m', '60m'] },
    resolves: {
      series: one('sqlite_wal_bytes', '', '536870912x40 1000x20'),
      at: '40m',
      silent: '42m',
    },
  },
  {
    alert: 'AuthFailuresMany',
    labels: { job: 'relais', reason: 'expired' },
    summary: '2 requests per second without a valid token (expired)',
    fires: {
      series: one('auth_failures_total', 'reason="expired"', '0+120x30'),
      pending: '10m',
      at: '16m',
    },
    below: {
      series: one('auth_failures_total', 'reason="expired"', '0+58x30'),
      at: ['12m', '30m'],
    },
    resolves: {
      series: one('auth_failures_total', 'reason="expired"', '0+120x20 2400x20'),
      at: '20m',
      silent: '27m',
    },
  },
]

const delivery = 'alertmanager_notifications_failed_total{job="alertmanager",integration="slack"}'

const watchingCases: readonly RuleCase[] = [
  {
    alert: 'LogLinesDropped',
    labels: { ...perInstance, sink: 'loki' },
    summary: 'a drops log lines on their way to loki',
    fires: {
      series: one('log_dropped_total', 'sink="loki"', '0x10 1x10'),
      pending: '10m',
      at: '12m',
    },
    below: { series: one('log_dropped_total', 'sink="loki"', '7x30'), at: ['10m', '30m'] },
    resolves: {
      series: one('log_dropped_total', 'sink="loki"', '0x10 1x30'),
      at: '12m',
      silent: '30m',
    },
  },
  {
    alert: 'TargetSamplesHigh',
    labels: perInstance,
    summary: 'a exports 5001 samples',
    fires: { series: one('scrape_samples_scraped', '', '5001x30'), pending: '14m', at: '16m' },
    below: { series: one('scrape_samples_scraped', '', '5000x30'), at: ['16m', '30m'] },
    resolves: {
      series: one('scrape_samples_scraped', '', '5001x20 4000x10'),
      at: '20m',
      silent: '22m',
    },
  },
  {
    alert: 'NotificationsFailing',
    labels: { job: 'alertmanager', integration: 'slack' },
    summary: 'Alertmanager cannot deliver to slack',
    fires: { series: { [delivery]: '0x5 0+1x20' }, pending: '9m', at: '14m' },
    below: { series: { [delivery]: '3x30' }, at: ['10m', '30m'] },
    resolves: { series: { [delivery]: '0x5 0+1x10 10x30' }, at: '14m', silent: '40m' },
  },
]

export const causeCases: readonly RuleCase[] = [...modelCases, ...serverCases, ...watchingCases]
