// The fast scanner and the shortest floats against what JavaScript itself reads and writes.
import { describe, expect, test } from 'bun:test'

import { PlainScanner } from './plain-csv.ts'
import { Sink } from './sink.ts'

const cellOf = (options: object = {}) => ({
  slot: 0,
  index: 0,
  width: 1,
  low: -3e38,
  high: 3e38,
  nullable: false,
  ...options,
})

/** What the scanner makes of one cell, `null` when it leaves the row to the caller. */
function scan(text: string, single = true, options: object = {}): number | null {
  // Twice: the last cell of a row takes another way than the others.
  const second = cellOf({ index: 1, width: 2, ...options })
  const cells = [cellOf({ width: 2, ...options }), second]
  const data = single ? new Float32Array(2) : (new Float64Array(2) as unknown as Float32Array)
  const bytes = Buffer.from(`${text},${text}\n`)
  const next = new PlainScanner(cells, single).row(bytes, 0, 0, [data])
  if (next < 0) return null
  expect(next).toBe(bytes.length)
  expect(Object.is(data[0], data[1])).toBe(true)
  return data[0] as number
}

const numbers = [
  '0',
  '-0',
  '1',
  '-1',
  '12',
  '0.5',
  '.5',
  '5.',
  '-0.25',
  '123456789',
  '1234567890',
  '007',
  '0.1',
  '0.3',
  '1e5',
  '1E5',
  '1e-5',
  '-1.5e+3',
  '1e22',
  '1e23',
  '1.7976931348623157e10',
  '0.000000000000000000000001',
  '123456789012345678',
  '3.4028234e38',
  '1e-45',
  '1e-400',

  '0.1234567890123456789',
  '16777217',
  '16777217.0000000001',
  '33554433.5',
  '1.00000005960464477',
  // Halfway between two float32, and a hair above: cut digits must not decide.
  '1.000000059604644775390625',
  '1.0000000596046447753906251',
  '16777219.00000000000000001',
  '0.0000000000000000000000000000000000000123456789123456789',
]

test.each(numbers)('%s is read as JavaScript reads it', (text) => {
  expect(scan(text, false, { low: -1e308, high: 1e308 })).toBe(Number(text))
  const single = Math.fround(Number(text))
  if (Math.abs(Number(text)) <= 3e38) expect(scan(text)).toBe(single)
})

test('random numbers of every length are read as JavaScript reads them', () => {
  for (let round = 0; round < 20_000; round += 1) {
    const value = (Math.random() - 0.5) * 10 ** Math.floor(Math.random() * 30 - 15)
    const text = round % 2 ? String(value) : value.toPrecision(1 + (round % 20))
    expect([text, scan(text)]).toEqual([text, Math.fround(Number(text))])
    expect([text, scan(text, false, { low: -1e99, high: 1e99 })]).toEqual([text, Number(text)])
  }
})

test.each([
  '',
  '-',
  '.',
  'x',
  '1x',
  '1e',
  '1e+',
  'NaN',
  'Infinity',
  '0x10',
  ' 1',
  '1 ',
  '"1"',
  '1.2.3',
  '--1',
  '+1',
])('%p is left to the caller', (text) => {
  expect(scan(text)).toBeNull()
})

describe('rows', () => {
  const cells = [
    cellOf({ index: 1, width: 2, low: 0, high: 10 }),
    cellOf({ slot: -1 }),
    cellOf({ index: 0, width: 2, low: -5, high: 5, nullable: true }),
  ]
  const row = (text: string): [number, number[]] => {
    const data = new Float32Array(2)
    return [new PlainScanner(cells, true).row(Buffer.from(text), 0, 0, [data]), [...data]]
  }
  test.each([
    ['1,any thing,2\n', [12 + 2, [2, 1]]],
    ['1,,2\r\n', [6, [2, 1]]],
    ['10,x,-5\n', [8, [-5, 10]]],
    ['1,x,\n', [5, [Number.NaN, 1]]],
  ])('%p is stored', (text, expected) => {
    expect(row(text)).toEqual(expected as [number, number[]])
  })
  test.each([
    '11,x,2\n',
    '10.000001,x,2\n',
    '-0.001,x,2\n',
    '1,x,6\n',
    ',x,2\n',
    '1,"x",2\n',
    '1,x\n',
    '1,x,2,3\n',
    '\n',
    '1,x,2\r3\n',
  ])('%p is not plain', (text) => {
    expect(row(text)[0]).toBe(-1)
  })
})

/** The text of a float32 with the fewest digits, the slow way. */
function fewest(value: number): number {
  for (let digits = 1; digits < 9; digits += 1) {
    const text = value.toPrecision(digits)
    if (Math.fround(Number(text)) === value) return Number(text)
  }
  return Number(value.toPrecision(9))
}

test('floats are written in the fewest digits that give the same float32', () => {
  const sink = new Sink()
  const one = new Float32Array(1)
  const word = new Uint32Array(one.buffer)
  const texts: string[] = []
  for (let round = 0; round < 50_000; round += 1) {
    if (round % 2) word[0] = Math.floor(Math.random() * 2 ** 32)
    else one[0] = Math.random() * 10 ** -(round % 7) * (round % 3 ? 1 : -1)
    const value = one[0] as number
    // Below 1e-37 floats have fewer digits than six, which are written all the same.
    if (!Number.isFinite(value) || Math.abs(value) < 1e-37) continue
    sink.single(value)
    const text = Buffer.from(sink.take()).toString()
    // Whole numbers are written in full.
    const expected = Number.isInteger(value) && Math.abs(value) < 1e9 ? value : fewest(value)
    if (JSON.parse(text) !== expected) texts.push(`${value}: ${text}`)
  }
  expect(texts).toEqual([])
})

test.each([
  [0, '0'],
  [-0, '0'],
  [1, '1'],
  [-3, '-3'],
  [0.93, '0.93'],
  [0.1, '0.1'],
  [0.00001, '0.00001'],
  [123456.7, '123456.7'],
  [999999999, '1000000000'],
  [1e30, '1e+30'],
  [0.99999994, '0.99999994'],
])('%p is written as %s', (value, text) => {
  const sink = new Sink()
  sink.single(Math.fround(value))
  sink.take()
  // Again, from where its text was kept.
  sink.single(Math.fround(value))
  expect(Buffer.from(sink.take()).toString()).toBe(text)
})

test.each([0, 7, 10, 99, 100, 2147483647, -1, -2147483647, -2147483648])(
  '%d is written whole',
  (value) => {
    const sink = new Sink()
    sink.int(value)
    expect(Buffer.from(sink.take()).toString()).toBe(String(value))
  },
)
