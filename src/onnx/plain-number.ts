// Decimal numbers straight from bytes, without a string for each: most of reading a table is this.

/** Powers of ten that a double holds exactly: a quotient or product with one is rounded only once. */
export const powers = Float64Array.from({ length: 23 }, (_, n) => Number(`1e${n}`))
const largestPower = 22
/** Decimal digits that a double holds. */
const exactDigits = 15
const [minus, plus, upperE, lowerE] = [45, 43, 69, 101]

const bits = new Float64Array(1)
const words = new Uint32Array(bits.buffer)

/** True when doubles a few units away from a value may have another float32 as their nearest. */
function isBetweenSingles(value: number): boolean {
  bits[0] = value
  return Math.abs(((words[0] as number) & 0x1fffffff) - 0x10000000) < 64
}

const exactly = (bytes: Uint8Array, from: number, to: number): number =>
  Number(Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString('latin1'))

/**
 * Reads a number as `Number` would, after Clinger's fast path (How to read floating point numbers
 * accurately, 1990): up to 15 digits and a power of ten up to 22 need one rounding.
 */
export class NumberReader {
  /** Behind what was read last. */
  end = 0
  private readonly single: boolean

  /** `single`: float32 is wanted, so digits far beyond its precision need not be read. */
  constructor(single: boolean) {
    this.single = single
  }

  /**
   * The number at `from`, NaN when there is none; then `end` is `from`. Some byte that is no part of a
   * number must follow, for no loop here looks for the end of the bytes.
   */
  read(bytes: Uint8Array, from: number): number {
    const negative = bytes[from] === minus
    const first = negative ? from + 1 : from
    let at = first
    let point = -1
    let mantissa = 0
    let digits = 0
    for (; ; at += 1) {
      // One subtraction tells digits (0 to 9) and a point (-2) from all else.
      const digit = (bytes[at] as number) - 48
      if (digit >>> 0 < 10) {
        if (digits < exactDigits) mantissa = mantissa * 10 + digit
        if (mantissa > 0) digits += 1
      } else if (digit === -2 && point < 0) point = at
      else break
    }
    this.end = at
    const points = point < 0 ? 0 : 1
    if (at - first <= points) return this.none(from)
    const cut = Math.max(0, digits - exactDigits)
    const power = cut - points * (at - point - 1) + this.exponent(bytes)
    const value = this.scaled(mantissa, power, cut > 0)
    if (Number.isNaN(value)) return exactly(bytes, from, this.end)
    return negative ? -value : value
  }

  private none(from: number): number {
    this.end = from
    return Number.NaN
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
    if (bytes[at] !== lowerE && bytes[at] !== upperE) return 0
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
}
