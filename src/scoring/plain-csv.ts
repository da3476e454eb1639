// Plain numbers of CSV straight from bytes to a tensor. A CSV library makes a string of every cell:
// for a million rows of thirty features that takes longer than reading, running and writing together.
// Rows with anything but plain numbers are left to the caller.
import { NumberReader, powers } from '../onnx/plain-number.ts'
import type { PlainColumn } from '../onnx/plain-rows.ts'

/** Digits that an int32 holds. */
const shortDigits = 9
const [comma, newline, carriageReturn, quote, minus] = [44, 10, 13, 34, 45]

/** Where the cell of one header position goes; slot -1 for a cell that is no input. */
export type PlainCell = PlainColumn

/** Behind the line that ends at `at`, or -1 where none does; blank lines are no rows. */
function lineEnd(bytes: Uint8Array, start: number, at: number): number {
  const end = bytes[at] === carriageReturn ? at + 1 : at
  return bytes[end] === newline && at > start ? end + 1 : -1
}

/** Reads rows of plain numbers. */
export class PlainScanner {
  private readonly cells: readonly PlainCell[]
  private readonly numbers: NumberReader
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
    this.numbers = new NumberReader(single)
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
    const { numbers } = this
    const { slot, index, width, low, high, nullable } = this.cells[cell] as PlainCell
    const isLast = cell === this.cells.length - 1
    if (slot < 0) this.skip(bytes, from)
    else {
      let value = numbers.read(bytes, from)
      this.end = numbers.end
      if (!(value >= low && value <= high)) {
        if (!nullable || this.end !== from) return false
        value = Number.NaN
      }
      ;(this.tensors[slot] as Float32Array)[row * width + index] = value
    }
    return isLast || bytes[this.end] === comma
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
