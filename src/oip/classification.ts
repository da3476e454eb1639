// The classification extension: the best classes of an output in place of its numbers.
// https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_classification.md
import type { Part } from '../inference/answer.ts'
import type { Slot } from '../onnx/model.ts'
import { elements, fromHalf, type NumericArray } from '../onnx/tensor.ts'

type Numbers = ArrayLike<number | bigint>

/** Largest first; of equal ones the first; what is no number comes last. */
function isBefore(values: Numbers, a: number, b: number): boolean {
  const [one = 0, other = 0] = [values[a], values[b]]
  if (one > other) return true
  if (one < other) return false
  const [aWild, bWild] = [Number.isNaN(one), Number.isNaN(other)]
  return aWild === bWild ? a < b : bWild
}

/** Lets the index at a place of the heap sink until none below it ranks behind it. */
function sink(heap: Uint32Array, values: Numbers, place: number): void {
  const at = (where: number): number => heap[where] ?? 0
  for (let top = place; ;) {
    const [left, right] = [2 * top + 1, 2 * top + 2]
    if (left >= heap.length) return
    const last = right < heap.length && isBefore(values, at(left), at(right)) ? right : left
    if (isBefore(values, at(last), at(top))) return
    ;[heap[top], heap[last]] = [at(last), at(top)]
    top = last
  }
}

/**
 * Indexes of the `count` best values of a row, best first. They are kept in a heap with the last of
 * them on top, so a long row costs one pass and no memory of its own.
 */
function best(values: Numbers, from: number, width: number, count: number): Uint32Array {
  const heap = Uint32Array.from({ length: count }, (_, at) => from + at)
  for (let place = (count >> 1) - 1; place >= 0; place -= 1) sink(heap, values, place)
  for (let at = from + count; at < from + width; at += 1) {
    if (!isBefore(values, at, heap[0] ?? 0)) continue
    heap[0] = at
    sink(heap, values, 0)
  }
  return heap.sort((a, b) => (isBefore(values, a, b) ? -1 : 1))
}

/** As C's `%f` writes it, which is what clients of the protocol expect. */
const written = (value: number | bigint, isFloat: boolean): string =>
  isFloat ? (value as number).toFixed(6) : String(value)

/** The values at their places in the tensor; halves as the numbers that their bits stand for. */
function numbersOf({ type, data, from, to }: Part): Numbers {
  if (type !== 'float16') return data as NumericArray as Numbers
  const numbers = new Float32Array(to)
  for (let at = from; at < to; at += 1) numbers[at] = fromHalf(data[at] as number)
  return numbers
}

/**
 * The `most` best classes of each row as `value:index[:label]`, shape [rows, k], or [k] where the
 * output has no free first dimension.
 */
export function classify(
  part: Part,
  most: number,
  { slot, labels }: { slot: Slot; labels: readonly (string | number)[] | undefined },
): Part {
  const { type, dims, from, to } = part
  const inRows = typeof slot.shape?.[0] === 'string'
  const rows = inRows ? (dims[0] ?? 1) : 1
  const width = rows === 0 ? 0 : (to - from) / rows
  const count = Math.min(most, width)
  const isFloat = elements[type].kind === 'float'
  const values = numbersOf(part)
  const texts: string[] = []
  for (let row = 0; row < rows; row += 1) {
    const start = from + row * width
    for (const at of best(values, start, width, count)) {
      const index = at - start
      const value = values[at] ?? 0
      const label = labels?.[index]
      const tail = label === undefined ? '' : `:${label}`
      texts.push(`${written(value, isFloat)}:${index}${tail}`)
    }
  }
  const shape = inRows ? [rows, count] : [count]
  return { type: 'string', dims: shape, data: texts, from: 0, to: texts.length }
}
