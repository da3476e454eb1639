// JSON lines, buffered and written in batches; the only file that writes to the console.

export type Level = 'debug' | 'info' | 'warn' | 'error'
const order: Record<Level, number> = { debug: 0, info: 1, warn: 2, error: 3 }

/** Lines that wait for a slow reader beyond this are dropped and counted, never kept. */
const mostWaiting = 16 << 20
const flushEvery = 200

export interface Log {
  /** One event. Never pass tokens or feature values. */
  write(level: Level, event: string, fields?: Record<string, unknown>): void
  /** A finished JSON object without its opening part: `"method":"GET"…}`. For the hot path. */
  access(rest: string): void
  /** Lines dropped so far because nobody read them. */
  readonly dropped: number
  flush(): Promise<void>
  close(): Promise<void>
}

/** Where lines go: anything with the shape of Bun's FileSink. */
interface Sink {
  write(text: string): number | Promise<number>
  flush(): number | Promise<number>
}

function describe(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { 'error.message': String(error) }
  const cause = error.cause === undefined ? {} : { 'error.cause': String(error.cause) }
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
  let waiting: string[] = []
  let bytes = 0
  let dropped = 0
  let busy = false

  const push = (line: string): void => {
    if (bytes + line.length > mostWaiting) {
      dropped += 1
      return
    }
    bytes += line.length
    waiting.push(line)
  }
  const flush = async (): Promise<void> => {
    if (busy || waiting.length === 0) return
    busy = true
    const text = waiting.join('')
    waiting = []
    bytes = 0
    try {
      await sink.write(text)
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
    access: (rest) => {
      if (order.info < order[level]) return
      push(`{"ts":"${now()}${accessHead}${rest}\n`)
    },
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
