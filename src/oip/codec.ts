// Inference requests and answers of the Open Inference Protocol, free of HTTP: parsed JSON and raw
// bytes to the tensors of a version, and its outputs to JSON text and raw bytes.
import { Fault } from '../core/fault.ts'
import { isObject } from '../core/object.ts'
import { flatJson, ownPart } from '../inference/answer.ts'
import type { Answer } from '../inference/batcher.ts'
import type { Deployment } from '../inference/deployment.ts'
import { escapePointer, Flaws } from '../onnx/check.ts'
import type { Slot } from '../onnx/model.ts'
import { fill, mostDims, raggedAt } from '../onnx/nested.ts'
import {
  allocate,
  countOf,
  elements,
  type ElementType,
  type Tensor,
  type TensorData,
} from '../onnx/tensor.ts'
import { classify } from './classification.ts'
import { datatypeOf, elementTypeOf } from './datatype.ts'
import {
  flag,
  type Parameters,
  readParameters,
  readRequestParameters,
  wholeNumber,
} from './parameters.ts'
import { decodeRaw, encodeRaw, textOf } from './raw.ts'

/** What the codec needs of a deployment. */
export type Served = Pick<Deployment, 'tail' | 'signature' | 'schema' | 'validator' | 'batchable'>

/** An output that is wanted, in the order of the answer. */
interface Wanted {
  /** Its place among the outputs of the model. */
  at: number
  slot: Slot
  binary: boolean
  /** So many best classes instead of the tensor; 0 for the tensor itself. */
  classes: number
}

export interface Inference {
  id: string
  /** In the order of the model's inputs, checked. */
  tensors: Tensor[]
  /** Entries along dimension 0. */
  rows: number
  wanted: Wanted[]
  /** Milliseconds the client allows, if it says so. */
  timeout: number | undefined
}

/** JSON text, and the raw tensors that follow it. */
export interface EncodedAnswer {
  json: string
  raw: Uint8Array[]
}

const wrong = (why: string): Fault => new Fault('request.invalid', why)

type Members = Record<string, unknown>

function membersOf(value: unknown, what: string): Members {
  if (isObject(value)) return value
  throw wrong(`${what} must be an object.`)
}

function namedList(value: unknown, what: string): { name: string; members: Members }[] {
  if (!Array.isArray(value)) throw wrong(`${what} must be a list.`)
  return value.map((item) => {
    const members = membersOf(item, `Each of ${what}`)
    if (typeof members.name !== 'string') throw wrong(`Each of ${what} must have a name.`)
    return { name: members.name, members }
  })
}

/** No list and no buffer has as many entries, so neither may a tensor that is empty otherwise. */
const dimEnd = 2 ** 31

function readShape(value: unknown, input: string): number[] {
  const isShape =
    Array.isArray(value) &&
    value.length <= mostDims &&
    value.every((dim) => Number.isSafeInteger(dim) && dim >= 0 && dim < dimEnd)
  if (!isShape || !Number.isSafeInteger(countOf(value as number[]))) {
    const what = `at most ${mostDims} whole numbers below ${dimEnd}`
    throw wrong(`Input ${input}: shape must be a list of ${what}.`)
  }
  return value as number[]
}

/** Elements from JSON, nested to the shape or flat in row-major order. */
function dataOf(type: ElementType, dims: readonly number[], data: unknown, name: string) {
  const input = JSON.stringify(name)
  if (type === 'float16') {
    throw wrong(`Input ${input}: FP16 has no form in JSON; send it as binary data.`)
  }
  const pointer = `/inputs/${escapePointer(name)}`
  // A scalar may come as the list of its one element, as every client writes it.
  const isFlat = Array.isArray(data) && !Array.isArray(data[0])
  const levels = isFlat ? [countOf(dims)] : dims
  const ragged = raggedAt(data, levels, pointer)
  if (ragged !== null) {
    throw wrong(`Input ${input}: ${ragged} does not fit the shape ${JSON.stringify(dims)}.`)
  }
  const tensor = { name, type, dims: [...levels], data: allocate(type, countOf(levels)) }
  const flaws = new Flaws()
  // Whether null may stand for NaN is the schema's to say, when the values are checked.
  fill(tensor, data, { pointer, flaws, nulls: null })
  flaws.demandNone()
  return tensor.data
}

/** The raw bytes behind the JSON, handed out piece by piece. */
class RawBytes {
  private at = 0
  private readonly bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  take(size: number, input: string): Uint8Array {
    const end = this.at + size
    if (end > this.bytes.length) throw wrong(`Input ${input}: the body is shorter than it says.`)
    const taken = this.bytes.subarray(this.at, end)
    this.at = end
    return taken
  }

  demandEmpty(): void {
    const left = this.bytes.length - this.at
    if (left > 0) throw wrong(`The body holds ${left} bytes more than its inputs say.`)
  }
}

function readInput({ name, members }: { name: string; members: Members }, raw: RawBytes): Tensor {
  const input = JSON.stringify(name)
  const type = elementTypeOf(members.datatype, name)
  const dims = readShape(members.shape, input)
  const size = wholeNumber(readParameters(members.parameters, input), 'binary_data_size')
  if ((size === undefined) === (members.data === undefined)) {
    throw wrong(`Input ${input} must have exactly one of data and binary_data_size.`)
  }
  const data: TensorData =
    size === undefined
      ? dataOf(type, dims, members.data, name)
      : decodeRaw(type, countOf(dims), raw.take(size, input), input)
  return { name, type, dims, data }
}

