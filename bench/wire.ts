// One keep-alive connection that carries one HTTP request at a time.
import type { Socket } from 'bun'

export interface Answer {
  status: number
  retryAfter: boolean
}

export interface WireEvents {
  answered(due: number, answer: Answer): void
  /** It can take the next request. */
  free(wire: Wire): void
  /** It is gone; `due` of the request that was on its way, if any. */
  closed(wire: Wire, due: number | null): void
}

interface Head extends Answer {
  /** Where the body starts. */
  start: number
  /** Bytes of the body; null when it comes in chunks. */
  length: number | null
  close: boolean
}

function headOf(data: Buffer): Head | null {
  const end = data.indexOf('\r\n\r\n')
  if (end < 0) return null
  const text = data.toString('latin1', 0, end).toLowerCase()
  const length = /\r\ncontent-length: *(\d+)/.exec(text)?.[1]
  return {
    status: Number(text.slice(9, 12)),
    retryAfter: text.includes('\r\nretry-after:'),
    start: end + 4,
    length: length === undefined ? null : Number(length),
    close: text.includes('\r\nconnection: close'),
  }
}

/** Has the body with chunks from `at` on ended? */
function chunksEnded(data: Buffer, at: number): boolean {
  for (let start = at; ;) {
    const line = data.indexOf('\r\n', start)
    if (line < 0) return false
    const size = Number.parseInt(data.toString('latin1', start, line), 16)
    start = line + 2 + size + 2
    if (start > data.length) return false
    if (size === 0) return true
  }
}

export class Wire {
  private readonly events: WireEvents
  private socket: Socket | null = null
  private due: number | null = null
  private unsent: Uint8Array | null = null
  private received: Buffer | null = null

  private constructor(events: WireEvents) {
    this.events = events
  }

  /** Null when the connection is refused. */
  static async open(url: string, events: WireEvents): Promise<Wire | null> {
    const wire = new Wire(events)
    const { hostname, port } = new URL(url)
    try {
      wire.socket = await Bun.connect({
        hostname,
        port: Number(port),
        socket: {
          data: (_, data) => wire.take(data),
          drain: () => wire.push(),
          close: () => wire.closed(),
          error: () => wire.closed(),
        },
      })
      return wire
    } catch {
      return null
    }
  }

  /** Sends a request that should have left at `due`. */
  send(bytes: Uint8Array, due: number): void {
    this.due = due
    this.unsent = bytes
    this.push()
  }

  private push(): void {
    if (this.unsent === null || this.socket === null) return
    const written = this.socket.write(this.unsent)
    this.unsent = written < this.unsent.length ? this.unsent.subarray(Math.max(0, written)) : null
  }

  private take(data: Buffer): void {
    const all = this.received === null ? data : Buffer.concat([this.received, data])
    const head = headOf(all)
    const ended =
      head !== null &&
      (head.length === null ? chunksEnded(all, head.start) : all.length >= head.start + head.length)
    if (!ended || this.due === null) {
      this.received = this.received === null ? Buffer.from(data) : all
      return
    }
    const { due } = this
    this.received = this.due = null
    this.events.answered(due, head)
    if (head.close) this.socket?.end()
    else this.events.free(this)
  }

  private closed(): void {
    if (this.socket === null) return
    this.socket = null
    this.events.closed(this, this.due)
    this.due = null
  }
}
