// A collector for the tests: takes OTLP/HTTP in both encodings, checks it, and keeps its spans.
import { gunzipSync } from 'node:zlib'

import protobuf from 'protobufjs'

/** What traces need of opentelemetry-proto 1.9: collector/trace/v1, trace/v1, common/v1, resource/v1. */
const { root } = protobuf.parse(`
  syntax = "proto3";
  message ExportTraceServiceRequest { repeated ResourceSpans resource_spans = 1; }
  message ResourceSpans { Resource resource = 1; repeated ScopeSpans scope_spans = 2; string schema_url = 3; }
  message Resource { repeated KeyValue attributes = 1; uint32 dropped_attributes_count = 2; }
  message ScopeSpans { InstrumentationScope scope = 1; repeated Span spans = 2; string schema_url = 3; }
  message InstrumentationScope { string name = 1; string version = 2; }
  message Span {
    bytes trace_id = 1; bytes span_id = 2; string trace_state = 3; bytes parent_span_id = 4;
    fixed32 flags = 16; string name = 5; int32 kind = 6;
    fixed64 start_time_unix_nano = 7; fixed64 end_time_unix_nano = 8;
    repeated KeyValue attributes = 9; uint32 dropped_attributes_count = 10;
    uint32 dropped_events_count = 12; uint32 dropped_links_count = 14; Status status = 15;
  }
  message Status { string message = 2; int32 code = 3; }
  message KeyValue { string key = 1; AnyValue value = 2; }
  message AnyValue { oneof value { string string_value = 1; bool bool_value = 2; int64 int_value = 3; double double_value = 4; } }
`)
const requestType = root.lookupType('ExportTraceServiceRequest')

interface KeyValue {
  key: string
  value: Record<string, string | number | boolean>
}

/** As both encodings have it, apart from ids, which are bytes in one and hex in the other. */
interface RawSpan {
  traceId: string
  spanId: string
  parentSpanId?: string
  name: string
  kind: number
  startTimeUnixNano: string
  endTimeUnixNano: string
  attributes: KeyValue[]
  status?: { code?: number }
}

interface Export {
  resourceSpans: {
    resource: { attributes: KeyValue[] }
    scopeSpans: { scope: { name: string }; spans: RawSpan[] }[]
  }[]
}

export interface ReceivedSpan {
  traceId: string
  spanId: string
  /** Empty for a root. */
  parentId: string
  name: string
  kind: number
  /** Nanoseconds since the epoch. */
  start: bigint
  end: bigint
  attributes: Record<string, unknown>
  resource: Record<string, unknown>
  failed: boolean
}

const valuesOf = (attributes: readonly KeyValue[]): Record<string, unknown> =>
  Object.fromEntries(
    attributes.map(({ key, value }) => {
      const [kind, held] = Object.entries(value)[0] ?? []
      return [key, kind === 'intValue' ? Number(held) : held]
    }),
  )

function parse(type: string | null, bytes: Buffer): { raw: Export; hex: (id: string) => string } {
  if (type === 'application/json') {
    return { raw: JSON.parse(bytes.toString('utf8')) as Export, hex: (id) => id }
  }
  if (type !== 'application/x-protobuf') throw new Error(`content type ${type}`)
  const options = { longs: String, bytes: String, defaults: false }
  const raw = requestType.toObject(requestType.decode(bytes), options) as Export
  return { raw, hex: (id) => Buffer.from(id, 'base64').toString('hex') }
}

function spansIn(type: string | null, bytes: Buffer): ReceivedSpan[] {
  const { raw, hex } = parse(type, bytes)
  return raw.resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans
      .flatMap(({ spans }) => spans)
      .map((span) => {
        const made = {
          traceId: hex(span.traceId),
          spanId: hex(span.spanId),
          parentId: hex(span.parentSpanId ?? ''),
          name: span.name,
          kind: span.kind,
          start: BigInt(span.startTimeUnixNano),
          end: BigInt(span.endTimeUnixNano),
          attributes: valuesOf(span.attributes),
          resource: valuesOf(resource.attributes),
          failed: span.status?.code === 2,
        }
        if (!/^[0-9a-f]{32}$/.test(made.traceId) || !/^[0-9a-f]{16}$/.test(made.spanId)) {
          throw new Error(`ids ${made.traceId} ${made.spanId}`)
        }
        return made
      }),
  )
}

export interface Collector {
  url: string
  spans: ReceivedSpan[]
  headers: Headers[]
  /** What could not be read. */
  faults: string[]
  stop(): Promise<void>
}

/** Takes spans at /v1/traces. */
export function startCollector(port = 0): Collector {
  const collector = { spans: [], headers: [], faults: [] } as unknown as Collector
  const server = Bun.serve({
    port,
    hostname: '127.0.0.1',
    fetch: async (request) => {
      const { headers, method, url } = request
      try {
        if (method !== 'POST' || new URL(url).pathname !== '/v1/traces') throw new Error(url)
        const bytes = Buffer.from(await request.arrayBuffer())
        const packed = headers.get('content-encoding') === 'gzip'
        const type = headers.get('content-type')
        collector.headers.push(headers)
        collector.spans.push(...spansIn(type, packed ? gunzipSync(bytes) : bytes))
        return new Response(null, { headers: { 'content-type': type ?? '' } })
      } catch (error) {
        collector.faults.push(String(error))
        return new Response('not understood', { status: 400 })
      }
    },
  })
  return Object.assign(collector, {
    url: `http://127.0.0.1:${server.port}`,
    stop: () => server.stop(true),
  })
}
