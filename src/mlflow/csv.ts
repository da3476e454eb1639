// CSV bodies as DataFrames: a header, then rows whose cells are read as their column's type.
import { elements, type ElementType } from '../onnx/tensor.ts'
import { type Frame, invalid, listFrame } from './frame.ts'

/** What pandas.read_csv takes for a missing value. */
const missing: ReadonlySet<string> = new Set(
  (
    ',#N/A,#N/A N/A,#NA,-1.#IND,-1.#QNAN,-NaN,-nan,1.#IND,1.#QNAN,<NA>,N/A,NA,NULL,NaN,None,' +
    'n/a,nan,null'
  ).split(','),
)

const truths: ReadonlyMap<string, boolean> = new Map([
  ...['true', 'True', 'TRUE', '1'].map((word) => [word, true] as const),
  ...['false', 'False', 'FALSE', '0'].map((word) => [word, false] as const),
])

const decimal = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/
const integer = /^[+-]?\d{1,20}$/

/** A cell as the type wants it; what does not read so stays text, for the validator to refuse. */
function cell(text: string, type: ElementType | undefined): unknown {
  if (missing.has(text)) return null
  const kind = type === undefined ? 'string' : elements[type].kind
  if (kind === 'string') return text
  const word = text.trim()
  if (kind === 'bool') return truths.get(word) ?? text
  if (kind === 'float') return decimal.test(word) ? Number(word) : text
  if (!integer.test(word)) return text
  const value = Number(word)
  return Number.isSafeInteger(value) ? value : BigInt(word.replace('+', ''))
}

/** A line is taken apart in one go, so it must not be the whole body. */
const longestLine = 1 << 20
const demandShort = (length: number): void => {
  if (length > longestLine) throw invalid(`The CSV has a line of more than ${longestLine} bytes.`)
}
const rowsPerTurn = 4096

interface Line {
  cells: string[]
  /** Where the next one begins. */
  next: number
}

/** A record with quoted cells, which may hold commas, line ends and doubled quotes (RFC 4180). */
function quotedLine(text: string, from: number): Line {
  const cells: string[] = []
  const ends = /,|\r?\n|$/g
  let at = from
  for (;;) {
    let cell = ''
    while (text[at] === '"') {
      const close = text.indexOf('"', at + 1)
      if (close < 0) throw invalid(`The CSV has a quote that is not closed, at place ${at}.`)
      cell += text.slice(at + 1, close)
      at = close + 1
      if (text[at] === '"') cell += '"'
    }
    ends.lastIndex = at
    const end = ends.exec(text)
    const stop = end?.index ?? text.length
    cells.push(cell + text.slice(at, stop))
    at = stop + (end?.[0].length ?? 0)
    demandShort(at - from)
    if (end?.[0] !== ',') return { cells, next: Math.max(at, stop + 1) }
  }
}

/** The record at a place. csv-parse would take ten times as long on the server's one thread. */
function lineAt(text: string, from: number): Line {
  const newline = text.indexOf('\n', from)
  const end = newline < 0 ? text.length : newline
  const line = text.slice(from, text[end - 1] === '\r' ? end - 1 : end)
  if (line.includes('"')) return quotedLine(text, from)
  demandShort(line.length)
  return { cells: line.split(','), next: end + 1 }
}

function decoded(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw invalid('The CSV is not valid UTF-8.')
  }
}

/** Reads a CSV body. `typeOf` says how the cells of a column are read; undefined: as text. */
export async function csvFrame(
  bytes: Uint8Array,
  typeOf: (name: string) => ElementType | undefined,
): Promise<Frame> {
  const text = decoded(bytes)
  let names: string[] | null = null
  let types: (ElementType | undefined)[] = []
  const rows: unknown[][] = []
  for (let at = 0, lines = 1; at < text.length; lines += 1) {
    const { cells, next } = lineAt(text, at)
    at = next
    // Other requests have their turn, however long the file is.
    if (lines % rowsPerTurn === 0) await new Promise((resolve) => setImmediate(resolve))
    if (cells.length === 1 && cells[0] === '') continue
    if (names === null) {
      names = cells
      types = names.map(typeOf)
    } else if (cells.length === names.length) {
      rows.push(cells.map((cellText, place) => cell(cellText, types[place])))
    } else {
      const wanted = `expected ${names.length} cells, got ${cells.length}`
      throw invalid(`The CSV cannot be read: row ${rows.length}: ${wanted}.`)
    }
  }
  if (names === null) throw invalid('The CSV has no header.')
  return listFrame(names, rows)
}
