// Bytes that have arrived and are not read yet: lines are cut out of them in place.
import { tooLarge } from '../core/fault.ts'

/** Longest line or CSV record: what a row may cost in memory. */
export const longestRow = 1 << 20
const [newline, quote, comma, space] = [10, 34, 44, 32]

/** How far a CSV record was looked through that is not whole yet. */
export interface Scan {
  /** Bytes from its beginning. */
  passed: number
  quoted: boolean
  /** Nothing but spaces has come of the cell. */
  start: boolean
}

export const newScan = (): Scan => ({ passed: 0, quoted: false, start: true })

/**
 * Where the CSV record at `from` ends, at its newline, or -1. A quote opens only at the start of a cell.
 * With the same `scan`, what comes later is looked through alone.
 */
export function recordEnd(
  bytes: Uint8Array,
  from: number,
  limit: number,
  scan: Scan = newScan(),
): number {
  let { quoted, start } = scan
  let at = from + scan.passed
  for (; at < limit; at += 1) {
    const byte = bytes[at]
    if (quoted) {
      if (byte !== quote) continue
      // Whether it closes the cell is known with the next byte.
      if (at + 1 === limit) break
      if (bytes[at + 1] === quote) at += 1
      else quoted = false
    } else if (byte === newline) {
      Object.assign(scan, newScan())
      return at
    } else if (byte === quote && start) quoted = true
    start = byte === comma || (start && byte === space)
  }
  Object.assign(scan, { passed: at - from, quoted, start })
  return -1
}

export class Lines {
  bytes = new Uint8Array(1 << 18)
  /** The next unread byte, and the end of what has arrived. */
  at = 0
  end = 0
  /** Nothing follows; the last line ends with a newline whether it was sent or not. */
  finished = false
  /** Where the complete lines end: behind the last newline. */
  limit = 0

  push(chunk: Uint8Array): void {
    this.make(chunk.length)
    this.bytes.set(chunk, this.end)
    const last = chunk.lastIndexOf(newline)
    if (last >= 0) this.limit = this.end + last + 1
    this.end += chunk.length
  }

  finish(): void {
    this.finished = true
    if (this.end === this.at || this.bytes[this.end - 1] === newline) return
    this.make(1)
    this.bytes[this.end] = newline
    this.end += 1
    this.limit = this.end
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
    this.limit -= this.at
    this.at = 0
    this.end = held
  }
}
