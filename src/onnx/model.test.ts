import { describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import {
  attribute,
  type Field,
  graph,
  message,
  model,
  node,
  tensor,
  types,
  unary,
  value,
} from '../../tests/support/onnx.ts'
import { Fault, type FaultCode } from '../core/fault.ts'
import { type Intake, readModel } from './model.ts'

const models = join(import.meta.dir, '../../tests/models')
const examples = join(import.meta.dir, '../../examples/models')
const fileOf = (name: string): Uint8Array => readFileSync(join(models, name))

/** The code with which a file is refused, or 'accepted'. */
function verdict(bytes: Uint8Array): FaultCode | 'accepted' {
  try {
    readModel(bytes)
    return 'accepted'
  } catch (error) {
    if (error instanceof Fault) return error.code
    throw error
  }
}

const joined = (intake: Intake): Uint8Array => Buffer.concat(intake.rewritten ?? [])
const x = value('x', types.float, ['N', 2])
const y = value('y', types.float, ['N', 2])
const identity = node('Identity', ['x'], ['y'])
const plain = { nodes: [identity], inputs: [x], outputs: [y] }

describe('what a model says of itself', () => {
  test('inputs, outputs, free dimensions, opsets, producer', () => {
    const { signature, rewritten } = readModel(fileOf('multi.onnx'))
    expect(rewritten).toBeNull()
    const [first] = signature.inputs[0]?.shape ?? []
    expect(typeof first).toBe('string')
    expect(signature.inputs.map(({ name, type, shape }) => [name, type, shape?.[1]])).toEqual([
      ['a', 'float32', 3],
      ['b', 'float32', 3],
    ])
    expect(signature.outputs.map(({ name, shape }) => [name, shape?.length])).toEqual([
      ['sum', 2],
      ['dot', 1],
    ])
    expect(signature.opsets['']).toBeGreaterThan(10)
    expect(signature.nodes).toBeGreaterThan(0)
  })

  test('an initializer that is listed as input too is no input', () => {
    const bytes = model({
      ...plain,
      inputs: [x, value('w', types.float, [1])],
      initializers: [tensor('w')],
    })
    expect(readModel(bytes).signature.inputs.map((slot) => slot.name)).toEqual(['x'])
  })

  test('no shape at all is null, a shape of rank 0 is []', () => {
    const inputs = [value('x', types.float, null), value('k', types.float, [])]
    const { signature } = readModel(model({ ...plain, inputs }))
    expect(signature.inputs.map((slot) => slot.shape)).toEqual([null, []])
  })

  test('metadata and producer are bounded', () => {
    const long = 'p'.repeat(100_000)
    const entries = Array.from({ length: 150 }, (_, at): Field => [
      14,
      message([1, `k${at}`], [2, long]),
    ])
    const { signature } = readModel(model(plain, [[3, long], ...entries]))
    expect(signature.producer.length).toBe(200)
    expect(Object.keys(signature.metadata).length).toBe(100)
    expect(signature.metadata['k0']?.length).toBe(10_000)
  })
})

describe('what is refused', () => {
  const away = tensor('w', { location: 'weights.bin' })
  const inBranch = graph({ nodes: [identity], initializers: [away], outputs: [y] })
  const constant = (bytes: Uint8Array, id: number, type: number): Uint8Array =>
    node('Constant', [], ['c'], { attributes: [attribute('value', type, [id, bytes])] })
  const sparse = message([1, tensor('v')], [2, away])
  const fn = (fields: Field[]): Field => [25, message([1, 'F'], [10, 'local'], ...fields)]
  const only = [14, 1] as Field
  const cases: [string, Uint8Array, FaultCode][] = [
    ['initializer', model({ ...plain, initializers: [away] }), 'model.external-data'],
    [
      'initializer that names no location',
      model({ ...plain, initializers: [tensor('w', { more: [only] })] }),
      'model.external-data',
    ],
    [
      'initializer with an entry but inline location',
      model({
        ...plain,
        initializers: [tensor('w', { more: [[13, message([1, 'location'], [2, 'a'])]] })],
      }),
      'model.external-data',
    ],
    ['attribute', model({ ...plain, nodes: [constant(away, 5, 4)] }), 'model.external-data'],
    [
      'list of tensors in an attribute',
      model({ ...plain, nodes: [constant(away, 10, 9)] }),
      'model.external-data',
    ],
    [
      'sparse tensor in an attribute',
      model({ ...plain, nodes: [constant(sparse, 22, 11)] }),
      'model.external-data',
    ],
    [
      'list of sparse tensors in an attribute',
      model({ ...plain, nodes: [constant(sparse, 23, 12)] }),
      'model.external-data',
    ],
    ['sparse initializer', model({ ...plain, more: [[15, sparse]] }), 'model.external-data'],
    [
      'branch of an If',
      model({
        ...plain,
        nodes: [
          node('If', ['c'], ['y'], { attributes: [attribute('then_branch', 5, [6, inBranch])] }),
        ],
      }),
      'model.external-data',
    ],
    [
      'list of graphs in an attribute',
      model({
        ...plain,
        nodes: [node('If', ['c'], ['y'], { attributes: [attribute('g', 10, [11, inBranch])] })],
      }),
      'model.external-data',
    ],
    [
      'constant in a function',
      model(plain, [fn([[7, constant(away, 5, 4)]])]),
      'model.external-data',
    ],
    [
      'default attribute of a function',
      model(plain, [fn([[11, attribute('value', 4, [5, away])]])]),
      'model.external-data',
    ],
    [
      'graph with a second one behind it, which readers merge',
      model({ ...plain, initializers: [away] }, [[7, graph(plain)]]),
      'model.external-data',
    ],
    [
      'tensor with a second one behind it, which readers merge',
      model({
        ...plain,
        nodes: [
          node('Constant', [], ['c'], {
            attributes: [attribute('value', 4, [5, away], [5, message([8, 'w'])])],
          }),
        ],
      }),
      'model.external-data',
    ],
  ]
  for (const [name, bytes, code] of cases) {
    test(`§24: external data, ${name}`, () => {
      expect(verdict(bytes)).toBe(code)
    })
  }

  test('§24: the files of the tests with external data', () => {
    for (const name of ['external.onnx', 'external-escape.onnx', 'external-subgraph.onnx']) {
      expect([name, verdict(fileOf(name))]).toEqual([name, 'model.external-data'])
    }
  })

  test('operators of unknown domains, also inside branches; functions of the file are known', () => {
    expect(verdict(fileOf('custom-domain.onnx'))).toBe('model.unknown-domain')
    const strange = node('Magic', ['x'], ['y'], { domain: 'com.example' })
    const branch = graph({ nodes: [strange], outputs: [y] })
    const hidden = node('If', ['c'], ['y'], {
      attributes: [attribute('then_branch', 5, [6, branch])],
    })
    expect(verdict(model({ ...plain, nodes: [hidden] }))).toBe('model.unknown-domain')
    const call = node('F', ['x'], ['y'], { domain: 'local' })
    expect(verdict(model({ ...plain, nodes: [call] }, [fn([[7, identity]])]))).toBe('accepted')
    expect(verdict(model({ ...plain, nodes: [call] }, [fn([[7, strange]])]))).toBe(
      'model.unknown-domain',
    )
  })

  test('what is no ONNX file', () => {
    const files = {
      empty: new Uint8Array(),
      random: fileOf('not-onnx.bin'),
      half: fileOf('truncated.onnx'),
      text: Buffer.from('{"hello": "world"}'),
      'no graph': message([1, 8]),
      'no operators': model({ inputs: [x], outputs: [y] }),
      'no opset': message([1, 8], [7, graph(plain)]),
      'a length of 4 GB': new Uint8Array([0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f, 0]),
    }
    for (const [name, bytes] of Object.entries(files)) {
      expect([name, verdict(bytes)]).toEqual([name, 'model.not-onnx'])
    }
  })

  test('inputs and outputs that the binding cannot carry', () => {
    const complex = value('x', 14, ['N'])
    const bfloat = value('y', 16, ['N'])
    const sequence = message([1, 'y'], [2, message([4, message([1, message([1, 1])])])])
    expect(verdict(model({ ...plain, inputs: [complex] }))).toBe('model.unsupported')
    expect(verdict(model({ ...plain, outputs: [bfloat] }))).toBe('model.unsupported')
    expect(verdict(model({ ...plain, outputs: [sequence] }))).toBe('model.unsupported')
    expect(verdict(model({ ...plain, outputs: [message([1, 'y'])] }))).toBe('model.unsupported')
    expect(verdict(model({ ...plain, outputs: [] }))).toBe('model.unsupported')
  })

  test('nesting that ONNX Runtime refuses, and deeper than the stack', () => {
    expect(verdict(fileOf('if-nested.onnx'))).toBe('model.not-onnx')
    let inner = graph(plain)
    for (let level = 0; level < 3000; level += 1) {
      const branch = attribute('then_branch', 5, [6, inner])
      inner = graph({ nodes: [node('If', ['c'], ['y'], { attributes: [branch] })] })
    }
    expect(verdict(model(inner))).toBe('model.not-onnx')
  })

  test('10,000 random mutations of small files are accepted or refused, nothing else', () => {
    let seed = 7
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
      return Math.floor((seed / 2 ** 32) * below)
    }
    const seeds = [
      fileOf('multi.onnx'),
      fileOf('spin.onnx'),
      fileOf('crash-load-split.onnx'),
      readFileSync(join(examples, 'customers/model.onnx')),
    ]
    const seen = new Map<string, number>()
    for (let round = 0; round < 10_000; round += 1) {
      const bytes = Uint8Array.from(seeds[round % seeds.length] as Uint8Array)
      for (let change = 0; change <= random(4); change += 1) {
        const at = random(bytes.length)
        bytes[at] = random(3) === 0 ? 255 : random(256)
      }
      const cut = random(10) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes
      const code = verdict(cut)
      seen.set(code, (seen.get(code) ?? 0) + 1)
    }
    // Both ends are reached, so the mutations are neither all harmless nor all fatal.
    expect(seen.get('accepted')).toBeGreaterThan(100)
    expect(seen.get('model.not-onnx')).toBeGreaterThan(100)
  })
})

