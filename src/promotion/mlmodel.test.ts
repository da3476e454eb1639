import { describe, expect, test } from 'bun:test'

import { parseMlModel } from './mlmodel.ts'

/** As `mlflow.onnx.log_model` writes it, with inputs of a signature. */
const file = (
  inputs: string | null,
  data = 'model.onnx',
): string => `artifact_path: mlflow-artifacts:/0
flavors:
  onnx:
    code: null
    data: ${data}
    onnx_version: 1.20.0
    providers:
    - CPUExecutionProvider
  python_function:
    data: ${data}
    env:
      conda: conda.yaml
    loader_module: mlflow.onnx
mlflow_version: 3.17.2
model_id: m-4cb0c5a64ea14a86945eb0e4ecf05ee0
run_id: 1234e56
signature:
  inputs: ${inputs === null ? 'null' : `'${inputs}'`}
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 3]}}]'
  params: null
utc_time_created: '2026-04-01 10:00:00.000000'
`

const columns = (inputs: unknown): unknown => parseMlModel(file(JSON.stringify(inputs)))?.schema

describe('MLmodel', () => {
  test('its flavours and the place of its ONNX', () => {
    const found = parseMlModel(file(null))
    expect(found).toEqual({
      flavors: ['onnx', 'python_function'],
      onnx: 'model.onnx',
      schema: null,
    })
    expect(parseMlModel('flavors: {sklearn: {pickled_model: model.pkl}}')).toEqual({
      flavors: ['sklearn'],
      onnx: null,
      schema: null,
    })
  })

  test('columns with their names, types and whether they are required', () => {
    const types = ['boolean', 'integer', 'long', 'float', 'double', 'string']
    const specs = types.map((type) => ({ type, name: type, required: true }))
    expect(columns(specs)).toEqual({
      columns: [
        { name: 'boolean', type: 'bool' },
        { name: 'integer', type: 'int32' },
        { name: 'long', type: 'int64' },
        { name: 'float', type: 'float32' },
        { name: 'double', type: 'float64' },
        { name: 'string', type: 'string' },
      ],
    })
    const optional = [
      { type: 'double', name: 'a', required: false },
      { type: 'long', name: 'b', required: false },
    ]
    expect(columns(optional)).toEqual({
      columns: [
        { name: 'a', type: 'float64', nullable: true },
        { name: 'b', type: 'int64' },
      ],
    })
  })

  const leftAside: [string, unknown][] = [
    ['tensors', [{ type: 'tensor', 'tensor-spec': { dtype: 'float32', shape: [-1, 4] } }]],
    ['columns without names', [{ type: 'double' }, { type: 'double' }]],
    ['dates', [{ type: 'datetime', name: 'a' }]],
    ['arrays', [{ type: 'array', name: 'a', items: { type: 'double' } }]],
    ['a type of the prototype', [{ type: 'constructor', name: 'a' }]],
    ['names that are no text', [{ type: 'double', name: 7 }]],
    ['no columns', []],
    ['no list', { type: 'double', name: 'a' }],
    ['nulls', [null]],
  ]
  for (const [name, inputs] of leftAside) {
    test(`left to the graph: ${name}`, () => expect(columns(inputs)).toBeNull())
  }

  test('a signature that is no JSON is left aside', () => {
    for (const inputs of ['[{', '', 'NaN']) expect(parseMlModel(file(inputs))?.schema).toBeNull()
    const nested = '['.repeat(200_000)
    expect(parseMlModel(file(nested))?.schema).toBeNull()
  })

  const aliases = 'bcdefghi'.split('').map((key, at) => {
    const before = Array.from({ length: 9 }, () => `*${'abcdefgh'[at]}`)
    return `${key}: &${key} [${before.join(',')}]`
  })
  const unreadable: [string, string][] = [
    ['nothing', ''],
    ['a text', 'hello'],
    ['a list', '- a'],
    ['a broken line', 'flavors: : :'],
    ['no flavours', 'model_id: m-1'],
    ['flavours that are a list', 'flavors: [onnx]'],
    ['lists without end', '['.repeat(500_000)],
    ['maps without end', '{a: '.repeat(200_000)],
    ['a laugh of aliases', ['a: &a [x,x,x,x,x,x,x,x,x]', ...aliases].join('\n')],
    ['binary', '\0\u0001\u0002'],
  ]
  for (const [name, text] of unreadable) {
    test(`cannot be read: ${name}`, () => expect(parseMlModel(text)).toBeNull())
  }

  test('the place of ONNX must be a text, whatever it says', () => {
    for (const data of ['7', '[a]', '{a: b}', 'null', "''"]) {
      expect(parseMlModel(file(null, data))?.onnx).toBeNull()
    }
    expect(parseMlModel('__proto__: {flavors: {onnx: {data: x}}}')).toBeNull()
  })
})
