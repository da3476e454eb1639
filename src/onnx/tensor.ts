// Element types that ONNX Runtime's binding can carry, and tensors made of them.

export type NumericArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array

export type TensorData = NumericArray | string[]

interface ElementInfo {
  /** Number in ONNX's TensorProto.DataType. */
  code: number
  kind: 'float' | 'int' | 'wide' | 'bool' | 'string'
  bytes: number
  min: number | bigint
  max: number | bigint
}

const half = 65504
const single = 3.4028234663852886e38
const double = Number.MAX_VALUE

/** float16 travels as its bits in a Uint16Array, bool as 0 and 1 in a Uint8Array. */
export const elements = {
  float32: { code: 1, kind: 'float', bytes: 4, min: -single, max: single },
  uint8: { code: 2, kind: 'int', bytes: 1, min: 0, max: 255 },
  int8: { code: 3, kind: 'int', bytes: 1, min: -128, max: 127 },
  uint16: { code: 4, kind: 'int', bytes: 2, min: 0, max: 65535 },
  int16: { code: 5, kind: 'int', bytes: 2, min: -32768, max: 32767 },
  int32: { code: 6, kind: 'int', bytes: 4, min: -(2 ** 31), max: 2 ** 31 - 1 },
  int64: { code: 7, kind: 'wide', bytes: 8, min: -(2n ** 63n), max: 2n ** 63n - 1n },
  string: { code: 8, kind: 'string', bytes: 0, min: 0, max: 0 },
  bool: { code: 9, kind: 'bool', bytes: 1, min: 0, max: 1 },
  float16: { code: 10, kind: 'float', bytes: 2, min: -half, max: half },
  float64: { code: 11, kind: 'float', bytes: 8, min: -double, max: double },
  uint32: { code: 12, kind: 'int', bytes: 4, min: 0, max: 2 ** 32 - 1 },
  uint64: { code: 13, kind: 'wide', bytes: 8, min: 0n, max: 2n ** 64n - 1n },
} as const satisfies Record<string, ElementInfo>

export type ElementType = keyof typeof elements

export const elementTypes = Object.keys(elements) as ElementType[]

const byCode = new Map<number, ElementType>(elementTypes.map((type) => [elements[type].code, type]))

export const elementOf = (code: number): ElementType | undefined => byCode.get(code)

export interface Tensor {
  name: string
  type: ElementType
  dims: number[]
  data: TensorData
}

/** bool and float16 share the arrays of their raw forms. Typed alike: only `type` tells them apart. */
const arrays = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
} as unknown as Record<Exclude<ElementType, 'string'>, Float32ArrayConstructor>

/** A zeroed array for `count` elements. */
export function allocate(type: ElementType, count: number): TensorData {
  if (type === 'string') return Array.from<string>({ length: count }).fill('')
  return new arrays[type](count)
}

/** The same values in an array with room for `count`. */
export function grown({ type, data }: Pick<Tensor, 'type' | 'data'>, count: number): TensorData {
  const larger = allocate(type, count)
  if (type === 'string') for (const [at, text] of (data as string[]).entries()) larger[at] = text
  else (larger as Float32Array).set(data as Float32Array)
  return larger
}

/** An array over a part of a buffer; `at` must be a multiple of the element's size. */
export function viewOf(
  type: Exclude<ElementType, 'string'>,
  buffer: ArrayBufferLike,
  at: number,
  count: number,
): Float32Array {
  return new arrays[type](buffer as ArrayBuffer, at, count)
}

const halfView = new Float16Array(1)
const halfBits = new Uint16Array(halfView.buffer)

/** The bits of the nearest float16. */
export function toHalf(value: number): number {
  halfView[0] = value
  return halfBits[0] as number
}

/** The number that float16 bits stand for. */
export function fromHalf(bits: number): number {
  halfBits[0] = bits
  return halfView[0] as number
}

/** Stores a number, bigint, boolean or string that already fits the type. */
export function store(tensor: Pick<Tensor, 'type' | 'data'>, at: number, value: unknown): void {
  const { type, data } = tensor
  if (type === 'float16') (data as Uint16Array)[at] = toHalf(value as number)
  else if (type === 'bool') (data as Uint8Array)[at] = value === true ? 1 : 0
  else if (elements[type].kind === 'wide') {
    ;(data as BigInt64Array)[at] = typeof value === 'bigint' ? value : BigInt(value as number)
  } else (data as unknown[])[at] = value
}

/** The element as a number, bigint, boolean or string. */
export function element(tensor: Pick<Tensor, 'type' | 'data'>, at: number): unknown {
  const raw = tensor.data[at]
  if (tensor.type === 'float16') return fromHalf(raw as number)
  return tensor.type === 'bool' ? raw === 1 : raw
}

export const countOf = (dims: readonly number[]): number => dims.reduce((n, dim) => n * dim, 1)

/** |a−b| ≤ 1e-5·max(1,|b|) for numbers, equality for the rest (RULES §34). */
export function agree(a: unknown, b: unknown): boolean {
  if (typeof a !== 'number' || typeof b !== 'number') return a === b
  if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) && Number.isNaN(b)
  return a === b || Math.abs(a - b) <= 1e-5 * Math.max(1, Math.abs(b))
}
