// Results of scoring as CSV or JSON lines: one line for each row, in the order of the input.
import { Fault } from '../core/fault.ts'
import type { Answer } from '../inference/batcher.ts'
import type { Signature } from '../onnx/model.ts'
import type { FeatureSchema } from '../onnx/signature.ts'
import { countOf, element, type ElementType, type Tensor } from '../onnx/tensor.ts'
import type { BadRow } from './batch.ts'
import { csvCell } from './cells.ts'
import type { Sink } from './sink.ts'

export type Form = 'csv' | 'jsonl'

/** A column of the result. Kept columns that are no input have the type of what is in them. */
export interface ResultColumn {
  name: string
  type: ElementType | 'any'
}

type Output = Omit<Tensor, 'name'>

/** Columns of one output: under its name, or one for each value of a row. */
function namesOf(name: string, width: number, classes?: readonly (string | number)[]): string[] {
  if (width === 1) return [name]
  const labels = classes?.length === width ? classes : Array.from({ length: width }, (_, at) => at)
  return labels.map((label) => `${name}_${label}`)
}

/** Values of one row of an output; where the model does not say, as many as it has classes. */
function widthOf(
  shape: Signature['outputs'][number]['shape'],
  classes?: readonly unknown[],
): number {
  const inner = (shape ?? []).slice(1)
  if (shape === null || inner.some((dim) => typeof dim !== 'number')) return classes?.length ?? 1
  return countOf(inner as number[])
}

/** The columns of a CSV result: kept ones first. */
export function resultColumns(
  signature: Signature,
  schema: FeatureSchema,
  keep: readonly string[],
): ResultColumn[] {
  const kept = keep.map((name): ResultColumn => {
    return { name, type: schema.columns.find((column) => column.name === name)?.type ?? 'any' }
  })
  const outputs = signature.outputs.flatMap(({ name, type, shape, classes: own }) => {
    const classes = schema.outputs.find((note) => note.name === name)?.classes ?? own
    return namesOf(name, widthOf(shape, classes), classes).map((column): ResultColumn => {
      return { name: column, type }
    })
  })
  return [...kept, ...outputs]
}

/** Writes the value at a place of some data. */
type Put = (at: number) => void

/** Not finite: JSON has no such numbers; a CSV cell is left empty for NaN, as for what is missing. */
const strange = (value: number, form: Form): string => {
  if (form === 'jsonl') return 'null'
  return Number.isNaN(value) ? '' : value > 0 ? 'inf' : '-inf'
}

/** Labels are small: where the low half says all, no bigint has to be made. */
function putWide(sink: Sink, data: BigInt64Array): Put {
  const words = new Int32Array(data.buffer, data.byteOffset, 2 * data.length)
  return (at) => {
    const low = words[2 * at] as number
    if (words[2 * at + 1] === low >> 31) sink.int(low)
    else sink.text(String(data[at] as bigint))
  }
}

function putSingle(sink: Sink, data: Float32Array, form: Form): Put {
  return (at) => {
    const value = data[at] as number
    if (Number.isFinite(value)) sink.single(value)
    else sink.text(strange(value, form))
  }
}

const textOf = (value: unknown, form: Form): string => {
  if (typeof value === 'string') return form === 'csv' ? csvCell(value) : JSON.stringify(value)
  const isStrange = typeof value === 'number' && !Number.isFinite(value)
  return isStrange ? strange(value, form) : String(value)
}

/** How the values of an output are written. */
function putOf(sink: Sink, output: Output, form: Form): Put {
  const { type, data } = output
  if (type === 'float32') return putSingle(sink, data as Float32Array, form)
  if (type === 'int64') return putWide(sink, data as BigInt64Array)
  return (at) => sink.text(textOf(element(output, at), form))
}

function keptText(value: unknown, form: Form): string {
  if (form === 'jsonl')
    return typeof value === 'bigint' ? String(value) : JSON.stringify(value ?? null)
  if (value === null || value === undefined) return ''
  return csvCell(typeof value === 'object' ? JSON.stringify(value) : String(value as string))
}

const [comma, newline, open, close, brace] = [44, 10, 91, 93, 125]

/** Rows of an answer, and the values that are kept beside them. */
export interface Scored {
  answer: Answer
  /** Kept values of the rows of the batch. */
  kept: readonly unknown[][]
  /** Row of the batch with which the answer begins; rows to write, counted in the batch. */
  first: number
  from: number
  to: number
}

