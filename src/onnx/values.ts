// Values of whole tensors against ranges and sets of columns, and against their type's own limits.
import { checkColumn, checkType, escapePointer, type Flaws, type Verdict } from './check.ts'
import type { Slot } from './model.ts'
import type { Column } from './signature.ts'
import { element, elements, type ElementType, type Tensor, type TensorData } from './tensor.ts'

/** A column whose limits are rounded as the tensor's elements are. */
export interface ColumnOfTensor {
  column: Column
  pointer: string
}

/** One way through an array: which elements, and which of them are worth a closer look. */
interface Pass {
  start: number
  stride: number
  /** `numbers`: outside the limits. `halves`: bits that are no finite number. `all`: each of them. */
  look: 'numbers' | 'halves' | 'all'
  low: number
  high: number
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

/** Does every value that the array can hold pass? */
function isIdle(type: ElementType, { look, low, high }: Pass): boolean {
  const [least, most] = limitsOf(type)
  return elements[type].kind === 'int' && look === 'numbers' && low === least && high === most
}

/** How the elements of one column, or of a whole input without columns, are looked at; or not at all. */
function passOf(type: ElementType, stride: number, column?: Column): Pass | null {
  const place = { start: column?.index ?? 0, stride, low: 0, high: 0 }
  if (column && !isOpen(type, column) && !isPlain(type, column)) return { ...place, look: 'all' }
  if (type === 'float16') return { ...place, look: 'halves' }
  const { kind } = elements[type]
  if (kind === 'wide' || kind === 'string') return null
  const [low, high] = limitsOf(type, column)
  const pass: Pass = { ...place, look: 'numbers', low, high }
  return isIdle(type, pass) ? null : pass
}

/** One pass per column, or a single one where all columns are alike. */
function passesOf(type: ElementType, columns: readonly ColumnOfTensor[]): Pass[] {
  if (columns.length === 0) return [passOf(type, 1) ?? []].flat()
  const passes = columns.flatMap(({ column }) => passOf(type, columns.length, column) ?? [])
  const [first] = passes
  const isUniform = passes.every(
    ({ look, low, high }) => look === first?.look && low === first.low && high === first.high,
  )
  const isWhole = first && isUniform && passes.length === columns.length
  return isWhole ? [{ ...first, start: 0, stride: 1 }] : passes
}

/** Index of the next element worth a look, at or behind `from`; or -1. Column by column: fastest. */
function nextOf({ look, stride, low, high }: Pass, data: TensorData, from: number): number {
  const { length } = data
  if (look === 'all') return from < length ? from : -1
  if (look === 'halves') {
    for (let at = from; at < length; at += stride) {
      if (((data[at] as number) & 0x7c00) === 0x7c00) return at
    }
    return -1
  }
  for (let at = from; at < length; at += stride) {
    const value = data[at] as number
    // Written so that NaN is outside, too.
    if (!(value >= low && value <= high)) return at
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
  private readonly passes: readonly Pass[]

  /** `columns`: those over this input; none for inputs that are no table. */
  constructor(slot: Slot, columns: readonly ColumnOfTensor[]) {
    this.slot = slot
    this.width = Math.max(1, columns.length)
    const byPlace: ColumnOfTensor[] = []
    for (const one of columns) byPlace[one.column.index] = one
    this.byPlace = byPlace
    this.passes = passesOf(slot.type, columns)
  }

  /** Adds every value that does not fit, until the list is full. */
  check(tensor: Tensor, flaws: Flaws): void {
    for (const pass of this.passes) {
      const { start, stride } = pass
      let at = nextOf(pass, tensor.data, start)
      while (at >= 0 && !flaws.full) {
        this.judge(tensor, at, flaws)
        at = nextOf(pass, tensor.data, at + stride)
      }
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
