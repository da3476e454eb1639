// Opens what leaves the process beside answers: log file, Loki and traces, as the settings say.
import { readFileSync } from 'node:fs'

import { type Config, ConfigError } from './config.ts'
import { LogFile } from './telemetry/log-file.ts'
import {
  createLog,
  type Level,
  type Log,
  type SinkName,
  sinkNames,
  type Sinks,
} from './telemetry/log.ts'
import { Loki } from './telemetry/loki.ts'
import type { Metrics } from './telemetry/metrics.ts'
import type { Spans } from './telemetry/spans.ts'
import { version } from './version.ts'

const service = 'relais'

/** What stands in the way is the setting's fault at start, and named so. */
async function asked<T>(setting: string, open: () => T | Promise<T>): Promise<T> {
  try {
    return await open()
  } catch (error) {
    throw new ConfigError(`${setting}: ${(error as Error).message}`)
  }
}

function openLoki(config: Config, onTrouble: (why: string | null) => void): Promise<Loki> {
  const { 'loki-url': url, 'loki-auth-file': file, instance } = config
  return asked('loki-auth-file', () => {
    const auth = file === '' ? '' : readFileSync(file, 'utf8')
    return new Loki({ url, auth, service, instance, onTrouble })
  })
}

/** Says in the log, once each, that deliveries fail and that they go well again. */
function tellOf(log: () => Log, receiver: string): (why: string | null) => void {
  return (why) => {
    if (why === null) log().write('info', 'telemetry.delivered', { receiver })
    else log().write('warn', 'telemetry.undelivered', { receiver, why })
  }
}

export async function openLog(config: Config): Promise<Log> {
  const sinks: Sinks = {}
  const { 'log-file': path, 'log-file-size': size, 'log-file-keep': keep } = config
  if (path !== '') sinks.file = await asked('log-file', () => LogFile.open({ path, size, keep }))
  if (config['loki-url'] !== '')
    sinks.loki = await openLoki(
      config,
      tellOf(() => log, 'loki'),
    )
  const common = { service, version, instance: config.instance }
  const log: Log = createLog(config['log-level'] as Level, common, sinks)
  return log
}

/** Null unless OpenTelemetry's variables ask for traces; its code is loaded only then. */
export async function openTraces(config: Config, log: Log): Promise<Spans | null> {
  const { otel, instance } = config
  if (otel === null) return null
  const { openSpans } = await import('./telemetry/otlp.ts')
  if (otel.ignored.length > 0) {
    log.write('warn', 'telemetry.ignored', { variables: otel.ignored.join(' ') })
  }
  const onTrouble = tellOf(() => log, 'otlp')
  return openSpans({ settings: otel, version, instance, onTrouble })
}

/** Counts what was lost, by where it should have gone. */
export function watchSinks(log: Log, spans: Spans | null, metrics: Metrics): void {
  const lost = (sink: SinkName | 'otlp') => metrics.logDropped.of({ sink })
  metrics.onScrape(() => {
    for (const sink of sinkNames) lost(sink).reach(log.droppedBy(sink))
    lost('otlp').reach(spans?.dropped ?? 0)
  })
}
