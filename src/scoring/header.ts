// The header of a CSV stream against the columns of a model: which cell goes where.
import { Fault, type Flaw } from '../core/fault.ts'
import type { Column, FeatureSchema } from '../onnx/signature.ts'
import { type CellKind, cellKind } from './cells.ts'

/** One cell of every row. */
export interface HeaderCell {
  name: string
  /** Index among the model's columns, -1 for a cell that is no input. */
  column: number
  kind: CellKind | undefined
  /** Index among the kept columns, -1 for one that is not kept. */
  keep: number
}

const mostNamed = 50

/**
 * Matches the names of a header with a model's columns, in any order. Throws `input.invalid` for names
 * that are missing, twice or unknown; kept names are known, and so is everything where the schema
 * ignores extra columns.
 */
export function readHeader(
  names: readonly string[],
  schema: FeatureSchema,
  keep: readonly string[],
): HeaderCell[] {
  const errors: Flaw[] = []
  const fail = (name: string, code: string, message: string): void => {
    errors.push({ pointer: `/header/${name}`, code, message })
  }
  const columns = new Map(
    schema.columns.map((column, at): [string, [Column, number]] => {
      return [column.name, [column, at]]
    }),
  )
  const seen = new Set<string>()
  const cells = names.map((name): HeaderCell => {
    const [column, at] = columns.get(name) ?? [undefined, -1]
    const kept = keep.indexOf(name)
    if (seen.has(name)) fail(name, 'duplicate', 'the header names the column twice')
    else if (!column && kept < 0 && schema.extra_columns === 'forbid') {
      fail(name, 'unknown', 'the model has no such column; keep it, or leave it out')
    }
    seen.add(name)
    return { name, column: at, kind: column && cellKind(column), keep: kept }
  })
  for (const name of [...columns.keys(), ...keep]) {
    if (!seen.has(name)) fail(name, 'missing', 'the header does not name the column')
    seen.add(name)
  }
  if (errors.length === 0) return cells
  const what = errors.length === 1 ? '1 column does' : `${errors.length} columns do`
  const detail = `${what} not fit the header; see errors.`
  throw new Fault('input.invalid', detail, { errors: errors.slice(0, mostNamed) })
}
