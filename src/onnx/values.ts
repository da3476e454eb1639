// Values of whole tensors against ranges and sets of columns, and against their type's own limits.
import { checkColumn, checkType, escapePointer, type Flaws, type Verdict } from './check.ts'
import type { Slot } from './model.ts'
import type { Column } from './signature.ts'
import { element, elements, type ElementType, type Tensor } from './tensor.ts'

/** A column whose limits are rounded as the tensor's elements are. */
export interface ColumnOfTensor {
  column: Column
  pointer: string
}

/** Limits per place within a row, for one pass over an array; `width` 1 where all are alike. */
interface Sieve {
  width: number
  low: Float64Array
  high: Float64Array
}

/** Numbers that a column or an element type lets pass. */
function limitsOf(type: ElementType, column?: Column): [low: number, high: number] {
  const { min, max } = elements[column?.type ?? type]
  return [
    Math.max(Number(min), column?.min ?? Number.NEGATIVE_INFINITY),
    Math.min(Number(max), column?.max ?? Number.POSITIVE_INFINITY),
  ]
}

/** Can two comparisons decide about its elements? Halves are bits, 64-bit integers no doubles. */
function isPlain(type: ElementType, column: Column): boolean {
  const { kind } = elements[column.type]
  const alike = kind === elements[type].kind && kind !== 'wide' && kind !== 'string'
  return alike && type !== 'float16' && column.allowed === undefined
}

/** May anything that the type holds be refused by the column? */
function isOpen(type: ElementType, { type: own, min, max, allowed }: Column): boolean {
  const bounded = min !== undefined || max !== undefined || allowed !== undefined
  return own === type && !bounded
}

/** The limits of a slot's numbers, or null where every value of the array's type passes. */
function sieveOf(type: ElementType, columns: readonly ColumnOfTensor[]): Sieve | null {
  const { kind } = elements[type]
  if (kind === 'wide' || kind === 'string' || type === 'float16') return null
  const limits = columns.length === 0 ? [limitsOf(type)] : []
  for (const { column } of columns) {
    // What comparisons cannot decide passes here and is looked at one by one.
    limits[column.index] = isPlain(type, column) ? limitsOf(type, column) : limitsOf(type)
  }
  const [first] = limits
  const isUniform = limits.every(([low, high]) => low === first?.[0] && high === first[1])
  const isInteger = kind === 'int' && isUniform
  const [low, high] = limitsOf(type)
  if (isInteger && first?.[0] === low && first[1] === high) return null
  const kept = isUniform ? limits.slice(0, 1) : limits
  return {
    width: kept.length,
    low: Float64Array.from(kept, (one) => one[0]),
    high: Float64Array.from(kept, (one) => one[1]),
  }
}

/** Index of the first element at or behind `from` outside its limits (NaN always is), or -1. */
function firstOutside(data: ArrayLike<number>, from: number, sieve: Sieve): number {
  const { width, low, high } = sieve
  const { length } = data
  if (width === 1) {
    const [least, most] = [low[0] as number, high[0] as number]
    for (let at = from; at < length; at += 1) {
      const value = data[at] as number
      if (!(value >= least && value <= most)) return at
    }
    return -1
  }
  let place = from % width
  for (let at = from; at < length; at += 1) {
    const value = data[at] as number
    if (!(value >= (low[place] as number) && value <= (high[place] as number))) return at
    place += 1
    if (place === width) place = 0
  }
  return -1
}

/** Index of the first float16 at or behind `from` that is no finite number, or -1. */
function firstWildHalf(bits: ArrayLike<number>, from: number): number {
  for (let at = from; at < bits.length; at += 1) {
    if (((bits[at] as number) & 0x7c00) === 0x7c00) return at
  }
  return -1
}

/** A boolean column over another input holds 0 and 1 there. */
function truthOf(value: unknown): unknown {
  return value === 0 || value === 1 ? value === 1 : value
}

/** Checks the values of one input. Compiled once per version. */
export class ValueCheck {
  private readonly slot: Slot
  private readonly width: number
  private readonly byPlace: readonly (ColumnOfTensor | undefined)[]
  private readonly sieve: Sieve | null
  /** Columns about which the sieve cannot decide. */
  private readonly others: readonly ColumnOfTensor[]

  /** `columns`: those over this input; none for inputs that are no table. */
  constructor(slot: Slot, columns: readonly ColumnOfTensor[]) {
    this.slot = slot
    this.width = Math.max(1, columns.length)
    const byPlace: ColumnOfTensor[] = []
    for (const one of columns) byPlace[one.column.index] = one
    this.byPlace = byPlace
    this.sieve = sieveOf(slot.type, columns)
    this.others = columns.filter(
      ({ column }) => !isPlain(slot.type, column) && !isOpen(slot.type, column),
    )
  }

  /** Adds every value that does not fit, until the list is full. */
  check(tensor: Tensor, flaws: Flaws): void {
    if (tensor.type === 'float16') {
      this.each(tensor, flaws, (from) => firstWildHalf(tensor.data as Uint16Array, from))
    } else if (this.sieve) {
      const { sieve } = this
      this.each(tensor, flaws, (from) => firstOutside(tensor.data as Float32Array, from, sieve))
    }
    for (const { column } of this.others) {
      for (let at = column.index; at < tensor.data.length && !flaws.full; at += this.width) {
        this.judge(tensor, at, flaws)
      }
    }
  }

  private each(tensor: Tensor, flaws: Flaws, next: (from: number) => number): void {
    for (let at = next(0); at >= 0 && !flaws.full; at = next(at + 1)) {
      // The rest of the columns has its turn later.
      const one = this.byPlace[at % this.width]
      if (!one || !this.others.includes(one)) this.judge(tensor, at, flaws)
    }
  }

  private judge(tensor: Tensor, at: number, flaws: Flaws): void {
    const verdict = this.verdictOf(tensor, at)
    if (verdict) flaws.add(this.pointerOf(tensor, at), verdict)
  }

  private verdictOf(tensor: Tensor, at: number): Verdict {
    const value = element(tensor, at)
    if (tensor.type === 'bool' && (tensor.data[at] as number) > 1) {
      return { code: 'type', message: 'expected bool: a byte of 0 or 1' }
    }
    const column = this.byPlace[at % this.width]?.column
    if (!column) return checkType(tensor.type, value)
    if (column.nullable && Number.isNaN(value)) return null
    return checkColumn(column, column.type === 'bool' ? truthOf(value) : value)
  }

  /** Row and column of a table, else the place in each dimension. */
  private pointerOf({ dims }: Tensor, at: number): string {
    const base = `/inputs/${escapePointer(this.slot.name)}`
    const one = this.byPlace[at % this.width]
    if (one) return `${base}/${Math.floor(at / this.width)}/${one.pointer}`
    let rest = at
    const places: number[] = []
    for (const dim of dims.toReversed()) {
      places.unshift(rest % dim)
      rest = Math.floor(rest / dim)
    }
    return [base, ...places].join('/')
  }
}
