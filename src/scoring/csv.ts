// Rows of a CSV stream: plain numbers straight to tensors, anything else cell by cell.
import { parse } from 'csv-parse/sync'

import { Fault, tooLarge } from '../core/fault.ts'
import type { FeatureSchema } from '../onnx/signature.ts'
import { allocate, type Tensor } from '../onnx/tensor.ts'
import type { Validator } from '../onnx/validate.ts'
import {
  type BadRow,
  type Batch,
  batchBytes,
  batchOf,
  checkRow,
  isFlawed,
  type Pending,
  type RowReader,
} from './batch.ts'
import { cellValue } from './cells.ts'
import { type HeaderCell, readHeader } from './header.ts'
import { Lines, longestRow, newScan, recordEnd } from './lines.ts'
import { PlainScanner } from './plain-csv.ts'

export interface CsvReaderOptions {
  validator: Validator
  schema: FeatureSchema
  /** Columns that are handed through, inputs of the model or not. */
  keep: readonly string[]
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false })

const comma = 44
const nothing: unknown[] = []

function decoded(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes)
  } catch {
    return undefined
  }
}

/** The cells of a record. Throws an Error whose message says what is wrong with it. */
function cellsOf(record: Uint8Array): string[] {
  const text = decoded(record)
  if (text === undefined) throw new Error('the row is not UTF-8')
  if (!text.includes('"')) return text.split(',').map((cell) => cell.trim())
  try {
    const [cells = []] = parse(text, { trim: true, relax_column_count: true }) as string[][]
    return cells
  } catch {
    throw new Error('the quotes of the row do not match')
  }
}

/** Tensors that are being filled, and what belongs to their rows. */
interface Filling {
  tensors: Tensor[]
  data: Float32Array[]
  rows: number
  kept: unknown[][]
  bad: BadRow[]
  size: number
  /** Bytes of its rows. */
  bytes: number
}

export class CsvReader implements RowReader {
  private readonly options: CsvReaderOptions
  private readonly lines = new Lines()
  private readonly scan = newScan()
  private header: HeaderCell[] | null = null
  /** The last column that is kept, -1 where none is. */
  private lastKept = -1
  private scanner: PlainScanner | null = null
  private filling: Filling | null = null
  private pending: Pending[] = []
  /** Bytes of the pending rows. */
  private held = 0
  /** Tensors to fill again: fresh memory for each batch costs as much as reading its rows. */
  private spare: Filling[] = []
  /** Data rows so far. */
  private row = 0

  constructor(options: CsvReaderOptions) {
    this.options = options
  }

  push(chunk: Uint8Array): void {
    this.lines.push(chunk)
  }

  finish(): void {
    this.lines.finish()
  }

  take(most: number): Batch | null {
    const { lines } = this
    if (this.header === null && !this.readHead()) return null
    const whole = this.scanner ? this.fill(this.scanner, most) : this.collect(most)
    if (!whole && !lines.finished) {
      lines.demandShort()
      return null
    }
    if (lines.finished && !whole && lines.at < lines.end) {
      throw new Fault(
        'request.malformed',
        `The quote that row ${this.row + 1} opens is not closed.`,
      )
    }
    return this.hand()
  }

  /** Reads the header once it is there. */
  private readHead(): boolean {
    const { lines, options } = this
    const record = this.record()
    if (record === null) {
      if (lines.finished) throw new Fault('request.malformed', 'The CSV has no header line.')
      lines.demandShort()
      return false
    }
    let names: string[]
    try {
      names = cellsOf(record)
    } catch (error) {
      throw new Fault(
        'request.malformed',
        `The header cannot be read: ${(error as Error).message}.`,
      )
    }
    const { schema, validator, keep } = options
    const header = readHeader(names, schema, keep)
    this.header = header
    this.lastKept = header.findLastIndex(({ keep: place }) => place >= 0)
    this.scanner = scannerOf(header, validator)
    return true
  }

  /** The next record that is not blank, without its newline; null when it is not there yet. */
  private record(): Uint8Array | null {
    const { lines } = this
    for (;;) {
      const end = recordEnd(lines.bytes, lines.at, lines.end, this.scan)
      if (end < 0) return null
      const record = lines.bytes.subarray(lines.at, end)
      if (record.length > longestRow) throw tooLarge(longestRow)
      lines.at = end + 1
      if (record.some((byte) => byte > 32)) return record
    }
  }

  /** Scans plain rows into tensors. True when the batch is full. */
  private fill(scanner: PlainScanner, most: number): boolean {
    const { lines } = this
    const { limit } = lines
    this.spare = this.spare.filter(({ size }) => size === most)
    const filling = (this.filling ??= this.spare.pop() ?? this.emptyTensors(most))
    while (filling.rows + filling.bad.length < filling.size && filling.bytes < batchBytes) {
      if (lines.at >= limit) return false
      const isPartial = this.scan.passed > 0
      const next = isPartial ? -1 : scanner.row(lines.bytes, lines.at, filling.rows, filling.data)
      const kept = next < 0 ? null : this.keptOf(lines.at, next)
      if (kept === null) {
        if (!this.fillSlowly(filling)) return false
        continue
      }
      if (this.lastKept >= 0) filling.kept.push(kept)
      this.row += 1
      filling.rows += 1
      filling.bytes += next - lines.at
      lines.at = next
    }
    return true
  }

