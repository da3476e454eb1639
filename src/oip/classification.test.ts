import { expect, test } from 'bun:test'

import { element, type ElementType, type TensorData, toHalf } from '../onnx/tensor.ts'
import { classify } from './classification.ts'

const indexes = (type: ElementType, data: TensorData, width: number, most: number): number[] => {
  // A neighbour's rows lie before and behind, as in a shared run.
  const rows = data.length / width - 2
  const part = { name: 'y', type, dims: [rows, width], data, from: width, to: width + rows * width }
  const slot = { name: 'y', type, shape: ['n', width] }
  const { dims, data: texts } = classify(part, most, { slot, labels: undefined })
  expect(dims).toEqual([rows, Math.min(most, width)])
  return (texts as string[]).map((text) => Number(text.split(':')[1]))
}

/** The same by sorting each row whole. */
function sorted(type: ElementType, data: TensorData, width: number, most: number): number[] {
  const found: number[] = []
  for (let start = width; start < data.length - width; start += width) {
    const valueAt = (at: number): any => element({ type, data }, start + at)
    const rank = (a: number, b: number): number => {
      const [one, other] = [valueAt(a), valueAt(b)]
      if (Number.isNaN(one) !== Number.isNaN(other)) return Number.isNaN(one) ? 1 : -1
      return one === other || Number.isNaN(one) ? a - b : one > other ? -1 : 1
    }
    found.push(
      ...Array.from({ length: width }, (_, at) => at)
        .sort(rank)
        .slice(0, most),
    )
  }
  return found
}

const numbers = Array.from({ length: 21 * 12 }, (_, at) => ((at * 7919) % 23) - 11)
const wild = numbers.map((n) =>
  n % 5 === 0 ? Number.NaN : n % 7 === 0 ? Number.NEGATIVE_INFINITY : n,
)
const tables: [ElementType, TensorData][] = [
  ['float32', new Float32Array(wild)],
  ['float32', new Float32Array(numbers.map((_, at) => at))],
  ['float64', new Float64Array(numbers.map((_, at) => -at))],
  ['float16', new Uint16Array(wild.map(toHalf))],
  ['int8', new Int8Array(numbers)],
  ['int64', new BigInt64Array(numbers.map((n) => BigInt(n) + 2n ** 60n))],
]
for (const [type, data] of tables) {
  test(`the best of ${type}, however many, are those of a sorted row`, () => {
    for (const width of [1, 2, 3, 12, 21]) {
      for (const most of [1, 2, 5, 11, 12, 21, 99]) {
        const wanted = sorted(type, data, width, most)
        expect([width, most, indexes(type, data, width, most)]).toEqual([width, most, wanted])
      }
    }
  })
}

test('the best of millions take one pass', () => {
  const data = new Float32Array(6_000_000).map((_, at) => (at * 7919) % 1_000_003)
  const began = performance.now()
  expect(indexes('float32', data, 2_000_000, 3).length).toBe(3)
  expect(performance.now() - began).toBeLessThan(1000)
})
