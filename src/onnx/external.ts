// Tensors that a model keeps in files beside it (§24), put back into the model without copying them.
import { Fault } from '../core/fault.ts'
import { decodeTensor, fieldHead, type FieldSpan, spansOf } from './proto.ts'
import { elementOf, elements } from './tensor.ts'

/** A message in which tensors can lie, or a tensor. */
type Kind = 'model' | 'graph' | 'function' | 'node' | 'attribute' | 'sparse' | 'tensor'

/** Field numbers of onnx.proto under which such messages lie. */
const inner: Record<Exclude<Kind, 'tensor'>, Readonly<Record<number, Kind | undefined>>> = {
  model: { 7: 'graph', 25: 'function' },
  graph: { 1: 'node', 5: 'tensor', 15: 'sparse' },
  function: { 7: 'node', 11: 'attribute' },
  node: { 5: 'attribute' },
  attribute: { 5: 'tensor', 6: 'graph', 10: 'tensor', 11: 'graph', 22: 'sparse', 23: 'sparse' },
  sparse: { 1: 'tensor', 2: 'tensor' },
}

const rawData = 9
const externalData = 13
const dataLocation = 14
const isExternal = 1

/** Half bytes and other types of TensorProto that the binding cannot carry, but models can hold. */
const otherBytes: Readonly<Record<number, number>> = {
  14: 8,
  15: 16,
  16: 2,
  17: 1,
  18: 1,
  19: 1,
  20: 1,
  21: 0.5,
  22: 0.5,
  23: 0.5,
}

/** The bytes of a file beside the model, or undefined when there is none of that name. */
export type OpenBeside = (name: string) => Uint8Array | undefined

interface Pieces {
  list: Uint8Array[]
  length: number
}

const refuse = (tensor: string, why: string): never => {
  throw new Fault('model.external-data', `Tensor ${JSON.stringify(tensor.slice(0, 100))} ${why}.`)
}

/** Bytes of a tensor by its type and dimensions. */
function sizeOf(name: string, dataType: number, dims: readonly unknown[]): number {
  const element = elementOf(dataType)
  const bytes = element ? elements[element].bytes : (otherBytes[dataType] ?? 0)
  if (bytes === 0) return refuse(name, `has element type ${dataType}, which lies in no file`)
  const count = dims.map(Number).reduce((product, dim) => product * (dim >= 0 ? dim : -1), 1)
  const size = Math.ceil(count * bytes)
  return Number.isSafeInteger(size) && size >= 0 ? size : refuse(name, 'has impossible dimensions')
}

function numberIn(name: string, text: string | undefined, absent: number): number {
  if (text === undefined) return absent
  return /^\d{1,15}$/.test(text) ? Number(text) : refuse(name, 'has a place that is no number')
}

/** What an external tensor holds, as a view of its file. */
function dataOf(bytes: Uint8Array, open: OpenBeside): Uint8Array {
  const { name, dataType, dims, externalData: entries } = decodeTensor(bytes)
  const place = new Map(entries.map(({ key, value }) => [key, value]))
  const location = place.get('location') ?? ''
  if (!/^[^/\\\0]+$/.test(location) || location === '.' || location === '..') {
    return refuse(name, 'is stored outside the folder of the model')
  }
  const shown = JSON.stringify(location.slice(0, 100))
  const file = open(location)
  if (!file) return refuse(name, `is stored in ${shown}, which is not there`)
  const offset = numberIn(name, place.get('offset'), 0)
  const length = numberIn(name, place.get('length'), file.length - offset)
  const size = sizeOf(name, dataType, dims)
  if (length !== size) return refuse(name, `needs ${size} bytes, not the ${length} of ${shown}`)
  if (offset + length > file.length) return refuse(name, `lies beyond the end of ${shown}`)
  return file.subarray(offset, offset + length)
}

/** Copies a message but for the fields that `by` replaces; null when it replaces none. */
function replaced(
  bytes: Uint8Array,
  by: (field: FieldSpan) => readonly Uint8Array[] | null,
): Pieces | null {
  const list: Uint8Array[] = []
  let copied = 0
  for (const field of spansOf(bytes, 0, bytes.length)) {
    const pieces = by(field)
    if (pieces === null) continue
    list.push(bytes.subarray(copied, field.start))
    for (const piece of pieces) list.push(piece)
    copied = field.end
  }
  if (copied === 0) return null
  list.push(bytes.subarray(copied))
  return { list, length: list.reduce((sum, piece) => sum + piece.length, 0) }
}

function tensorInside(bytes: Uint8Array, open: OpenBeside): Pieces | null {
  const { externalData: entries, dataLocation: location } = decodeTensor(bytes)
  if (location !== isExternal && entries.length === 0) return null
  const data = dataOf(bytes, open)
  const dropped = [rawData, externalData, dataLocation]
  const rest = replaced(bytes, ({ id }) => (dropped.includes(id) ? [] : null))
  const list = [...(rest?.list ?? [bytes]), fieldHead(rawData, data.length), data]
  return { list, length: list.reduce((sum, piece) => sum + piece.length, 0) }
}

function inside(kind: Kind, bytes: Uint8Array, open: OpenBeside): Pieces | null {
  if (kind === 'tensor') return tensorInside(bytes, open)
  return replaced(bytes, (field) => {
    const child = inner[kind][field.id]
    if (child === undefined) return null
    const pieces = inside(child, bytes.subarray(field.value, field.end), open)
    return pieces && [fieldHead(field.id, pieces.length), ...pieces.list]
  })
}

/**
 * The whole model in pieces (views of `bytes` and of the files, so that a large one costs no memory),
 * or null when all its tensors lie inside. Names must be plain, places within their file and lengths
 * those of the tensor. Throws `model.external-data`, also for a result of more than `most` bytes, and
 * `model.not-onnx`.
 */
export function inlineExternal(
  bytes: Uint8Array,
  open: OpenBeside,
  most: number,
): Uint8Array[] | null {
  let whole: Pieces | null
  try {
    whole = inside('model', bytes, open)
  } catch (cause) {
    if (cause instanceof Fault) throw cause
    throw new Fault('model.not-onnx', 'The bytes are no ONNX protobuf; is the file complete?', {
      cause,
    })
  }
  if (whole && whole.length > most) {
    const detail = `The model with its external data has more than ${most} bytes.`
    throw new Fault('model.external-data', detail)
  }
  return whole?.list ?? null
}
