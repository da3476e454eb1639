import { expect, test } from 'bun:test'

import { Statistics } from './statistics.ts'

test('sizes are told apart up to a bound, and never mixed up', () => {
  const statistics = new Statistics()
  const times = (infer: number) => ({ input: 1, infer, output: 2 })
  for (let rows = 1; rows <= 300; rows += 1) statistics.ran(rows, times(rows))
  statistics.ran(1, times(9))
  expect([statistics.executions, statistics.inferences]).toEqual([301, (300 * 301) / 2 + 1])
  expect(statistics.batches.size).toBe(256)
  expect(statistics.batches.get(256)?.infer).toEqual({ count: 1, ns: 256_000 } as never)
  expect(statistics.batches.get(1)?.infer).toEqual({ count: 2, ns: 10_000 } as never)
})
