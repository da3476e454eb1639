// Rows of a file in pieces that the server can score one by one.
import { closeSync, openSync, readSync, statSync } from 'node:fs'

import { longestRow, recordEnd } from '../scoring/lines.ts'
import { CommandError } from './command.ts'

/**
 * A piece of a file: whole rows, and where the rest begins (bytes, or rows of a Parquet file). Its
 * bytes are good until three more were asked for.
 */
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

/** Enough rows to keep an engine busy, little enough to hold a few. */
const pieceBytes = 2 << 20
/** Pieces that may be at the server, the one that is read, and one to spare: then room is used again. */
const piecesHeld = 4
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

/** Room for a piece behind the header of its file. */
function pieceBuffer(header: Uint8Array): Uint8Array {
  const buffer = new Uint8Array(header.length + pieceBytes)
  buffer.set(header)
  return buffer
}

/** A file of lines; the header of a CSV goes before every piece. */
function lineInput(path: string, type: Input['type']): Input {
  const descriptor = openSync(path, 'r')
  const { size } = statSync(path)
  const endOf = type === 'text/csv' ? lastRecordEnd : lastLineEnd
  const empty = type === 'text/csv' ? headerOf(descriptor) : new Uint8Array(0)
  return {
    type,
    empty,
    size,
    first: empty.length,
    pieces: async function* (from) {
      const buffers = Array.from({ length: piecesHeld }, () => pieceBuffer(empty))
      for (let at = from, turn = 0; at < size; turn += 1) {
        const buffer = buffers[turn % piecesHeld] as Uint8Array
        // Pieces of one size would all be done at the same time, and the server wait for the next.
        const room = turn === 0 ? pieceBytes / 2 : pieceBytes
        const rows = buffer.subarray(empty.length, empty.length + room)
        const bytes = rows.subarray(0, readSync(descriptor, rows, 0, rows.length, at))
        const isLast = at + bytes.length >= size
        const end = isLast ? bytes.length : endOf(bytes)
        if (end === 0) throw new CommandError(`a row of ${path} is longer than ${longestRow} bytes`)
        at += end
        yield { body: buffer.subarray(0, empty.length + end), next: at }
      }
    },
    close: () => closeSync(descriptor),
  }
}

/** The header of a CSV with its newline. */
function headerOf(descriptor: number): Uint8Array {
  const bytes = new Uint8Array(longestRow)
  const length = readSync(descriptor, bytes, 0, bytes.length, 0)
  const end = recordEnd(bytes, 0, length)
  return bytes.slice(0, end < 0 ? length : end + 1)
}

export function csvInput(path: string): Input {
  return lineInput(path, 'text/csv')
}

export function jsonInput(path: string): Input {
  return lineInput(path, 'application/x-ndjson')
}
