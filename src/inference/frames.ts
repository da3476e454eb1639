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
/** Data this long goes out where it lies: copying it costs more than another call to the kernel. */
const worthSparing = 1 << 15
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

/** Goes out where it lies? What follows must stay aligned. */
const isSpared = ({ pieces }: Outgoing, size: number, encoded: Uint8Array | null): boolean =>
  size >= worthSparing && size % 8 === 0 && pieces.length === 1 && encoded === null

const bytesOf = (data: TensorData): Uint8Array => {
  const { buffer, byteOffset, byteLength } = data as Float32Array
  return new Uint8Array(buffer, byteOffset, byteLength)
}

/**
 * Frame with tensors, in parts to be sent one after the other. Long data is a part of its own, not
 * copied: it must not change before the frame has left.
 */
export function tensorFrame(
  head: { id: number; kind: Kind; argument: number },
  tensors: readonly Outgoing[],
): Uint8Array[] {
  const sizes = tensors.map(piecesBytes)
  let length = headBytes + preambleBytes
  let spared = 0
  for (const [at, tensor] of tensors.entries()) {
    const { size, encoded } = sizes[at] as ReturnType<typeof piecesBytes>
    length += tensorHead(tensor.dims.length) + pad(size)
    if (isSpared(tensor, size, encoded)) spared += size
  }
  const own = new Uint8Array(length - spared)
  const parts: Uint8Array[] = []
  const view = new DataView(own.buffer)
  writeHead(view, length, head)
  view.setUint32(headBytes, tensors.length, true)
  let at = headBytes + preambleBytes
  let from = 0
  for (const [index, tensor] of tensors.entries()) {
    const { size, encoded } = sizes[index] as ReturnType<typeof piecesBytes>
    view.setUint8(at, elements[tensor.type].code)
    view.setUint8(at + 1, tensor.dims.length)
    view.setUint32(at + 4, size, true)
    for (const [axis, dim] of tensor.dims.entries()) view.setUint32(at + 8 + axis * 4, dim, true)
    at += tensorHead(tensor.dims.length)
    if (isSpared(tensor, size, encoded)) {
      parts.push(own.subarray(from, at), bytesOf(tensor.pieces[0] as TensorData))
      from = at
      continue
    }
    if (encoded) own.set(encoded, at)
    else writePieces(own, at, tensor)
    at += pad(size)
  }
  if (from < own.length) parts.push(own.subarray(from))
  return parts
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

/** Frame with a JSON value, in one part. */
export function jsonFrame(head: { id: number; kind: Kind }, value: unknown): Uint8Array[] {
  const body = text.encode(JSON.stringify(value))
  const length = headBytes + pad(body.length + 4)
  const frame = new Uint8Array(length)
  const view = new DataView(frame.buffer)
  writeHead(view, length, { ...head, argument: 0 })
  view.setUint32(headBytes, body.length, true)
  frame.set(body, headBytes + 4)
  return [frame]
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
export function stampTimes([head]: Uint8Array[], { input, infer, output }: RunTimes): void {
  const { buffer, byteOffset } = head as Uint8Array
  const view = new DataView(buffer, byteOffset)
  view.setUint32(12, infer, true)
  view.setUint32(headBytes + 4, input, true)
  view.setUint32(headBytes + 8, output, true)
}

export function timesOf({ argument, payload }: Frame): RunTimes {
  const view = new DataView(payload.buffer, payload.byteOffset)
  return { input: view.getUint32(4, true), infer: argument, output: view.getUint32(8, true) }
}

/**
 * Tensors of a payload: copied out of it, or in place for one who is done before the payload changes.
 * Names are not on the wire: order is the model's.
 */
export function readTensors(payload: Uint8Array, inPlace = false): Omit<Tensor, 'name'>[] {
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
    tensors.push({ type, dims, data: dataOf(type, dims, inPlace ? bytes : bytes.slice()) })
    at += pad(size)
  }
  return tensors
}

function dataOf(type: Tensor['type'], dims: readonly number[], bytes: Uint8Array): TensorData {
  if (type === 'string') return JSON.parse(utf8.decode(bytes)) as string[]
  return viewOf(type, bytes.buffer, bytes.byteOffset, countOf(dims))
}

/** The frame at `at`, which may not be whole yet: then its payload is null. */
function frameAt(view: DataView, at: number, end: number): { length: number; frame: Frame | null } {
  if (end - at < headBytes) return { length: headBytes, frame: null }
  const length = view.getUint32(at, true)
  if (length < headBytes || length > mostBytes || length % 8 !== 0) throw new Error('not a frame')
  if (end - at < length) return { length, frame: null }
  const payload = new Uint8Array(view.buffer, view.byteOffset + at + headBytes, length - headBytes)
  const [id, kind] = [view.getUint32(at + 4, true), view.getUint8(at + 8)]
  return { length, frame: { id, kind, argument: view.getUint32(at + 12, true), payload } }
}

/** Cuts a stream of bytes that are handed over into frames. */
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
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    let at = 0
    for (;;) {
      const { length, frame } = frameAt(view, at, bytes.length)
      if (frame === null) {
        this.needed = length
        break
      }
      take(frame)
      at += length
    }
    this.held = at === bytes.length ? [] : [bytes.slice(at)]
    this.heldBytes = bytes.length - at
  }
}

/** Reads frames one after the other into memory of its own, where nothing is copied. */
export class FrameSource {
  private bytes = new Uint8Array(1 << 18)
  private view = new DataView(this.bytes.buffer)
  private at = 0
  private end = 0
  private readonly read: (into: Uint8Array, from: number) => number

  /** `read` fills a buffer from a place on, waits for at least one byte, and tells how many came. */
  constructor(read: (into: Uint8Array, from: number) => number) {
    this.read = read
  }

  /** The next frame, null at the end. Its payload is valid until the one after it is asked for. */
  next(): Frame | null {
    for (;;) {
      const { length, frame } = frameAt(this.view, this.at, this.end)
      if (frame) {
        this.at += length
        return frame
      }
      this.makeRoom(length)
      const count = this.read(this.bytes, this.end)
      if (count === 0) return null
      this.end += count
    }
  }

  /** What has not been read goes to the front, where a frame of `length` bytes has room. */
  private makeRoom(length: number): void {
    const { bytes, at, end } = this
    if (length > bytes.length) {
      this.bytes = new Uint8Array(length + (1 << 18))
      this.view = new DataView(this.bytes.buffer)
    } else if (at === 0) return
    this.bytes.set(bytes.subarray(at, end))
    this.end -= at
    this.at = 0
  }
}