export interface ResultWriter {
  head(sink: Sink): void
  rows(sink: Sink, scored: Scored): void
  bad(sink: Sink, bad: BadRow): void
  /** The last line of a result that is not whole. */
  fault(sink: Sink, problem: Record<string, unknown>): void
}

export interface WriterOptions {
  signature: Signature
  columns: readonly ResultColumn[]
  keep: readonly string[]
  /** CSV with a last column `error`, empty for rows that were scored. */
  errors: boolean
}

/** Values of one row: outputs may only have rows along their first dimension. */
function stride(output: Output): number {
  return output.data.length / (output.dims[0] ?? 1)
}

export function csvWriter({ columns, keep, errors }: WriterOptions): ResultWriter {
  const width = columns.length - keep.length
  const commas = ','.repeat(columns.length)
  return {
    head: (sink) => {
      const names = [...columns.map(({ name }) => name), ...(errors ? ['error'] : [])]
      sink.text(`${names.map(csvCell).join(',')}\n`)
    },
    rows: (sink, { answer, kept, first: begin, from, to }) => {
      const { outputs } = answer
      const shift = answer.from - begin
      const strides = outputs.map(stride)
      if (strides.reduce((sum, n) => sum + n, 0) !== width) {
        const found = strides.reduce((sum, n) => sum + n, 0)
        const what = `The model gives ${found} values a row where its signature names ${width}`
        throw new Fault('model.unsupported', `${what}; ask for JSON lines.`)
      }
      const puts = outputs.map((output) => putOf(sink, output, 'csv'))
      for (let row = from; row < to; row += 1) {
        for (const value of kept[row] ?? []) {
          sink.text(keptText(value, 'csv'))
          sink.byte(comma)
        }
        for (let index = 0; index < outputs.length; index += 1) {
          const values = strides[index] as number
          const put = puts[index] as Put
          const first = (shift + row) * values
          for (let at = first; at < first + values; at += 1) {
            if (at > first || index > 0) sink.byte(comma)
            put(at)
          }
        }
        if (errors) sink.byte(comma)
        sink.byte(newline)
      }
    },
    bad: (sink, { row, errors: flaws }) => {
      const what = flaws.map(
        ({ column, message }) => `${column === undefined ? '' : `${column}: `}${message}`,
      )
      sink.text(`${commas}${csvCell(`row ${row}: ${what.join('; ')}`)}\n`)
    },
    fault: (sink, { detail }) => sink.text(`${commas}${csvCell(String(detail))}\n`),
  }
}

/** The values from `at` on, nested by the dimensions from `axis` on. */
function nested(
  sink: Sink,
  put: Put,
  dims: readonly number[],
  place: { axis: number; at: number },
): number {
  if (place.axis === dims.length) {
    put(place.at)
    return place.at + 1
  }
  let { at } = place
  sink.byte(open)
  for (let index = 0; index < (dims[place.axis] as number); index += 1) {
    if (index > 0) sink.byte(comma)
    at = nested(sink, put, dims, { axis: place.axis + 1, at })
  }
  sink.byte(close)
  return at
}

export function jsonWriter({ signature, keep }: WriterOptions): ResultWriter {
  const keys = signature.outputs.map(({ name }) => `${JSON.stringify(name)}:`)
  const names = keep.map((name) => `${JSON.stringify(name)}:`)
  return {
    head: () => undefined,
    rows: (sink, { answer, kept, first: begin, from, to }) => {
      const { outputs } = answer
      const shift = answer.from - begin
      const puts = outputs.map((output) => putOf(sink, output, 'jsonl'))
      for (let row = from; row < to; row += 1) {
        sink.text('{')
        for (const [at, value] of (kept[row] ?? []).entries()) {
          sink.text(`${names[at] as string}${keptText(value, 'jsonl')},`)
        }
        sink.text(outputs.length === 1 ? '"prediction":' : '"prediction":{')
        for (let index = 0; index < outputs.length; index += 1) {
          const output = outputs[index] as Output
          if (index > 0) sink.byte(comma)
          if (outputs.length > 1) sink.text(keys[index] as string)
          const at = (shift + row) * stride(output)
          nested(sink, puts[index] as Put, output.dims, { axis: 1, at })
        }
        if (outputs.length > 1) sink.byte(brace)
        sink.byte(brace)
        sink.byte(newline)
      }
    },
    bad: (sink, { row, errors }) => sink.text(`${JSON.stringify({ row, errors })}\n`),
    fault: (sink, problem) => sink.text(`${JSON.stringify({ error: problem })}\n`),
  }
}
