// JSON lines, buffered and written in batches; the only file that writes to the console.

export type Level = 'debug' | 'info' | 'warn' | 'error'
const order: Record<Level, number> = { debug: 0, info: 1, warn: 2, error: 3 }

/** Lines that wait for a slow reader beyond this are dropped and counted, never kept. */
const mostWaiting = 16 << 20
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
  /** Lines dropped so far because nobody read them. */
  readonly dropped: number
  flush(): Promise<void>
  close(): Promise<void>
}

/** Where lines go: anything with the shape of Bun's FileSink. */
interface Sink {
  write(bytes: Uint8Array): number | Promise<number>
  flush(): number | Promise<number>
}

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
  private full: Uint8Array[] = []
  private fullBytes = 0
  private chunk = Buffer.allocUnsafe(chunkBytes)
  private at = 0

  /** False when too much waits already. */
  add(line: string): boolean {
    // UTF-8 takes at most three bytes for a UTF-16 unit.
    const most = line.length * 3
    if (this.fullBytes + most > mostWaiting) return false
    if (this.at + most > chunkBytes) this.rotate()
    if (most > chunkBytes) this.keep(Buffer.from(line))
    else this.at += this.chunk.write(line, this.at, 'utf8')
    return true
  }

  take(): Uint8Array[] {
    this.rotate()
    const taken = this.full
    this.full = []
    this.fullBytes = 0
    return taken
  }

  private rotate(): void {
    if (this.at === 0) return
    this.keep(this.chunk.subarray(0, this.at))
    this.chunk = Buffer.allocUnsafe(chunkBytes)
    this.at = 0
  }

  private keep(bytes: Uint8Array): void {
    this.full.push(bytes)
    this.fullBytes += bytes.length
  }
}

/** `common` is repeated on every line (service, version, instance). */
export function createLog(
  level: Level,
  common: Record<string, string>,
  sink: Sink = Bun.stdout.writer({ highWaterMark: 1 << 20 }),
): Log {
  const now = clock()
  const tail = Object.entries(common)
    .map(([key, value]) => `,${JSON.stringify(key)}:${JSON.stringify(value)}`)
    .join('')
  const accessHead = `","level":"info","msg":"request","event":"http.request","log_type":"access"${tail},`
  const lines = new Lines()
  let dropped = 0
  let busy = false

  const push = (line: string): void => {
    if (!lines.add(line)) dropped += 1
  }
  const flush = async (): Promise<void> => {
    if (busy) return
    busy = true
    try {
      for (const chunk of lines.take()) await sink.write(chunk)
      await sink.flush()
    } catch {
      dropped += 1
    } finally {
      busy = false
    }
  }
  const timer = setInterval(() => void flush(), flushEvery)
  timer.unref()

  return {
    write: (lineLevel, event, fields = {}) => {
      if (order[lineLevel] < order[level]) return
      const { error, ...rest } = fields
      const entry = { msg: event, event, log_type: 'app', ...rest }
      const shown = error === undefined ? entry : { ...entry, ...describe(error) }
      push(`{"ts":"${now()}","level":"${lineLevel}"${tail},${JSON.stringify(shown).slice(1)}\n`)
      if (lineLevel === 'error') void flush()
    },
    access: (head, rest) => {
      if (order.info < order[level]) return
      push(`{"ts":"${now()}${head}${rest}\n`)
    },
    accessHead: (members) => accessHead + members,
    get dropped() {
      return dropped
    },
    flush,
    close: async () => {
      clearInterval(timer)
      await flush()
      await flush()
    },
  }
}
