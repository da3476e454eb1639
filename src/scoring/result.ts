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

/** How a value of an output is written; `row`-independent, chosen once per output. */
type Put = (sink: Sink, data: Tensor['data'], at: number) => void

/** Not finite: JSON has no such numbers; a CSV cell is left empty for NaN, as for what is missing. */
const strange = (value: number, form: Form): string => {
  if (form === 'jsonl') return 'null'
  return Number.isNaN(value) ? '' : value > 0 ? 'inf' : '-inf'
}

function putFor(type: ElementType, form: Form): Put {
  switch (type) {
    case 'float32':
      return (sink, data, at) => {
        const value = data[at] as number
        if (Number.isFinite(value)) sink.single(value)
        else sink.text(strange(value, form))
      }
    case 'int8':
    case 'int16':
    case 'int32':
    case 'uint8':
    case 'uint16':
      return (sink, data, at) => sink.int(data[at] as number)
    case 'int64':
      return (sink, data, at) => putWide(sink, data as BigInt64Array, at)
    default:
      return (sink, data, at) => {
        const value = element({ type, data }, at)
        if (typeof value === 'string')
          sink.text(form === 'csv' ? csvCell(value) : JSON.stringify(value))
        else if (typeof value === 'number' && !Number.isFinite(value))
          sink.text(strange(value, form))
        else sink.text(String(value))
      }
  }
}

/** Labels are small: their low half says all, and no bigint has to be made. */
function putWide(sink: Sink, data: BigInt64Array, at: number): void {
  const value = data[at] as bigint
  const low = Number(BigInt.asIntN(32, value))
  if (BigInt(low) === value && low !== -2147483648) sink.int(low)
  else sink.text(String(value))
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

export function csvWriter({ signature, columns, keep, errors }: WriterOptions): ResultWriter {
  const puts = signature.outputs.map(({ type }) => putFor(type, 'csv'))
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
      for (let row = from; row < to; row += 1) {
        for (const value of kept[row] ?? []) {
          sink.text(keptText(value, 'csv'))
          sink.byte(comma)
        }
        for (let index = 0; index < outputs.length; index += 1) {
          const { data } = outputs[index] as Output
          const values = strides[index] as number
          const put = puts[index] as Put
          const first = (shift + row) * values
          for (let at = first; at < first + values; at += 1) {
            if (at > first || index > 0) sink.byte(comma)
            put(sink, data, at)
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
function nested(sink: Sink, put: Put, output: Output, place: { axis: number; at: number }): number {
  const { dims, data } = output
  if (place.axis === dims.length) {
    put(sink, data, place.at)
    return place.at + 1
  }
  let { at } = place
  sink.byte(open)
  for (let index = 0; index < (dims[place.axis] as number); index += 1) {
    if (index > 0) sink.byte(comma)
    at = nested(sink, put, output, { axis: place.axis + 1, at })
  }
  sink.byte(close)
  return at
}

export function jsonWriter({ signature, keep }: WriterOptions): ResultWriter {
  const puts = signature.outputs.map(({ type }) => putFor(type, 'jsonl'))
  const keys = signature.outputs.map(({ name }) => `${JSON.stringify(name)}:`)
  const names = keep.map((name) => `${JSON.stringify(name)}:`)
  return {
    head: () => undefined,
    rows: (sink, { answer, kept, first: begin, from, to }) => {
      const { outputs } = answer
      const shift = answer.from - begin
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
          nested(sink, puts[index] as Put, output, { axis: 1, at })
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
