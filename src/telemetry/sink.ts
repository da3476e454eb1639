// Where log lines go: a sink takes bytes at its own pace, an outlet keeps what waits for it within bounds.

/** The shape of Bun's FileSink, and of every other place for lines. */
export interface Sink {
  /** Whole lines. */
  write(bytes: Uint8Array): number | Promise<number>
  flush(): number | Promise<number>
  /** Lines it took and could not keep. */
  readonly dropped?: number
  close?(): Promise<void>
}

/** Lines that wait for a slow sink beyond this are dropped and counted, never kept. */
const mostWaiting = 16 << 20
/** Milliseconds that a sink has for its last lines at shutdown. */
const lastWords = 4000

/** Lines in a piece of log: each ends with the byte 10. */
export function countLines(bytes: Uint8Array): number {
  let lines = 0
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) lines += 1
  return lines
}

/** One sink with what waits for it: a sink that stands still holds up no other. */
export class Outlet {
  private readonly sink: Sink
  private waiting: Uint8Array[] = []
  private bytes = 0
  private lost = 0
  private running: Promise<void> | null = null

  constructor(sink: Sink) {
    this.sink = sink
  }

  get dropped(): number {
    return this.lost + (this.sink.dropped ?? 0)
  }

  take(bytes: Uint8Array): void {
    if (this.bytes + bytes.length > mostWaiting) {
      this.lost += countLines(bytes)
      return
    }
    this.waiting.push(bytes)
    this.bytes += bytes.length
  }

  /** Begins to write what waits, unless that is under way: nobody piles up before a sink that stands still. */
  pump(): void {
    this.running ??= this.drain().finally(() => (this.running = null))
  }

  /** Resolves when all that waits now has been written or lost. */
  async emptied(): Promise<void> {
    // What came during the last step of a run is left for the next one.
    await this.running
    this.pump()
    await this.running
  }

  async close(): Promise<void> {
    const ended = async (): Promise<void> => {
      await this.emptied()
      await this.sink.close?.()
    }
    // Nobody may read any more, and the end must not wait for him.
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, lastWords)
    await Promise.race([ended(), late])
    clearTimeout(timer)
  }

  private async drain(): Promise<void> {
    let piece: Uint8Array | undefined
    while ((piece = this.waiting.shift())) {
      try {
        await this.sink.write(piece)
      } catch {
        this.lost += countLines(piece)
      }
      this.bytes -= piece.length
    }
    try {
      await this.sink.flush()
    } catch {
      this.lost += 1
    }
  }
}
