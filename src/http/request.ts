// One request on its way through the server: ids, clock, caller, and what is logged about it.
import type { Context } from '../core/context.ts'
import { Fault, tooLarge } from '../core/fault.ts'
import { newId } from '../core/ids.ts'
import type { Principal } from '../core/principal.ts'
import type { Run } from '../telemetry/spans.ts'
import { type Parent, parentOf, spanIdOf, traceIdOf } from '../telemetry/trace.ts'

/** Alert rules select by class, so it is declared with each route and never guessed from a path. */
export type RouteClass = 'predict' | 'registry' | 'health' | 'stream'

const soundRequestId = /^[\w.:-]{8,128}$/

/** Copied by each response, so one set of them serves all; a fresh object costs a microsecond. */
const sealedHeaders = new Headers({ 'content-type': 'application/json' })

export class Exchange implements Context {
  readonly request: Request
  readonly path: string
  /** The caller's X-Request-Id, if it is sound, else `ownId`. */
  readonly requestId: string
  /** Unique whatever the caller sends. */
  readonly ownId: string
  readonly started = performance.now()
  caller: Principal | null = null
  /** Template of the route, `unmatched` until one takes the request. */
  route = 'unmatched'
  routeClass: RouteClass = 'registry'
  /** Further members of the log line, as JSON text that starts with a comma. */
  logged = ''
  /** The run of the model, for its span. */
  run: Run | null = null
  /** True when the answer carries the common headers already. */
  sealed = false
  /** The work that goes on behind an answer that has begun; it never fails. */
  rest: Promise<void> | null = null
  private readonly peer: (request: Request) => string
  private trace = ''

  constructor(request: Request, path: string, peer: (request: Request) => string) {
    this.request = request
    this.path = path
    this.peer = peer
    const sent = request.headers.get('x-request-id')
    this.ownId = newId()
    this.requestId = sent !== null && soundRequestId.test(sent) ? sent : this.ownId
  }

  /** A JSON answer that carries its headers from the start: adding them later costs more. */
  seal(json: string): Response {
    this.sealed = true
    sealedHeaders.set('x-request-id', this.requestId)
    return new Response(json, { headers: sealedHeaders })
  }

  get principal(): Principal {
    if (this.caller === null) {
      throw new Fault('auth.missing', 'Send the header Authorization: Bearer <token>.')
    }
    return this.caller
  }

  get traceId(): string {
    this.trace ||= traceIdOf(this.request.headers.get('traceparent'), this.ownId)
    return this.trace
  }

  /** 16 hex digits; as unique as `ownId`, of which it is a part. */
  get spanId(): string {
    return spanIdOf(this.ownId)
  }

  /** What joins the lines and spans of this request. */
  get ids(): Record<string, string> {
    return { request_id: this.requestId, trace_id: this.traceId, span_id: this.spanId }
  }

  /** The caller's span, if it sent a valid one. */
  get parent(): Parent | null {
    return parentOf(this.request.headers.get('traceparent'))
  }

  get ip(): string {
    return this.peer(this.request)
  }

  get idempotencyKey(): string | undefined {
    const key = this.request.headers.get('idempotency-key')
    if (key !== null && !/^[\x21-\x7e]{1,255}$/.test(key)) {
      throw new Fault('request.malformed', 'Idempotency-Key: 1 to 255 printable characters.')
    }
    return key ?? undefined
  }

  get ifMatch(): string | undefined {
    return this.request.headers.get('if-match')?.replaceAll('"', '').trim()
  }
}

/** Path of an absolute request URL, still percent-encoded, without the query. */
export function pathOf(url: string): string {
  const start = url.indexOf('/', url.indexOf('//') + 2)
  if (start < 0) return '/'
  const query = url.indexOf('?', start)
  return query < 0 ? url.slice(start) : url.slice(start, query)
}

const exchanges = new WeakMap<Request, Exchange>()

/** Makes the exchange reachable for handlers that are given only the request. */
export function remember(request: Request, exchange: Exchange): void {
  exchanges.set(request, exchange)
}

/** The exchange of a request that is being handled. */
export function exchangeOf(request: Request): Exchange {
  const exchange = exchanges.get(request)
  if (!exchange) throw new Error('request reached a handler without passing the server')
  return exchange
}

/** Bodies come as they are: what is packed could unpack to anything. */
export function demandPlain(request: Request): void {
  const encoding = request.headers.get('content-encoding') ?? 'identity'
  if (encoding.toLowerCase() === 'identity') return
  throw new Fault('request.media-type', 'Send the body without Content-Encoding.')
}

/** Reads a body of at most `most` bytes. Throws `request.too-large` as soon as it is longer. */
export async function readBody(request: Request, most: number): Promise<Uint8Array> {
  const declared = Number(request.headers.get('content-length') ?? Number.NaN)
  if (declared > most) throw tooLarge(most)
  if (declared >= 0) return new Uint8Array(await request.arrayBuffer())
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of request.body ?? []) {
    size += chunk.byteLength
    if (size > most) throw tooLarge(most)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
