// Every setting of the server, once: name, flag, environment variable, type, default, help.
import { readFileSync } from 'node:fs'
import { availableParallelism, hostname, totalmem } from 'node:os'
import { resolve } from 'node:path'

import { parseModelUri } from './core/model-uri.ts'
import { type OtelSettings, otelSettings } from './core/otel.ts'

type Kind = 'text' | 'number' | 'duration' | 'bytes' | 'flag' | 'list'

interface Setting {
  kind: Kind
  fallback: string
  help: string
  secret?: true
}

/** Durations take ms, s, m, h, d; sizes take KB, MB, GB (powers of 1024); lists are comma-separated. */
export const settings = {
  data: { kind: 'text', fallback: './relais-data', help: 'data folder' },
  host: { kind: 'text', fallback: '127.0.0.1', help: 'address to listen on' },
  port: { kind: 'number', fallback: '8080', help: 'port to listen on' },
  'metrics-listen': { kind: 'text', fallback: '', help: 'host:port that serves /metrics openly' },
  'log-level': { kind: 'text', fallback: 'info', help: 'debug, info, warn or error' },
  'log-sample': { kind: 'number', fallback: '1', help: 'log one of so many good predictions' },
  'log-file': { kind: 'text', fallback: '', help: 'write the log to this file, too' },
  'log-file-size': { kind: 'bytes', fallback: '100MB', help: 'size at which a new file begins' },
  'log-file-keep': { kind: 'number', fallback: '5', help: 'earlier log files that are kept' },
  'loki-url': { kind: 'text', fallback: '', help: 'push the log to this Loki, too' },
  'loki-auth-file': {
    kind: 'text',
    fallback: '',
    help: 'file with user=, password=, token= or tenant= for Loki',
  },
  instance: { kind: 'text', fallback: '', help: 'name of this server in logs; default host name' },
  'max-model': { kind: 'bytes', fallback: '2GB', help: 'largest model file' },
  'max-body': { kind: 'bytes', fallback: '32MB', help: 'largest body of any other request' },
  'predict-timeout': { kind: 'duration', fallback: '10s', help: 'longest prediction' },
  'queue-time': {
    kind: 'duration',
    fallback: '2s',
    help: 'longer expected waits are refused at once',
  },
  'trial-timeout': { kind: 'duration', fallback: '60s', help: 'longest first load of a version' },
  'upload-timeout': { kind: 'duration', fallback: '60s', help: 'longest pause within an upload' },
  'drain-timeout': { kind: 'duration', fallback: '25s', help: 'time for requests at shutdown' },
  'engine-memory': { kind: 'bytes', fallback: '', help: 'memory for models; default half of RAM' },
  'engine-threads': {
    kind: 'number',
    fallback: '0',
    help: 'threads of a heavy model; 0 is all cores',
  },
  'stage-grace': { kind: 'duration', fallback: '30s', help: 'an emptied stage goes on serving' },
  retention: { kind: 'duration', fallback: '7d', help: 'deleted things can be restored' },
  'protected-aliases': {
    kind: 'list',
    fallback: 'champion,live,stable,prod*',
    help: 'aliases that data scientists may not set',
  },
  'accuracy-metrics': {
    kind: 'list',
    fallback: 'accuracy,training_accuracy,accuracy_score,training_accuracy_score',
    help: 'version metrics shown as model_training_accuracy',
  },
  'f1-metrics': {
    kind: 'list',
    fallback: 'f1_score,f1,training_f1_score',
    help: 'version metrics shown as f1_score',
  },
  'sla-p50': {
    kind: 'duration',
    fallback: '50ms',
    help: 'objective: half of the predictions are answered in less',
  },
  'sla-p95': { kind: 'duration', fallback: '150ms', help: 'objective: 95 % are answered in less' },
  'sla-p99': { kind: 'duration', fallback: '300ms', help: 'objective: 99 % are answered in less' },
  'strict-ready': {
    kind: 'flag',
    fallback: 'false',
    help: 'ready only with every Production model',
  },
  'default-model': {
    kind: 'text',
    fallback: '',
    help: '`/invocations` asks it: NAME, NAME/VERSION, NAME/STAGE or NAME@ALIAS',
  },
  'ready-when-empty': { kind: 'flag', fallback: 'false', help: '/health is 200 without any model' },
} as const satisfies Record<string, Setting>

