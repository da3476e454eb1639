import { describe, expect, test } from 'bun:test'

import {
  attribute,
  type Field,
  message,
  model,
  node,
  tensor,
  types,
  value,
} from '../../tests/support/onnx.ts'
import { Fault, type FaultCode } from '../core/fault.ts'
import { inlineExternal } from './external.ts'
import { readModel } from './model.ts'
import { decodeModel } from './proto.ts'

const bytes = Uint8Array.from({ length: 64 }, (_, at) => at + 1)
const files: Record<string, Uint8Array> = { 'w.data': bytes, empty: new Uint8Array() }
const open = (name: string): Uint8Array | undefined =>
  Object.hasOwn(files, name) ? files[name] : undefined

/** A tensor that is said to lie at `place`. */
function external(
  place: Record<string, string>,
  options: { type?: number; dims?: number[]; more?: Field[] } = {},
): Uint8Array {
  const { type = types.float, dims = [2], more = [] } = options
  return message(
    ...dims.map((dim): Field => [1, dim]),
    [2, type],
    [8, 'w'],
    ...Object.entries(place).map(([key, text]): Field => [13, message([1, key], [2, text])]),
    ...more,
    [14, 1],
  )
}

const at = { location: 'w.data', offset: '8', length: '8' }
const x = value('x', types.float, ['N', 2])
const y = value('y', types.float, ['N', 2])
const add = node('Add', ['x', 'w'], ['y'])
const withTensor = (w: Uint8Array): Uint8Array =>
  model({ nodes: [add], inputs: [x], outputs: [y], initializers: [w] })

const joined = (pieces: readonly Uint8Array[] | null): Uint8Array => Buffer.concat(pieces ?? [])

/** `accepted`, or the code and message of the refusal. */
function verdict(file: Uint8Array, most = 1 << 20): [FaultCode | 'accepted', string] {
  try {
    inlineExternal(file, open, most)
    return ['accepted', '']
  } catch (error) {
    if (error instanceof Fault) return [error.code, error.message]
    throw error
  }
}

