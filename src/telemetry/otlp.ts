// Spans sent over OTLP/HTTP in OpenTelemetry's own encoding. Loaded only where its variables ask for it.
import { JsonTraceSerializer, ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer'

import type { OtelSettings } from '../core/otel.ts'
import { Delivery } from './delivery.ts'
import type { Run, Served, Spans } from './spans.ts'
import type { Parent } from './trace.ts'

type ReadableSpan = Parameters<typeof ProtobufTraceSerializer.serializeRequest>[0][number]
type Common = Pick<ReadableSpan, 'resource' | 'instrumentationScope'>
type Time = ReadableSpan['startTime']

export interface OtlpOptions {
  settings: OtelSettings
  version: string
  instance: string
  onTrouble: (why: string | null) => void
}

const closeWithin = 3000
const kinds = { internal: 0, server: 1 } as const
const statuses = { unset: 0, error: 2 } as const

/** What the receiver may take later; anything else is refused for good. */
const again = (status: number): boolean => [429, 502, 503, 504].includes(status)

/** Monotonic milliseconds as seconds and nanoseconds since the epoch, by a clock read at the end. */
function timeOf(at: number, ended: number, wall: number): Time {
  const millis = wall - (ended - at)
  const seconds = Math.floor(millis / 1000)
  return [seconds, Math.round((millis - seconds * 1000) * 1e6)]
}

interface Made {
  name: string
  kind: number
  traceId: string
  spanId: string
  parent: { spanId: string; remote: boolean } | null
  start: Time
  end: Time
  attributes: Record<string, string | number>
  failed?: boolean
}

function spanOf(common: Common, made: Made): ReadableSpan {
  const { traceId, parent, failed = false } = made
  const base = { traceId, traceFlags: 1 }
  return {
    name: made.name,
    kind: made.kind,
    spanContext: () => ({ ...base, spanId: made.spanId }),
    ...(parent
      ? { parentSpanContext: { ...base, spanId: parent.spanId, isRemote: parent.remote } }
      : {}),
    startTime: made.start,
    endTime: made.end,
    duration: [0, 0],
    ended: true,
    status: { code: failed ? statuses.error : statuses.unset },
    attributes: made.attributes,
    links: [],
    events: [],
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
    ...common,
  }
}

/** An end of the request's own id that is no other span's. */
const runIdOf = (spanId: string): string =>
  spanId.slice(0, 15) + (Number.parseInt(spanId.slice(15), 16) ^ 1).toString(16)

function runSpan(
  served: Served & { run: Run },
  { model, model_version }: Record<string, string>,
  clock: (at: number) => Time,
): Made {
  const { traceId, spanId, run } = served
  const { input, infer, output } = run.times
  const end = Math.min(served.ended, run.sent + (input + infer + output) / 1000)
  return {
    name: 'inference',
    kind: kinds.internal,
    traceId,
    spanId: runIdOf(spanId),
    parent: { spanId, remote: false },
    start: clock(run.sent),
    end: clock(end),
    attributes: {
      model: model as string,
      model_version: model_version as string,
      rows: run.rows,
      batch_rows: run.batchRows,
      infer_ms: infer / 1000,
    },
  }
}

interface Waiting {
  served: Served
  /** Wall clock at its end. */
  wall: number
}

function spansOf(common: Common, { served, wall }: Waiting): ReadableSpan[] {
  const { traceId, spanId, parent, method, route, status, ended, run } = served
  const clock = (at: number): Time => timeOf(at, ended, wall)
  const members = JSON.parse(`{${served.logged.slice(1)}}`) as Record<string, string>
  const failed = status >= 500
  const server = spanOf(common, {
    name: `${method} ${route}`,
    kind: kinds.server,
    traceId,
    spanId,
    parent: parent && { spanId: parent.spanId, remote: true },
    start: clock(served.started),
    end: clock(ended),
    failed,
    attributes: {
      'http.request.method': method,
      'http.route': route,
      'http.response.status_code': status,
      'url.path': served.path,
      'url.scheme': 'http',
      request_id: served.requestId,
      ...members,
    },
  })
  return run ? [server, spanOf(common, runSpan({ ...served, run }, members, clock))] : [server]
}

/** True for a share of all traces, the same ones on every server that asks. */
const isAmong = (traceId: string, ratio: number): boolean =>
  ratio >= 1 || Number.parseInt(traceId.slice(-8), 16) < ratio * 2 ** 32

class Otlp implements Spans {
  private readonly delivery: Delivery<Waiting>
  private readonly settings: OtelSettings

  constructor({ settings, version, instance, onTrouble }: OtlpOptions) {
    this.settings = settings
    const attributes = {
      'service.version': version,
      'service.instance.id': instance,
      ...settings.resource,
    }
    const common = {
      resource: { attributes } as unknown as ReadableSpan['resource'],
      instrumentationScope: { name: 'relais', version },
    }
    const serializer = settings.json ? JsonTraceSerializer : ProtobufTraceSerializer
    this.delivery = new Delivery({
      url: settings.url,
      headers: {
        ...settings.headers,
        'content-type': settings.json ? 'application/json' : 'application/x-protobuf',
      },
      gzip: settings.gzip,
      most: settings.queue,
      batch: settings.batch,
      delay: settings.delay,
      timeout: settings.timeout,
      encode: (items) => {
        const spans = items.flatMap((item) => spansOf(common, item))
        return serializer.serializeRequest(spans) ?? new Uint8Array()
      },
      again,
      rejected: (answer) => {
        const { partialSuccess } = answer.length > 0 ? serializer.deserializeResponse(answer) : {}
        return Number(partialSuccess?.rejectedSpans ?? 0)
      },
      onTrouble,
    })
  }

  get dropped(): number {
    return this.delivery.dropped
  }

  samples(parent: Parent | null, traceId: string): boolean {
    const { sampler } = this.settings
    if (sampler.parent && parent) return parent.sampled
    return isAmong(traceId, sampler.ratio)
  }

  record(served: Served): void {
    this.delivery.add({ served, wall: Date.now() })
  }

  close(): Promise<void> {
    return this.delivery.close(closeWithin)
  }
}

export const openSpans = (options: OtlpOptions): Spans => new Otlp(options)
