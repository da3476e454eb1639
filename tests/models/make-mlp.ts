// Writes multilayer perceptrons of any size, and computes what they answer without ONNX Runtime.
import { type FileHandle, open } from 'node:fs/promises'

import protobuf from 'protobufjs/minimal.js'

const { Writer } = protobuf

export type MlpSize = { inputs: number; hidden: number[]; outputs: number; seed?: number }

type Layer = { index: number; rows: number; columns: number }

// Field numbers of onnx.proto.
const MODEL = { irVersion: 1, producer: 2, graph: 7, opset: 8 }
const OPSET = { domain: 1, version: 2 }
const GRAPH = { node: 1, name: 2, weight: 5, input: 11, output: 12 }
const NODE = { input: 1, output: 2, name: 3, operator: 4 }
const TENSOR = { dims: 1, type: 2, name: 8, raw: 9 }
const VALUE = { name: 1, type: 2 }
const FLOAT = 1
const VARINT = 0
const BYTES = 2
// Protobuf readers refuse more.
const MAX_BYTES = 2 ** 31 - 1
const CHUNK_FLOATS = 1 << 18

const tag = (field: number, wire: number) => (field << 3) | wire

const message = (fields: [number, Uint8Array | string | number][]): Uint8Array => {
  const writer = Writer.create()
  for (const [field, value] of fields) {
    if (typeof value === 'number') writer.uint32(tag(field, VARINT)).uint32(value)
    else if (typeof value === 'string') writer.uint32(tag(field, BYTES)).string(value)
    else writer.uint32(tag(field, BYTES)).bytes(value)
  }
  return writer.finish()
}

// Field number and length of bytes which are written after it, never held as a whole.
const header = (field: number, length: number): Uint8Array =>
  Writer.create().uint32(tag(field, BYTES)).uint32(length).finish()

const node = (operator: string, inputs: string[], output: string): Uint8Array =>
  message([
    ...inputs.map((name): [number, string] => [NODE.input, name]),
    [NODE.output, output],
    [NODE.name, output],
    [NODE.operator, operator],
  ])

const value = (name: string, columns: number): Uint8Array => {
  const shape = message([
    [1, message([[2, 'N']])],
    [1, message([[1, columns]])],
  ])
  const type = message([
    [
      1,
      message([
        [1, FLOAT],
        [2, shape],
      ]),
    ],
  ])
  return message([
    [VALUE.name, name],
    [VALUE.type, type],
  ])
}

const graphHead = (layers: Layer[], size: MlpSize): Uint8Array => {
  const nodes = layers.flatMap(({ index }) => {
    const from = index === 0 ? 'x' : `relu${index - 1}`
    const last = index === layers.length - 1
    return [
      node('Gemm', [from, `weight${index}`, `bias${index}`], `gemm${index}`),
      last
        ? node('Softmax', [`gemm${index}`], 'probabilities')
        : node('Relu', [`gemm${index}`], `relu${index}`),
    ]
  })
  return message([
    ...nodes.map((bytes): [number, Uint8Array] => [GRAPH.node, bytes]),
    [GRAPH.name, 'mlp'],
    [GRAPH.input, value('x', size.inputs)],
    [GRAPH.output, value('probabilities', size.outputs)],
  ])
}

const tensorHead = (name: string, dims: number[]): Uint8Array =>
  message([
    ...dims.map((dim): [number, number] => [TENSOR.dims, dim]),
    [TENSOR.type, FLOAT],
    [TENSOR.name, name],
  ])

// A tensor field of the graph: everything but the weights, and how many weights follow.
const tensorField = (name: string, dims: number[]): { head: Uint8Array; floats: number } => {
  const floats = dims.reduce((product, dim) => product * dim, 1)
  const raw = header(TENSOR.raw, floats * 4)
  const inner = tensorHead(name, dims)
  const outer = header(GRAPH.weight, inner.length + raw.length + floats * 4)
  return { head: Buffer.concat([outer, inner, raw]), floats }
}

// Mulberry32, uniform in [-limit, limit).
const randomFloats = (seed: number) => {
  let state = seed | 0
  return (into: Float32Array, limit: number) => {
    for (let i = 0; i < into.length; i++) {
      state = (state + 0x6d2b79f5) | 0
      let mixed = Math.imul(state ^ (state >>> 15), state | 1)
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
      into[i] = ((mixed ^ (mixed >>> 14)) / 2 ** 31) * limit
    }
  }
}

const writeAll = async (file: FileHandle, bytes: Uint8Array) => {
  let done = 0
  while (done < bytes.length) {
    done += (await file.write(bytes, done, bytes.length - done)).bytesWritten
  }
}

/** Writes a multilayer perceptron as ONNX in constant memory; equal options give equal bytes. */
export async function writeMlp(path: string, opts: MlpSize): Promise<void> {
  const widths = [opts.inputs, ...opts.hidden, opts.outputs]
  const layers = widths
    .slice(1)
    .map((columns, index): Layer => ({ index, rows: widths[index] ?? 0, columns }))
  const tensors = layers.flatMap(({ index, rows, columns }) => [
    // He's limit keeps the signal alive through any number of Relu layers.
    { ...tensorField(`weight${index}`, [rows, columns]), limit: Math.sqrt(6 / rows) },
    { ...tensorField(`bias${index}`, [columns]), limit: 0.1 },
  ])
  const graph = graphHead(layers, opts)
  const length = tensors.reduce(
    (sum, { head, floats }) => sum + head.length + floats * 4,
    graph.length,
  )
  const model = message([
    [MODEL.irVersion, 10],
    [MODEL.producer, 'writeMlp'],
    [
      MODEL.opset,
      message([
        [OPSET.domain, ''],
        [OPSET.version, 21],
      ]),
    ],
  ])
  if (model.length + length + 6 > MAX_BYTES) throw new RangeError('model of 2 GiB or more')

  const fill = randomFloats(opts.seed ?? 1)
  const chunk = new Float32Array(CHUNK_FLOATS)
  await using file = await open(path, 'w')
  await writeAll(file, Buffer.concat([model, header(MODEL.graph, length), graph]))
  for (const { head, floats, limit } of tensors) {
    await writeAll(file, head)
    for (let left = floats; left > 0; left -= CHUNK_FLOATS) {
      const part = chunk.subarray(0, Math.min(left, CHUNK_FLOATS))
      fill(part, limit)
      await writeAll(file, new Uint8Array(part.buffer, 0, part.byteLength))
    }
  }
}

/** What the same network answers for one row, computed in doubles from its definition. */
export function mlpReference(opts: MlpSize, row: readonly number[]): number[] {
  const widths = [opts.inputs, ...opts.hidden, opts.outputs]
  const fill = randomFloats(opts.seed ?? 1)
  let values = Float64Array.from(row, Math.fround)
  for (let layer = 1; layer < widths.length; layer += 1) {
    const columns = widths[layer] ?? 0
    const weights = new Float32Array(values.length * columns)
    fill(weights, Math.sqrt(6 / values.length))
    const bias = new Float32Array(columns)
    fill(bias, 0.1)
    const sums = Float64Array.from(bias)
    values.forEach((value, from) => {
      for (let to = 0; to < columns; to += 1) sums[to]! += value * weights[from * columns + to]!
    })
    values = layer === widths.length - 1 ? sums : sums.map((sum) => Math.max(0, sum))
  }
  const highest = Math.max(...values)
  const powers = [...values].map((value) => Math.exp(value - highest))
  const total = powers.reduce((sum, power) => sum + power, 0)
  return powers.map((power) => power / total)
}
