import { describe, expect, test } from 'bun:test'

import { type Frame, recordsFrame, splitFrame } from './frame.ts'

const names = Array.from({ length: 30 }, (_, at) => `c${at}`)
const values = names.map((_, at) => at)
const full = Object.fromEntries(names.map((name, at) => [name, at]))
const repeated = (row: object, times: number): object[] => [
  ...Array.from<object>({ length: times }).fill(row),
]

/** Frames whose first row is full and whose others are short of what `rest` lacks. */
const shapes: [string, (times: number) => Frame][] = [
  ['records', (times) => recordsFrame([full, ...repeated({}, times)])],
  ['split', (times) => splitFrame({ columns: names, data: [values, ...repeated([], times)] })],
]

describe('rows that lack cells', () => {
  for (const [shape, frame] of shapes) {
    test(`${shape}: no more are made than faults are listed`, () => {
      const rows = frame(10_000).pick(names, new Set(names.slice(0, 10)))
      // Ten faults a row, fifty of them: five rows behind the one that is full.
      expect(rows.length).toBe(6)
      expect(rows.slice(0, 2)).toEqual([values, names.map(() => null)])
    })

    test(`${shape}: where null is allowed it stands for them, up to a million`, () => {
      expect(frame(30_000).pick(names).length).toBe(30_001)
      expect(() => frame(40_000).pick(names)).toThrow('lacks more than 1000000 cells')
    })
  }

  test('nulls that are sent are only counted where they are faults', () => {
    const sent = [
      values,
      ...repeated(
        names.map(() => null),
        40_000,
      ),
    ]
    const frame = splitFrame({ columns: [...names].toReversed(), data: sent })
    expect(frame.pick(names).length).toBe(40_001)
    expect(frame.pick(names, new Set(['c7'])).length).toBe(51)
  })
})
