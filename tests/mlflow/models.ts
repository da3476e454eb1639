// The models behind the payloads: those that are made here, and all of them pushed and live.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { model, node, tensor, types, unary, value } from '../support/onnx.ts'
import { examples, type Relais, testModels } from '../support/relais.ts'

/** Models `identity-<type>.onnx` with one input [N, 2], served as tensors. */
export const matrices = [
  'float16',
  'float32',
  'float64',
  'int8',
  'int16',
  'int32',
  'int64',
  'uint8',
  'uint16',
  'uint32',
  'uint64',
  'bool',
  'string',
]

type Slots = [name: string, type: number][]

/** Gives every input back as `<name>_out`. */
function identities(slots: Slots, dims: (number | string)[]): Uint8Array {
  return model({
    nodes: slots.map(([name]) => node('Identity', [name], [`${name}_out`])),
    inputs: slots.map(([name, type]) => value(name, type, dims)),
    outputs: slots.map(([name, type]) => value(`${name}_out`, type, dims)),
  })
}

const typed: Slots = [
  ['count', types.int64],
  ['small', types.int32],
  ['ratio', types.double],
  ['weight', types.float],
  ['active', types.bool],
  ['city', types.string],
]

const made: Record<string, Uint8Array> = {
  typed: identities(typed, ['N']),
  single: identities([['x', types.float]], ['N', 1]),
  image: identities([['pixels', types.float]], ['N', 2, 2]),
  odd: unary('Log', 1),
  uneven: model({
    nodes: [node('Identity', ['x'], ['same']), node('ReduceSum', ['same', 'axis'], ['sum'])],
    inputs: [value('x', types.float, ['N', 2])],
    outputs: [value('same', types.float, ['N', 2]), value('sum', types.float, ['N', 1])],
    initializers: [
      tensor('axis', {
        type: types.int64,
        dims: [1],
        raw: new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]),
      }),
    ],
  }),
}

/** Writes the models that are made here into a folder, as `<name>.onnx`. */
export function writeModels(folder: string): void {
  for (const [name, bytes] of Object.entries(made)) {
    writeFileSync(join(folder, `${name}.onnx`), bytes)
  }
}

/** Pushes every model that a payload names and makes it live. `folder`: where `writeModels` wrote. */
export async function serveModels(relais: Relais, folder: string): Promise<void> {
  const serve = async (name: string, file: string, metadata: object = {}): Promise<void> => {
    const pushed = await relais.push(name, file, metadata as Record<string, unknown>)
    if (pushed.status !== 201) throw new Error(`${name}: ${pushed.text}`)
    const moved = await relais.promote(name, 1, 'Production')
    if (moved.status !== 200) throw new Error(`${name}: ${moved.text}`)
  }
  const made = (name: string): string => join(folder, `${name}.onnx`)
  const stored = (name: string): string => join(testModels, `${name}.onnx`)
  const schema = { columns: [{ name: 'p' }, { name: 'q' }] }
  await Promise.all([
    ...['iris', 'customers', 'diabetes'].map(async (name) => {
      await relais.pushExample(name, name)
      await relais.promote(name, 1, 'Production')
    }),
    serve('iris-tensor', join(examples, 'iris/model.onnx')),
    ...['multi', 'scalar'].map((name) => serve(name, stored(name))),
    ...matrices.map((name) => serve(name, stored(`identity-${name}`))),
    ...['typed', 'single', 'odd', 'image'].map((name) => serve(name, made(name))),
    serve('flat', stored('identity-float32'), { schema }),
    serve('uneven', made('uneven'), { schema }),
  ])
}