describe('ZipMap', () => {
  const strings = attribute('classlabels_strings', 8, [9, 'no'], [9, 'yes'])
  const zip = node('ZipMap', ['p'], ['scores'], { domain: 'ai.onnx.ml', attributes: [strings] })
  const map = message([1, 'scores'], [2, message([4, message([1, message([5, message()])])])])
  const unknown: Field[] = [
    [6, 'documentation'],
    [99, 'a field of the future'],
    [98, 12_345],
  ]
  const before: Uint8Array = node('Softmax', ['x'], ['p'])
  const after: Uint8Array = node('Identity', ['x'], ['y'])
  const inner: Field[] = [
    [10, 'doc of the graph'],
    [97, { float: 1.5 }],
    [96, 'unknown in the graph'],
  ]
  const bytes = model(
    {
      nodes: [before, zip, after],
      inputs: [x],
      outputs: [map, y],
      initializers: [tensor('w', { raw: new Uint8Array([1, 2, 3, 4]) })],
      more: inner,
    },
    unknown,
  )

  test('becomes Identity with a float32 output that knows its classes', () => {
    const intake = readModel(bytes)
    expect(intake.signature.outputs[0]).toEqual({
      name: 'scores',
      type: 'float32',
      shape: ['', 2],
      classes: ['no', 'yes'],
    })
    const again = readModel(joined(intake))
    expect(again.rewritten).toBeNull()
    expect(again.signature.outputs.map(({ name, type }) => [name, type])).toEqual([
      ['scores', 'float32'],
      ['y', 'float32'],
    ])
  })

  test('is rewritten without touching any other byte, unknown fields included', () => {
    const expected = model(
      {
        nodes: [before, node('Identity', ['p'], ['scores']), after],
        inputs: [x],
        outputs: [value('scores', types.float, ['batch', 2]), y],
        initializers: [tensor('w', { raw: new Uint8Array([1, 2, 3, 4]) })],
        more: inner,
      },
      unknown,
    )
    // Our writer spells an empty domain by leaving it out, so the operator is spelled the same way.
    expect(Buffer.from(joined(readModel(bytes))).toString('hex')).toBe(
      Buffer.from(expected).toString('hex'),
    )
  })

  test('integer labels are kept as numbers', () => {
    const ints = attribute('classlabels_int64s', 7, [8, 3], [8, 5])
    const numbered = node('ZipMap', ['p'], ['scores'], {
      domain: 'ai.onnx.ml',
      attributes: [ints],
    })
    const file = model({ nodes: [before, numbered], inputs: [x], outputs: [map] })
    expect(readModel(file).signature.outputs[0]?.classes).toEqual([3, 5])
  })

  test('of another domain stays', () => {
    const other = node('ZipMap', ['p'], ['scores'], { domain: 'com.microsoft' })
    expect(verdict(model({ nodes: [before, other], inputs: [x], outputs: [map] }))).toBe(
      'model.unsupported',
    )
  })

  test('every example with one loses it, and only it', () => {
    for (const name of readdirSync(examples)) {
      const original = readFileSync(join(examples, name, 'model.onnx'))
      const intake = readModel(original)
      const hadZip = original.includes('ZipMap')
      expect([name, intake.rewritten !== null]).toEqual([name, hadZip])
      if (!hadZip) continue
      const rewritten = Buffer.from(joined(intake))
      expect(rewritten.includes('ZipMap')).toBe(false)
      const outputs = readModel(rewritten).signature.outputs.map((slot) => slot.name)
      expect(outputs).toEqual(intake.signature.outputs.map((slot) => slot.name))
    }
  })
})

test('a unary model of the helper is read as written', () => {
  expect(readModel(unary('Log')).signature.inputs[0]).toEqual({
    name: 'x',
    type: 'float32',
    shape: ['N', 2],
  })
})
