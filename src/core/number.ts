// Numbers from text without rounding integers: a double holds none beyond 2^53 exactly.

const longestNumber = 64
const notation = /^([+-]?\d*)\.?(\d*)(?:e([+-]?\d+))?$/i

/** The integer that a number's text stands for, or undefined when it has a fraction. */
function integerOf(source: string): bigint | undefined {
  const [, whole = '', fraction = '', exponent = '0'] = notation.exec(source) ?? []
  const digits = BigInt(whole + fraction)
  const power = Number(exponent) - fraction.length
  if (power >= 0) return digits * 10n ** BigInt(power)
  const unit = 10n ** BigInt(-power)
  return digits % unit === 0n ? digits / unit : undefined
}

/**
 * A number that was read from `source`, a decimal: as a bigint where it is an integer that a double
 * cannot hold exactly, NaN where its text is too long to find out.
 */
export function exactNumber(value: number, source: string): number | bigint {
  if (Number.isSafeInteger(value)) return value
  // Fractions stay numbers, and so does what is beyond every integer type.
  if (Math.abs(value) < Number.MAX_SAFE_INTEGER || Math.abs(value) > 1e20) return value
  // No integer type needs as many digits; converting a megabyte of them would block the server.
  if (source.length > longestNumber) return Number.NaN
  return integerOf(source) ?? value
}
