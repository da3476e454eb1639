// Dashboard 4: what changes in the registry, who was refused, what is stored, and the logs.
import { bars, type Dashboard, gauges, lines, logs, section, stat } from './panel.ts'
import { ofModel, own, zoom } from './queries.ts'

const changes = section(400, 'Changes', [
  gauges(
    {
      id: 1,
      title: 'Versions by stage',
      about:
        'Versions that the registry holds. Next, when None or Archived only grow: delete what nobody ' +
        'needs; deleted versions can be restored within the setting `retention`.',
      unit: 'short',
      width: 6,
    },
    { expr: `max by (stage) (registry_model_versions{${own}})`, legend: '{{stage}}' },
    { steps: [[null, 'blue']] },
  ),
  bars(
    {
      id: 2,
      title: 'Moves between stages',
      about:
        'Promotions and archivings, by the stage they led to. Next: the audit log below names who ' +
        'and why.',
      unit: 'short',
      width: 6,
      height: 6,
    },
    [
      {
        expr: `sum by (to) (increase(model_stage_transitions_total{${ofModel}}[${zoom}]))`,
        legend: '{{to}}',
      },
    ],
  ),
  stat(
    {
      id: 3,
      title: 'Rollbacks',
      about:
        'Rollbacks over the chosen time. Next: the version that was rolled back from stays for ' +
        'analysis; the audit log has the reason.',
      unit: 'short',
      width: 4,
      height: 6,
    },
    `sum(increase(model_rollbacks_total{${ofModel}}[$__range])) or vector(0)`,
    {
      steps: [
        [null, 'green'],
        [0.5, 'orange'],
      ],
      decimals: 0,
    },
  ),
  bars(
    {
      id: 4,
      title: 'Operations',
      about:
        'Changes of models, versions and aliases per second, the six most frequent kinds. Next: a ' +
        'flood of one kind is a script that went wrong; the audit log names its token.',
      unit: 'ops',
      width: 8,
      height: 6,
    },
    [
      {
        expr: `topk(6, sum by (operation) (rate(registry_operations_total{${own}}[${zoom}])))`,
        legend: '{{operation}}',
      },
    ],
  ),
])

const access = section(401, 'Access and audit', [
  bars(
    {
      id: 11,
      title: 'Requests without a valid token',
      about:
        'Answered 401, by reason. Many at once are a script with an expired token, or somebody who ' +
        'tries. Next: the access log has the address; `relais token revoke` ends a token.',
      unit: 'reqps',
      width: 8,
    },
    [
      {
        expr: `sum by (reason) (rate(auth_failures_total{${own}}[${zoom}]))`,
        legend: '{{reason}}',
      },
    ],
  ),
  bars(
    {
      id: 12,
      title: 'Access, runs and keys',
      about:
        'Audit entries on anything but models: tokens, keys, runs, experiments, denials; the six most ' +
        'frequent kinds. Next: `relais audit` shows the entries, `relais audit --verify` that none ' +
        'was changed.',
      unit: 'ops',
      width: 8,
    },
    [
      {
        expr:
          'topk(6, sum by (action) ' +
          `(rate(audit_events_total{${own},action!~"(model|version|alias)[.].+"}[${zoom}])))`,
        legend: '{{action}}',
      },
    ],
  ),
  bars(
    {
      id: 13,
      title: 'Audit entries by outcome',
      about:
        'What went through and what was refused or failed. Next, when refusals grow: a role that is ' +
        'too small for its job, or a caller who tries what he may not.',
      unit: 'ops',
      width: 8,
    },
    [
      {
        expr: `sum by (outcome) (rate(audit_events_total{${own}}[${zoom}]))`,
        legend: '{{outcome}}',
      },
    ],
  ),
])

const storage = section(402, 'Storage', [
  lines(
    {
      id: 21,
      title: 'Size',
      about:
        'Bytes of artifacts, of the database and of its write-ahead log. Next: a write-ahead log that ' +
        'only grows means a reader that never ends, often a backup that hangs.',
      unit: 'bytes',
      width: 8,
    },
    [
      { expr: `max(registry_artifact_bytes{${own}})`, legend: 'artifacts' },
      { expr: `max(sqlite_database_bytes{${own}})`, legend: 'database' },
      { expr: `max(sqlite_wal_bytes{${own}})`, legend: 'write-ahead log' },
    ],
  ),
  lines(
    {
      id: 22,
      title: 'SQLite operations',
      about:
        'Reads and writes per second. Next, when they grow without more requests: which route of the ' +
        'Service dashboard is slow?',
      unit: 'ops',
      width: 8,
    },
    [
      {
        expr: `sum by (operation) (rate(sqlite_query_duration_seconds_count{${own}}[${zoom}]))`,
        legend: '{{operation}}',
      },
    ],
  ),
  bars(
    {
      id: 23,
      title: 'SQLite busy',
      about:
        'Times that SQLite found the database locked. It should be none: one process writes. Next: ' +
        'is another program (a copy, a shell) open on the file?',
      unit: 'short',
      width: 8,
    },
    [{ expr: `sum(increase(sqlite_busy_total{${own}}[${zoom}]))`, legend: 'busy' }],
  ),
])

const lineRate = 'count_over_time({service_name="relais"} | json [$__auto])'

const logging = section(403, 'Logs', [
  bars(
    {
      id: 31,
      title: 'Lines by level',
      about:
        'Log lines over time. Next, when errors grow: "Recent errors" of the Service dashboard.',
      unit: 'short',
      width: 16,
      height: 6,
    },
    [{ expr: `sum by (level) (${lineRate})`, legend: '{{level}}' }],
    { colours: { error: 'red', warn: 'orange', info: 'blue', debug: 'text' } },
  ),
  bars(
    {
      id: 32,
      title: 'Lines dropped',
      about:
        'Lines that a sink did not take in time. The server never waits for a log. Next: is the disk ' +
        'full, is Loki in reach, does somebody read the standard output?',
      unit: 'short',
      width: 8,
      height: 6,
    },
    [
      {
        expr: `sum by (sink) (increase(log_dropped_total{${own}}[${zoom}]))`,
        legend: '{{sink}}',
      },
    ],
  ),
  logs(
    {
      id: 33,
      title: 'Audit log',
      about:
        'Who changed what. The audit trail in the database is the proof; this is its copy for the ' +
        'eye. Next: `relais audit --verify` when it matters.',
      width: 24,
    },
    '{service_name="relais", log_type="audit"} | json',
  ),
  logs(
    {
      id: 34,
      title: 'Search by trace',
      about:
        'Lines that contain what stands in the field Trace id above; everything when it is empty. ' +
        'Next: the header traceparent of an answer holds the trace id; the `instance` of a problem ' +
        'document, a request id, is found as well.',
      width: 24,
    },
    '{service_name="relais"} |= "$trace_id" | json',
  ),
])

export const registry: Dashboard = {
  uid: 'relais-registry',
  name: 'registry',
  title: 'Relais: registry, audit and logs',
  about: 'What changed, who was refused, what is stored, and the logs.',
  variables: ['model', 'trace_id'],
  sections: [changes, access, storage, logging],
}
