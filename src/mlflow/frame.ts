// DataFrames as they travel: `dataframe_split`, `dataframe_records`, and the rows of a CSV file.
import { Fault } from '../core/fault.ts'
import { isObject } from '../core/object.ts'
import { mostFlaws } from '../onnx/check.ts'

export interface Frame {
  /** Column names in order; null when the payload names none. */
  names: readonly string[] | null
  /** Number of columns. */
  width: number
  /**
   * Rows with the cells of these columns in this order; a cell that a row lacks is null. `demanded`:
   * columns that take no null; the rows end where so many cells of theirs are null that no more
   * faults are listed.
   */
  pick(names: readonly string[], demanded?: ReadonlySet<string>): unknown[][]
  /** Rows as they came. */
  rows(): unknown[][]
}

export const invalid = (message: string): Fault =>
  new Fault('request.malformed', `Invalid input. ${message}`)

/** `{}` is three bytes for a whole row, so what rows leave out must not grow with the body. */
const mostAbsent = 1_000_000

/** See `Frame.pick`. `cellOf`: a row's cell for the column at a place of `names`, if it has one. */
function gather<Row>(
  rows: readonly Row[],
  names: readonly string[],
  demanded: ReadonlySet<string>,
  cellOf: (row: Row, at: number) => unknown,
): unknown[][] {
  const strict = names.map((name) => demanded.has(name))
  const gathered: unknown[][] = []
  let absent = 0
  let refused = 0
  for (const row of rows) {
    const cells = names.map((_, at) => {
      const cell = cellOf(row, at)
      if (cell === undefined) absent += 1
      if ((cell ?? null) === null && strict[at] === true) refused += 1
      return cell ?? null
    })
    gathered.push(cells)
    if (refused >= mostFlaws) break
    if (absent > mostAbsent) {
      throw new Fault('input.invalid', `The DataFrame lacks more than ${mostAbsent} cells.`)
    }
  }
  return gathered
}

const none: ReadonlySet<string> = new Set()

/** A frame of lists. Throws when a name occurs twice or a row is too long. */
export function listFrame(names: readonly string[] | null, rows: unknown[][]): Frame {
  if (names === null) {
    return { names, width: rows[0]?.length ?? 0, pick: () => rows, rows: () => rows }
  }
  const places = new Map(names.map((name, at) => [name, at]))
  if (places.size !== names.length) {
    throw new Fault('input.invalid', 'Two columns of the DataFrame have the same name.')
  }
  const tooLong = rows.findIndex((row) => row.length > names.length)
  if (tooLong >= 0) throw invalid(`Row ${tooLong} has more than ${names.length} values.`)
  return {
    names,
    width: names.length,
    pick: (wanted, demanded = none) => {
      const order = wanted.map((name) => places.get(name) ?? -1)
      const asTheyAre = order.length === names.length && order.every((from, to) => from === to)
      if (asTheyAre && rows.every((row) => row.length === names.length)) return rows
      return gather(rows, wanted, demanded, (row, at) => row[order[at] ?? -1])
    },
    rows: () => rows,
  }
}

/** pandas names the columns of an unnamed frame 0, 1, 2… */
const isCount = (columns: readonly unknown[]): boolean => columns.every((name, at) => name === at)

function columnsOf(columns: unknown): string[] | null {
  if (columns === undefined || columns === null) return null
  if (!Array.isArray(columns)) throw invalid("'columns' must be a list of names.")
  if (isCount(columns)) return null
  return columns.map((name: unknown) => {
    if (typeof name === 'string' || typeof name === 'number') return String(name)
    throw invalid("'columns' must be a list of names.")
  })
}

/** A row is a list; where there is one column, its value alone will do. */
const asRow = (row: unknown): unknown[] => (Array.isArray(row) ? row : [row])

/** `dataframe_split`: {data, columns?, index?}, as pandas writes it with orient='split'. */
export function splitFrame(value: unknown): Frame {
  if (!isObject(value)) throw invalid('Dataframe split format must be a dictionary.')
  const { data, columns, index } = value
  const extra = Object.keys(value).filter((key) => !['data', 'columns', 'index'].includes(key))
  if (data === undefined || extra.length > 0) {
    const got = Object.keys(value).slice(0, 20).join(', ')
    throw invalid(
      `Dataframe split format must have 'data' field and optionally 'columns' and 'index' fields. Got: ${got}.`,
    )
  }
  if (!Array.isArray(data) || data.some(isObject)) {
    throw invalid("Dataframe split format: 'data' must be a list of rows.")
  }
  const isIndex = index === undefined || index === null || Array.isArray(index)
  if (!isIndex || (Array.isArray(index) && index.length !== data.length)) {
    throw invalid("Dataframe split format: 'index' must be a list with an entry per row.")
  }
  return listFrame(columnsOf(columns), data.map(asRow))
}

/** `dataframe_records`: a list of row objects (or of lists, which name no columns). */
export function recordsFrame(value: unknown): Frame {
  if (!Array.isArray(value)) {
    throw invalid('Dataframe records format must be a list of records.')
  }
  const [first] = value as unknown[]
  if (first !== undefined && !isObject(first)) {
    if (value.some(isObject)) throw invalid('Records must be all objects or all lists.')
    return listFrame(null, value.map(asRow))
  }
  if (!value.every(isObject)) throw invalid('Records must be all objects or all lists.')
  const names = [...new Set(value.flatMap((record) => Object.keys(record)))]
  const pick: Frame['pick'] = (wanted, demanded = none) =>
    gather(value, wanted, demanded, (record, at) => {
      const name = wanted[at] ?? ''
      return Object.hasOwn(record, name) ? record[name] : undefined
    })
  return { names, width: names.length, pick, rows: () => pick(names) }
}