export type SettingName = keyof typeof settings

type ValueOf<K extends Kind> = K extends 'number' | 'duration' | 'bytes'
  ? number
  : K extends 'flag'
    ? boolean
    : K extends 'list'
      ? string[]
      : string

type Settings = { readonly [N in SettingName]: ValueOf<(typeof settings)[N]['kind']> }

/** Durations in milliseconds, sizes in bytes. */
export interface Config extends Settings {
  /** Where traces go, as OpenTelemetry's own variables say; null: nowhere. */
  readonly otel: OtelSettings | null
}

/** Thrown for a setting that does not exist or cannot be read; the text says what to write instead. */
export class ConfigError extends Error {}

const durationUnits: Record<string, number> = { ms: 1, s: 1e3, m: 6e4, h: 36e5, d: 864e5 }
const sizeUnits: Record<string, number> = { B: 1, KB: 1024, MB: 1024 ** 2, GB: 1024 ** 3 }

/** '90s' → 90000. Throws ConfigError. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text)
  if (!match) throw new ConfigError(`'${text}' is no duration; write for example 30s, 12h or 7d`)
  return Number(match[1]) * (durationUnits[match[2] ?? ''] ?? 0)
}

function parseBytes(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(B|KB|MB|GB)$/i.exec(text)
  if (!match) throw new ConfigError(`'${text}' is no size; write for example 512MB or 2GB`)
  return Number(match[1]) * (sizeUnits[(match[2] ?? '').toUpperCase()] ?? 0)
}

/** Puts the name of the setting before what is wrong with its value. */
function named<T>(name: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw new ConfigError(`${name}: ${(error as Error).message}`)
  }
}

/** Objectives are positive, and those for more of the predictions are not stricter. */
function demandObjectives(values: Record<string, unknown>): void {
  let before = 0
  for (const name of ['sla-p50', 'sla-p95', 'sla-p99']) {
    const value = Number(values[name])
    if (value === 0) throw new ConfigError(`${name}: must be more than 0`)
    if (value < before) throw new ConfigError(`${name}: lies below the objective before it`)
    before = value
  }
}

const leastLogFile = 65_536

function demandLogSense(values: Record<string, unknown>): void {
  if (Number(values['log-sample']) < 1) {
    throw new ConfigError('log-sample: at least 1, which logs every prediction')
  }
  if (Number(values['log-file-size']) < leastLogFile) {
    throw new ConfigError('log-file-size: at least 64KB')
  }
  const loki = String(values['loki-url'])
  if (loki === '') return
  const url = URL.canParse(loki) ? new URL(loki) : null
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
    throw new ConfigError(`loki-url: '${loki}' is no address; write for example http://loki:3100`)
  }
  if (url.username !== '' || url.password !== '') {
    throw new ConfigError('loki-url: credentials belong into the file of loki-auth-file')
  }
}

/** What the kind of a setting cannot tell. */
function demandSense(values: Record<string, unknown>): void {
  if (!['debug', 'info', 'warn', 'error'].includes(String(values['log-level']))) {
    throw new ConfigError('log-level: debug, info, warn or error')
  }
  if (Number(values.port) > 65_535) throw new ConfigError('port: at most 65535')
  const listen = String(values['metrics-listen'])
  if (listen !== '' && !/^.+:\d{1,5}$/.test(listen)) {
    throw new ConfigError('metrics-listen: host:port, for example 127.0.0.1:9100')
  }
  demandObjectives(values)
  demandLogSense(values)
  const model = String(values['default-model'])
  if (model !== '' && !parseModelUri(model)) {
    throw new ConfigError(
      `default-model: '${model}' names no model; write for example iris/Staging`,
    )
  }
}

