// OpenTelemetry's own environment variables, as its standard has them; read by config.ts only.
// https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
// https://opentelemetry.io/docs/specs/otel/protocol/exporter/

/** Which traces are recorded: where the caller decided, unless `parent` is false, his decision holds. */
export interface Sampler {
  parent: boolean
  /** Share of the rest, 0 to 1. */
  ratio: number
}

export interface OtelSettings {
  /** The whole address that spans are sent to. */
  url: string
  json: boolean
  gzip: boolean
  /** Milliseconds for one request. */
  timeout: number
  headers: Record<string, string>
  /** Attributes of the resource, service.name among them. */
  resource: Record<string, string>
  sampler: Sampler
  /** Spans that may wait, spans in a request, milliseconds that a span waits for others. */
  queue: number
  batch: number
  delay: number
  /** Variables whose value means nothing here; the default holds instead. */
  ignored: string[]
}

type Env = Record<string, string | undefined>

/** A variable that is empty counts as not set. */
const of = (env: Env, name: string): string => (env[name] ?? '').trim()

/** `a=1,b=2` with percent-encoded values. */
function pairs(text: string): Record<string, string> {
  const found: Record<string, string> = {}
  for (const part of text.split(',')) {
    const at = part.indexOf('=')
    const key = part.slice(0, Math.max(0, at)).trim()
    if (key !== '') found[key] = decoded(part.slice(at + 1).trim())
  }
  return found
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** Where spans go, or undefined. The address of traces stands for itself, the general one is a base. */
function addressOf(env: Env): string | undefined {
  if (of(env, 'OTEL_SDK_DISABLED').toLowerCase() === 'true') return undefined
  if (of(env, 'OTEL_TRACES_EXPORTER') === 'none') return undefined
  const own = of(env, 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT')
  const base = of(env, 'OTEL_EXPORTER_OTLP_ENDPOINT')
  if (own !== '') return own
  return base === '' ? undefined : `${base.replace(/\/+$/, '')}/v1/traces`
}

const ratios: Record<string, number | undefined> = { on: 1, off: 0 }

/** `always_on`, `parentbased_traceidratio` and the like. Undefined: no such sampler. */
function samplerOf(name: string, argument: string): Sampler | undefined {
  const parent = name.startsWith('parentbased_')
  const kind = /^(?:always_(on|off)|traceidratio)$/.exec(name.replace('parentbased_', ''))
  if (!kind) return undefined
  if (kind[1] !== undefined) return { parent, ratio: ratios[kind[1]] as number }
  const ratio = argument === '' ? 1 : Number(argument)
  return ratio >= 0 && ratio <= 1 ? { parent, ratio } : undefined
}

/** A value of the standard's variables with what it may be; anything else is the default, and noted. */
class Reader {
  readonly ignored: string[] = []
  private readonly env: Env

  constructor(env: Env) {
    this.env = env
  }

  /** The variable for traces, else the general one. */
  exporter(name: string): string {
    const own = of(this.env, `OTEL_EXPORTER_OTLP_TRACES_${name}`)
    return own === '' ? of(this.env, `OTEL_EXPORTER_OTLP_${name}`) : own
  }

  choice(name: string, choices: readonly string[], fallback: string): string {
    const text = this.exporter(name)
    if (text === '' || choices.includes(text)) return text === '' ? fallback : text
    this.ignored.push(`OTEL_EXPORTER_OTLP_${name}`)
    return fallback
  }

  whole(name: string, text: string, fallback: number): number {
    if (text === '') return fallback
    if (/^\d{1,9}$/.test(text) && Number(text) > 0) return Number(text)
    this.ignored.push(name)
    return fallback
  }

  variable(name: string, fallback: number): number {
    return this.whole(name, of(this.env, name), fallback)
  }

  sampler(): Sampler {
    const name = of(this.env, 'OTEL_TRACES_SAMPLER')
    const argument = of(this.env, 'OTEL_TRACES_SAMPLER_ARG')
    const found = samplerOf(name === '' ? 'parentbased_always_on' : name, argument)
    if (!found) this.ignored.push('OTEL_TRACES_SAMPLER')
    return found ?? { parent: true, ratio: 1 }
  }
}

/**
 * Null without an address for traces, or where the standard's switches say so. Throws on an address
 * that is none; what else cannot be read is ignored, as the standard wants it.
 */
export function otelSettings(env: Env): OtelSettings | null {
  const url = addressOf(env)
  if (url === undefined) return null
  if (!/^https?:\/\//.test(url) || !URL.canParse(url)) {
    throw new Error(`'${url}' is no address; write for example http://collector:4318`)
  }
  const reader = new Reader(env)
  const service = of(env, 'OTEL_SERVICE_NAME')
  const batch = reader.variable('OTEL_BSP_MAX_EXPORT_BATCH_SIZE', 512)
  const queue = reader.variable('OTEL_BSP_MAX_QUEUE_SIZE', 2048)
  return {
    url,
    json:
      reader.choice('PROTOCOL', ['http/protobuf', 'http/json'], 'http/protobuf') === 'http/json',
    gzip: reader.choice('COMPRESSION', ['none', 'gzip'], 'none') === 'gzip',
    timeout: reader.whole('OTEL_EXPORTER_OTLP_TIMEOUT', reader.exporter('TIMEOUT'), 10_000),
    headers: pairs(reader.exporter('HEADERS')),
    resource: {
      'service.name': 'relais',
      ...pairs(of(env, 'OTEL_RESOURCE_ATTRIBUTES')),
      ...(service === '' ? {} : { 'service.name': service }),
    },
    sampler: reader.sampler(),
    queue,
    batch: Math.min(batch, queue),
    delay: reader.variable('OTEL_BSP_SCHEDULE_DELAY', 5000),
    ignored: reader.ignored,
  }
}
