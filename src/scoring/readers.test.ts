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
function batchesOf(reader: RowReader, text: string): Batch[] {
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
