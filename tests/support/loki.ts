// Loki's push door for the tests: refuses whatever its API does not document, and keeps the lines.
// https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs
import { gunzipSync } from 'node:zlib'

export interface LokiEntry {
  labels: Record<string, string>
  time: bigint
  line: string
  metadata: Record<string, string>
}

export interface TestLoki {
  url: string
  port: number
  entries: LokiEntry[]
  headers: Headers[]
  faults: string[]
  /** Answers with this status in place of taking anything. */
  refuse: { status: number } | null
  stop(): Promise<void>
}

const labelName = /^[a-zA-Z_][a-zA-Z0-9_]*$/
/** Defaults of Loki 3: limits_config. */
const mostLabels = 15
const mostMetadata = 128
const longestLine = 256 << 10
const oldest = 7 * 864e5

function demand(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(what)
}

function demandTexts(object: unknown, most: number, what: string): Record<string, string> {
  demand(typeof object === 'object' && object !== null && !Array.isArray(object), what)
  const entries = Object.entries(object)
  demand(entries.length <= most, `${what}: too many`)
  for (const [name, value] of entries) {
    demand(labelName.test(name) && typeof value === 'string', `${what} ${name}`)
  }
  return object as Record<string, string>
}

function entryOf(labels: Record<string, string>, value: unknown): LokiEntry {
  demand(Array.isArray(value) && (value.length === 2 || value.length === 3), 'value')
  const [time, line, metadata = {}] = value as unknown[]
  demand(typeof time === 'string' && /^\d{19}$/.test(time), `time ${String(time)}`)
  demand(typeof line === 'string' && line.length <= longestLine, 'line')
  const millis = Number(BigInt(time) / 1_000_000n)
  demand(Date.now() - millis < oldest, 'entry too old')
  demand(millis - Date.now() < 600_000, 'entry in the future')
  return {
    labels,
    time: BigInt(time),
    line,
    metadata: demandTexts(metadata, mostMetadata, 'structured metadata'),
  }
}

function entriesIn(text: string): LokiEntry[] {
  const body = JSON.parse(text) as { streams?: unknown }
  demand(Array.isArray(body.streams) && body.streams.length > 0, 'streams')
  return (body.streams as { stream?: unknown; values?: unknown }[]).flatMap((one) => {
    const labels = demandTexts(one.stream, mostLabels, 'labels')
    demand(Object.keys(labels).length > 0, 'at least one label')
    demand(Array.isArray(one.values) && one.values.length > 0, 'values')
    return (one.values as unknown[]).map((value) => entryOf(labels, value))
  })
}

/** `port`: where it ran before, after an outage. */
export function startLoki(port = 0): TestLoki {
  const loki = { entries: [], headers: [], faults: [], refuse: null } as unknown as TestLoki
  const last = new Map<string, bigint>()
  const take = (entry: LokiEntry): void => {
    const stream = JSON.stringify(entry.labels)
    demand(entry.time > (last.get(stream) ?? 0n), 'out of order')
    last.set(stream, entry.time)
    loki.entries.push(entry)
  }
  const server = Bun.serve({
    port,
    hostname: '127.0.0.1',
    fetch: async (request) => {
      const { headers, method, url } = request
      loki.headers.push(headers)
      if (loki.refuse) return new Response('refused\n', loki.refuse)
      try {
        demand(method === 'POST' && new URL(url).pathname === '/loki/api/v1/push', url)
        demand(headers.get('content-type') === 'application/json', 'content type')
        const bytes = Buffer.from(await request.arrayBuffer())
        const packed = headers.get('content-encoding') === 'gzip'
        for (const entry of entriesIn((packed ? gunzipSync(bytes) : bytes).toString('utf8'))) {
          take(entry)
        }
        return new Response(null, { status: 204 })
      } catch (error) {
        loki.faults.push(String(error))
        return new Response(`${String(error)}\n`, { status: 400 })
      }
    },
  })
  return Object.assign(loki, {
    url: `http://127.0.0.1:${server.port}`,
    port: server.port ?? 0,
    stop: () => server.stop(true),
  })
}