function parse(name: string, kind: Kind, text: string): number | boolean | string | string[] {
  switch (kind) {
    case 'number': {
      if (!/^\d+$/.test(text)) throw new ConfigError(`${name}: '${text}' is no whole number`)
      return Number(text)
    }
    case 'duration':
      return named(name, () => parseDuration(text))
    case 'bytes':
      return named(name, () => parseBytes(text))
    case 'flag': {
      if (text !== 'true' && text !== 'false') throw new ConfigError(`${name}: true or false`)
      return text === 'true'
    }
    case 'list':
      return text
        .split(',')
        .map((item) => item.trim())
        .filter((item) => item !== '')
    case 'text':
      return text
  }
}

/** The environment variable of a setting: `engine-memory` → `RELAIS_ENGINE_MEMORY`. */
export const envName = (name: string): string => `RELAIS_${name.toUpperCase().replaceAll('-', '_')}`

const clientVariables = new Set(['RELAIS_URL', 'RELAIS_TOKEN'])

function demandKnown(env: Record<string, string | undefined>): void {
  const known = new Set([...Object.keys(settings).map(envName), ...clientVariables])
  for (const name of Object.keys(env)) {
    if (name.startsWith('RELAIS_') && !known.has(name)) {
      throw new ConfigError(`unknown setting ${name}; \`relais serve --help\` lists them all`)
    }
  }
}

/** Children run in another folder, so a relative path would lead them astray. */
function setPaths(values: Record<string, unknown>): void {
  const data = resolve(String(values.data))
  values.data = data
  for (const name of ['log-file', 'loki-auth-file']) {
    if (values[name] !== '') values[name] = resolve(String(values[name]))
  }
  // What lies there is private and backed up; a log is neither.
  if (String(values['log-file']).startsWith(`${data}/`)) {
    throw new ConfigError('log-file: not within the data folder')
  }
}

/** Flags win over the environment, the environment over defaults. Unknown names are refused. */
export function loadConfig(
  flags: Record<string, string | boolean | undefined>,
  env: Record<string, string | undefined>,
): Config {
  demandKnown(env)
  const values: Record<string, unknown> = {}
  for (const [name, setting] of Object.entries(settings)) {
    const text = flags[name]?.toString() ?? env[envName(name)] ?? setting.fallback
    values[name] = text === '' && setting.kind === 'bytes' ? 0 : parse(name, setting.kind, text)
  }
  demandSense(values)
  setPaths(values)
  values.instance ||= hostname()
  values.otel = named('OTEL_EXPORTER_OTLP_ENDPOINT', () => otelSettings(env))
  if (values['engine-memory'] === 0) values['engine-memory'] = Math.floor(memoryLimit() / 2)
  if (values['engine-threads'] === 0) values['engine-threads'] = cpuQuota()
  return values as unknown as Config
}

function readNumber(path: string): number {
  try {
    return Number(readFileSync(path, 'utf8').trim().split(' ')[0])
  } catch {
    return Number.NaN
  }
}

/** Bytes this process may use: the smaller of RAM and the cgroup's limit. */
export function memoryLimit(): number {
  const limit = readNumber('/sys/fs/cgroup/memory.max')
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem()
}

/** Whole cores this process may use, at least 1. ONNX Runtime does not read the cgroup's quota. */
export function cpuQuota(): number {
  let quota = Number.POSITIVE_INFINITY
  try {
    const [max, period] = readFileSync('/sys/fs/cgroup/cpu.max', 'utf8')
      .trim()
      .split(' ')
      .map(Number)
    if (max && period) quota = max / period
  } catch {
    // No cgroup v2: the number of cores stands.
  }
  return Math.max(1, Math.floor(Math.min(quota, availableParallelism())))
}
