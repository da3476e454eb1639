// Whole tensors that have their types already: names, types, shapes, and every value's limits.
import { describe, expect, test } from 'bun:test'

import { Fault } from '../core/fault.ts'
import type { Dim, Signature, Slot } from './model.ts'
import { drawSchema, readSchema } from './signature.ts'
import { allocate, countOf, type ElementType, store, type Tensor } from './tensor.ts'
import { Validator } from './validate.ts'

type Input = [name: string, type: ElementType, shape: Dim[] | null]

function validatorOf(inputs: Input[], columns?: object[]): Validator {
  const slots = inputs.map(([name, type, shape]): Slot => ({ name, type, shape }))
  const rest = { opsets: {}, ir_version: 8, producer: '', domain: '', metadata: {}, nodes: 1 }
  const signature: Signature = { inputs: slots, outputs: [], ...rest }
  return new Validator(
    signature,
    columns ? readSchema({ columns }, signature) : drawSchema(signature),
  )
}

function tensorOf(name: string, type: ElementType, dims: number[], values: unknown[]): Tensor {
  const tensor = { name, type, dims, data: allocate(type, countOf(dims)) }
  for (const [at, value] of values.entries()) store(tensor, at, value)
  return tensor
}

/** What is wrong, as `pointer code`. */
function flawsOf(work: () => unknown): string[] {
  try {
    work()
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    return (error.errors ?? []).map(({ pointer, code }) => `${pointer} ${code}`)
  }
  return []
}

const [inf, nan] = [Number.POSITIVE_INFINITY, Number.NaN]

describe('§23 values of whole tensors', () => {
  const ranged = { min: 0, max: 0.1 }
  type Row = [
    what: string,
    type: ElementType,
    column: object,
    good: unknown[],
    bad: [unknown, string][],
  ]
  const table: Row[] = [
    [
      'a plain float',
      'float32',
      {},
      [0, -1e38],
      [
        [nan, 'finite'],
        [inf, 'finite'],
        [-inf, 'finite'],
      ],
    ],
    [
      'a range is rounded as its elements are',
      'float32',
      ranged,
      [0, Math.fround(0.1)],
      [
        [0.11, 'max'],
        [-1, 'min'],
        [nan, 'finite'],
      ],
    ],
    ['a nullable float', 'float32', { nullable: true }, [1, nan], [[inf, 'finite']]],
    ['a nullable range', 'float64', { ...ranged, nullable: true }, [0.1, nan], [[0.2, 'max']]],
    [
      'a set of floats',
      'float32',
      { allowed: [0.1, 2] },
      [0.1, 2],
      [
        [0.3, 'allowed'],
        [nan, 'finite'],
      ],
    ],
    ['a narrower type', 'float64', { type: 'float32' }, [1], [[1e39, 'range']]],
    [
      'whole numbers in a float',
      'float32',
      { type: 'int8' },
      [127],
      [
        [1.5, 'type'],
        [128, 'range'],
        [nan, 'finite'],
      ],
    ],
    ['booleans in a float', 'float32', { type: 'bool' }, [0, 1], [[0.5, 'type']]],
    [
      'a half',
      'float16',
      {},
      [65504, -1],
      [
        [inf, 'finite'],
        [nan, 'finite'],
      ],
    ],
    [
      'a ranged half',
      'float16',
      ranged,
      [0, 0.1],
      [
        [1, 'max'],
        [nan, 'finite'],
      ],
    ],
    ['a nullable half', 'float16', { nullable: true }, [nan, 1], [[inf, 'finite']]],
    ['an integer of any value', 'int32', {}, [2 ** 31 - 1, -(2 ** 31)], []],
    [
      'a ranged integer',
      'int32',
      { min: 1, max: 3 },
      [1, 3],
      [
        [0, 'min'],
        [4, 'max'],
      ],
    ],
    [
      'a narrower integer',
      'int32',
      { type: 'uint8' },
      [255],
      [
        [256, 'range'],
        [-1, 'range'],
      ],
    ],
    ['a set of integers', 'int16', { allowed: [1, 2] }, [1, 2], [[3, 'allowed']]],
    ['a wide integer', 'int64', {}, [2n ** 63n - 1n], []],
    ['a ranged wide integer', 'int64', { min: 0 }, [0n], [[-1n, 'min']]],
    ['a set of texts', 'string', { allowed: ['a', 'b'] }, ['a', 'b'], [['c', 'allowed']]],
    ['a boolean', 'bool', {}, [true, false], []],
  ]
  for (const [what, type, column, good, bad] of table) {
    test(what, () => {
      const validator = validatorOf([['x', type, ['N', 1]]], [{ name: 'c', ...column }])
      const check = (values: unknown[]) =>
        flawsOf(() => validator.typed([tensorOf('x', type, [values.length, 1], values)]))
      expect(check(good)).toEqual([])
      for (const [value, code] of bad) {
        expect([value, check([good[0], value, good[0]])]).toEqual([
          value,
          [`/inputs/x/1/c ${code}`],
        ])
      }
    })
  }

  test('each column has its own limits', () => {
    const columns = [{ name: 'a', max: 1 }, { name: 'b' }, { name: 'c', allowed: [7] }]
    const validator = validatorOf([['x', 'float32', ['N', 3]]], columns)
    const values = [1, 99, 7, 2, nan, 7, 0, 0, 8]
    const given = tensorOf('x', 'float32', [3, 3], values)
    expect(flawsOf(() => validator.typed([given])).sort()).toEqual([
      '/inputs/x/1/a max',
      '/inputs/x/1/b finite',
      '/inputs/x/2/c allowed',
    ])
  })

  test('inputs without columns, at their place in each dimension', () => {
    const validator = validatorOf([
      ['x', 'float32', ['N', 2, 2]],
      ['k', 'float32', []],
    ])
    const cube = tensorOf('x', 'float32', [2, 2, 2], [0, 1, 2, 3, 4, nan, 6, 7])
    const scalar = tensorOf('k', 'float32', [], [inf])
    expect(flawsOf(() => validator.typed([cube, scalar]))).toEqual([
      '/inputs/x/1/0/1 finite',
      '/inputs/k finite',
    ])
  })

  test('at most 50 of them', () => {
    const validator = validatorOf([['x', 'float32', ['N', 2]]])
    const given = tensorOf('x', 'float32', [100, 2], Array(200).fill(nan))
    expect(flawsOf(() => validator.typed([given])).length).toBe(50)
  })

  test('a byte that is no boolean', () => {
    const validator = validatorOf([['x', 'bool', ['N', 2]]])
    const given = { name: 'x', type: 'bool' as const, dims: [1, 2], data: new Uint8Array([1, 2]) }
    expect(flawsOf(() => validator.typed([given]))).toEqual(['/inputs/x/0/f1 type'])
  })
})

