// The README's tables of benchmarks, from bench/results.json.

interface Cell {
  requests_per_second: number
  errors: number
}

export interface Measurements {
  machine: { cpu: string; cores: number; memory_gib: number; bun: string }
  measured: { marks?: string; table?: string }
  marks: {
    mark: string
    what: string
    figure: number | null
    unit: string
    least?: number
    most?: number
    spread?: number
    passed: boolean
  }[]
  table: {
    model: string
    rows: number
    connections: number
    cells: Record<string, Cell | string>
    raw_rows_per_second: number
  }[]
}

/** Two figures each: ours, MLflow's. */
type Pair = readonly [number, number]

interface Written {
  count: number
  per_second: Pair
  p95_ms: Pair
}

export interface RegistryMeasurements {
  writes: { runs: Written; versions: Written }
  search: { versions: number; p95_ms: Pair }
}

type Table = (headings: readonly string[], rows: readonly (readonly string[])[]) => string

/** Loads that the README shows; the file holds them all. */
const shownConnections = 64

const short = (value: number): string =>
  value >= 1000
    ? Math.round(value).toLocaleString('en-US')
    : String(Number(value.toPrecision(value < 1 ? 2 : 3)))

const cellText = (cell: Cell | string | undefined): string =>
  typeof cell === 'object' && cell.errors === 0 && cell.requests_per_second > 0
    ? short(cell.requests_per_second)
    : '–'

function marksTable({ marks }: Measurements, table: Table): string {
  return table(
    ['Mark', 'Measured', 'Must be', 'Spread', ''],
    marks.map(({ mark, what, figure, unit, least, most, spread, passed }) => [
      `${mark}: ${what}`,
      figure === null ? '–' : `${short(figure)} ${unit}`.trim(),
      `${least === undefined ? `≤ ${most ?? ''}` : `≥ ${least}`} ${unit}`.trim(),
      spread === undefined ? '' : `${Math.round(spread * 100)} %`,
      passed ? 'met' : '**missed**',
    ]),
  )
}

/** Of each model and number of rows the most connections up to 64 that were measured. */
function loadsTable({ table: all }: Measurements, table: Table): string {
  const names = [...new Set(all.flatMap(({ cells }) => Object.keys(cells)))]
  const few = all.filter(({ connections }) => connections <= shownConnections)
  const rows = few.filter((row) =>
    few.every(
      (other) =>
        other.model !== row.model ||
        other.rows !== row.rows ||
        other.connections <= row.connections,
    ),
  )
  return table(
    ['Model', 'Rows', 'Connections', ...names, 'raw, rows/s'],
    rows.map(({ model, rows: count, connections, cells, raw_rows_per_second: raw }) => [
      model,
      String(count),
      String(connections),
      ...names.map((name) => cellText(cells[name])),
      short(raw),
    ]),
  )
}

/** Markdown of what was measured; `–` where something failed, was not run or was too much. */
export function benchTables(results: Measurements, table: Table): string {
  const { machine, measured } = results
  const { cpu, cores, memory_gib: memory, bun } = machine
  const parts = [`Measured on ${cores} cores of ${cpu}, ${memory} GiB, Bun ${bun}.`]
  if (measured.marks !== undefined) parts.push(marksTable(results, table))
  if (measured.table !== undefined) {
    parts.push('Requests per second, in short rounds:', loadsTable(results, table))
  }
  return parts.join('\n\n')
}

/** Markdown of the comparison with MLflow's own server. */
export function registryTable({ writes, search }: RegistryMeasurements, table: Table): string {
  const pair = ([ours, theirs]: Pair): string[] => [
    short(ours),
    short(theirs),
    `${short(ours > theirs ? ours / theirs : theirs / ours)} ×`,
  ]
  const written = Object.entries(writes).flatMap(([name, { count, per_second, p95_ms }]) => [
    [`${count} ${name} written, per second`, ...pair(per_second)],
    [`the same, p95 in ms`, ...pair(p95_ms)],
  ])
  return table(
    ['', 'Relais', '`mlflow server`', 'better by'],
    [
      ...written,
      [`pages of searches at ${search.versions} versions, p95 in ms`, ...pair(search.p95_ms)],
    ],
  )
}
