// Bodies that are nothing but rows of numbers, `{"instances": [[5.1, 3.5], …]}`, straight from bytes to
// tensors: for a thousand rows, parsing JSON into lists of numbers takes twice as long as the model.
// Whatever is not plain or does not fit is left to those who can say what is wrong with it.
import { NumberReader } from './plain-number.ts'
import { allocate, type Tensor } from './tensor.ts'

/** A float column that takes any number in its range. */
export interface PlainColumn {
  /** Index of its input, its place within a row of it, and the row's length. */
  slot: number
  index: number
  width: number
  low: number
  high: number
  nullable: boolean
}

export interface PlainInput {
  name: string
  type: 'float32' | 'float64'
  /** False for an input of shape [rows]. */
  isMatrix: boolean
  width: number
}

const [open, close, comma, colon, openBrace, closeBrace] = [91, 93, 44, 58, 123, 125]
const [zero, nine, point, minus] = [48, 57, 46, 45]
const key = Buffer.from('"instances"')

const isDigit = (byte: number | undefined): boolean =>
  byte !== undefined && byte >= zero && byte <= nine

/** JSON knows neither 01 nor .5 nor 5. nor a number without digits. */
function isJsonNumber(bytes: Uint8Array, from: number, end: number): boolean {
  const first = bytes[from] === minus ? from + 1 : from
  if (!isDigit(bytes[first]) || (bytes[first] === zero && isDigit(bytes[first + 1]))) return false
  if (isDigit(bytes[end - 1])) {
    // A point before an exponent must have digits between.
    for (let at = first; at < end; at += 1) {
      if (bytes[at] === point) return isDigit(bytes[at + 1])
    }
    return true
  }
  return false
}

const isSpace = (byte: number | undefined): boolean =>
  byte === 32 || byte === 10 || byte === 13 || byte === 9

/** Behind the white space at `from`. */
function skip(bytes: Uint8Array, from: number): number {
  let at = from
  while (isSpace(bytes[at])) at += 1
  return at
}

/** Where the white space at the end begins. */
function endOf(bytes: Uint8Array): number {
  let at = bytes.length
  while (isSpace(bytes[at - 1])) at -= 1
  return at
}

export class PlainRows {
  private readonly columns: readonly PlainColumn[]
  private readonly inputs: readonly PlainInput[]
  private readonly numbers: NumberReader

  constructor(columns: readonly PlainColumn[], inputs: readonly PlainInput[]) {
    this.columns = columns
    this.inputs = inputs
    this.numbers = new NumberReader(inputs.every(({ type }) => type === 'float32'))
  }

  /** The rows of a body as tensors, or null when it has to be read the ordinary way. */
  read(bytes: Uint8Array): Tensor[] | null {
    const start = this.head(bytes)
    // A brace at the end stops every loop below.
    if (start < 0 || bytes[endOf(bytes) - 1] !== closeBrace) return null
    const { columns, inputs } = this
    // A cell takes two bytes at least.
    const most = Math.floor((bytes.length - start) / (2 * columns.length))
    const data = inputs.map(({ type, width }) => allocate(type, most * width) as Float32Array)
    let rows = 0
    let at = start
    for (;;) {
      if (rows === most) return null
      at = this.row(bytes, skip(bytes, at), rows, data)
      if (at < 0) return null
      rows += 1
      at = skip(bytes, at)
      if (bytes[at] === close) break
      if (bytes[at] !== comma) return null
      at += 1
    }
    at = skip(bytes, at + 1)
    if (bytes[at] !== closeBrace || skip(bytes, at + 1) !== bytes.length) return null
    return inputs.map(({ name, type, isMatrix, width }, slot) => ({
      name,
      type,
      dims: isMatrix ? [rows, width] : [rows],
      data: (data[slot] as Float32Array).slice(0, rows * width),
    }))
  }

  /** Behind `{"instances": [`, or -1. */
  private head(bytes: Uint8Array): number {
    let at = skip(bytes, 0)
    if (bytes[at] !== openBrace) return -1
    at = skip(bytes, at + 1)
    for (const byte of key) {
      if (bytes[at] !== byte) return -1
      at += 1
    }
    at = skip(bytes, at)
    if (bytes[at] !== colon) return -1
    at = skip(bytes, at + 1)
    return bytes[at] === open ? at + 1 : -1
  }

  /** Stores the list that begins at `from`; returns what is behind it, or -1. */
  private row(bytes: Uint8Array, from: number, row: number, data: readonly Float32Array[]): number {
    const { columns, numbers } = this
    if (bytes[from] !== open) return -1
    let at = from + 1
    for (let cell = 0; cell < columns.length; cell += 1) {
      const { slot, index, width, low, high } = columns[cell] as PlainColumn
      while (bytes[at] === 32) at += 1
      const value = numbers.read(bytes, at)
      if (!(value >= low && value <= high) || !isJsonNumber(bytes, at, numbers.end)) return -1
      ;(data[slot] as Float32Array)[row * width + index] = value
      at = numbers.end
      if (bytes[at] !== comma) at = skip(bytes, at)
      if (bytes[at] !== (cell === columns.length - 1 ? close : comma)) return -1
      at += 1
    }
    return at
  }
}
