// Rows of JSON lines: an object by column name or a list by position in each line.
import { Fault, tooLarge } from '../core/fault.ts'
import { isObject } from '../core/object.ts'
import type { FeatureSchema } from '../onnx/signature.ts'
import type { Validator } from '../onnx/validate.ts'
import { type Batch, batchBytes, batchOf, type Pending, type RowReader } from './batch.ts'
import { Lines, longestRow } from './lines.ts'

export interface JsonReaderOptions {
  validator: Validator
  schema: FeatureSchema
  /** Columns that are handed through, inputs of the model or not. */
  keep: readonly string[]
  /** The value of a line; throws a fault when there is none. */
  parse: (line: Uint8Array) => unknown
}

const blank = /^\s*$/

export class JsonReader implements RowReader {
  private readonly options: JsonReaderOptions
  private readonly extra: readonly string[]
  private readonly lines = new Lines()
  private pending: Pending[] = []
  /** Bytes of the pending rows. */
  private held = 0
  private row = 0

  constructor(options: JsonReaderOptions) {
    this.options = options
    const { schema, keep } = options
    this.extra = keep.filter((name) => !schema.columns.some((column) => column.name === name))
  }

  push(chunk: Uint8Array): void {
    this.lines.push(chunk)
  }

  finish(): void {
    this.lines.finish()
  }

  take(most: number): Batch | null {
    const { lines, pending } = this
    const { limit } = lines
    const isFull = (): boolean => pending.length >= most || this.held >= batchBytes
    while (!isFull() && lines.at < limit) {
      const end = lines.bytes.indexOf(10, lines.at)
      this.read(lines.bytes.subarray(lines.at, end))
      lines.at = end + 1
    }
    if (!isFull() && !lines.finished) {
      lines.demandShort()
      return null
    }
    if (pending.length === 0) return null
    this.pending = []
    this.held = 0
    const { validator, schema } = this.options
    return { ...batchOf(validator, schema, pending), next: this.row + 1 }
  }

  private read(line: Uint8Array): void {
    if (line.length > longestRow) throw tooLarge(longestRow)
    if (line.length < 16 && blank.test(Buffer.from(line).toString('latin1'))) return
    this.row += 1
    this.held += line.length
    const { row } = this
    try {
      const value = this.options.parse(line)
      this.pending.push({ row, value, kept: this.keep(value) })
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      const errors = [{ code: 'json', message: error.message }]
      this.pending.push({ row, value: null, kept: [], errors })
    }
  }

  /** Values of the kept columns; those that are no input are taken out of the row. */
  private keep(value: unknown): unknown[] {
    const { keep } = this.options
    if (keep.length === 0) return []
    const row = isObject(value) ? value : {}
    const kept = keep.map((name) => (Object.hasOwn(row, name) ? row[name] : null))
    for (const name of this.extra) Reflect.deleteProperty(row, name)
    return kept
  }
}
