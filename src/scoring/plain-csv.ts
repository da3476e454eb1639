// Plain numbers of CSV straight from bytes to a tensor. A CSV library makes a string of every cell:
// for a million rows of thirty features that takes longer than reading, running and writing together.
// Rows with anything but plain numbers are left to the caller.

/** Powers of ten that a double holds exactly: a quotient or product with one is rounded only once. */
const powers = Float64Array.from({ length: 23 }, (_, n) => Number(`1e${n}`))
const largestPower = 22
/** Digits that an int32 holds, and that a double holds. */
const shortDigits = 9
const exactDigits = 15
const [comma, newline, carriageReturn, quote, minus, plus] = [44, 10, 13, 34, 45, 43]

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

/** True when doubles a few units away from a value may have another float32 as their nearest. */
function isBetweenSingles(value: number): boolean {
  bits[0] = value
  return Math.abs(((words[0] as number) & 0x1fffffff) - 0x10000000) < 64
}

const decimals = (end: number, point: number): number => (point < 0 ? 0 : end - point - 1)

const exactly = (bytes: Uint8Array, from: number, to: number): number =>
  Number(Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString('latin1'))

/** Behind the line that ends at `at`, or -1 where none does; blank lines are no rows. */
function lineEnd(bytes: Uint8Array, start: number, at: number): number {
  const end = bytes[at] === carriageReturn ? at + 1 : at
  return bytes[end] === newline && at > start ? end + 1 : -1
}

/** Reads rows of plain numbers. */
export class PlainScanner {
  private readonly cells: readonly PlainCell[]
  private readonly single: boolean
  private readonly slots: Int32Array
  private readonly indices: Int32Array
  private readonly widths: Int32Array
  /** What lies so close to the middle is surely within the limits: one comparison for two. */
  private readonly middles: Float64Array
  private readonly reaches: Float64Array
  /** What follows each cell, less 48: a comma, or a newline. */
  private readonly ends: Int8Array
  /** Behind what was read last. */
  private end = 0
  private tensors: readonly Float32Array[] = []

  /** `single`: the tensors are float32, so digits far beyond its precision need not be read. */
  constructor(cells: readonly PlainCell[], single: boolean) {
    this.cells = cells
    this.single = single
    this.slots = Int32Array.from(cells, ({ slot }) => slot)
    this.indices = Int32Array.from(cells, ({ index }) => index)
    this.widths = Int32Array.from(cells, ({ width }) => width)
    this.middles = Float64Array.from(cells, ({ low, high }) => low / 2 + high / 2)
    this.ends = new Int8Array(cells.length).fill(comma - 48)
    this.ends[cells.length - 1] = newline - 48
    this.reaches = Float64Array.from(cells, ({ slot, low, high }) =>
      slot < 0 ? -1 : (high / 2 - low / 2) * (1 - 1e-12),
    )
  }

  /**
   * Stores the row that begins at `start` as row `row` of the tensors. Returns where the next one
   * begins, or -1 when it is not plain or does not fit. Some line must end behind `start`.
   */
  row(bytes: Uint8Array, start: number, row: number, tensors: readonly Float32Array[]): number {
    const { slots, indices, widths, middles, reaches, ends } = this
    const last = slots.length - 1
    let from = start
    this.tensors = tensors
    // One loop without calls: split up, it takes twice as long.
    for (let cell = 0; cell <= last; cell += 1) {
      const first = bytes[from] === minus ? from + 1 : from
      let at = first
      // One subtraction tells digits (0 to 9), a point (-2) and all else apart.
      let digit = (bytes[at] as number) - 48
      let digits = 0
      while (digit >>> 0 < 10) {
        digits = (Math.imul(digits, 10) + digit) | 0
        at += 1
        digit = (bytes[at] as number) - 48
      }
      let scale = first === from ? 1 : -1
      let extra = first
      if (digit === -2) {
        at += 1
        const begin = at
        digit = (bytes[at] as number) - 48
        while (digit >>> 0 < 10) {
          digits = (Math.imul(digits, 10) + digit) | 0
          at += 1
          digit = (bytes[at] as number) - 48
        }
        scale *= powers[at - begin] as number
        extra += 1
      }
      const value = digits / scale
      const fits = Math.abs(value - (middles[cell] as number)) <= (reaches[cell] as number)
      const count = at - extra
      if (digit === ends[cell] && fits && (count - 1) >>> 0 < shortDigits) {
        const place = row * (widths[cell] as number) + (indices[cell] as number)
        ;(tensors[slots[cell] as number] as Float32Array)[place] = value
      } else if (this.other(bytes, from, cell, row)) at = this.end
      else return -1
      from = at + 1
    }
    return lineEnd(bytes, start, from - 1)
  }

