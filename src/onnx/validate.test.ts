import { describe, expect, test } from 'bun:test'

import {
  flawsOf,
  listOf,
  signatureOf,
  validatorOf,
  valuesOf,
} from '../../tests/support/validator.ts'
import type { ElementType } from './tensor.ts'

describe('rows', () => {
  const two = signatureOf(['x', 'float32', ['N', 2]])
  const table = validatorOf(two, [{ name: 'a' }, { name: 'b' }])

  test('by name, by position and mixed fill one tensor', () => {
    const tensors = table.rows([{ b: 2, a: 1 }, [3, 4], { a: 5, b: 6 }])
    expect(tensors[0]?.dims).toEqual([3, 2])
    expect(valuesOf(tensors)).toEqual([[1, 2, 3, 4, 5, 6]])
  })

  test('each place that does not fit has its pointer and code', () => {
    const rows = [{ a: 1 }, { a: null, b: 'x' }, { a: 1, b: 2, c: 3 }, [1], [1, true], 7, null]
    expect(flawsOf(() => table.rows(rows))).toEqual([
      ['/instances/0/b', 'missing'],
      ['/instances/1/a', 'null'],
      ['/instances/1/b', 'type'],
      ['/instances/2/c', 'unknown'],
      ['/instances/3', 'length'],
      ['/instances/4/1', 'type'],
      ['/instances/5', 'type'],
      ['/instances/6', 'type'],
    ])
  })

  test('every flaw has a message for people', () => {
    for (const flaw of listOf(() => table.rows([{}, [1], 7]))) {
      expect(flaw.message.length).toBeGreaterThan(5)
    }
  })

  test('nothing but a list with rows is taken', () => {
    for (const rows of [undefined, null, {}, [], 'x', 3]) {
      expect(flawsOf(() => table.rows(rows))).toEqual([['/instances', 'type']])
    }
  })

  test('exactly 50 flaws are told, and the work ends there', () => {
    const wrong = Array.from({ length: 100_000 }, () => ({ a: 'no', b: 'no' }))
    const started = performance.now()
    expect(flawsOf(() => table.rows(wrong)).length).toBe(50)
    expect(performance.now() - started).toBeLessThan(50)
    expect(flawsOf(() => table.rows(wrong.slice(0, 24))).length).toBe(48)
    const many = Object.fromEntries(Array.from({ length: 80 }, (_, at) => [`k${at}`, 1]))
    expect(flawsOf(() => table.rows([{ a: 1, b: 2, ...many }])).length).toBe(50)
  })

  test('rows beyond those that memory is there for at first', () => {
    for (const type of ['float32', 'string', 'int64'] as const) {
      const validator = validatorOf(signatureOf(['x', type, ['N', 2]]), [
        { name: 'a' },
        { name: 'b' },
      ])
      const value = (at: number) => (type === 'string' ? `s${at}` : at)
      const rows = Array.from({ length: 9001 }, (_, at) => [value(at), value(-at)])
      const [tensor] = validator.rows(rows)
      expect([tensor?.dims, tensor?.data.length]).toEqual([[9001, 2], 18_002])
      expect(valuesOf([tensor!])[0]!.map(String)).toEqual(rows.flat().map(String))
    }
  })

  test('a million rows with nothing in them take no memory for what they lack', () => {
    const wide = validatorOf(signatureOf(['x', 'float32', ['N', 10_000]]))
    const rows = Array.from({ length: 1_000_000 }, () => 0)
    const before = process.memoryUsage().rss
    expect(flawsOf(() => wide.rows(rows))).toHaveLength(50)
    expect(process.memoryUsage().rss - before).toBeLessThan(400 << 20)
  })

  test('§23: unknown columns are ignored only where the schema says so', () => {
    const lax = validatorOf(two, [{ name: 'a' }, { name: 'b' }], { extra_columns: 'ignore' })
    expect(valuesOf(lax.rows([{ a: 1, b: 2, z: 'anything' }]))).toEqual([[1, 2]])
    expect(flawsOf(() => lax.rows([{ a: 1, z: 2 }]))).toEqual([['/instances/0/b', 'missing']])
  })

  test('names of Object.prototype are ordinary names', () => {
    const odd = validatorOf(two, [{ name: '__proto__' }, { name: 'toString' }])
    const parsed = JSON.parse('[{"__proto__": 1, "toString": 2}]') as unknown
    expect(valuesOf(odd.rows(parsed))).toEqual([[1, 2]])
    expect(flawsOf(() => odd.rows([{}]))).toEqual([
      ['/instances/0/__proto__', 'missing'],
      ['/instances/0/toString', 'missing'],
    ])
    const sneaky = JSON.parse('[{"a": 1, "b": 2, "__proto__": {"a": 9}, "constructor": 1}]')
    expect(flawsOf(() => table.rows(sneaky))).toEqual([
      ['/instances/0/__proto__', 'unknown'],
      ['/instances/0/constructor', 'unknown'],
    ])
    const hidden = JSON.parse('[{"a": 1, "__proto__": {"b": 2}}]')
    expect(flawsOf(() => table.rows(hidden))).toEqual([
      ['/instances/0/b', 'missing'],
      ['/instances/0/__proto__', 'unknown'],
    ])
    expect(({} as Record<string, unknown>)['a']).toBeUndefined()
  })

  test('a name with / and ~ is escaped in the pointer (RFC 6901)', () => {
    const odd = validatorOf(signatureOf(['x', 'float32', ['N', 1]]), [{ name: 'a/b~c' }])
    expect(flawsOf(() => odd.rows([{ 'a/b~c': 'x' }]))).toEqual([['/instances/0/a~1b~0c', 'type']])
  })

  test('a single column takes bare values', () => {
    const one = validatorOf(signatureOf(['x', 'float32', ['N', 1]]))
    expect(valuesOf(one.rows([1, [2], { x: 3 }]))).toEqual([[1, 2, 3]])
  })
})

