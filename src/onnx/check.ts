// One value against a type or a column, and the list of what is wrong.
import { Fault, type Flaw } from '../core/fault.ts'
import type { Column } from './signature.ts'
import { elements, type ElementType } from './tensor.ts'

/** So many faults are listed; nothing needs to look for more. */
export const mostFlaws = 50

/** Escapes a name for use in a JSON pointer (RFC 6901). */
export const escapePointer = (name: string): string =>
  name.replaceAll('~', '~0').replaceAll('/', '~1')

/** What is wrong with one value, before its place is known. */
export type Verdict = { code: string; message: string } | null

export class Flaws {
  readonly list: Flaw[] = []
  add(pointer: string, verdict: { code: string; message: string }): void {
    if (this.list.length < mostFlaws) this.list.push({ pointer, ...verdict })
  }
  get full(): boolean {
    return this.list.length >= mostFlaws
  }
  demandNone(): void {
    if (this.list.length === 0) return
    const { length } = this.list
    const count = this.full ? `${mostFlaws} or more places do` : `${length} places do`
    const what = length === 1 ? '1 place does' : count
    throw new Fault('input.invalid', `${what} not fit; see errors.`, {
      errors: this.list,
    })
  }
}

const wrongType = (type: ElementType, message: string): Verdict => ({
  code: 'type',
  message: `expected ${type}: ${message}`,
})

function checkNumber(type: ElementType, value: number): Verdict {
  const { kind, min, max } = elements[type]
  if (!Number.isFinite(value)) return { code: 'finite', message: 'must be a finite number' }
  if (kind !== 'float' && !Number.isInteger(value)) return wrongType(type, 'an integer')
  return value >= min && value <= max ? null : { code: 'range', message: `does not fit ${type}` }
}

/** §23: integers pass for floats; nothing else is turned into anything. */
export function checkType(type: ElementType, value: unknown): Verdict {
  const { kind, min, max } = elements[type]
  if (kind === 'string') return typeof value === 'string' ? null : wrongType(type, 'a string')
  if (kind === 'bool') return typeof value === 'boolean' ? null : wrongType(type, 'true or false')
  if (typeof value === 'number') return checkNumber(type, value)
  if (typeof value !== 'bigint') {
    return wrongType(type, kind === 'float' ? 'a number' : 'an integer')
  }
  return value >= min && value <= max ? null : { code: 'range', message: `does not fit ${type}` }
}

export function checkString(type: ElementType, value: unknown): Verdict {
  if (type !== 'string' || typeof value !== 'string') return null
  // ONNX Runtime's binding would cut the text at the NUL without a word.
  if (value.includes('\0')) return { code: 'string', message: 'must not contain NUL' }
  return value.isWellFormed() ? null : { code: 'string', message: 'holds half a character' }
}

export function checkColumn(column: Column, value: unknown): Verdict {
  const typed = checkType(column.type, value) ?? checkString(column.type, value)
  if (typed) return typed
  const { min, max, allowed } = column
  const number = Number(value)
  if (min !== undefined && number < min) return { code: 'min', message: `must be at least ${min}` }
  if (max !== undefined && number > max) return { code: 'max', message: `must be at most ${max}` }
  // Elements of 64-bit tensors come as bigints, schemas hold numbers.
  const same = typeof value === 'bigint' && Number.isSafeInteger(number) ? number : value
  if (allowed && !allowed.includes(same as string)) {
    return { code: 'allowed', message: `must be one of ${allowed.slice(0, 20).join(', ')}` }
  }
  return null
}
