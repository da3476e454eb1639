// JSON lines, gathered as bytes and handed to every sink in batches; the only file that writes to the console.
import { Outlet, type Sink } from './sink.ts'

export type Level = 'debug' | 'info' | 'warn' | 'error'
const order: Record<Level, number> = { debug: 0, info: 1, warn: 2, error: 3 }

const flushEvery = 200
const chunkBytes = 1 << 18

export interface Log {
  /** One event. Never pass tokens or feature values. */
  write(level: Level, event: string, fields?: Record<string, unknown>): void
  /**
   * The hot path: `head` is a part that `accessHead` made once, `rest` the remaining members with the
   * closing brace.
   */
  access(head: string, rest: string): void
  /** The constant part of access lines with these members (JSON text, no outer commas). */
  accessHead(members: string): string
  /** Lines that a sink has lost so far, because nobody read them or nobody took them. */
  droppedBy(sink: SinkName): number
  flush(): Promise<void>
  close(): Promise<void>
}

export const sinkNames = ['stdout', 'file', 'loki'] as const
export type SinkName = (typeof sinkNames)[number]
export type Sinks = Partial<Record<SinkName, Sink>>

function describe(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { 'error.message': String(error) }
  const cause =
    error.cause === undefined ? {} : { 'error.cause': Bun.inspect(error.cause).slice(0, 2000) }
  return {
    'error.type': error.name,
    'error.message': error.message,
    'error.stack': error.stack,
    ...cause,
  }
}

/** Milliseconds → RFC 3339, remembered for the running millisecond. */
function clock(): () => string {
  let at = 0
  let text = ''
  return () => {
    const now = Date.now()
    if (now !== at) {
      at = now
      text = new Date(now).toISOString()
    }
    return text
  }
}

/** Lines as bytes in large pieces: encoding each at once is half the cost of joining text later. */
class Lines {
  private readonly full: (bytes: Uint8Array) => void
  private chunk = Buffer.allocUnsafe(chunkBytes)
  private at = 0

  /** `full` gets each piece, whole lines in their order. */
  constructor(full: (bytes: Uint8Array) => void) {
    this.full = full
  }

  add(line: string): void {
    // UTF-8 takes at most three bytes for a UTF-16 unit.
    const most = line.length * 3
    if (this.at + most > chunkBytes) this.flush()
    if (most > chunkBytes) this.full(Buffer.from(line))
    else this.at += this.chunk.write(line, this.at, 'utf8')
  }

  flush(): void {
    if (this.at === 0) return
    const piece = this.chunk.subarray(0, this.at)
    // A few lines must not keep a whole chunk alive while they wait.
    if (this.at < chunkBytes / 2) this.full(Buffer.from(piece))
    else {
      this.full(piece)
      this.chunk = Buffer.allocUnsafe(chunkBytes)
    }
    this.at = 0
  }
}

/** `common` is repeated on every line (service, version, instance). */
export function createLog(level: Level, common: Record<string, string>, sinks: Sinks = {}): Log {
  const { stdout = Bun.stdout.writer({ highWaterMark: 1 << 20 }) } = sinks
  const outlets = new Map(
    Object.entries({ ...sinks, stdout }).map(([name, sink]) => [name, new Outlet(sink)]),
  )
  const now = clock()
  const tail = Object.entries(common)
    .map(([key, value]) => `,${JSON.stringify(key)}:${JSON.stringify(value)}`)
    .join('')
  const accessHead = `","level":"info","msg":"request","event":"http.request","log_type":"access"${tail},`
  const lines = new Lines((bytes) => {
    for (const outlet of outlets.values()) outlet.take(bytes)
  })
  const pump = (): void => {
    lines.flush()
    for (const outlet of outlets.values()) outlet.pump()
  }
  const timer = setInterval(pump, flushEvery)
  timer.unref()

  return {
    write: (lineLevel, event, fields = {}) => {
      if (order[lineLevel] < order[level]) return
      const { error, ...rest } = fields
      const entry = { msg: event, event, log_type: 'app', ...rest }
      const shown = error === undefined ? entry : { ...entry, ...describe(error) }
      lines.add(
        `{"ts":"${now()}","level":"${lineLevel}"${tail},${JSON.stringify(shown).slice(1)}\n`,
      )
      if (lineLevel === 'error') pump()
    },
    access: (head, rest) => {
      if (order.info < order[level]) return
      lines.add(`{"ts":"${now()}${head}${rest}\n`)
    },
    accessHead: (members) => accessHead + members,
    droppedBy: (sink) => outlets.get(sink)?.dropped ?? 0,
    flush: async () => {
      lines.flush()
      await Promise.all([...outlets.values()].map((outlet) => outlet.emptied()))
    },
    close: async () => {
      clearInterval(timer)
      lines.flush()
      await Promise.all([...outlets.values()].map((outlet) => outlet.close()))
    },
  }
}
