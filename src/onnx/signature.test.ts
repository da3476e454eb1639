import { describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import { Fault } from '../core/fault.ts'
import { type Dim, readModel, type Signature, type Slot } from './model.ts'
import { drawSchema, isColumnar, readSchema } from './signature.ts'
import type { ElementType } from './tensor.ts'

const examples = join(import.meta.dir, '../../examples/models')

function signatureOf(
  ...inputs: [name: string, type: ElementType, shape: Dim[] | null][]
): Signature {
  const slots = inputs.map(([name, type, shape]): Slot => ({ name, type, shape }))
  const outputs: Slot[] = [
    { name: 'label', type: 'int64', shape: ['N'] },
    { name: 'scores', type: 'float32', shape: ['N', 2], classes: ['a', 'b'] },
  ]
  const rest = { opsets: {}, ir_version: 8, producer: '', domain: '', metadata: {}, nodes: 1 }
  return { inputs: slots, outputs, ...rest }
}

/** Places of what is wrong with a schema file; empty when nothing is. */
function places(raw: unknown, signature: Signature): string[] {
  try {
    readSchema(raw, signature)
  } catch (error) {
    if (!(error instanceof Fault) || error.code !== 'schema.invalid') throw error
    expect(error.errors?.every(({ message }) => message.length > 3)).toBe(true)
    return error.errors?.map(({ pointer }) => pointer) ?? []
  }
  return []
}

const two = signatureOf(['x', 'float32', ['N', 2]])

describe('which models are tables', () => {
  const cases: [string, Signature, boolean][] = [
    ['[N, F]', two, true],
    ['[N]', signatureOf(['x', 'float32', ['N']]), true],
    ['several inputs', signatureOf(['a', 'string', ['', 1]], ['b', 'int64', ['', 1]]), true],
    ['free width', signatureOf(['x', 'float32', ['N', 'F']]), false],
    ['fixed rows', signatureOf(['x', 'float32', [1, 4]]), false],
    ['rank 3', signatureOf(['x', 'float32', ['N', 2, 2]]), false],
    ['scalar', signatureOf(['x', 'float32', []]), false],
    ['one table, one scalar', signatureOf(['x', 'float32', ['N', 2]], ['k', 'int64', []]), false],
    ['no shape', signatureOf(['x', 'float32', null]), false],
    ['too wide', signatureOf(['x', 'float32', ['N', 10_001]]), false],
    ['no inputs', signatureOf(), false],
  ]
  for (const [name, signature, columnar] of cases) {
    test(name, () => {
      expect(isColumnar(signature)).toBe(columnar)
      const { form, columns } = drawSchema(signature)
      expect([form, columns.length > 0]).toEqual([columnar ? 'columns' : 'tensors', columnar])
    })
  }
})

describe('§23 drawn schemas', () => {
  test('columns, outputs with roles, task', () => {
    const schema = drawSchema(two)
    expect(schema.columns.map(({ name, input, index }) => [name, input, index])).toEqual([
      ['f0', 'x', 0],
      ['f1', 'x', 1],
    ])
    expect(schema.outputs.map(({ name, role }) => [name, role])).toEqual([
      ['label', 'label'],
      ['scores', 'scores'],
    ])
    expect([schema.task, schema.extra_columns]).toEqual(['classification', 'forbid'])
  })

  test('names are distinct even where inputs are named like drawn columns', () => {
    const awkward = signatureOf(['a', 'float32', ['N', 2]], ['a_0', 'float32', ['N', 1]])
    const names = drawSchema(awkward).columns.map((column) => column.name)
    expect(new Set(names).size).toBe(3)
  })
})

describe('§23 schema files', () => {
  test('the examples fit their models', () => {
    for (const name of readdirSync(examples)) {
      const { signature } = readModel(readFileSync(join(examples, name, 'model.onnx')))
      const raw = JSON.parse(readFileSync(join(examples, name, 'schema.json'), 'utf8')) as unknown
      expect([name, places(raw, signature)]).toEqual([name, []])
    }
  })

  test('places are counted on, inputs found by name, the rest is drawn', () => {
    const pair = signatureOf(['a', 'float32', ['N', 2]], ['b', 'int64', ['N', 1]])
    const columns = [{ name: 'p', input: 'a' }, { name: 'q', input: 'a' }, { name: 'b' }]
    const schema = readSchema({ columns }, pair)
    expect(schema.columns).toEqual([
      { name: 'p', type: 'float32', input: 'a', index: 0 },
      { name: 'q', type: 'float32', input: 'a', index: 1 },
      { name: 'b', type: 'int64', input: 'b', index: 0 },
    ])
    expect(schema.outputs.length).toBe(2)
  })

  const cases: [string, object, string][] = [
    ['unknown key', { columns: [], colour: 1 }, '/colour'],
    ['unknown key of a column', { columns: [{ name: 'a', unit: 'cm' }] }, '/columns/0/unit'],
    ['columns that are no list', { columns: {} }, '/columns'],
    ['a column that is no object', { columns: ['a'] }, '/columns/0'],
    ['no name', { columns: [{}] }, '/columns/0/name'],
    ['a name twice', { columns: [{ name: 'a' }, { name: 'a' }] }, '/columns/1/name'],
    ['an unknown type', { columns: [{ name: 'a', type: 'decimal' }] }, '/columns/0/type'],
    ['a type that does not fit', { columns: [{ name: 'a', type: 'string' }] }, '/columns/0/type'],
    ['an unknown input', { columns: [{ name: 'a', input: 'z' }] }, '/columns/0/input'],
    ['too few columns', { columns: [{ name: 'a' }] }, '/columns'],
    ['too many', { columns: [{ name: 'a' }, { name: 'b' }, { name: 'c' }] }, '/columns'],
    [
      'a place twice',
      {
        columns: [
          { name: 'a', index: 0 },
          { name: 'b', index: 0 },
        ],
      },
      '/columns/1/index',
    ],
    ['an output there is not', { outputs: [{ name: 'z', role: 'label' }] }, '/outputs/0/name'],
    ['a role there is not', { outputs: [{ name: 'label', role: 'king' }] }, '/outputs/0/role'],
    ['a task there is not', { task: 'magic' }, '/task'],
    ['extra columns', { extra_columns: 'maybe' }, '/extra_columns'],
    ['limits that are no numbers', { columns: [{ name: 'a', min: '1' }] }, '/columns/0/min'],
    ['allowed that is no list', { columns: [{ name: 'a', allowed: 'x' }] }, '/columns/0/allowed'],
  ]
  for (const [name, raw, place] of cases) {
    test(`refuses ${name}`, () => {
      expect(places(raw, two)).toContain(place)
    })
  }

  test('nullable only over float inputs', () => {
    for (const type of ['int64', 'bool', 'string'] as const) {
      const one = signatureOf(['x', type, ['N', 1]])
      expect(places({ columns: [{ name: 'a', nullable: true }] }, one)).toEqual([
        '/columns/0/nullable',
      ])
    }
    const one = signatureOf(['x', 'float64', ['N', 1]])
    expect(places({ columns: [{ name: 'a', nullable: true }] }, one)).toEqual([])
  })

  test('no list, text or number is a schema', () => {
    for (const raw of [[], 'x', 7, null]) expect(places(raw, two)).toEqual([''])
  })

  test('columns for a model without a table are refused', () => {
    const scalar = signatureOf(['k', 'int64', []])
    expect(places({ columns: [{ name: 'k' }] }, scalar)).toContain('/columns')
  })
})
