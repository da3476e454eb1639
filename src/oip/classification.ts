// The classification extension: the best classes of an output in place of its numbers.
// https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_classification.md
import type { Part } from '../inference/answer.ts'
import type { Slot } from '../onnx/model.ts'
import { element, elements } from '../onnx/tensor.ts'

interface Ranked {
  value: number | bigint
  index: number
}

/** Largest first; of equal ones the first; what is no number comes last. */
function compare(a: Ranked, b: Ranked): number {
  const [aWild, bWild] = [Number.isNaN(a.value), Number.isNaN(b.value)]
  if (aWild !== bWild) return aWild ? 1 : -1
  if (a.value === b.value || aWild) return a.index - b.index
  return a.value > b.value ? -1 : 1
}

/** As C's `%f` writes it, which is what clients of the protocol expect. */
const written = (value: number | bigint, isFloat: boolean): string =>
  isFloat ? (value as number).toFixed(6) : String(value)

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
  const texts: string[] = []
  for (let row = 0; row < rows; row += 1) {
    const ranked = Array.from({ length: width }, (_, index): Ranked => {
      return { value: element(part, from + row * width + index) as number, index }
    }).sort(compare)
    for (const { value, index } of ranked.slice(0, count)) {
      const label = labels?.[index]
      const tail = label === undefined ? '' : `:${label}`
      texts.push(`${written(value, isFloat)}:${index}${tail}`)
    }
  }
  const shape = inRows ? [rows, count] : [count]
  return { type: 'string', dims: shape, data: texts, from: 0, to: texts.length }
}
