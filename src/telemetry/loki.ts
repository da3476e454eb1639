// Log lines pushed to Loki: few labels, ids as structured metadata, in the order of writing.
// https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs
import { Delivery } from './delivery.ts'
import type { Sink } from './sink.ts'

export interface LokiOptions {
  /** Base address, or the whole address of a push door. */
  url: string
  /** Text of the file with credentials; empty: none are sent. */
  auth: string
  service: string
  instance: string
  onTrouble: (why: string | null) => void
}

export const mostQueued = 10_000
const batchLines = 500
const delay = 1000
const timeout = 10_000
const closeWithin = 3000
const authKeys = new Set(['user', 'password', 'token', 'tenant'])

/** Found by their value, without being labels, which would split streams. */
const metadata = ['level', 'trace_id', 'span_id', 'request_id', 'model', 'model_version', 'user']

/** `http://loki:3100` means its push door; an address with a path is taken as it is. */
export function pushUrl(url: string): string {
  const parsed = new URL(url)
  if (parsed.pathname === '/') parsed.pathname = '/loki/api/v1/push'
  return parsed.href
}

/**
 * Headers for lines `user=`, `password=` (basic), `token=` (bearer) and `tenant=` (X-Scope-OrgID).
 * Throws on anything else; never repeats a value.
 */
export function authHeaders(text: string): Record<string, string> {
  const given: Record<string, string> = {}
  for (const [at, line] of text.split('\n').entries()) {
    const trimmed = line.trim()
    if (trimmed === '' || trimmed.startsWith('#')) continue
    const key = trimmed.slice(0, Math.max(0, trimmed.indexOf('='))).trim()
    if (!authKeys.has(key)) {
      throw new Error(`line ${at + 1}: write user=, password=, token= or tenant=`)
    }
    given[key] = trimmed.slice(trimmed.indexOf('=') + 1).trim()
  }
  const { user, password, token, tenant } = given
  const headers: Record<string, string> = {}
  if (token !== undefined) headers['authorization'] = `Bearer ${token}`
  else if (user !== undefined) {
    const pair = Buffer.from(`${user}:${password ?? ''}`).toString('base64')
    headers['authorization'] = `Basic ${pair}`
  }
  if (tenant !== undefined) headers['x-scope-orgid'] = tenant
  return headers
}

/** Times of one stream in nanoseconds, each later than the one before: the clock has milliseconds. */
class Times {
  private last = 0
  private within = 0

  next(ts: string): string {
    const millis = Date.parse(ts)
    // A clock that was set back is followed; one that shivers is not.
    if (millis > this.last || this.last - millis > 1000) {
      this.last = millis
      this.within = 0
    } else this.within += 1
    return `${this.last}${String(this.within).padStart(6, '0')}`
  }
}

type Value = [time: string, line: string, metadata: Record<string, string>]

/** Makes push bodies of lines. */
export class LokiEncoder {
  private readonly labels: Record<string, string>
  private readonly times = new Map<string, Times>()

  constructor(labels: Record<string, string>) {
    this.labels = labels
  }

  encode(lines: readonly string[]): string {
    const byType = new Map<string, Value[]>()
    for (const line of lines) {
      const fields = JSON.parse(line) as Record<string, unknown>
      const type = String(fields['log_type'])
      const times = this.times.get(type) ?? new Times()
      this.times.set(type, times)
      const values = byType.get(type) ?? []
      byType.set(type, values)
      const known: Record<string, string> = {}
      for (const name of metadata) {
        const value = fields[name]
        if (typeof value === 'string') known[name] = value
      }
      values.push([times.next(String(fields['ts'])), line, known])
    }
    const streams = [...byType].map(([type, values]) => {
      return { stream: { ...this.labels, log_type: type }, values }
    })
    return JSON.stringify({ streams })
  }
}

/** Full queue, 5xx and 429: worth another try. Any other refusal would be repeated for ever. */
const again = (status: number): boolean => status === 429 || status >= 500

export class Loki implements Sink {
  private readonly delivery: Delivery<string>

  constructor({ url, auth, service, instance, onTrouble }: LokiOptions) {
    const encoder = new LokiEncoder({ service_name: service, instance })
    this.delivery = new Delivery({
      url: pushUrl(url),
      headers: { ...authHeaders(auth), 'content-type': 'application/json' },
      gzip: true,
      most: mostQueued,
      batch: batchLines,
      delay,
      timeout,
      encode: (lines) => encoder.encode(lines),
      again,
      onTrouble,
    })
  }

  get dropped(): number {
    return this.delivery.dropped
  }

  write(bytes: Uint8Array): number {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8')
    for (const line of text.split('\n')) if (line !== '') this.delivery.add(line)
    return bytes.length
  }

  flush(): number {
    return 0
  }

  close(): Promise<void> {
    return this.delivery.close(closeWithin)
  }
}
