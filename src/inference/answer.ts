// Outputs as JSON text: rows for `predictions`, whole tensors for `outputs`.
import type { Signature } from '../onnx/model.ts'
import { fromHalf, type Tensor } from '../onnx/tensor.ts'
import type { Answer } from './batcher.ts'

export type Output = Omit<Tensor, 'name'>

/** Numbers and their texts by a hash: scores repeat, and a text costs fifty times as much as a look. */
const keptBits = 11
const keptValues = new Float64Array(1 << keptBits).fill(Number.NaN)
const keptTexts: string[] = Array.from({ length: 1 << keptBits }, () => '')
const double = new Float64Array(1)
const words = new Uint32Array(double.buffer)

/** JSON has no NaN or infinities; like other servers of JSON, null stands for them. */
function number(value: number): string {
  if (!Number.isFinite(value)) return 'null'
  double[0] = value
  const mixed = (words[0] as number) ^ (words[1] as number)
  const place = Math.imul(mixed, 0x9e3779b1) >>> (32 - keptBits)
  if (keptValues[place] === value) return keptTexts[place] as string
  const text = String(value)
  keptValues[place] = value
  keptTexts[place] = text
  return text
}

/** One element as JSON text. */
export function scalar(output: Output, at: number): string {
  const raw = output.data[at]
  if (typeof raw === 'string') return JSON.stringify(raw)
  if (typeof raw === 'bigint') return String(raw)
  if (output.type === 'bool') return raw === 1 ? 'true' : 'false'
  return number(output.type === 'float16' ? fromHalf(raw as number) : (raw as number))
}

/** Nested lists of the elements from `at` on, over the dimensions from `axis` on. */
export function nested(output: Output, axis: number, at: number): string {
  const { dims } = output
  if (axis === dims.length) return scalar(output, at)
  const size = dims[axis] as number
  let stride = 1
  for (let inner = axis + 1; inner < dims.length; inner += 1) stride *= dims[inner] as number
  let text = '['
  for (let index = 0; index < size; index += 1) {
    if (index > 0) text += ','
    text += nested(output, axis + 1, at + index * stride)
  }
  return `${text}]`
}

/** Elements `from` to `to` in row-major order, joined by commas. */
export function flatJson(output: Output, from: number, to: number): string {
  let text = ''
  for (let at = from; at < to; at += 1)
    text += at > from ? `,${scalar(output, at)}` : scalar(output, at)
  return text
}

/** An output as far as it belongs to one request: its shape, and where its elements lie. */
export interface Part extends Output {
  from: number
  to: number
}

/** What of output `at` belongs to the request: of a shared run, its own rows. */
export function ownPart({ outputs, from, rows, batchRows }: Answer, at: number): Part {
  const output = outputs[at] as Output
  const { length } = output.data
  if (rows === batchRows) return { ...output, from: 0, to: length }
  const stride = length / batchRows
  const dims = [rows, ...output.dims.slice(1)]
  return { ...output, dims, from: from * stride, to: (from + rows) * stride }
}

/** Turns answers of one model version into JSON. */
export class Encoder {
  private readonly keys: readonly string[]

  constructor(signature: Signature) {
    this.keys = signature.outputs.map((output) => `${JSON.stringify(output.name)}:`)
  }

  /** The value of `predictions`: one entry per row; with several outputs an object each. */
  rows(answer: Answer): string {
    const { outputs, from, rows } = answer
    let text = '['
    for (let row = 0; row < rows; row += 1) {
      if (row > 0) text += ','
      text += outputs.length === 1 ? this.row(outputs[0] as Output, from + row) : '{'
      if (outputs.length === 1) continue
      for (let at = 0; at < outputs.length; at += 1) {
        if (at > 0) text += ','
        text += this.keys[at] as string
        text += this.row(outputs[at] as Output, from + row)
      }
      text += '}'
    }
    return `${text}]`
  }

  /** Do all outputs have one entry per row? */
  fitsRows(answer: Answer): boolean {
    return answer.outputs.every(({ dims }) => dims[0] === answer.batchRows)
  }

  /** The value of `outputs`: the tensor, or an object of tensors when there are several. */
  tensors(answer: Answer): string {
    const parts = answer.outputs.map((_output, at) => {
      const part = ownPart(answer, at)
      return nested(part, 0, part.from)
    })
    if (parts.length === 1) return parts[0] as string
    return `{${parts.map((part, at) => this.keys[at] + part).join(',')}}`
  }

  private row(output: Output, row: number): string {
    const stride = output.data.length / (output.dims[0] as number)
    return nested(output, 1, row * stride)
  }
}
