import { describe, expect, test } from 'bun:test'

import { flawsOf, signatureOf, validatorOf } from '../../tests/support/validator.ts'

describe('tensors', () => {
  const pair = signatureOf(['a', 'float32', ['N', 3]], ['b', 'float32', ['N', 3]])
  const row = [1, 2, 3]

  test('by name, and bare for a model with one input', () => {
    const both = validatorOf(pair).tensors({ b: [row, row], a: [row, row] })
    expect(both.map(({ name, dims }) => [name, dims])).toEqual([
      ['a', [2, 3]],
      ['b', [2, 3]],
    ])
    const one = validatorOf(signatureOf(['x', 'float32', ['N', 3]]))
    expect(one.tensors([row])[0]?.dims).toEqual([1, 3])
    expect(flawsOf(() => validatorOf(pair).tensors([row]))).toEqual([['/inputs', 'type']])
  })

  test('missing, unknown and misshapen inputs', () => {
    const v = validatorOf(pair)
    expect(flawsOf(() => v.tensors({ a: [row], c: 1 }))).toEqual([
      ['/inputs/c', 'unknown'],
      ['/inputs/b', 'missing'],
    ])
    expect(flawsOf(() => v.tensors({ a: [[1, 2]], b: row }))).toEqual([
      ['/inputs/a', 'shape'],
      ['/inputs/b', 'shape'],
    ])
    expect(flawsOf(() => v.tensors(JSON.parse('{"__proto__": 1, "a": [[1,2,3]]}')))).toEqual([
      ['/inputs/__proto__', 'unknown'],
      ['/inputs/b', 'missing'],
    ])
    expect(flawsOf(() => v.tensors(null))).toEqual([['/inputs', 'type']])
  })

  test('ragged lists are named where they begin to differ', () => {
    const v = validatorOf(signatureOf(['x', 'float32', ['N', 2, 2]]))
    const ragged = [
      [
        [1, 2],
        [3, 4],
      ],
      [[5, 6], [7]],
    ]
    expect(flawsOf(() => v.tensors({ x: ragged }))).toEqual([['/inputs/x/1/1', 'shape']])
    expect(flawsOf(() => v.tensors({ x: [[[1, 2], 3]] }))).toEqual([['/inputs/x/0/1', 'shape']])
    expect(
      flawsOf(() =>
        v.tensors({
          x: [
            [
              [1, [2]],
              [3, 4],
            ],
          ],
        }),
      ),
    ).toEqual([['/inputs/x/0/0/1', 'type']])
  })

  test('a dimension with a name has one size within a request', () => {
    const v = validatorOf(pair)
    expect(flawsOf(() => v.tensors({ a: [row], b: [row, row] }))).toEqual([['/inputs/b', 'shape']])
  })

  test('rows of a table are as many in every input, also where dimensions have no name', () => {
    const unnamed = signatureOf(['a', 'float32', ['', 3]], ['b', 'float32', ['', 3]])
    const v = validatorOf(unnamed)
    expect(flawsOf(() => v.tensors({ a: [row], b: [row, row] }))).toEqual([['/inputs/b', 'shape']])
    const other = signatureOf(['a', 'float32', ['N', 3]], ['b', 'float32', ['M', 3]])
    expect(flawsOf(() => validatorOf(other).tensors({ a: [row], b: [row, row] }))).toEqual([
      ['/inputs/b', 'shape'],
    ])
  })

  test('scalars, unknown ranks and free dimensions', () => {
    const v = validatorOf(
      signatureOf(['k', 'int64', []], ['x', 'float32', null], ['z', 'float32', ['', 'T']]),
    )
    const [k, x, z] = v.tensors({ k: 5, x: [[[1]]], z: [[1, 2, 3]] })
    expect([k?.dims, x?.dims, z?.dims]).toEqual([[], [1, 1, 1], [1, 3]])
    expect(flawsOf(() => v.tensors({ k: [5], x: 1, z: [[1]] }))).toEqual([['/inputs/k', 'shape']])
  })

  test('instances of models without columns are slices by name or bare', () => {
    const image = validatorOf(signatureOf(['x', 'float32', ['N', 2, 2]]))
    const slice = [
      [1, 2],
      [3, 4],
    ]
    expect(image.rows([slice, { x: slice }])[0]?.dims).toEqual([2, 2, 2])
    expect(flawsOf(() => image.rows([slice, [[1, 2], [3]]]))).toEqual([['/instances/1/1', 'shape']])
    expect(flawsOf(() => image.rows([{ y: slice }])).length).toBeGreaterThan(0)
    const fixed = validatorOf(signatureOf(['x', 'float32', [1, 2, 2]]))
    expect(flawsOf(() => fixed.rows([slice]))).toEqual([['/instances', 'shape']])
  })

  test('a list nested beyond any tensor does not exhaust the stack', () => {
    const v = validatorOf(signatureOf(['x', 'float32', null]))
    let deep: unknown = 1
    for (let level = 0; level < 50_000; level += 1) deep = [deep]
    expect(flawsOf(() => v.tensors({ x: deep })).length).toBe(1)
  })

  test('50 flaws at most', () => {
    const v = validatorOf(pair)
    const bad = Array.from({ length: 40 }, () => ['x', 'y', 'z'])
    expect(flawsOf(() => v.tensors({ a: bad, b: bad })).length).toBe(50)
  })
})
