// Nested JSON lists to tensors, and shapes compared with what a model takes.
import { checkString, checkType, type Flaws, type Verdict } from './check.ts'
import type { Dim } from './model.ts'
import { elements, type ElementType, store, type Tensor } from './tensor.ts'

/** More dimensions than any model has. */
export const mostDims = 16

/** A bigint that goes into a float input, a boolean likewise: the schema allowed it. */
export function floatFor(type: ElementType, value: unknown): unknown {
  return elements[type].kind === 'float' ? Number(value) : value
}

/** Sizes along the first element of each level; `raggedAt` finds lists of other lengths. */
export function shapeOf(value: unknown): number[] {
  const dims: number[] = []
  let inner = value
  while (Array.isArray(inner) && dims.length < mostDims) {
    dims.push(inner.length)
    inner = inner[0]
  }
  return dims
}

/**
 * Pointer of the first list whose length is not its dimension's, or null. Asked before memory is
 * taken: what is short of most of its lists may claim to be a tensor of any size.
 */
export function raggedAt(
  value: unknown,
  dims: readonly number[],
  pointer: string,
  level = 0,
): string | null {
  if (level === dims.length) return null
  if (!Array.isArray(value) || value.length !== dims[level]) return pointer
  // What the innermost lists hold is looked at while filling.
  if (level === dims.length - 1) return null
  for (let at = 0; at < value.length; at += 1) {
    const wrong = raggedAt(value[at], dims, `${pointer}/${at}`, level + 1)
    if (wrong !== null) return wrong
  }
  return null
}

/** Names that are free dimensions must agree within a request. Returns what does not fit, or null. */
export function shapeFlaw(
  dims: readonly number[],
  shape: readonly Dim[] | null,
  free: Map<string, number>,
): string | null {
  if (shape === null) return null
  const wanted = `[${shape.map((dim) => (typeof dim === 'number' ? dim : dim || '?')).join(', ')}]`
  if (dims.length !== shape.length) return `expected shape ${wanted}, got ${JSON.stringify(dims)}`
  for (const [at, dim] of shape.entries()) {
    const size = dims[at] as number
    const expected = typeof dim === 'number' ? dim : dim === '' ? size : (free.get(dim) ?? size)
    if (size !== expected) return `expected shape ${wanted}, got ${JSON.stringify(dims)}`
    if (typeof dim === 'string' && dim !== '') free.set(dim, size)
  }
  return null
}

export interface Filling {
  pointer: string
  flaws: Flaws
  /** Places within rows of `width` where null stands for NaN; absent: everywhere. */
  nulls: { places: ReadonlySet<number>; width: number } | null
}

/** Checks and stores one element of a tensor; returns what is wrong with it. */
function putElement(tensor: Tensor, at: number, value: unknown, nulls: Filling['nulls']): Verdict {
  if (value === null && elements[tensor.type].kind === 'float') {
    const refused = nulls !== null && !nulls.places.has(at % nulls.width)
    if (refused) return { code: 'null', message: 'must not be null' }
    store(tensor, at, Number.NaN)
    return null
  }
  if (value === null) return { code: 'null', message: 'must not be null' }
  const verdict = checkType(tensor.type, value) ?? checkString(tensor.type, value)
  if (!verdict) store(tensor, at, floatFor(tensor.type, value))
  return verdict
}

/** Stores nested lists that are not ragged, or the bare value of a scalar. */
export function fill(tensor: Tensor, value: unknown, filling: Filling): void {
  const { flaws, nulls } = filling
  let at = 0
  const level = (inner: unknown, depth: number, pointer: string): void => {
    if (depth === tensor.dims.length) {
      const verdict = putElement(tensor, at, inner, nulls)
      if (verdict) flaws.add(pointer, verdict)
      at += 1
      return
    }
    const list = inner as unknown[]
    for (let index = 0; index < list.length && !flaws.full; index += 1) {
      level(list[index], depth + 1, `${pointer}/${index}`)
    }
  }
  level(value, 0, filling.pointer)
}
