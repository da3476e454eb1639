// Rows of a file in pieces that the server can score one by one.
import { closeSync, openSync, readSync, statSync } from 'node:fs'

import { longestRow, recordEnd } from '../scoring/lines.ts'
import { CommandError } from './command.ts'

/** A piece of a file: whole rows, and where the rest begins (bytes, or rows of a Parquet file). */
export interface Piece {
  body: Uint8Array
  next: number
}

export interface Input {
  /** What the pieces are. */
  type: 'text/csv' | 'application/x-ndjson'
  /** A body without rows: its answer tells the columns and the version. */
  empty: Uint8Array
  /** Where the end is. */
  size: number
  /** Where the first row is. */
  first: number
  pieces(from: number): AsyncGenerator<Piece>
  close(): void
}

/** Enough rows to keep an engine busy, little enough to be held twice. */
const pieceBytes = 4 << 20
const [quote, newline] = [34, 10]

/** Which file it is: the same name with other bytes is another input. */
export interface Identity {
  size: number
  mtime: number
  head: string
}

export function identityOf(path: string): Identity {
  const { size, mtimeMs } = statSync(path)
  const start = new Uint8Array(Math.min(size, 1 << 16))
  const descriptor = openSync(path, 'r')
  readSync(descriptor, start, 0, start.length, 0)
  closeSync(descriptor)
  const head = new Bun.CryptoHasher('sha256').update(start).digest('hex')
  return { size, mtime: Math.round(mtimeMs), head }
}

/** Where the last record of some CSV ends; a newline between quotes ends none. */
function lastRecordEnd(bytes: Uint8Array): number {
  if (!bytes.includes(quote)) return lastLineEnd(bytes)
  let at = 0
  for (;;) {
    const end = recordEnd(bytes, at, bytes.length)
    if (end < 0) return at
    at = end + 1
  }
}

const lastLineEnd = (bytes: Uint8Array): number => bytes.lastIndexOf(newline) + 1

/** A file of lines; the header of a CSV goes before every piece. */
function lineInput(path: string, type: Input['type']): Input {
  const descriptor = openSync(path, 'r')
  const { size } = statSync(path)
  const endOf = type === 'text/csv' ? lastRecordEnd : lastLineEnd
  const read = (from: number, length: number): Uint8Array => {
    const bytes = new Uint8Array(Math.min(length, size - from))
    return bytes.subarray(0, readSync(descriptor, bytes, 0, bytes.length, from))
  }
  const empty = type === 'text/csv' ? headerOf(read(0, longestRow)) : new Uint8Array(0)
  return {
    type,
    empty,
    size,
    first: empty.length,
    pieces: async function* (from) {
      for (let at = from; at < size;) {
        const bytes = read(at, pieceBytes)
        const isLast = at + bytes.length >= size
        const end = isLast ? bytes.length : endOf(bytes)
        if (end === 0) throw new CommandError(`a row of ${path} is longer than ${pieceBytes} bytes`)
        at += end
        yield { body: Buffer.concat([empty, bytes.subarray(0, end)]), next: at }
      }
    },
    close: () => closeSync(descriptor),
  }
}

/** The header of a CSV with its newline. */
function headerOf(start: Uint8Array): Uint8Array {
  const end = recordEnd(start, 0, start.length)
  return end < 0 ? start : start.slice(0, end + 1)
}

export function csvInput(path: string): Input {
  return lineInput(path, 'text/csv')
}

export function jsonInput(path: string): Input {
  return lineInput(path, 'application/x-ndjson')
}