describe('names, types and shapes', () => {
  const validator = validatorOf([
    ['a', 'float32', ['N', 2]],
    ['b', 'int64', ['N', 1]],
  ])
  const a = tensorOf('a', 'float32', [1, 2], [1, 2])
  const b = tensorOf('b', 'int64', [1, 1], [1n])

  test('any order in, the order of the model out', () => {
    expect(validator.typed([b, a]).map(({ name }) => name)).toEqual(['a', 'b'])
  })
  const wrong: [what: string, given: Tensor[], flaws: string[]][] = [
    ['none', [], ['/inputs/a missing', '/inputs/b missing']],
    ['one twice', [a, b, a], ['/inputs/a twice']],
    ['one too many', [a, b, { ...a, name: 'c/d' }], ['/inputs/c~1d unknown']],
    ['another type', [a, tensorOf('b', 'int32', [1, 1], [1])], ['/inputs/b type']],
    ['another rank', [a, tensorOf('b', 'int64', [1], [1n])], ['/inputs/b shape']],
    ['another width', [tensorOf('a', 'float32', [1, 3], []), b], ['/inputs/a shape']],
    ['unequal rows', [a, tensorOf('b', 'int64', [2, 1], [1n, 2n])], ['/inputs/b shape']],
    [
      'a name of Object.prototype',
      [a, b, { ...a, name: '__proto__' }],
      ['/inputs/__proto__ unknown'],
    ],
  ]
  for (const [what, given, flaws] of wrong) {
    test(what, () => {
      expect(flawsOf(() => validator.typed(given))).toEqual(flaws)
    })
  }
})

test('lists that claim a shape they do not fill take no memory', () => {
  const validator = validatorOf([['x', 'string', ['A', 'B']]])
  const full = Array.from<string>({ length: 20_000 }).fill('')
  const lists = [full, ...Array.from({ length: 19_999 }, () => [])]
  const before = process.memoryUsage.rss()
  expect(flawsOf(() => validator.tensors({ x: lists }))).toEqual(['/inputs/x/1 shape'])
  expect(process.memoryUsage.rss() - before).toBeLessThan(200 << 20)
})
