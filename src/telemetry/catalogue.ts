// Every metric once: name, type, labels, help, bounds, and the label values that are there from the start.

interface Described<L extends readonly string[]> {
  name: string
  help: string
  labels: L
  /** Label values that exist at 0 from the start, so that the first event is seen as a rise. */
  known: readonly Readonly<Record<L[number], string>>[]
}

interface Bounds {
  bounds: readonly number[]
}

export type Entry = Described<readonly string[]> &
  ({ type: 'counter' | 'gauge' } | ({ type: 'histogram' } & Bounds))

/** What is without labels is there from the start. */
const knownOf = <L extends readonly string[]>(labels: L): Described<L>['known'] =>
  labels.length === 0 ? [{} as Record<L[number], string>] : []

type Known<L extends readonly string[]> = Described<L>['known']

const counter = <const L extends readonly string[]>(
  name: string,
  help: string,
  labels: L,
  known: Known<L> = knownOf(labels),
) => ({ type: 'counter', name, help, labels, known }) as const

const gauge = <const L extends readonly string[]>(
  name: string,
  help: string,
  labels: L,
  known: Known<L> = knownOf(labels),
) => ({ type: 'gauge', name, help, labels, known }) as const

const histogram = <const L extends readonly string[]>(
  name: string,
  help: string,
  labels: L,
  { bounds, known = knownOf(labels) }: Bounds & { known?: Known<L> },
) => ({ type: 'histogram', name, help, labels, bounds, known }) as const

/** Each of the values of one label. */
const each = <N extends string>(name: N, values: readonly string[]): Record<N, string>[] =>
  values.map((value) => ({ [name]: value }) as Record<N, string>)

/** The labels of what belongs to one version. */
const version = ['model', 'model_version'] as const

const runSeconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.3, 1]

const http = {
  httpRequests: counter(
    'http_requests_total',
    'HTTP requests answered, by template of the route and status code',
    ['method', 'route', 'route_class', 'code'],
  ),
  httpDuration: histogram(
    'http_request_duration_seconds',
    'Time from the head of a request to its answer, for streams to the begin of it; the SLA values are bounds',
    ['method', 'route', 'route_class', 'status_class'],
    {
      bounds: [
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5, 5, 10,
      ],
    },
  ),
  inFlight: gauge('http_requests_in_flight', 'HTTP requests that are being worked on', []),
  slaObjective: gauge(
    'sla_latency_objective_seconds',
    'Latency that so many per cent of the predictions must keep to, from the settings sla-p50, sla-p95 and sla-p99',
    ['objective'],
    each('objective', ['p50', 'p95', 'p99']),
  ),
}

export const errorReasons = ['schema', 'timeout', 'runtime', 'overload'] as const
/** What can be wrong with the input of a prediction. */
export const checks = [
  'type',
  'null',
  'range',
  'set',
  'finite',
  'shape',
  'missing',
  'unknown',
] as const

const predictions = {
  predictions: counter(
    'predictions_total',
    'Prediction requests, and batches of score jobs; rejected: the input did not fit, error: the fault was ours',
    [...version, 'outcome'],
  ),
  predictionErrors: counter(
    'prediction_errors_total',
    'Prediction requests that were rejected or failed, by reason',
    [...version, 'reason'],
  ),
  predictedClasses: counter(
    'predicted_class_total',
    'Rows for which a classifier gave the class; beyond 20 classes of a version: other',
    [...version, 'class'],
  ),
  predictionScore: histogram(
    'prediction_score',
    'Greatest score of a row among the classes of a classifier: how sure it was',
    version,
    { bounds: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9] },
  ),
  dataCheckFailures: counter(
    'data_check_failures_total',
    'Places in the input of predictions that did not fit the feature schema, by what was wrong',
    [...version, 'check'],
  ),
  batchSize: histogram('prediction_batch_size', 'Rows per run of the model', ['model'], {
    bounds: [1, 2, 4, 8, 16, 32, 64, 128, 256],
  }),
  inferenceDuration: histogram(
    'model_inference_duration_seconds',
    'Time within ONNX Runtime per run',
    version,
    { bounds: runSeconds },
  ),
  queueWait: histogram(
    'inference_queue_wait_seconds',
    'Time from the arrival of a prediction to its hand-over to an engine',
    [],
    { bounds: runSeconds },
  ),
  queueDepth: gauge(
    'inference_queue_depth',
    'Prediction requests that wait for an engine, over all lanes',
    [],
  ),
}

const models = {
  modelLoaded: gauge('model_loaded', '1 while an engine holds the version', version),
  modelLoadDuration: gauge(
    'model_load_duration_seconds',
    'Time of the last load of the version into an engine',
    version,
  ),
  modelInfo: gauge('model_info', 'Which version serves which stage, always 1; to be joined', [
    ...version,
    'stage',
    'sha256',
  ]),
  modelFallback: gauge(
    'model_fallback',
    '1 while a stage is served by another version than its live one, or by none',
    ['model', 'stage'],
  ),
  trainingAccuracy: gauge(
    'model_training_accuracy',
    'Accuracy that was recorded at training, 0 to 1',
    version,
  ),
  f1Score: gauge(
    'f1_score',
    'F1 that was recorded at training, averaged as the trainer did',
    version,
  ),
  promotionTime: gauge(
    'model_promotion_timestamp_seconds',
    'When the version became the live one of the stage, by promotion or rollback, since the epoch',
    [...version, 'stage'],
  ),
  rollbacks: counter('model_rollbacks_total', 'Rollbacks of a stage to an earlier version', [
    'model',
  ]),
  stageTransitions: counter('model_stage_transitions_total', 'Moves of versions into a stage', [
    'model',
    'to',
  ]),
}

