// Bodies that are nothing but rows of numbers, `{"instances": [[5.1, 3.5], …]}`, straight from bytes to
// tensors: for a thousand rows, parsing JSON into lists of numbers takes twice as long as the model.
// Whatever is not plain or does not fit is left to those who can say what is wrong with it.
import { NumberReader, powers } from './plain-number.ts'
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
const [zero, nine, point, minus, space] = [48, 57, 46, 45, 32]
/** Digits that an int32 holds. */
const shortDigits = 9
const instances = Buffer.from(`"instances"`)

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

/**
 * May digits that were put together in an int32 stand for the number? `length` of it, `whole` digits
 * before its point, its `first` byte, and the `next` one behind it, less the code of 0. JSON knows neither
 * 01 nor .5 nor 5., and only a comma or a bracket ends a cell here.
 */
function isShort(length: number, whole: number, first: number, next: number): boolean {
  const digits = length > whole ? length - 1 : length
  if (digits > shortDigits || length === whole + 1) return false
  if (whole === 0 || (whole > 1 && first === zero)) return false
  return next === comma - zero || next === close - zero
}

const lies = (value: number, low: number, high: number): boolean => value >= low && value <= high

const delimiter = (isLast: boolean): number => (isLast ? close : comma)

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

/** More rows than a body is likely to hold: those that follow are about as long as the first. */
function rowsAtMost(bytes: Uint8Array, start: number, cells: number): number {
  const first = bytes.indexOf(close, start) - start
  // A cell takes two bytes at least.
  return Math.ceil(((bytes.length - start) / Math.max(first, 2 * cells)) * 1.5) + 8
}

export class PlainRows {
  private readonly slots: Int32Array
  private readonly indices: Int32Array
  private readonly widths: Int32Array
  private readonly lows: Float64Array
  private readonly highs: Float64Array
  private readonly inputs: readonly PlainInput[]
  private readonly numbers: NumberReader
  private end = 0
  /** Numbers so far that took the slow way. */
  private longOnes = 0

  constructor(columns: readonly PlainColumn[], inputs: readonly PlainInput[]) {
    this.slots = Int32Array.from(columns, ({ slot }) => slot)
    this.indices = Int32Array.from(columns, ({ index }) => index)
    this.widths = Int32Array.from(columns, ({ width }) => width)
    this.lows = Float64Array.from(columns, ({ low }) => low)
    this.highs = Float64Array.from(columns, ({ high }) => high)
    this.inputs = inputs
    this.numbers = new NumberReader(inputs.every(({ type }) => type === 'float32'))
  }

  /** The rows of a body as tensors, or null when it has to be read the ordinary way. */
  read(bytes: Uint8Array): Tensor[] | null {
    const start = this.head(bytes)
    // A brace at the end stops every loop below.
    if (start < 0 || bytes[endOf(bytes) - 1] !== closeBrace) return null
    const { inputs } = this
    const count = this.slots.length
    const most = rowsAtMost(bytes, start, count)
    const data = inputs.map(({ type, width }) => allocate(type, most * width) as Float32Array)
    let rows = 0
    let at = start
    this.longOnes = 0
    for (;;) {
      if (rows === most) return null
      at = this.row(bytes, skip(bytes, at), rows, data)
      if (at < 0) return null
      rows += 1
      // Where most numbers are long, the native parser is as quick.
      if (rows === 1 && this.longOnes > count / 2) return null
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
    for (const byte of instances) {
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
    const { slots, indices, widths, lows, highs } = this
    const last = slots.length - 1
    if (bytes[from] !== open) return -1
    let at = from + 1
    // Short numbers in one loop without calls: split up, it takes half as long again.
    for (let cell = 0; cell <= last; cell += 1) {
      while (bytes[at] === space) at += 1
      const begin = at
      const sign = bytes[at] === minus ? -1 : 1
      at += (1 - sign) >> 1
      const first = at
      // One subtraction tells digits (0 to 9), a point (-2) and all else apart.
      let digit = (bytes[at] as number) - zero
      let digits = 0
      while (digit >>> 0 < 10) {
        digits = (Math.imul(digits, 10) + digit) | 0
        at += 1
        digit = (bytes[at] as number) - zero
      }
      const whole = at - first
      let decimals = 0
      if (digit === -2) {
        at += 1
        digit = (bytes[at] as number) - zero
        while (digit >>> 0 < 10) {
          digits = (Math.imul(digits, 10) + digit) | 0
          at += 1
          digit = (bytes[at] as number) - zero
        }
        decimals = at - first - whole - 1
      }
      let value = (sign * digits) / (powers[decimals] as number)
      if (!isShort(at - first, whole, bytes[first] as number, digit)) {
        value = this.long(bytes, begin)
        at = this.end
      }
      if (!lies(value, lows[cell] as number, highs[cell] as number)) return -1
      const place = row * (widths[cell] as number) + (indices[cell] as number)
      ;(data[slots[cell] as number] as Float32Array)[place] = value
      if (bytes[at] !== delimiter(cell === last)) return -1
      at += 1
    }
    return at
  }

  /** A number of any length in any notation of JSON's, NaN when there is none. */
  private long(bytes: Uint8Array, from: number): number {
    const { numbers } = this
    this.longOnes += 1
    const value = numbers.read(bytes, from)
    this.end = skip(bytes, numbers.end)
    return isJsonNumber(bytes, from, numbers.end) ? value : Number.NaN
  }
}
