// The wire between server and engine: length-prefixed frames of tensors or JSON over a socket pair.
//
// A frame is a multiple of 8 bytes, so tensors can be viewed in place:
//   u32 length of the frame | u32 id | u8 kind | 3 bytes unused | u32 first argument | payload
// A tensor is: u8 type | u8 rank | u16 unused | u32 bytes | u32 dims… | padding to 8 | data | padding.
// Before the tensors: u32 their count | u32 µs of decoding | u32 µs of encoding | u32 unused.
// Strings travel as a JSON list; all numbers are little-endian, as every supported machine is.
import {
  countOf,
  elementOf,
  elements,
  type Tensor,
  type TensorData,
  viewOf,
} from '../onnx/tensor.ts'

export const headBytes = 16
const preambleBytes = 16
/** Longer is no answer of a model anybody can use. */
const mostBytes = 2 ** 30

export const kinds = {
  /** To the engine: JSON {handle, path, sha256, threads}. Back: JSON {ok, …}. */
  load: 1,
  /** To the engine: JSON {handle}. Back: JSON {ok}. */
  unload: 2,
  /** To the engine: tensors; the argument is the handle. Back: tensors; it is the µs in the runtime. */
  run: 3,
  json: 4,
  tensors: 5,
  /** Back: JSON {message, memory}: the run was refused. */
  refused: 6,
} as const

export type Kind = (typeof kinds)[keyof typeof kinds]

export interface Frame {
  id: number
  kind: number
  argument: number
  payload: Uint8Array
}

const pad = (bytes: number): number => (bytes + 7) & ~7
const text = new TextEncoder()
const utf8 = new TextDecoder()

/** One tensor as it goes out: several pieces are written one after the other along dimension 0. */
export interface Outgoing {
  type: Tensor['type']
  dims: readonly number[]
  pieces: readonly TensorData[]
}

function piecesBytes(tensor: Outgoing): { size: number; encoded: Uint8Array | null } {
  if (tensor.type === 'string') {
    const encoded = text.encode(JSON.stringify((tensor.pieces as string[][]).flat()))
    return { size: encoded.length, encoded }
  }
  return { size: countOf(tensor.dims) * elements[tensor.type].bytes, encoded: null }
}

const tensorHead = (rank: number): number => pad(8 + rank * 4)

/** Frame with tensors. */
export function tensorFrame(
  head: { id: number; kind: Kind; argument: number },
  tensors: readonly Outgoing[],
): Uint8Array {
  const sizes = tensors.map(piecesBytes)
  let length = headBytes + preambleBytes
  for (const [at, tensor] of tensors.entries()) {
    length += tensorHead(tensor.dims.length) + pad(sizes[at]?.size ?? 0)
  }
  const frame = new Uint8Array(length)
  const view = new DataView(frame.buffer)
  writeHead(view, length, head)
  view.setUint32(headBytes, tensors.length, true)
  let at = headBytes + preambleBytes
  for (const [index, tensor] of tensors.entries()) {
    const { size, encoded } = sizes[index] as { size: number; encoded: Uint8Array | null }
    view.setUint8(at, elements[tensor.type].code)
    view.setUint8(at + 1, tensor.dims.length)
    view.setUint32(at + 4, size, true)
    for (const [axis, dim] of tensor.dims.entries()) view.setUint32(at + 8 + axis * 4, dim, true)
    at += tensorHead(tensor.dims.length)
    if (encoded) frame.set(encoded, at)
    else writePieces(frame, at, tensor)
    at += pad(size)
  }
  return frame
}

/** Copies element-wise: asking a small array for its buffer would move it out of its fast form. */
function writePieces(frame: Uint8Array, from: number, tensor: Outgoing): void {
  if (tensor.type === 'string') return
  const all = viewOf(tensor.type, frame.buffer, from, countOf(tensor.dims))
  let at = 0
  for (const piece of tensor.pieces) {
    all.set(piece as Float32Array, at)
    at += piece.length
  }
}

function writeHead(
  view: DataView,
  length: number,
  head: { id: number; kind: Kind; argument: number },
): void {
  view.setUint32(0, length, true)
  view.setUint32(4, head.id, true)
  view.setUint8(8, head.kind)
  view.setUint32(12, head.argument, true)
}

