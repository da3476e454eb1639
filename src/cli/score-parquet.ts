// Parquet files as JSON lines for the server, and its CSV as a Parquet file.
import { createReadStream } from 'node:fs'

import { parse } from 'csv-parse'
import {
  asyncBufferFromFile,
  type DecodedArray,
  parquetMetadataAsync,
  parquetReadObjects,
} from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import {
  type ColumnSource,
  fileWriter,
  ParquetWriter,
  schemaFromColumnData,
} from 'hyparquet-writer'

import { CommandError } from './command.ts'
import type { Input, Piece } from './score-input.ts'

/** Rows that are decoded together, and sent in one piece. */
const decodedRows = 250_000
const pieceRows = 10_000
const writtenRows = 100_000

function jsonOf(value: unknown): string {
  if (typeof value === 'bigint') return String(value)
  if (value instanceof Date) return JSON.stringify(value.toISOString())
  // A float that is no number stands for a missing value in most data frames.
  if (typeof value === 'number' && !Number.isFinite(value)) return 'null'
  return JSON.stringify(value ?? null, (_key, inner: unknown) =>
    typeof inner === 'bigint' ? Number(inner) : inner,
  )
}

function linesOf(rows: readonly Record<string, unknown>[]): Uint8Array {
  const keys = Object.keys(rows[0] ?? {}).map((name): [string, string] => [
    name,
    JSON.stringify(name),
  ])
  const lines = rows.map((row) => {
    return `{${keys.map(([name, key]) => `${key}:${jsonOf(row[name])}`).join(',')}}\n`
  })
  return Buffer.from(lines.join(''))
}

/** Throws CommandError for what is no Parquet file. */
export async function parquetInput(path: string): Promise<Input> {
  const file = await asyncBufferFromFile(path)
  const metadata = await parquetMetadataAsync(file).catch((error: unknown) => {
    throw new CommandError(`${path} is no readable Parquet file: ${(error as Error).message}`)
  })
  const size = Number(metadata.num_rows)
  return {
    type: 'application/x-ndjson',
    empty: new Uint8Array(0),
    size,
    first: 0,
    pieces: async function* (from): AsyncGenerator<Piece> {
      for (let start = from; start < size; start += decodedRows) {
        const rowEnd = Math.min(size, start + decodedRows)
        const range = { file, metadata, compressors, rowStart: start, rowEnd }
        const rows = (await parquetReadObjects(range)) as Record<string, unknown>[]
        for (let at = 0; at < rows.length; at += pieceRows) {
          const part = rows.slice(at, at + pieceRows)
          yield { body: linesOf(part), next: start + at + part.length }
        }
      }
    },
    close: () => undefined,
  }
}

export interface ParquetColumn {
  name: string
  /** Element type of the model; `any` for columns that it does not know. */
  type: string
}

type Basic = 'BOOLEAN' | 'INT32' | 'INT64' | 'FLOAT' | 'DOUBLE' | 'STRING'

const basics: Record<string, Basic> = {
  bool: 'BOOLEAN',
  int8: 'INT32',
  int16: 'INT32',
  int32: 'INT32',
  uint8: 'INT32',
  uint16: 'INT32',
  uint32: 'INT64',
  int64: 'INT64',
  uint64: 'INT64',
  float16: 'FLOAT',
  float32: 'FLOAT',
  float64: 'DOUBLE',
}

const strange: Record<string, number> = { inf: Infinity, '-inf': -Infinity }

function valueOf(text: string, type: Basic): unknown {
  if (type === 'STRING') return text
  if (text === '') return null
  if (type === 'BOOLEAN') return text === 'true'
  return type === 'INT64' ? BigInt(text) : (strange[text] ?? Number(text))
}

/** Turns a CSV with a header into a Parquet file, a hundred thousand rows at a time. */
export async function csvToParquet(
  csv: string,
  parquet: string,
  columns: readonly ParquetColumn[],
): Promise<void> {
  const types = columns.map(({ type }) => basics[type] ?? 'STRING')
  const sources = (rows: readonly string[][]): ColumnSource[] =>
    columns.map(({ name }, at) => {
      const type = types[at] as Basic
      const data = rows.map((row) => valueOf(row[at] ?? '', type)) as DecodedArray
      return { name, data, type, nullable: true }
    })
  const schema = schemaFromColumnData({ columnData: sources([]) })
  for (const [at, { type }] of columns.entries()) {
    // Without this note its upper half would be out of range.
    if (type === 'uint64') Object.assign(schema[at + 1] as object, { converted_type: 'UINT_64' })
  }
  const writer = new ParquetWriter({ writer: fileWriter(parquet), schema })
  let rows: string[][] = []
  const flush = async (): Promise<void> => {
    await writer.write({ columnData: sources(rows), rowGroupSize: writtenRows })
    rows = []
  }
  const records = createReadStream(csv).pipe(parse({ from: 2 }))
  for await (const record of records as AsyncIterable<string[]>) {
    if (rows.push(record) >= writtenRows) await flush()
  }
  if (rows.length > 0) await flush()
  await writer.finish()
}
