// Plain numbers of CSV straight from bytes to a tensor. A CSV library makes a string of every cell:
// for a million rows of thirty features that takes longer than reading, running and writing together.
// Rows with anything but plain numbers are left to the caller.

/** Powers of ten that a double holds exactly; a product or quotient with one is rounded once. */
const powers = Array.from({ length: 23 }, (_, n) => Number(`1e${n}`))
const exactDigits = 15
const [comma, newline, carriageReturn, point, minus, plus] = [44, 10, 13, 46, 45, 43]

/** Where the cell of one header position goes. */
export interface PlainCell {
  /** Index of the tensor, or -1 for a cell that is no input. */
  slot: number
  /** Place within a row of the tensor, and the row's length. */
  index: number
  width: number
  low: number
  high: number
  nullable: boolean
}

const bits = new Float64Array(1)
const words = new Uint32Array(bits.buffer)

/** True when the float32 nearest to a double may differ for its neighbours. */
function isBetweenSingles(value: number): boolean {
  bits[0] = value
  return Math.abs(((words[0] as number) & 0x1fffffff) - 0x10000000) < 64
}

/** Reads rows of plain numbers. `single`: the tensors are float32, so digits beyond its reach may be cut. */
export class PlainScanner {
  /** Where the cell that was read last ended. */
  private end = 0
  private readonly slots: Int32Array
  private readonly indices: Int32Array
  private readonly widths: Int32Array
  private readonly lows: Float64Array
  private readonly highs: Float64Array
  private readonly nullable: Uint8Array
  private readonly single: boolean

  constructor(cells: readonly PlainCell[], single: boolean) {
    this.slots = Int32Array.from(cells, (cell) => cell.slot)
    this.indices = Int32Array.from(cells, (cell) => cell.index)
    this.widths = Int32Array.from(cells, (cell) => cell.width)
    this.lows = Float64Array.from(cells, (cell) => cell.low)
    this.highs = Float64Array.from(cells, (cell) => cell.high)
    this.nullable = Uint8Array.from(cells, (cell) => Number(cell.nullable))
    this.single = single
  }

  /**
   * Stores the row that begins at `at` as row `row` of the tensors. Returns where the next one begins,
   * or -1 when it is not plain; then what was stored is to be overwritten. A newline must follow.
   */
  row(bytes: Uint8Array, start: number, row: number, data: readonly Float32Array[]): number {
    const { slots, indices, widths, lows, highs } = this
    const last = slots.length - 1
    let at = start
    for (let cell = 0; cell <= last; cell += 1) {
      const slot = slots[cell] as number
      if (slot < 0) {
        at = skip(bytes, at)
        if (at < 0) return -1
      } else {
        const value = this.cell(bytes, at)
        at = this.end
        if (value >= (lows[cell] as number) && value <= (highs[cell] as number)) {
          ;(data[slot] as Float32Array)[
            row * (widths[cell] as number) + (indices[cell] as number)
          ] = value
        } else if (!this.empty(bytes, start, at, cell)) return -1
        else
          (data[slot] as Float32Array)[row * (widths[cell] as number) + (indices[cell] as number)] =
            Number.NaN
      }
      const byte = bytes[at] as number
      if (cell < last) {
        if (byte !== comma) return -1
        at += 1
      }
    }
    if (bytes[at] === newline) return at + 1
    return bytes[at] === carriageReturn && bytes[at + 1] === newline ? at + 2 : -1
  }

  private empty(bytes: Uint8Array, start: number, at: number, cell: number): boolean {
    if (this.nullable[cell] !== 1) return false
    const before = at === start ? comma : bytes[at - 1]
    const after = bytes[at]
    return before === comma && (after === comma || after === newline || after === carriageReturn)
  }

  /** The number at `at`; `end` is then behind it. NaN when there is none. */
  private cell(bytes: Uint8Array, from: number): number {
    let at = from
    let byte = bytes[at] as number
    const negative = byte === minus
    if (negative) {
      at += 1
      byte = bytes[at] as number
    }
    const first = at
    let digits = 0
    while (byte >= 48 && byte <= 57) {
      digits = (Math.imul(digits, 10) + byte - 48) | 0
      at += 1
      byte = bytes[at] as number
    }
    let count = at - first
    let fraction = 0
    if (byte === point) {
      at += 1
      const begin = at
      byte = bytes[at] as number
      while (byte >= 48 && byte <= 57) {
        digits = (Math.imul(digits, 10) + byte - 48) | 0
        at += 1
        byte = bytes[at] as number
      }
      fraction = at - begin
      count += fraction
    }
    this.end = at
    if (count === 0) {
      this.end = from
      return Number.NaN
    }
    if (count > 9 || byte === 101 || byte === 69) return this.long(bytes, from)
    const value = fraction === 0 ? digits : digits / (powers[fraction] as number)
    return negative ? -value : value
  }

  /** Numbers of more than nine digits or with an exponent. */
  private long(bytes: Uint8Array, from: number): number {
    const negative = bytes[from] === minus
    let at = negative ? from + 1 : from
    let mantissa = 0
    let digits = 0
    let power = 0
    let cut = false
    let seenPoint = false
    for (; ; at += 1) {
      const byte = bytes[at] as number
      if (byte === point && !seenPoint) seenPoint = true
      else if (byte < 48 || byte > 57) break
      else if (digits < exactDigits) {
        mantissa = mantissa * 10 + byte - 48
        if (mantissa > 0) digits += 1
        if (seenPoint) power -= 1
      } else {
        if (byte !== 48) cut = true
        if (!seenPoint) power += 1
      }
    }
    const byte = bytes[at] as number
    if (byte === 101 || byte === 69) {
      const exponent = this.exponent(bytes, at + 1)
      at = this.end
      power += exponent
    } else this.end = at
    const size = power < 0 ? -power : power
    if (!(size <= 22)) return number(bytes, from, at)
    const value =
      power < 0 ? mantissa / (powers[size] as number) : mantissa * (powers[size] as number)
    if (cut && (!this.single || isBetweenSingles(value))) return number(bytes, from, at)
    return negative ? -value : value
  }

  private exponent(bytes: Uint8Array, from: number): number {
    let at = from
    const sign = bytes[at]
    if (sign === minus || sign === plus) at += 1
    const first = at
    let value = 0
    for (let byte = bytes[at] as number; byte >= 48 && byte <= 57; byte = bytes[at] as number) {
      if (value < 10_000) value = value * 10 + byte - 48
      at += 1
    }
    this.end = at
    if (at === first) return Number.NaN
    return sign === minus ? -value : value
  }
}

/** Behind the cell at `from`, or -1 when it holds a quote. */
function skip(bytes: Uint8Array, from: number): number {
  for (let at = from; ; at += 1) {
    const byte = bytes[at] as number
    if (byte === comma || byte === newline) {
      return byte === newline && at > from && bytes[at - 1] === carriageReturn ? at - 1 : at
    }
    if (byte === 34) return -1
  }
}

const number = (bytes: Uint8Array, from: number, to: number): number =>
  Number(Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString('latin1'))
