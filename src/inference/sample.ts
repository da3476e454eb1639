// Made-up inputs that fit a model, for its trial and warm-up.
import type { Dim, Signature, Slot } from '../onnx/model.ts'
import type { Column, FeatureSchema } from '../onnx/signature.ts'
import { allocate, countOf, elements, store, type Tensor } from '../onnx/tensor.ts'

/** A small deterministic generator (mulberry32): uniform in [0, 1). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

/** Sizes to try for free dimensions other than the first; models rarely say what they need. */
export const freeSizes = [1, 16, 64, 224, 512] as const

function valueFor(type: Slot['type'], random: () => number): unknown {
  switch (elements[type].kind) {
    case 'string':
      return `s${Math.floor(random() * 10)}`
    case 'bool':
      return random() < 0.5
    case 'float':
      return random() * 2 - 1
    // From 1, because zero often means "divide by it" or "do nothing".
    case 'int':
    case 'wide':
      return 1 + Math.floor(random() * 9)
  }
}

function columnValue(column: Column, type: Slot['type'], random: () => number): unknown {
  const { allowed, min, max } = column
  if (allowed && allowed.length > 0) return allowed[Math.floor(random() * allowed.length)]
  if (min === undefined && max === undefined) return column.example ?? valueFor(type, random)
  const low = min ?? (max as number) - 1
  const value = low + random() * ((max ?? low + 1) - low)
  return elements[column.type].kind === 'float' ? value : Math.round(value)
}

function sizeOf(dim: Dim, axis: number, rows: number, free: number): number {
  if (typeof dim === 'number') return dim
  return axis === 0 ? rows : free
}

/** Elements of one row of all inputs together. */
export function sampleSize(signature: Signature, free: number): number {
  const sizes = signature.inputs.map(({ shape }) =>
    countOf((shape ?? [1]).map((dim, axis) => sizeOf(dim, axis, 1, free))),
  )
  return sizes.reduce((sum, size) => sum + size, 0)
}

/** Tensors of `rows` rows. `free` is the size of every other free dimension. */
export function sampleTensors(
  model: { signature: Signature; schema: FeatureSchema },
  rows: number,
  free: number,
  random: () => number,
): Tensor[] {
  const tensors = model.signature.inputs.map((slot): Tensor => {
    const dims = (slot.shape ?? [rows]).map((dim, axis) => sizeOf(dim, axis, rows, free))
    const tensor = {
      name: slot.name,
      type: slot.type,
      dims,
      data: allocate(slot.type, countOf(dims)),
    }
    const count = tensor.data.length
    for (let at = 0; at < count; at += 1) store(tensor, at, valueFor(slot.type, random))
    return tensor
  })
  for (const column of model.schema.columns) {
    const tensor = tensors.find((candidate) => candidate.name === column.input)
    if (!tensor) continue
    const width = tensor.dims[1] ?? 1
    for (let row = 0; row < rows; row += 1) {
      const value = columnValue(column, tensor.type, random)
      const fitting = elements[tensor.type].kind === 'float' ? Number(value) : value
      store(tensor, row * width + column.index, fitting)
    }
  }
  return tensors
}

/** Rows `from` to `to` of tensors whose first dimension is rows. */
export function sliceRows<T extends Omit<Tensor, 'name'>>(
  tensors: readonly T[],
  from: number,
  to: number,
): T[] {
  return tensors.map((tensor) => {
    const rows = tensor.dims[0] ?? 1
    const width = rows === 0 ? 0 : tensor.data.length / rows
    const data = (tensor.data as Float32Array).slice(from * width, to * width)
    return { ...tensor, dims: [to - from, ...tensor.dims.slice(1)], data }
  })
}