  /** A cell that is long, empty, no input or not within its limits. False: it does not fit. */
  private other(bytes: Uint8Array, from: number, cell: number, row: number): boolean {
    const { slot, index, width, low, high, nullable } = this.cells[cell] as PlainCell
    const isLast = cell === this.cells.length - 1
    if (slot < 0) this.skip(bytes, from)
    else {
      let value = this.number(bytes, from)
      if (!(value >= low && value <= high)) {
        if (!nullable || this.end !== from) return false
        value = Number.NaN
      }
      ;(this.tensors[slot] as Float32Array)[row * width + index] = value
    }
    return isLast || bytes[this.end] === comma
  }

  /** The number at `from`, NaN when there is none; `end` is behind it. */
  private number(bytes: Uint8Array, from: number): number {
    const negative = bytes[from] === minus
    let at = negative ? from + 1 : from
    let point = -1
    let mantissa = 0
    let [all, telling] = [0, 0]
    for (; ; at += 1) {
      const digit = (bytes[at] as number) - 48
      if (digit >>> 0 < 10) {
        all += 1
        if (telling < exactDigits) mantissa = mantissa * 10 + digit
        if (mantissa > 0) telling += 1
      } else if (digit === -2 && point < 0) point = at
      else break
    }
    this.end = all === 0 ? from : at
    if (all === 0) return Number.NaN
    const cut = Math.max(0, telling - exactDigits)
    const power = cut - decimals(at, point) + this.exponent(bytes)
    const value = this.scaled(mantissa, power, cut > 0)
    if (Number.isNaN(value)) return exactly(bytes, from, this.end)
    return negative ? -value : value
  }

  /** The double for a mantissa, or NaN when it takes more than one rounding to tell. */
  private scaled(mantissa: number, power: number, cut: boolean): number {
    const size = Math.abs(power)
    if (!(size <= largestPower)) return Number.NaN
    const scale = powers[size] as number
    const value = power < 0 ? mantissa / scale : mantissa * scale
    return cut && (!this.single || isBetweenSingles(value)) ? Number.NaN : value
  }

  /** The exponent at `end`, 0 when there is none, NaN when it has no digits. */
  private exponent(bytes: Uint8Array): number {
    let at = this.end
    if (bytes[at] !== 101 && bytes[at] !== 69) return 0
    at += 1
    const sign = bytes[at]
    if (sign === minus || sign === plus) at += 1
    const first = at
    let value = 0
    for (;;) {
      const digit = (bytes[at] as number) - 48
      if (digit >>> 0 >= 10) break
      if (value < 10_000) value = value * 10 + digit
      at += 1
    }
    this.end = at
    if (at === first) return Number.NaN
    return sign === minus ? -value : value
  }

  /** Passes over a cell; where it holds a quote, `end` is at it and the row is not plain. */
  private skip(bytes: Uint8Array, from: number): void {
    let at = from
    for (;;) {
      const byte = bytes[at]
      if (byte === comma || byte === newline || byte === carriageReturn || byte === quote) break
      at += 1
    }
    this.end = at
  }
}
