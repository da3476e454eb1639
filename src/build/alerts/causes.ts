// Alerts on what will be felt soon, and on the watching itself.
import { type Alert, type Group, job } from './rule.ts'

const models: readonly Alert[] = [
  {
    alert: 'ModelOnFallback',
    severity: 'warning',
    expr: `max by (job, model, stage) (model_fallback{${job}}) == 1`,
    lasting: '5m',
    summary: '{{ $labels.model }} {{ $labels.stage }} serves an older version',
    description:
      'The promoted version was put aside. relais models NAME says why. Roll back to settle it, or ' +
      'repair, push and promote; relais quarantine clear NAME VERSION if the cause is gone.',
    panel: ['relais-models', 2],
  },
  {
    alert: 'EngineRestarts',
    severity: 'warning',
    expr: `sum by (job, cause) (increase(engine_restarts_total{${job}}[15m])) >= 3`,
    lasting: '0m',
    summary: 'Engines end again and again, cause {{ $labels.cause }}',
    description:
      'crash, hang: a version is at fault; log lines engine.ended and version.quarantined name it. ' +
      'memory: raise engine-memory or hold fewer versions. killed: who sends signals, the OOM killer?',
    panel: ['relais-models', 22],
  },
  {
    alert: 'EngineQueueSlow',
    severity: 'warning',
    expr: `histogram_quantile(0.95, sum by (job, le) (rate(inference_queue_wait_seconds_bucket{${job}}[5m]))) > 0.1`,
    lasting: '5m',
    summary: 'Predictions wait {{ $value | humanizeDuration }} for an engine (p95)',
    description:
      'The engines cannot keep up. Look which lane grows; fewer rows per request, more cores or ' +
      'another instance. After a promotion: is the new version slower?',
    panel: ['relais-models', 13],
  },
  {
    alert: 'InputsRejected',
    severity: 'warning',
    expr:
      `sum by (job, model) (rate(prediction_errors_total{${job},reason="schema"}[15m]))\n` +
      `/ sum by (job, model) (rate(predictions_total{${job}}[15m])) > 0.1\n` +
      `and sum by (job, model) (increase(prediction_errors_total{${job},reason="schema"}[15m])) >= 10`,
    lasting: '15m',
    summary: '{{ $value | humanizePercentage }} of the inputs of {{ $labels.model }} do not fit',
    description:
      'A caller changed what it sends, or the feature schema is too narrow. The panel of failed ' +
      'checks names the check, the problem document the column; tell the caller.',
    panel: ['relais-quality', 21],
  },
]