  /** A row that is not plain, through the checks that any row can pass. False: it is not whole yet. */
  private fillSlowly(filling: Filling): boolean {
    const record = this.record()
    if (record === null) return false
    filling.bytes += record.length
    const { row, value, kept, errors } = this.read(record)
    const { validator, schema } = this.options
    const checked = errors ?? checkRow(validator, schema, value)
    if (isFlawed(checked)) {
      filling.bad.push({ row, after: filling.rows, errors: checked })
      return true
    }
    for (const [slot, { data }] of checked.entries()) {
      filling.data[slot]?.set(data as Float32Array, filling.rows * data.length)
    }
    if (this.options.keep.length > 0) filling.kept.push(kept)
    filling.rows += 1
    return true
  }

  private collect(most: number): boolean {
    while (this.pending.length < most && this.held < batchBytes) {
      const record = this.record()
      if (record === null) return false
      this.held += record.length
      this.pending.push(this.read(record))
    }
    return true
  }

  private read(record: Uint8Array): Pending {
    this.row += 1
    const { row } = this
    try {
      return { row, ...this.values(cellsOf(record)) }
    } catch (error) {
      const errors = [{ code: 'csv', message: (error as Error).message }]
      return { row, value: null, kept: [], errors }
    }
  }

  private values(cells: readonly string[]): Pick<Pending, 'value' | 'kept'> {
    const header = this.header ?? []
    if (cells.length !== header.length) {
      throw new Error(`expected ${header.length} cells, got ${cells.length}`)
    }
    const value: unknown[] = []
    const kept: unknown[] = []
    for (const [at, { column, kind, keep }] of header.entries()) {
      const text = cells[at] as string
      if (column >= 0) value[column] = cellValue(text, kind)
      if (keep >= 0) kept[keep] = column >= 0 ? value[column] : text
    }
    return { value, kept }
  }

  /** Kept values of a plain row, whose other cells need not become text; null where one is not UTF-8. */
  private keptOf(from: number, next: number): unknown[] | null {
    if (this.lastKept < 0) return nothing
    const { bytes } = this.lines
    const header = this.header as HeaderCell[]
    const kept: unknown[] = []
    let at = from
    for (let place = 0; place <= this.lastKept; place += 1) {
      let end = at
      while (end < next - 1 && bytes[end] !== comma) end += 1
      const { column, kind, keep } = header[place] as HeaderCell
      if (keep >= 0) {
        const text = decoded(bytes.subarray(at, end))?.trim()
        if (text === undefined) return null
        kept[keep] = column >= 0 ? cellValue(text, kind) : text
      }
      at = end + 1
    }
    return kept
  }

  private emptyTensors(size: number): Filling {
    const { signature } = this.options.validator
    const tensors = signature.inputs.map(({ name, type, shape }): Tensor => {
      const width = shape?.length === 1 ? 1 : Number(shape?.[1])
      const dims = shape?.length === 1 ? [size] : [size, width]
      return { name, type, dims, data: allocate(type, size * width) }
    })
    const data = tensors.map((tensor) => tensor.data as Float32Array)
    return { tensors, data, rows: 0, kept: [], bad: [], size, bytes: 0 }
  }

  private hand(): Batch | null {
    const next = this.row + 1
    const { filling, pending } = this
    if (filling) {
      this.filling = null
      const { tensors, data, rows, kept, bad, size } = filling
      if (rows + bad.length === 0) return null
      const release = (): void => {
        this.spare.push({ tensors, data, rows: 0, kept: [], bad: [], size, bytes: 0 })
      }
      return { tensors: cut(tensors, rows), rows, kept, bad, next, release }
    }
    if (pending.length === 0) return null
    this.pending = []
    this.held = 0
    const { validator, schema } = this.options
    return { ...batchOf(validator, schema, pending), next }
  }
}

/** Tensors of the first rows of longer ones. */
function cut(tensors: readonly Tensor[], rows: number): Tensor[] {
  return tensors.map(({ name, type, dims, data }) => {
    const width = dims[1] ?? 1
    const part =
      data.length === rows * width ? data : (data as Float32Array).subarray(0, rows * width)
    return { name, type, dims: [rows, ...dims.slice(1)], data: part }
  })
}

/** A scanner where every input is a plain number of one and the same type. */
function scannerOf(header: readonly HeaderCell[], validator: Validator): PlainScanner | null {
  const { plain } = validator
  const types = new Set(validator.signature.inputs.map(({ type }) => type))
  if (plain === null || types.size > 1) return null
  const none = { slot: -1, index: 0, width: 0, low: 0, high: 0, nullable: false }
  const cells = header.map(({ column }) => plain[column] ?? none)
  return new PlainScanner(cells, types.has('float32'))
}