/** Frame with a JSON value. */
export function jsonFrame(head: { id: number; kind: Kind }, value: unknown): Uint8Array {
  const body = text.encode(JSON.stringify(value))
  const length = headBytes + pad(body.length + 4)
  const frame = new Uint8Array(length)
  const view = new DataView(frame.buffer)
  writeHead(view, length, { ...head, argument: 0 })
  view.setUint32(headBytes, body.length, true)
  frame.set(body, headBytes + 4)
  return frame
}

export function readJson<T>(payload: Uint8Array): T {
  const view = new DataView(payload.buffer, payload.byteOffset)
  const length = view.getUint32(0, true)
  return JSON.parse(utf8.decode(payload.subarray(4, 4 + length))) as T
}

/** Microseconds an engine spent on one frame. */
export interface RunTimes {
  input: number
  infer: number
  output: number
}

/** Writes the times of an engine into a frame of tensors. */
export function stampTimes(frame: Uint8Array, { input, infer, output }: RunTimes): void {
  const view = new DataView(frame.buffer)
  view.setUint32(12, infer, true)
  view.setUint32(headBytes + 4, input, true)
  view.setUint32(headBytes + 8, output, true)
}

export function timesOf({ argument, payload }: Frame): RunTimes {
  const view = new DataView(payload.buffer, payload.byteOffset)
  return { input: view.getUint32(4, true), infer: argument, output: view.getUint32(8, true) }
}

/** Tensors of a payload, copied out of it. Names are not on the wire: order is the model's. */
export function readTensors(payload: Uint8Array): Omit<Tensor, 'name'>[] {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength)
  const count = view.getUint32(0, true)
  const tensors: Omit<Tensor, 'name'>[] = []
  let at = preambleBytes
  for (let index = 0; index < count; index += 1) {
    const type = elementOf(view.getUint8(at)) ?? 'float32'
    const rank = view.getUint8(at + 1)
    const size = view.getUint32(at + 4, true)
    const dims = Array.from({ length: rank }, (_, axis) => view.getUint32(at + 8 + axis * 4, true))
    at += tensorHead(rank)
    const bytes = payload.subarray(at, at + size)
    tensors.push({ type, dims, data: dataOf(type, dims, bytes) })
    at += pad(size)
  }
  return tensors
}

function dataOf(type: Tensor['type'], dims: readonly number[], bytes: Uint8Array): TensorData {
  if (type === 'string') return JSON.parse(utf8.decode(bytes)) as string[]
  const { buffer, byteOffset, byteLength } = bytes
  return viewOf(type, buffer.slice(byteOffset, byteOffset + byteLength), 0, countOf(dims))
}

/** Cuts a stream of bytes into frames. */
export class FrameReader {
  private held: Uint8Array[] = []
  private heldBytes = 0
  /** Bytes that must be there before it is worth looking again. */
  private needed = headBytes

  /** Calls `take` for each frame that is complete; its payload is only valid during the call. */
  push(chunk: Uint8Array, take: (frame: Frame) => void): void {
    let bytes = chunk
    if (this.heldBytes > 0) {
      this.held.push(chunk.slice())
      this.heldBytes += chunk.length
      if (this.heldBytes < this.needed) return
      bytes = Buffer.concat(this.held)
    }
    this.keep(bytes, this.cut(bytes, take))
  }

  /** Takes the frames out of `bytes`; returns where the first incomplete one begins. */
  private cut(bytes: Uint8Array, take: (frame: Frame) => void): number {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    let at = 0
    this.needed = headBytes
    while (bytes.length - at >= headBytes) {
      const length = view.getUint32(at, true)
      if (length < headBytes || length > mostBytes || length % 8 !== 0)
        throw new Error('not a frame')
      if (bytes.length - at < length) {
        this.needed = length
        break
      }
      take({
        id: view.getUint32(at + 4, true),
        kind: view.getUint8(at + 8),
        argument: view.getUint32(at + 12, true),
        payload: bytes.subarray(at + headBytes, at + length),
      })
      at += length
    }
    return at
  }

  private keep(bytes: Uint8Array, from: number): void {
    this.held = from === bytes.length ? [] : [bytes.slice(from)]
    this.heldBytes = bytes.length - from
  }
}