/** Everything that leaves an entry in the audit trail. */
export const auditActions = [
  'access.denied',
  'alias.delete',
  'alias.set',
  'experiment.create',
  'experiment.delete',
  'experiment.import',
  'experiment.restore',
  'experiment.tag',
  'experiment.update',
  'keys.rotate',
  'model.create',
  'model.delete',
  'model.import',
  'model.rename',
  'model.restore',
  'model.rollback',
  'model.update',
  'run.create',
  'run.delete',
  'run.import',
  'run.log',
  'run.restore',
  'run.update',
  'token.create',
  'token.revoke',
  'version.create',
  'version.delete',
  'version.import',
  'version.load',
  'version.quarantine',
  'version.quarantine-clear',
  'version.restore',
  'version.stage',
  'version.unload',
  'version.update',
] as const

/** Of these only a refusal leaves an entry. */
const onlyRefused: readonly string[] = ['access.denied', 'experiment.tag', 'run.log']

/** Is an action one on models, versions or aliases? */
export const isRegistryAction = (action: string): boolean => /^(model|version|alias)\./.test(action)

const registry = {
  registryVersions: gauge(
    'registry_model_versions',
    'Versions in the registry that are not deleted, by stage',
    ['stage'],
    each('stage', ['None', 'Staging', 'Production', 'Archived']),
  ),
  registryOperations: counter(
    'registry_operations_total',
    'Changes of models, versions and aliases that were made (done) or refused (denied)',
    ['operation', 'outcome'],
    auditActions
      .filter(isRegistryAction)
      .flatMap((operation) =>
        each('outcome', ['done', 'denied']).map((o) => ({ operation, ...o })),
      ),
  ),
  artifactBytes: gauge('registry_artifact_bytes', 'Size of all artifacts in storage', []),
  auditEvents: counter(
    'audit_events_total',
    'Entries of the audit trail',
    ['action', 'outcome'],
    auditActions.map((action) => ({
      action,
      outcome: onlyRefused.includes(action) ? 'denied' : 'done',
    })),
  ),
  authFailures: counter(
    'auth_failures_total',
    'Requests that were refused with 401, by what was wrong with the token',
    ['reason'],
    each('reason', ['missing', 'invalid', 'expired', 'revoked']),
  ),
}

const database = {
  queryDuration: histogram(
    'sqlite_query_duration_seconds',
    'Time of a statement that reads, and of a transaction that writes, its commit to disk included',
    ['operation'],
    {
      bounds: [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.05, 0.25],
      known: each('operation', ['read', 'write']),
    },
  ),
  databaseBytes: gauge('sqlite_database_bytes', 'Size of the database file', []),
  walBytes: gauge('sqlite_wal_bytes', 'Size of the write-ahead log beside the database file', []),
  databaseBusy: counter(
    'sqlite_busy_total',
    'Statements that failed because another process held the database for too long',
    [],
  ),
}

/** Engines by what they are for: `own` are all those that hold one heavy version alone. */
export const laneNames = ['live', 'side', 'own', 'bulk', 'isolation', 'suspects'] as const

const engines = {
  engines: gauge('engines_running', 'Engine processes that are alive', []),
  engineRestarts: counter(
    'engine_restarts_total',
    'Engines that ended without being told to, by cause',
    ['cause'],
    each('cause', ['crash', 'hang', 'memory', 'killed']),
  ),
  engineMemory: gauge(
    'engine_resident_memory_bytes',
    'Resident memory of the engines of a lane',
    ['lane'],
    each('lane', laneNames),
  ),
  engineCpu: counter(
    'engine_cpu_seconds_total',
    'CPU time of the engines of a lane, of those that have ended, too',
    ['lane'],
    each('lane', laneNames),
  ),
  engineQueue: gauge(
    'engine_queue_depth',
    'Prediction requests that wait for the engines of a lane',
    ['lane'],
    each('lane', laneNames),
  ),
}

const server = {
  buildInfo: gauge('relais_build_info', 'Version, commit and runtime of the binary, always 1', [
    'version',
    'commit',
    'runtime',
  ]),
  logDropped: counter(
    'log_dropped_total',
    'Log lines that were dropped because a sink did not take them in time',
    ['sink'],
    each('sink', ['stdout', 'file', 'loki', 'otlp']),
  ),
  processCpu: counter('process_cpu_seconds_total', 'CPU time of the HTTP process', []),
  processMemory: gauge(
    'process_resident_memory_bytes',
    'Resident memory of the HTTP process; engines have their own',
    [],
  ),
  processFds: gauge('process_open_fds', 'File descriptors that the HTTP process has open', []),
  processMaxFds: gauge('process_max_fds', 'File descriptors that it may have open', []),
  processStart: gauge(
    'process_start_time_seconds',
    'When the HTTP process was started, since the epoch',
    [],
  ),
  eventLoopLag: gauge(
    'nodejs_eventloop_lag_seconds',
    'How late timers of the HTTP process were since the last scrape',
    ['objective'],
    each('objective', ['p99', 'max']),
  ),
}

/** The catalogue by subject, for those who read it. */
export const subjects = {
  HTTP: http,
  Predictions: predictions,
  'Models in service': models,
  Registry: registry,
  Database: database,
  Engines: engines,
  'The server itself': server,
} as const satisfies Record<string, Record<string, Entry>>

/** Every metric by the name that the program calls it. */
export const catalogue = {
  ...http,
  ...predictions,
  ...models,
  ...registry,
  ...database,
  ...engines,
  ...server,
} as const satisfies Record<string, Entry>
