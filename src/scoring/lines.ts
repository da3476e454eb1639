// Bytes that have arrived and are not read yet: lines are cut out of them in place.
import { tooLarge } from '../core/fault.ts'

/** Longest line or CSV record: what a row may cost in memory. */
export const longestRow = 1 << 20
const [newline, quote, comma, space] = [10, 34, 44, 32]

/** Where the CSV record at `from` ends, at its newline, or -1. A quote opens only at the start of a cell. */
export function recordEnd(bytes: Uint8Array, from: number, limit: number): number {
  let quoted = false
  let start = true
  for (let at = from; at < limit; at += 1) {
    const byte = bytes[at]
    if (quoted) {
      if (byte !== quote) continue
      if (bytes[at + 1] === quote) at += 1
      else quoted = false
    } else if (byte === newline) return at
    else if (byte === quote && start) quoted = true
    start = byte === comma || (start && byte === space)
  }
  return -1
}

export class Lines {
  bytes = new Uint8Array(1 << 18)
  /** The next unread byte, and the end of what has arrived. */
  at = 0
  end = 0
  /** Nothing follows; the last line ends with a newline whether it was sent or not. */
  finished = false

  push(chunk: Uint8Array): void {
    this.make(chunk.length)
    this.bytes.set(chunk, this.end)
    this.end += chunk.length
  }

  finish(): void {
    this.finished = true
    if (this.end === this.at || this.bytes[this.end - 1] === newline) return
    this.make(1)
    this.bytes[this.end] = newline
    this.end += 1
  }

  /** Where the complete lines end: behind the last newline. */
  get limit(): number {
    return this.at + this.bytes.subarray(this.at, this.end).lastIndexOf(newline) + 1
  }

  /** Refuses to wait for the rest of a row that is too long already. */
  demandShort(): void {
    if (this.end - this.at > longestRow) throw tooLarge(longestRow)
  }

  /** Room for more bytes behind the end. */
  private make(more: number): void {
    const held = this.end - this.at
    if (this.end + more <= this.bytes.length) return
    const fits = held + more <= this.bytes.length
    const bytes = fits ? this.bytes : new Uint8Array(2 * (held + more))
    bytes.set(this.bytes.subarray(this.at, this.end))
    this.bytes = bytes
    this.at = 0
    this.end = held
  }
}