describe('tensors beside a model', () => {
  test('become raw data, with every other byte kept', () => {
    const whole = joined(inlineExternal(withTensor(external(at)), open, 1 << 20))
    const inside = message([1, 2], [2, types.float], [8, 'w'], [9, bytes.subarray(8, 16)])
    expect(whole).toEqual(Buffer.from(withTensor(inside)))
    expect(readModel(whole).signature.inputs.map(({ name }) => name)).toEqual(['x'])
  })

  test('a model that has none is left alone, and takes no file', () => {
    const plain = withTensor(tensor('w', { dims: [2], raw: bytes.subarray(0, 8) }))
    const never = (): undefined => {
      throw new Error('opened')
    }
    expect(inlineExternal(plain, never, 1)).toBeNull()
  })

  test('wherever a tensor can be: subgraphs, attributes, sparse values, functions', () => {
    const w = external(at)
    const sparse = message([1, w], [2, external(at, { type: types.int64, dims: [1] })])
    const inner = message([1, add], [2, 'inner'], [5, w], [12, y])
    const attributes = [
      attribute('value', 4, [5, w]),
      attribute('values', 9, [10, w], [10, w]),
      attribute('body', 5, [6, inner]),
      attribute('bodies', 10, [11, inner], [11, inner]),
      attribute('sparse', 11, [22, sparse]),
      attribute('sparses', 12, [23, sparse]),
    ]
    const busy = node('If', ['x'], ['y'], { attributes })
    const file = model({ nodes: [busy], inputs: [x], outputs: [y], more: [[15, sparse]] }, [
      [25, message([1, 'f'], [7, busy], [10, 'ai.onnx'], [11, attribute('d', 4, [5, w])])],
    ])
    const whole = joined(inlineExternal(file, open, 1 << 20))
    expect(JSON.stringify(decodeModel(whole))).not.toInclude('"externalData":[{')
    // readModel looks into every corner and refuses what is left outside.
    expect(readModel(whole).signature.nodes).toBeGreaterThan(0)
    expect(() => readModel(file)).toThrow('stored outside the file')
  })

  test('pieces are views: nothing of the files is copied', () => {
    const pieces = inlineExternal(withTensor(external(at)), open, 1 << 20) ?? []
    expect(pieces.filter((piece) => piece.buffer === bytes.buffer).map((p) => p.length)).toEqual([
      8,
    ])
  })

  const sizes: [string, number, number[], number][] = [
    ['int8', 3, [3], 3],
    ['float16', 10, [2, 2], 8],
    ['bfloat16', 16, [3], 6],
    ['complex128', 15, [2], 32],
    ['int4 of an odd count', 22, [3], 2],
    ['a scalar', 11, [], 8],
    ['none at all', 1, [0, 5], 0],
  ]
  for (const [name, type, dims, length] of sizes) {
    test(`the size of a tensor is that of its elements: ${name}`, () => {
      const file = (said: number): Uint8Array =>
        withTensor(external({ location: 'w.data', length: String(said) }, { type, dims }))
      expect(verdict(file(length))[0]).toBe('accepted')
      expect(verdict(file(length + 1))[0]).toBe('model.external-data')
    })
  }

  test('without a length it is the rest of the file', () => {
    const file = (offset: string, dims: number[]): Uint8Array =>
      withTensor(external({ location: 'w.data', offset }, { dims }))
    expect(verdict(file('56', [2]))[0]).toBe('accepted')
    expect(verdict(file('52', [2]))[0]).toBe('model.external-data')
  })

  const refused: [string, Uint8Array, string][] = [
    ['a file that is not there', external({ ...at, location: 'x.data' }), 'not there'],
    ['the prototype of the list', external({ ...at, location: '__proto__' }), 'not there'],
    ['no file', external({ offset: '0' }), 'outside the folder'],
    ['a folder above', external({ ...at, location: '../w.data' }), 'outside the folder'],
    ['a folder below', external({ ...at, location: 'a/w.data' }), 'outside the folder'],
    ['a Windows path', external({ ...at, location: 'a\\w.data' }), 'outside the folder'],
    ['the folder itself', external({ ...at, location: '.' }), 'outside the folder'],
    ['the one above', external({ ...at, location: '..' }), 'outside the folder'],
    ['an absolute path', external({ ...at, location: '/etc/passwd' }), 'outside the folder'],
    ['a name cut by NUL', external({ ...at, location: 'w.data\0.x' }), 'outside the folder'],
    ['an offset beyond the end', external({ ...at, offset: '60' }), 'beyond the end'],
    ['a huge offset', external({ ...at, offset: '999999999999999' }), 'beyond the end'],
    ['an offset past all numbers', external({ ...at, offset: '9'.repeat(30) }), 'no number'],
    ['a negative offset', external({ ...at, offset: '-8' }), 'no number'],
    ['a length in words', external({ ...at, length: 'all' }), 'no number'],
    ['too short', external({ ...at, length: '4' }), 'needs 8 bytes'],
    ['an empty file', external({ location: 'empty' }), 'needs 8 bytes'],
    ['negative dimensions', external(at, { dims: [-2] }), 'impossible dimensions'],
    ['huge dimensions', external(at, { dims: [2 ** 40, 2 ** 40] }), 'impossible dimensions'],
    ['strings', external(at, { type: types.string }), 'element type 8'],
    ['an unknown type', external(at, { type: 99 }), 'element type 99'],
  ]
  for (const [name, w, why] of refused) {
    test(`refused: ${name}`, () => {
      const [code, said] = verdict(withTensor(w))
      expect(code).toBe('model.external-data')
      expect(said).toInclude(why)
    })
  }

  test('refused: many tensors of one file that would make a giant', () => {
    const initializers = Array.from({ length: 1000 }, () => external(at))
    const file = model({ nodes: [add], inputs: [x], outputs: [y], initializers })
    expect(verdict(file, 10_000)).toEqual([
      'model.external-data',
      'The model with its external data has more than 10000 bytes.',
    ])
  })

  test('bytes that are no protobuf are no model, at any length of a cut', () => {
    const file = withTensor(external(at))
    for (let length = 1; length < file.length; length += 1) {
      expect(['accepted', 'model.not-onnx', 'model.external-data']).toContain(
        verdict(file.subarray(0, length))[0],
      )
    }
    let deep = message([5, external(at)])
    for (let level = 0; level < 5000; level += 1) {
      deep = message([1, message([5, message([1, 'b'], [6, deep])])])
    }
    expect(verdict(message([7, deep]))[0]).toBe('model.not-onnx')
  })
})
