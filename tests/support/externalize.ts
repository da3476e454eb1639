// Splits a model as MLflow saves large ones: tensors of 1 KB and more go to a file beside it.
import { fieldHead, spansOf } from '../../src/onnx/proto.ts'
import { message } from './onnx.ts'

const modelGraph = 7
const graphTensor = 5
const tensorRaw = 9
const least = 1024

const bytesOf = (bytes: Uint8Array, span: { start: number; end: number }): Uint8Array =>
  bytes.subarray(span.start, span.end)

/** The model without its large initializers, and the file that is called `location` in it. */
export function externalized(
  bytes: Uint8Array,
  location: string,
): { model: Uint8Array; data: Uint8Array } {
  const data: Uint8Array[] = []
  let offset = 0
  const moved = (tensor: Uint8Array): Uint8Array[] => {
    const fields = [...spansOf(tensor, 0, tensor.length)]
    const raw = fields.find(({ id }) => id === tensorRaw)
    if (!raw || raw.end - raw.value < least) return [tensor]
    const length = raw.end - raw.value
    data.push(tensor.subarray(raw.value, raw.end))
    const place = { location, offset: String(offset), length: String(length) }
    offset += length
    const entries = Object.entries(place).map(([key, text]) => message([1, key], [2, text]))
    const kept = fields.filter((field) => field !== raw).map((field) => bytesOf(tensor, field))
    return [...kept, message(...entries.map((entry): [number, Uint8Array] => [13, entry]), [14, 1])]
  }
  const pieces: Uint8Array[] = []
  for (const field of spansOf(bytes, 0, bytes.length)) {
    if (field.id !== modelGraph) {
      pieces.push(bytesOf(bytes, field))
      continue
    }
    const graph = bytes.subarray(field.value, field.end)
    const inner = [...spansOf(graph, 0, graph.length)].map((span) => {
      if (span.id !== graphTensor) return bytesOf(graph, span)
      const tensor = Buffer.concat(moved(graph.subarray(span.value, span.end)))
      return Buffer.concat([fieldHead(graphTensor, tensor.length), tensor])
    })
    const whole = Buffer.concat(inner)
    pieces.push(fieldHead(modelGraph, whole.length), whole)
  }
  return { model: Buffer.concat(pieces), data: Buffer.concat(data) }
}
