// The catalogue of every metric. Names follow Prometheus practice; SLA edges are bucket bounds.
import { readdirSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'

import { Counter, Gauge, type Metric, Registry } from 'prom-client'

import { CounterFamily, HistogramFamily } from './series.ts'

const httpBounds = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5, 5, 10,
]
const inferenceBounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.3, 1]
const version = ['model', 'model_version'] as const

/** Metrics written per request: own series, see series.ts. */
function hotMetrics() {
  return {
    httpRequests: new CounterFamily('http_requests_total', 'HTTP requests answered'),
    httpDuration: new HistogramFamily(
      'http_request_duration_seconds',
      'Time from request to answer',
      httpBounds,
    ),
    predictions: new CounterFamily('predictions_total', 'Prediction requests by outcome'),
    predictionErrors: new CounterFamily('prediction_errors_total', 'Failed predictions by reason'),
    batchSize: new HistogramFamily(
      'prediction_batch_size',
      'Rows per run of the model',
      [1, 2, 4, 8, 16, 32, 64, 128, 256],
    ),
    inferenceDuration: new HistogramFamily(
      'model_inference_duration_seconds',
      'Time within ONNX Runtime per run',
      inferenceBounds,
    ),
    queueWait: new HistogramFamily(
      'inference_queue_wait_seconds',
      'Time from arrival to hand-over to an engine',
      inferenceBounds,
    ),
  }
}

function coldMetrics(registers: Registry[]) {
  const gauge = (name: string, help: string, labelNames: readonly string[] = []) =>
    new Gauge({ name, help, labelNames: [...labelNames], registers })
  const counter = (name: string, help: string, labelNames: readonly string[] = []) =>
    new Counter({ name, help, labelNames: [...labelNames], registers })
  return {
    buildInfo: gauge('relais_build_info', 'Version of the binary', [
      'version',
      'commit',
      'runtime',
    ]),
    inFlight: gauge('http_requests_in_flight', 'HTTP requests being worked on'),
    queueDepth: gauge('inference_queue_depth', 'Prediction requests waiting for an engine'),
    modelLoaded: gauge('model_loaded', '1 when an engine holds the version', version),
    modelLoadDuration: gauge('model_load_duration_seconds', 'Time of the last load', version),
    modelInfo: gauge('model_info', 'What is loaded', [...version, 'stage', 'sha256']),
    modelFallback: gauge('model_fallback', '1 while a stage serves an older version', [
      'model',
      'stage',
    ]),
    trainingAccuracy: gauge('model_training_accuracy', 'Accuracy recorded at training', version),
    f1Score: gauge('f1_score', 'F1 recorded at training, averaged as the trainer did', version),
    engineRestarts: counter('engine_restarts_total', 'Engines that ended, by cause', ['cause']),
    engines: gauge('engines_running', 'Engine processes alive'),
    engineMemory: gauge('engine_resident_memory_bytes', 'Memory of an engine', ['lane']),
    registryOperations: counter('registry_operations_total', 'Registry changes', [
      'operation',
      'outcome',
    ]),
    stageTransitions: counter('model_stage_transitions_total', 'Moves between stages', [
      'model',
      'to',
    ]),
    authFailures: counter('auth_failures_total', 'Requests refused with 401', ['reason']),
    auditEvents: counter('audit_events_total', 'Audit entries', ['action', 'outcome']),
    logDropped: counter('log_dropped_total', 'Log lines dropped because nobody read them'),
    databaseBytes: gauge('sqlite_database_bytes', 'Size of the database file'),
    processMemory: gauge('process_resident_memory_bytes', 'Resident memory of the HTTP process'),
    processCpu: counter('process_cpu_seconds_total', 'CPU time of the HTTP process'),
    processFds: gauge('process_open_fds', 'Open file descriptors'),
    processStart: gauge('process_start_time_seconds', 'Start of the process since the epoch'),
    eventLoopLag: gauge('nodejs_eventloop_lag_seconds', 'Event loop delay in the last scrape', [
      'objective',
    ]),
  }
}

export type Metrics = ReturnType<typeof createMetrics>

/** prom-client's default metrics are partly wrong under Bun, so the useful ones are set by hand. */
function processMetrics(cold: ReturnType<typeof coldMetrics>): () => void {
  const delay = monitorEventLoopDelay({ resolution: 10 })
  delay.enable()
  let cpuBefore = 0
  cold.processStart.set(Math.floor(Date.now() / 1000 - process.uptime()))
  return () => {
    const { user, system } = process.cpuUsage()
    const cpu = (user + system) / 1e6
    cold.processCpu.inc(Math.max(0, cpu - cpuBefore))
    cpuBefore = cpu
    cold.processMemory.set(process.memoryUsage.rss())
    cold.processFds.set(readdirSync('/proc/self/fd').length)
    cold.eventLoopLag.set({ objective: 'p99' }, delay.percentile(99) / 1e9)
    cold.eventLoopLag.set({ objective: 'max' }, delay.max / 1e9)
    delay.reset()
  }
}

export function createMetrics() {
  const registry = new Registry()
  const hot = hotMetrics()
  const cold = coldMetrics([registry])
  for (const family of Object.values(hot)) registry.registerMetric(family as unknown as Metric)
  const ownProcess = processMetrics(cold)
  const collectors: (() => void)[] = [ownProcess]
  return {
    ...hot,
    ...cold,
    contentType: registry.contentType,
    /** Registers what is to be read only when somebody scrapes. */
    onScrape: (collect: () => void): void => {
      collectors.push(collect)
    },
    /** The text exposition. */
    expose: (): Promise<string> => {
      for (const collect of collectors) collect()
      return registry.metrics()
    },
  }
}
