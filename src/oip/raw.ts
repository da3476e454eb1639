// Tensors of the binary tensor data extension: little-endian elements, length-prefixed strings.
// https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
import { Fault } from '../core/fault.ts'
import { elements, type ElementType, type TensorData, viewOf } from '../onnx/tensor.ts'

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

const wrong = (why: string): Fault => new Fault('request.invalid', why)

/** A string of a tensor. What ONNX Runtime would cut or change is refused. */
export function textOf(bytes: Uint8Array, input: string): string {
  if (bytes.includes(0)) throw wrong(`Input ${input}: strings must not contain NUL.`)
  try {
    return utf8.decode(bytes)
  } catch {
    throw wrong(`Input ${input}: strings must be valid UTF-8.`)
  }
}

function stringsOf(bytes: Uint8Array, count: number, input: string): string[] {
  // Each takes four bytes at least: whoever claims more gets no memory for them.
  if (count * 4 > bytes.length) throw wrong(`Input ${input}: too few bytes for ${count} strings.`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const found: string[] = []
  let at = 0
  while (found.length < count && at + 4 <= bytes.length) {
    const end = at + 4 + view.getUint32(at, true)
    if (end > bytes.length) break
    found.push(textOf(bytes.subarray(at + 4, end), input))
    at = end
  }
  if (found.length === count && at === bytes.length) return found
  throw wrong(`Input ${input}: the bytes are not ${count} strings with their lengths.`)
}

/** `count` elements in place of their bytes, copied only where no array may lie. Throws `request.invalid`. */
export function decodeRaw(
  type: ElementType,
  count: number,
  bytes: Uint8Array,
  input: string,
): TensorData {
  if (type === 'string') return stringsOf(bytes, count, input)
  const each = elements[type].bytes
  const size = count * each
  if (bytes.length !== size) {
    throw wrong(`Input ${input}: its shape takes ${size} bytes, got ${bytes.length}.`)
  }
  const { buffer, byteOffset } = bytes
  if (byteOffset % each === 0) return viewOf(type, buffer, byteOffset, count)
  return viewOf(type, buffer.slice(byteOffset, byteOffset + size), 0, count)
}

/** Elements `from` to `to` as bytes: a view of numbers, strings with their lengths. */
export function encodeRaw(data: TensorData, from: number, to: number): Uint8Array {
  if (!Array.isArray(data)) {
    const { buffer, byteOffset, BYTES_PER_ELEMENT: each } = data
    return new Uint8Array(buffer, byteOffset + from * each, (to - from) * each)
  }
  const wanted = data.slice(from, to)
  const sizes = wanted.map((text) => Buffer.byteLength(text))
  const bytes = Buffer.allocUnsafe(sizes.reduce((sum, size) => sum + size + 4, 0))
  let at = 0
  for (const [index, text] of wanted.entries()) {
    at = bytes.writeUInt32LE(sizes[index] as number, at)
    at += bytes.write(text, at)
  }
  return bytes
}
