// The readers of rows without a server: how much they hold, and how exact they are.
import { describe, expect, test } from 'bun:test'

import { parseJson } from '../http/json.ts'
import type { Signature } from '../onnx/model.ts'
import { drawSchema } from '../onnx/signature.ts'
import type { ElementType } from '../onnx/tensor.ts'
import { Validator } from '../onnx/validate.ts'
import type { Batch, RowReader } from './batch.ts'
import { CsvReader } from './csv.ts'
import { JsonReader } from './jsonl.ts'

function modelOf(type: ElementType): {
  validator: Validator
  schema: ReturnType<typeof drawSchema>
} {
  const signature: Signature = {
    inputs: [{ name: 'x', type, shape: ['N', 1] }],
    outputs: [{ name: 'y', type: 'float32', shape: ['N', 1] }],
    opsets: {},
    ir_version: 8,
    producer: '',
    domain: '',
    metadata: {},
    nodes: 1,
  }
  const schema = drawSchema(signature)
  return { validator: new Validator(signature, schema), schema }
}

const jsonReader = (type: ElementType): RowReader =>
  new JsonReader({ ...modelOf(type), keep: [], parse: (line) => parseJson(line, true) })
const csvReader = (type: ElementType, keep: string[] = []): RowReader =>
  new CsvReader({ ...modelOf(type), keep })

/** All batches of a text that comes in chunks of 64 KB. */
function batchesOf(reader: RowReader, text: string | Buffer): Batch[] {
  const bytes = Buffer.from(text)
  const batches: Batch[] = []
  const drain = (): void => {
    for (let batch = reader.take(4096); batch; batch = reader.take(4096)) batches.push(batch)
  }
  for (let at = 0; at < bytes.length; at += 65_536) {
    reader.push(bytes.subarray(at, at + 65_536))
    drain()
  }
  reader.finish()
  drain()
  return batches
}

describe('a batch ends by its bytes, too', () => {
  const wide = 'x'.repeat(400_000)
  const list = JSON.stringify(Array.from({ length: 130_000 }, () => ({})))
  const blank = '\n'.repeat(5 << 18)
  const cases: [string, () => RowReader, string][] = [
    ['JSON lines', () => jsonReader('float32'), `${list}\n`.repeat(9)],
    ['text in CSV', () => csvReader('string'), `x\n${`${wide}\n`.repeat(9)}`],
    [
      'plain CSV that is kept',
      () => csvReader('float32', ['a']),
      `x,a\n${`1,${wide}\n`.repeat(9)}`,
    ],
    ['bad CSV', () => csvReader('float32'), `x\n${`${wide}\n`.repeat(9)}`],
    ['blank lines are no rows', () => csvReader('string'), `x\n${blank}${`${wide}\n`.repeat(9)}`],
  ]
  test.each(cases)('%s', (_name, make, text) => {
    const sizes = batchesOf(make(), text).map(({ rows, bad }) => rows + bad.length)
    expect(sizes).toEqual([3, 3, 3])
  })
})

describe('integers of 64 bits are exact however a cell writes them', () => {
  const exact = 9007199254740993n
  test.each([
    ['9007199254740993', exact],
    ['+9007199254740993', exact],
    ['-9007199254740993', -exact],
    ['9007199254740993.0', exact],
    ['9007199254740993.', exact],
    ['9.007199254740993e15', exact],
    ['90071992547409930E-1', exact],
    ['.9007199254740993e16', exact],
    ['9223372036854775807', 9223372036854775807n],
    ['9223372036854775808', null],
    ['1e30', null],
    [`9007199254740993.${'0'.repeat(64)}`, null],
  ])('%s', (cell, value) => {
    const [batch] = batchesOf(csvReader('int64'), `x\n${cell}\n`)
    expect(batch?.bad.length).toBe(value === null ? 1 : 0)
    if (value !== null) expect(batch?.tensors[0]?.data).toEqual(BigInt64Array.of(value))
  })

  test('floats may be as large as they like', () => {
    const [batch] = batchesOf(csvReader('float64'), 'x\n"1e300"\n"9007199254740993"\n')
    expect(batch?.tensors[0]?.data).toEqual(Float64Array.of(1e300, 9007199254740992))
  })
})

describe('bytes that come one by one', () => {
  test.each(['float32', 'string'] as const)('are read as if they came together: %s', (type) => {
    const rows = ['1,"a ""b"", c"', '"2", "x\ny" ', ' "3","" ', '4,5"6', '', '"7","\n\n"']
    const text = `x,"a"\r\n${rows.join('\r\n')}`
    const [whole] = batchesOf(csvReader(type, ['a']), text)
    expect([whole?.rows, whole?.bad.length]).toEqual([4, 1])
    const reader = csvReader(type, ['a'])
    for (const byte of Buffer.from(text)) {
      reader.push(Uint8Array.of(byte))
      expect(reader.take(4096)).toBe(null)
    }
    reader.finish()
    const single = reader.take(4096)
    const contents = (batch?: Batch | null): unknown => [batch?.kept, batch?.bad, batch?.tensors]
    expect(JSON.stringify(contents(single))).toBe(JSON.stringify(contents(whole)))
  })

  const long = 'x'.repeat(900_000)
  const cases: [string, () => RowReader, string, string][] = [
    ['CSV with an open quote', () => csvReader('string'), `x\n"${long}`, '\n'],
    [
      'plain cells before one',
      () => csvReader('float32', ['a']),
      `x,a\n${'1'.repeat(900_000)},"`,
      '\n',
    ],
    ['a JSON line', () => jsonReader('string'), `"${long}`, 'x'],
  ]
  test.each(cases)(
    'cost no more where a long row waits for its end: %s',
    (_name, make, text, byte) => {
      const reader = make()
      reader.push(Buffer.from(text))
      expect(reader.take(4096)).toBe(null)
      const began = performance.now()
      for (let count = 0; count < 20_000; count += 1) {
        reader.push(Buffer.from(byte))
        reader.take(4096)
      }
      expect(performance.now() - began).toBeLessThan(500)
    },
  )
})

describe('cells that are kept of plain rows', () => {
  const kept = (keep: string[], text: string | Buffer): unknown[] =>
    batchesOf(csvReader('float32', keep), text).flatMap((batch) => batch.kept)

  test('come from any place, trimmed, inputs as numbers', () => {
    const rows = 'a,x,b,c\r\n one ,1.5,,é\r\ntwo,-2, b b ,\n'
    expect(kept(['c', 'a', 'x', 'b'], rows)).toEqual([
      ['é', 'one', 1.5, ''],
      ['', 'two', -2, 'b b'],
    ])
    expect(kept(['a'], 'a,x\nlast,1')).toEqual([['last']])
    expect(kept(['x'], 'x\n1\n2\n')).toEqual([[1], [2]])
  })

  test('one that is not UTF-8 makes a bad row, and no other', () => {
    const text = Buffer.from('a,x\nfine,1\n?,2\nfine,3\n')
    text[text.indexOf('?')] = 255
    const batches = batchesOf(csvReader('float32', ['a']), text)
    expect(batches.flatMap((batch) => batch.kept)).toEqual([['fine'], ['fine']])
    expect(batches.flatMap(({ bad }) => bad.map(({ row }) => row))).toEqual([2])
  })
})