describe('types', () => {
  const cases: [ElementType, unknown[], [unknown, string][]][] = [
    [
      'float32',
      [1, -0.5, 3.4e38],
      [
        ['1', 'type'],
        [true, 'type'],
        [[1], 'type'],
        [{}, 'type'],
        [1e39, 'range'],
        [Number.POSITIVE_INFINITY, 'finite'],
      ],
    ],
    ['float64', [1, 1e308], [[Number.POSITIVE_INFINITY, 'finite']]],
    [
      'float16',
      [1, 65504],
      [
        [65505, 'range'],
        [70000, 'range'],
      ],
    ],
    [
      'int8',
      [-128, 127],
      [
        [128, 'range'],
        [1.5, 'type'],
        [true, 'type'],
      ],
    ],
    ['uint8', [0, 255], [[-1, 'range']]],
    ['int16', [-32768, 32767], [[32768, 'range']]],
    ['uint16', [65535], [[65536, 'range']]],
    ['int32', [-2147483648, 2147483647], [[2147483648, 'range']]],
    ['uint32', [4294967295], [[4294967296, 'range']]],
    [
      'int64',
      [1n, -9223372036854775808n, 9223372036854775807n],
      [
        [9223372036854775808n, 'range'],
        [1e19, 'range'],
        [0.5, 'type'],
        ['1', 'type'],
      ],
    ],
    [
      'uint64',
      [18446744073709551615n],
      [
        [-1, 'range'],
        [18446744073709551616n, 'range'],
      ],
    ],
    [
      'bool',
      [true, false],
      [
        [1, 'type'],
        ['true', 'type'],
      ],
    ],
    [
      'string',
      ['', 'Zoë ✓'],
      [
        [1, 'type'],
        ['a\0b', 'string'],
      ],
    ],
  ]
  for (const [type, good, bad] of cases) {
    test(`§23: ${type} takes its own values and no others, in both forms`, () => {
      const validator = validatorOf(signatureOf(['x', type, ['N', 1]]))
      for (const value of good) {
        const [rows] = valuesOf(validator.rows([[value]]))
        const [whole] = valuesOf(validator.tensors({ x: [[value]] }))
        const same = type === 'float32' ? Math.fround(value as number) : value
        expect([rows, whole]).toEqual([[same], [same]])
      }
      for (const [value, code] of bad) {
        expect([value, flawsOf(() => validator.rows([[value]]))]).toEqual([
          value,
          [['/instances/0/0', code]],
        ])
        const whole = flawsOf(() => validator.tensors({ x: [[value]] }))
        // A list within the list is a matter of shape there.
        if (!Array.isArray(value))
          expect([value, whole]).toEqual([value, [['/inputs/x/0/0', code]]])
        else expect(whole.length).toBe(1)
      }
    })
  }

  test('§23: a huge integer is finite only if the float can hold it', () => {
    const wide = signatureOf(['k', 'int64', ['N', 1]], ['x', 'float32', ['N', 1]])
    const validator = validatorOf(wide)
    expect(flawsOf(() => validator.rows([[1, 10n ** 400n]]))).toEqual([['/instances/0/1', 'range']])
    expect(valuesOf(validator.rows([[1, 9007199254740993n]]))[1]).toEqual([9007199254740992])
  })

  test('only 64-bit integers ask for exact parsing', () => {
    expect(validatorOf(signatureOf(['x', 'int64', ['N', 1]])).wide).toBe(true)
    expect(validatorOf(signatureOf(['x', 'uint64', ['N', 1]])).wide).toBe(true)
    expect(validatorOf(signatureOf(['x', 'int32', ['N', 1]])).wide).toBe(false)
  })
})

