// Text of results as bytes, with floats in the fewest digits that give the same float32 back.

const powers = Array.from({ length: 39 }, (_, n) => Number(`1e${n}`))
const tenths = [0.1, 0.01, 0.001, 0.0001, 0.00001]
const encoder = new TextEncoder()
const [minus, point, zero] = [45, 46, 48]
const longestNumber = 40
const cacheBits = 13
/** The longest text of a float32 has 15. */
const cachedBytes = 16
const one = new Float32Array(1)
const word = new Uint32Array(one.buffer)

/** The shortest text that a float32 is read back from, as JSON writes numbers. */
function shortest(value: number): string {
  for (let digits = 6; digits < 9; digits += 1) {
    const text = value.toPrecision(digits)
    if (Math.fround(Number(text)) === value) return String(Number(text))
  }
  return String(Number(value.toPrecision(9)))
}

/** Zeros between the point and the first digit of a number below 1. */
function zerosOf(size: number): number {
  let zeros = 0
  while (size < (tenths[zeros] as number)) zeros += 1
  return zeros
}

/** Bytes that grow while they are written. */
export class Sink {
  private bytes = new Uint8Array(1 << 16)
  length = 0
  private readonly cachedBits = new Uint32Array(1 << cacheBits)
  private readonly cachedLength = new Uint8Array(1 << cacheBits)
  private readonly cached = new Uint8Array(cachedBytes << cacheBits)

  byte(byte: number): void {
    this.room(1)
    this.bytes[this.length] = byte
    this.length += 1
  }

  text(text: string): void {
    this.room(text.length * 3)
    const { bytes, length } = this
    if (text.length > 16) {
      this.length += encoder.encodeInto(text, bytes.subarray(length)).written
      return
    }
    // Short texts are mostly ASCII, where a loop beats the encoder.
    for (let at = 0; at < text.length; at += 1) {
      const code = text.charCodeAt(at)
      if (code > 127) {
        this.length += encoder.encodeInto(text, bytes.subarray(length)).written
        return
      }
      bytes[length + at] = code
    }
    this.length += text.length
  }

  add(more: Uint8Array): void {
    this.room(more.length)
    this.bytes.set(more, this.length)
    this.length += more.length
  }

  /** A whole number of at most 32 bits with its sign. */
  int(value: number): void {
    if (value === -2147483648) {
      this.text('-2147483648')
      return
    }
    this.room(longestNumber)
    let rest = value
    if (rest < 0) {
      this.bytes[this.length] = minus
      this.length += 1
      rest = -rest
    }
    let digits = 1
    while (digits < 10 && rest >= (powers[digits] as number)) digits += 1
    this.digits(rest, digits)
  }

  /** A finite float32. Scores repeat, those of trees more than others: texts are kept for a while. */
  single(value: number): void {
    one[0] = value
    const bits = word[0] as number
    const place = Math.imul(bits, 0x9e3779b1) >>> (32 - cacheBits)
    const start = place * cachedBytes
    if (this.cachedBits[place] !== bits || this.cachedLength[place] === 0) {
      const from = this.length
      this.format(value)
      const length = this.length - from
      if (length > cachedBytes) return
      this.cachedBits[place] = bits
      this.cachedLength[place] = length
      for (let at = 0; at < length; at += 1)
        this.cached[start + at] = this.bytes[from + at] as number
      return
    }
    this.room(cachedBytes)
    const length = this.cachedLength[place] as number
    const { bytes, cached, length: to } = this
    for (let at = 0; at < length; at += 1) bytes[to + at] = cached[start + at] as number
    this.length += length
  }

  private format(value: number): void {
    const size = Math.abs(value)
    if (Number.isInteger(value) && size < 1e9 && !Object.is(value, -0)) this.int(value)
    else if (size >= 1e-5 && size < 1) this.fraction(value, size)
    else this.text(shortest(value))
  }

  /** What was written, as a copy; the sink is empty afterwards. */
  take(): Uint8Array {
    const taken = this.bytes.slice(0, this.length)
    this.length = 0
    return taken
  }

  /**
   * Between 1e-5 and 1, where most scores lie: of the decimals with 6 digits and more, the first that
   * is nearest to the same float32. Formatting with toPrecision takes ten times as long.
   */
  private fraction(value: number, size: number): void {
    const zeros = zerosOf(size)
    for (let digits = 6; digits <= 9; digits += 1) {
      const places = zeros + digits
      const scale = powers[places] as number
      let scaled = Math.round(size * scale)
      if (digits < 9 && Math.fround(scaled / scale) !== size) continue
      let length = digits
      if (scaled >= (powers[digits] as number)) break
      while (length > 1 && scaled % 10 === 0) {
        scaled /= 10
        length -= 1
      }
      this.room(longestNumber)
      const { bytes } = this
      if (value < 0) bytes[this.length++] = minus
      bytes[this.length++] = zero
      bytes[this.length++] = point
      for (let at = 0; at < zeros; at += 1) bytes[this.length++] = zero
      this.digits(scaled, length)
      return
    }
    this.text(shortest(value))
  }

  private digits(value: number, count: number): void {
    const { bytes, length } = this
    let rest = value | 0
    for (let at = length + count - 1; at >= length; at -= 1) {
      // Whole division of an int32, which is what this holds.
      const next = (rest / 10) | 0
      bytes[at] = (zero + rest - Math.imul(next, 10)) | 0
      rest = next
    }
    this.length += count
  }

  private room(more: number): void {
    if (this.length + more <= this.bytes.length) return
    const grown = new Uint8Array(2 * (this.length + more))
    grown.set(this.bytes.subarray(0, this.length))
    this.bytes = grown
  }
}
