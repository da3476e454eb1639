// CSV bodies as DataFrames: a header, then rows whose cells are read as their column's type.
import { isUtf8 } from 'node:buffer'
import { Readable } from 'node:stream'

import { parse } from 'csv-parse'

import { elements, type ElementType } from '../onnx/tensor.ts'
import { type Frame, invalid, listFrame } from './frame.ts'

/** What pandas.read_csv takes for a missing value. */
const missing: ReadonlySet<string> = new Set(
  (
    ',#N/A,#N/A N/A,#NA,-1.#IND,-1.#QNAN,-NaN,-nan,1.#IND,1.#QNAN,<NA>,N/A,NA,NULL,NaN,None,' +
    'n/a,nan,null'
  ).split(','),
)

const truths: Record<string, boolean | undefined> = {
  true: true,
  True: true,
  TRUE: true,
  false: false,
  False: false,
  FALSE: false,
  1: true,
  0: false,
}

const decimal = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/
const integer = /^[+-]?\d{1,20}$/

/** A cell as the type wants it; what does not read so stays text, for the validator to refuse. */
function cell(text: string, type: ElementType | undefined): unknown {
  if (missing.has(text)) return null
  const kind = type === undefined ? 'string' : elements[type].kind
  if (kind === 'string') return text
  const word = text.trim()
  if (kind === 'bool') return truths[word] ?? text
  if (kind === 'float') return decimal.test(word) ? Number(word) : text
  if (!integer.test(word)) return text
  const value = Number(word)
  return Number.isSafeInteger(value) ? value : BigInt(word.replace('+', ''))
}

const pieceBytes = 1 << 16

/** Pieces small enough that other requests have their turn between them. */
function* piecesOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes)
}

/** Reads a CSV body. `typeOf` says how the cells of a column are read; undefined: as text. */
export async function csvFrame(
  bytes: Uint8Array,
  typeOf: (name: string) => ElementType | undefined,
): Promise<Frame> {
  if (!isUtf8(bytes)) throw invalid('The CSV is not valid UTF-8.')
  const parser = Readable.from(piecesOf(bytes)).pipe(
    parse({ bom: true, skip_empty_lines: true, max_record_size: 1 << 24 }),
  )
  let names: string[] | null = null
  let types: (ElementType | undefined)[] = []
  const rows: unknown[][] = []
  try {
    for await (const record of parser as AsyncIterable<string[]>) {
      if (names === null) {
        names = record
        types = names.map(typeOf)
      } else rows.push(record.map((text, at) => cell(text, types[at])))
    }
  } catch (error) {
    throw invalid(`The CSV cannot be read: ${(error as Error).message}`)
  }
  if (names === null) throw invalid('The CSV has no header.')
  return listFrame(names, rows)
}