describe('limits of columns', () => {
  const one = signatureOf(['x', 'float32', ['N', 1]])

  test('min, max and allowed, in both forms', () => {
    const bounded = validatorOf(one, [{ name: 'a', min: 0.1, max: 0.3 }])
    for (const value of [0.1, 0.2, 0.3]) {
      expect([value, flawsOf(() => bounded.rows([[value]]))]).toEqual([value, []])
      expect([value, flawsOf(() => bounded.tensors({ x: [[value]] }))]).toEqual([value, []])
    }
    expect(flawsOf(() => bounded.rows([[0.09], { a: 0.31 }]))).toEqual([
      ['/instances/0/0', 'min'],
      ['/instances/1/a', 'max'],
    ])
    expect(flawsOf(() => bounded.tensors([[0.09], [0.31]]))).toEqual([
      ['/inputs/x/0/a', 'min'],
      ['/inputs/x/1/a', 'max'],
    ])
  })

  test('allowed numbers are found again whatever the tensor makes of them', () => {
    const types: [ElementType, (string | number | boolean)[], unknown][] = [
      ['float32', [0.1, 0.2], 0.3],
      ['float64', [0.1, 0.2], 0.3],
      ['float16', [0.1, 0.2], 0.3],
      ['int64', [1, 2], 3],
      ['uint64', [1, 2], 3],
      ['int8', [1, 2], 3],
      ['string', ['a', 'b'], 'c'],
      ['bool', [true], false],
    ]
    for (const [type, allowed, wrong] of types) {
      const validator = validatorOf(signatureOf(['x', type, ['N', 1]]), [{ name: 'a', allowed }])
      for (const value of allowed) {
        expect([type, flawsOf(() => validator.rows([[value]]))]).toEqual([type, []])
        expect([type, flawsOf(() => validator.tensors({ x: [[value]] }))]).toEqual([type, []])
      }
      expect([type, flawsOf(() => validator.rows([[wrong]]))]).toEqual([
        type,
        [['/instances/0/0', 'allowed']],
      ])
      expect([type, flawsOf(() => validator.tensors({ x: [[wrong]] }))]).toEqual([
        type,
        [['/inputs/x/0/a', 'allowed']],
      ])
    }
  })

  test('§23: null becomes NaN where nullable, in both forms, and nowhere else', () => {
    const two = signatureOf(['x', 'float32', ['N', 2]])
    const validator = validatorOf(two, [{ name: 'a' }, { name: 'b', nullable: true, min: 1 }])
    expect(valuesOf(validator.rows([{ a: 1, b: null }]))).toEqual([[1, Number.NaN]])
    expect(valuesOf(validator.tensors({ x: [[1, null]] }))).toEqual([[1, Number.NaN]])
    expect(flawsOf(() => validator.rows([[null, null]]))).toEqual([['/instances/0/0', 'null']])
    expect(flawsOf(() => validator.tensors({ x: [[null, null]] }))).toEqual([
      ['/inputs/x/0/0', 'null'],
    ])
  })

  test('an integer column over a float input takes integers only, in both forms', () => {
    const validator = validatorOf(one, [{ name: 'a', type: 'int64' }])
    expect(valuesOf(validator.rows([[3]]))).toEqual([[3]])
    expect(flawsOf(() => validator.rows([[2.5]]))).toEqual([['/instances/0/0', 'type']])
    expect(flawsOf(() => validator.tensors([[2.5]]))).toEqual([['/inputs/x/0/a', 'type']])
  })

  test('a boolean column over a float input becomes 0 and 1', () => {
    const validator = validatorOf(one, [{ name: 'a', type: 'bool' }])
    expect(valuesOf(validator.rows([[true], [false]]))).toEqual([[1, 0]])
    expect(flawsOf(() => validator.rows([[1]]))).toEqual([['/instances/0/0', 'type']])
  })
})

test('validation of one 30-feature row costs less than 0.05 ms, mean over 100,000 parsed rows', () => {
  const names = Array.from({ length: 30 }, (_, at) => `mean_of_feature_${at}`)
  const columns = names.map((name) => ({ name, min: -1000, max: 1000 }))
  const validator = validatorOf(signatureOf(['x', 'float32', ['N', 30]]), columns)
  const texts = Array.from({ length: 1000 }, (_, row) =>
    JSON.stringify(
      Object.fromEntries(names.map((name, at) => [name, ((row * 31 + at) % 7001) / 7 - 500])),
    ),
  )
  let milliseconds = 0
  for (let round = 0; round < 100; round += 1) {
    const rows = texts.map((text) => JSON.parse(text) as unknown)
    const started = performance.now()
    for (const row of rows) validator.rows([row])
    milliseconds += performance.now() - started
  }
  const mean = milliseconds / 100_000
  expect(mean).toBeLessThan(0.05)
})
