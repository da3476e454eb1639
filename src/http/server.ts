// The listener: every request passes here, in this order: identify, authenticate, limit, dispatch,
// answer, count, log. Nothing reads a byte of a body before the caller is known.
import type { Server } from 'bun'

import { Fault, toFault, tooLarge } from '../core/fault.ts'
import type { Principal } from '../core/principal.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { runOf, type Spans } from '../telemetry/spans.ts'
import { answersToTheEnd, isPublic } from './guard.ts'
import { problemResponse } from './problem.ts'
import { demandPlain, Exchange, pathOf, readBody, remember, type RouteClass } from './request.ts'
import { HttpSeries } from './series.ts'

/** A way in beside the native API that dispatches by itself, for speed or for odd paths. */
export interface Door {
  /** True for paths this door answers. */
  owns(path: string): boolean
  handle(exchange: Exchange): Promise<Response> | Response
  /** How long a connection may be silent: as an upload may pause, or as work (a trial) may take. */
  readonly silence?: 'upload' | 'work'
  /** A fault in the shape that this door's clients read. */
  refuse(fault: Fault, requestId: string): Response
  /** Every method and path template it dispatches, for the default-deny test and the docs. */
  readonly routes: readonly { method: string; path: string; class: RouteClass }[]
}

export interface ServerOptions {
  host: string
  port: number
  maxBody: number
  uploadTimeout: number
  authenticate: (header: string | null) => Principal | Promise<Principal>
  doors: readonly Door[]
  /** The native API. */
  handle: (request: Request) => Promise<Response> | Response
  log: Log
  metrics: Metrics
  /** One of so many good predictions gets a line. */
  logSample: number
  /** Null: traces are not recorded. */
  spans: Spans | null
}

const bodyMethods: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH', 'DELETE'])
const uploadPath = /^\/api\/v1\/models\/[^/]+\/versions$/
/** Longer than the slowest prediction with its one retry; uploads and promotions get more. */
const idleSeconds = 60
/** The most that can be set. */
const longestIdle = 255
/** Milliseconds between two looks at whether all answers have left. */
const drainPoll = 10
const longestFlush = 1000

/** HTTP/1.0 probes send no Host; their URL is a bare path, which nothing behind would parse. */
function absolute(request: Request): Request {
  return request.url.startsWith('/')
    ? new Request(`http://localhost${request.url}`, request)
    : request
}

/** Thousandths, padded: formatting a double costs more than the rest of a log line. */
const thousandths = Array.from({ length: 1000 }, (_, n) => String(n).padStart(3, '0'))

function inMilliseconds(micros: number): string {
  return `${Math.floor(micros / 1000)}.${thousandths[micros % 1000] as string}`
}

export class HttpServer {
  private readonly options: ServerOptions
  /** What each request is counted in. Public so that it can be measured. */
  readonly series: HttpSeries
  private server: Server<undefined> | null = null
  private inFlight = 0
  private sampledOut = 0
  private draining = false

  constructor(options: ServerOptions) {
    this.options = options
    this.series = new HttpSeries(options.metrics, options.log)
    for (const { routes } of options.doors) this.series.begin(routes)
    options.metrics.onScrape(() => options.metrics.inFlight.set({}, this.inFlight))
  }

  /** Starts to listen and returns the URL. */
  listen(): string {
    const { host, port } = this.options
    this.server = Bun.serve({
      hostname: host,
      port,
      idleTimeout: idleSeconds,
      // Rows to score have no end. Whoever reads a body keeps its limit; unread, it is not taken in.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      fetch: (request) => this.answer(absolute(request)),
    })
    return `http://${host.includes(':') ? `[${host}]` : host}:${this.server.port}`
  }

  /** Stops to accept, waits for what is in flight (at most `timeout` ms), then closes. */
  async close(timeout: number): Promise<void> {
    this.draining = true
    const late = performance.now() + timeout
    // No new connections from here on; those that are open are told to close with their answer.
    void this.server?.stop(false)
    while (this.inFlight > 0 && performance.now() < late) await Bun.sleep(drainPoll)
    // The last bytes leave; a connection that ended unnoticed would count for ever.
    const flushed = Math.min(late, performance.now() + longestFlush)
    while ((this.server?.pendingRequests ?? 0) > 0 && performance.now() < flushed) {
      await Bun.sleep(drainPoll)
    }
    await this.server?.stop(true)
  }

  /** The whole path of one request. Public so that tests need no socket. */
  async answer(request: Request): Promise<Response> {
    const exchange = new Exchange(request, pathOf(request.url), this.peer)
    this.inFlight += 1
    let response: Response
    try {
      response = await this.dispatch(exchange)
    } catch (error) {
      response = this.refuse(exchange, error)
    }
    if (exchange.rest) void exchange.rest.then(() => (this.inFlight -= 1))
    else this.inFlight -= 1
    this.finish(exchange, response)
    return response
  }

  private allowSilence(request: Request, of: 'upload' | 'work'): void {
    const pause = Math.ceil(this.options.uploadTimeout / 1000)
    this.server?.timeout(request, of === 'upload' ? Math.min(longestIdle, pause) : longestIdle)
  }

  private readonly peer = (request: Request): string =>
    this.server?.requestIP(request)?.address ?? ''