function wantedOf(slot: Slot, at: number, parameters: Parameters, binary: boolean): Wanted {
  const wanted = {
    at,
    slot,
    binary: flag(parameters, 'binary_data') ?? binary,
    classes: wholeNumber(parameters, 'classification') ?? 0,
  }
  const { classes } = wanted
  if (classes > 0 && (slot.type === 'string' || slot.type === 'bool')) {
    throw wrong(`Output ${slot.name} holds no numbers that could be ranked.`)
  }
  if (slot.type === 'float16' && !wanted.binary && classes === 0) {
    throw wrong(`Output ${slot.name} is FP16, which has no form in JSON; ask for binary data.`)
  }
  return wanted
}

/** All outputs, or those that are named. */
function readOutputs({ signature }: Served, value: unknown, binary: boolean): Wanted[] {
  const asked = value === undefined || value === null ? [] : namedList(value, 'outputs')
  if (asked.length === 0) {
    return signature.outputs.map((slot, at) => wantedOf(slot, at, new Map(), binary))
  }
  const seen = new Set<string>()
  return asked.map(({ name, members }) => {
    const at = signature.outputs.findIndex((slot) => slot.name === name)
    const slot = signature.outputs[at]
    const all = signature.outputs.map((output) => output.name).join(', ')
    if (!slot) throw wrong(`There is no output ${JSON.stringify(name)}; there are ${all}.`)
    if (seen.has(name)) throw wrong(`Output ${JSON.stringify(name)} is asked for twice.`)
    seen.add(name)
    const parameters = readParameters(members.parameters, JSON.stringify(name))
    return wantedOf(slot, at, parameters, binary)
  })
}

function readId(value: unknown): string {
  if (value === undefined || value === null) return ''
  if (typeof value === 'string') return value
  throw wrong('id must be a string.')
}

const rowsOf = (tensors: readonly Tensor[]): number => tensors[0]?.dims[0] ?? 1

/**
 * An inference request. `header`: its parsed JSON; `raw`: the bytes that follow. Throws
 * `request.invalid` for what breaks the protocol and `input.invalid` for what does not fit the model.
 */
export function readInference(served: Served, header: unknown, raw: Uint8Array): Inference {
  const members = membersOf(header, 'The body')
  const id = readId(members.id)
  const { binary, timeout } = readRequestParameters(members.parameters)
  const wanted = readOutputs(served, members.outputs, binary)
  const bytes = new RawBytes(raw)
  const given = namedList(members.inputs, 'inputs').map((input) => readInput(input, bytes))
  bytes.demandEmpty()
  const tensors = served.validator.typed(given)
  return { id, tensors, rows: rowsOf(tensors), wanted, timeout }
}

/** The shape of a raw request: at most one dimension is free, besides that of a batch, which is 1. */
function rawShape({ batchable }: Served, slot: Slot, size: number): number[] {
  const free = (slot.shape ?? []).filter((dim) => typeof dim === 'string').length
  const fix = free > 1 && batchable ? 1 : 0
  if (slot.shape === null || free - fix > 1) {
    throw wrong('Raw binary requests need an input with at most one free dimension.')
  }
  const dims = slot.shape.map((dim, at) => (at === 0 && fix === 1 ? 1 : dim))
  const known = dims.reduce<number>((n, dim) => n * (typeof dim === 'number' ? dim : 1), 1)
  const rest = known === 0 ? 0 : size / known
  if (!Number.isInteger(rest) || (free === 0 && rest !== 1)) {
    throw wrong(`${size} elements do not fit the shape ${JSON.stringify(slot.shape)}.`)
  }
  return dims.map((dim) => (typeof dim === 'number' ? dim : rest))
}

/**
 * A request whose whole body is the one input of its model (a header length of 0): numbers as they
 * lie in memory, or the bytes of one string. All its outputs are binary.
 */
export function readRawInference(served: Served, raw: Uint8Array): Inference {
  const { inputs, outputs } = served.signature
  const [slot] = inputs
  if (!slot || inputs.length !== 1) throw wrong('Raw binary requests need a model of one input.')
  const input = JSON.stringify(slot.name)
  const { name, type } = slot
  const isText = type === 'string'
  const dims = rawShape(served, slot, isText ? 1 : raw.length / elements[type].bytes)
  const data = isText ? [textOf(raw, input)] : decodeRaw(type, countOf(dims), raw, input)
  const tensors = served.validator.typed([{ name, type, dims, data }])
  const wanted = outputs.map((output, at) => wantedOf(output, at, new Map(), true))
  return { id: '', tensors, rows: rowsOf(tensors), wanted, timeout: undefined }
}

/** One output: its JSON, and its bytes when it is binary. */
function encodeOutput(served: Served, { at, slot, binary, classes }: Wanted, answer: Answer) {
  const part = ownPart(answer, at)
  const labels = served.schema.outputs.find(({ name }) => name === slot.name)?.classes
  const { type, dims, data, from, to } =
    classes > 0 ? classify(part, classes, { slot, labels }) : part
  const head = `{"name":${JSON.stringify(slot.name)},"datatype":"${datatypeOf(type)}","shape":[${dims.join(',')}]`
  if (!binary) return { json: `${head},"data":[${flatJson({ type, dims, data }, from, to)}]}` }
  const raw = encodeRaw(data, from, to)
  return { json: `${head},"parameters":{"binary_data_size":${raw.length}}}`, raw }
}

/** The answer to a request. NaN and infinities are null in JSON, which has no word for them. */
export function writeAnswer(served: Served, inference: Inference, answer: Answer): EncodedAnswer {
  const { id, wanted } = inference
  const outputs = wanted.map((one) => encodeOutput(served, one, answer))
  const head = id === '' ? '{' : `{"id":${JSON.stringify(id)},`
  return {
    json: `${head}"outputs":[${outputs.map(({ json }) => json).join(',')}]${served.tail}`,
    raw: outputs.flatMap(({ raw }) => raw ?? []),
  }
}