const server: readonly Alert[] = [
  {
    alert: 'EventLoopLag',
    severity: 'warning',
    expr: `max by (job, instance) (nodejs_eventloop_lag_seconds{${job},objective="p99"}) > 0.1`,
    lasting: '10m',
    summary: 'The event loop of {{ $labels.instance }} is {{ $value | humanizeDuration }} late',
    description:
      'Every request waits for it. Is the CPU used up by something else? Are bodies very large, or ' +
      'has /metrics too many series?',
    panel: ['relais-service', 22],
  },
  {
    alert: 'ServerRestarting',
    severity: 'warning',
    expr: `changes(process_start_time_seconds{${job}}[15m]) >= 2`,
    lasting: '0m',
    summary: '{{ $labels.instance }} started {{ $value }} times in 15 minutes',
    description:
      'The journal of the unit or the container says why it ended: memory limit, failing health ' +
      'check, crash. After three failures it starts with the last good versions and says so.',
    panel: ['relais-service', 27],
  },
  {
    alert: 'FileDescriptorsLow',
    severity: 'warning',
    expr: `max by (job, instance) (process_open_fds{${job}} / process_max_fds{${job}}) > 0.8`,
    lasting: '10m',
    summary:
      '{{ $labels.instance }} uses {{ $value | humanizePercentage }} of its file descriptors',
    description:
      'At 100 % nobody can connect. Raise LimitNOFILE (systemd) or ulimits (compose); look for a ' +
      'client that opens connections and never closes them.',
    panel: ['relais-service', 26],
  },
  {
    alert: 'SqliteSlow',
    severity: 'warning',
    expr: `histogram_quantile(0.99, sum by (job, operation, le) (rate(sqlite_query_duration_seconds_bucket{${job}}[5m]))) > 0.05`,
    lasting: '10m',
    summary: 'SQLite takes {{ $value | humanizeDuration }} per {{ $labels.operation }} (p99)',
    description:
      'Usually the disk: is it shared, full, or on a network? Keep the data folder on local storage; ' +
      'relais doctor tells about room.',
    panel: ['relais-service', 25],
  },
  {
    alert: 'SqliteBusy',
    severity: 'warning',
    expr: `sum by (job, instance) (increase(sqlite_busy_total{${job}}[10m])) >= 5`,
    lasting: '0m',
    summary: 'SQLite of {{ $labels.instance }} is found locked',
    description:
      'One process writes, so somebody else has the file open: a shell, a copy, a second server. ' +
      'Use relais backup instead of copying the file.',
    panel: ['relais-registry', 23],
  },
  {
    alert: 'SqliteWalLarge',
    severity: 'warning',
    expr: `max by (job, instance) (sqlite_wal_bytes{${job}}) > 268435456`,
    lasting: '30m',
    summary: 'The write-ahead log of {{ $labels.instance }} holds {{ $value | humanize1024 }}B',
    description:
      'A reader that never ends keeps it from being folded in: a backup that hangs, or another ' +
      'program on the file. End it; a restart folds it in.',
    panel: ['relais-registry', 21],
  },
  {
    alert: 'AuthFailuresMany',
    severity: 'warning',
    expr: `sum by (job, reason) (rate(auth_failures_total{${job}}[5m])) > 1`,
    lasting: '10m',
    summary:
      '{{ $value | humanize }} requests per second without a valid token ({{ $labels.reason }})',
    description:
      'expired: renew the token of a script. Others: the access log has the address; if somebody ' +
      'guesses, block it at the proxy.',
    panel: ['relais-registry', 11],
  },
]

const watching: readonly Alert[] = [
  {
    alert: 'LogLinesDropped',
    severity: 'warning',
    expr: `sum by (job, instance, sink) (increase(log_dropped_total{${job}}[15m])) > 0`,
    lasting: '0m',
    summary: '{{ $labels.instance }} drops log lines on their way to {{ $labels.sink }}',
    description:
      'The server never waits for a log. file: is the disk full? loki, otlp: is it in reach? stdout: ' +
      'does the collector read?',
    panel: ['relais-registry', 32],
  },
  {
    alert: 'TargetSamplesHigh',
    severity: 'warning',
    expr: `scrape_samples_scraped{${job}} > 5000`,
    lasting: '15m',
    summary: '{{ $labels.instance }} exports {{ $value }} samples',
    description:
      'Rendering them holds up requests. Which metric has so many (topk(10, count by (__name__) ' +
      '({job="relais"})))? Unload versions that nobody needs.',
    panel: ['relais-service', 22],
  },
  {
    alert: 'NotificationsFailing',
    severity: 'warning',
    expr: 'sum by (job, integration) (increase(alertmanager_notifications_failed_total[15m])) > 0',
    lasting: '5m',
    summary: 'Alertmanager cannot deliver to {{ $labels.integration }}',
    description:
      'Its log says why: a wrong or revoked key, no way out to the internet. The secret files are ' +
      'read anew for each message, so no restart is needed.',
    panel: ['relais-service', 16],
  },
  {
    alert: 'Watchdog',
    severity: 'none',
    expr: 'vector(1)',
    lasting: '0m',
    summary: 'Prometheus evaluates its rules',
    description:
      'Always fires. Send it to a dead man’s switch: when it stays away, Prometheus or Alertmanager ' +
      'is down and no other alert will come.',
    panel: ['relais-service', 16],
  },
]

export const causes: readonly Group[] = [
  { name: 'relais-models', rules: models },
  { name: 'relais-server', rules: server },
  { name: 'relais-watching', rules: watching },
]