  private dispatch(exchange: Exchange): Promise<Response> | Response {
    const { path, request } = exchange
    if (!isPublic(path)) {
      const caller = this.options.authenticate(request.headers.get('authorization'))
      if (caller instanceof Promise) return this.dispatchLater(exchange, caller)
      exchange.caller = caller
    }
    return this.enter(exchange)
  }

  private async dispatchLater(exchange: Exchange, caller: Promise<Principal>): Promise<Response> {
    exchange.caller = await caller
    return this.enter(exchange)
  }

  private enter(exchange: Exchange): Promise<Response> | Response {
    if (this.draining && !answersToTheEnd(exchange.path)) {
      throw new Fault('service.draining', 'The server is shutting down.', { retryAfter: 5 })
    }
    for (const door of this.options.doors) {
      if (!door.owns(exchange.path)) continue
      if (door.silence) this.allowSilence(exchange.request, door.silence)
      return door.handle(exchange)
    }
    return this.native(exchange)
  }

  private async native(exchange: Exchange): Promise<Response> {
    const { request, path } = exchange
    demandPlain(request)
    let handled = request
    if (uploadPath.test(path) && request.method === 'POST') {
      this.allowSilence(request, 'upload')
    } else if (bodyMethods.has(request.method) && exchange.caller !== null) {
      // Nobody unknown has a body read: what is public takes none.
      // A promotion may take long; a body that never comes must not.
      this.allowSilence(request, 'work')
      handled = await this.limited(request)
    }
    remember(handled, exchange)
    return this.options.handle(handled)
  }

  /** A body of known length is checked by its header; any other is read here, up to the limit. */
  private async limited(request: Request): Promise<Request> {
    const { maxBody } = this.options
    const declared = request.headers.get('content-length')
    if (declared !== null && Number(declared) > maxBody) throw tooLarge(maxBody)
    if (declared !== null || request.body === null) return request
    const body = await readBody(request, maxBody)
    const { method, headers } = request
    return new Request(request.url, { method, headers, body: body.byteLength > 0 ? body : null })
  }

  private refuse(exchange: Exchange, error: unknown): Response {
    const fault = toFault(error)
    if (fault.status === 401) {
      this.options.metrics.authFailures.inc({ reason: fault.code.slice('auth.'.length) })
      // Nobody is known by name; whoever guesses tokens is found by it.
      exchange.logged += `,"ip":"${exchange.ip}"`
    }
    exchange.logged += `,"error.type":"${fault.code}"`
    this.report(exchange, fault)
    const door = this.options.doors.find((candidate) => candidate.owns(exchange.path))
    return door?.refuse(fault, exchange.requestId) ?? problemResponse(fault, exchange.requestId)
  }

  /** Logs a fault that is ours, once, with the cause that the caller is not shown. */
  private report(exchange: Exchange, fault: Fault): void {
    if (fault.status !== 500 && fault.status !== 507) return
    this.options.log.write('error', 'request.failed', {
      ...exchange.ids,
      method: exchange.request.method,
      route: exchange.route,
      status: fault.status,
      error: fault.cause ?? fault,
    })
  }

  private finish(exchange: Exchange, response: Response): void {
    const { requestId } = exchange
    const { status } = response
    if (!exchange.sealed) {
      const { headers } = response
      headers.set('x-request-id', requestId)
      headers.set('traceparent', this.traceparent(exchange))
      headers.set('x-content-type-options', 'nosniff')
      if (!headers.has('cache-control')) headers.set('cache-control', 'no-store')
    }
    const ended = performance.now()
    const micros = Math.round((ended - exchange.started) * 1000)
    const series = this.series.of(exchange, status)
    series.requests.add(1)
    series.duration.observe(micros / 1e6)
    if (this.options.spans !== null) this.record(this.options.spans, exchange, status, ended)
    if (series.sampled && this.leavesOut()) return
    // Subjects hold no character that JSON would escape: `tokens.ts` sees to that.
    const user = exchange.caller === null ? '' : `,"user":"${exchange.caller.sub}"`
    this.options.log.access(
      series.logHead,
      `,"duration_ms":${inMilliseconds(micros)},"request_id":"${requestId}",` +
        `"trace_id":"${exchange.traceId}","span_id":"${exchange.spanId}"${exchange.logged}${user}}`,
    )
  }

  private leavesOut(): boolean {
    const { logSample } = this.options
    if (logSample === 1) return false
    this.sampledOut = (this.sampledOut + 1) % logSample
    return this.sampledOut !== 1
  }

  /** Our span, for whoever reads an answer and wants its trace. */
  private traceparent({ parent, traceId, spanId }: Exchange): string {
    const { spans } = this.options
    const sampled = spans === null ? parent?.sampled : spans.samples(parent, traceId)
    return `00-${traceId}-${spanId}-${sampled === true ? '01' : '00'}`
  }

  private record(spans: Spans, exchange: Exchange, status: number, ended: number): void {
    const { parent, traceId } = exchange
    if (!spans.samples(parent, traceId)) return
    const { spanId, route, path, requestId, started, logged } = exchange
    const { method } = exchange.request
    const about = { method, route, path, status, requestId, logged }
    // An answer holds the outputs of a whole batch, which must not wait with the span.
    const run = exchange.run && runOf(exchange.run)
    spans.record({ traceId, spanId, parent, started, ended, run, ...about })
  }
}
