// What a dashboard is made of, without Grafana's format: emit.ts writes the classic one, and a writer for
// another schema can stand beside it.

export type Colour = 'green' | 'yellow' | 'orange' | 'red' | 'blue' | 'purple' | 'text'

/** From this value on, this colour; null is the lowest. */
export type Step = readonly [from: number | null, colour: Colour]

export interface Query {
  expr: string
  legend?: string
  /** Only the newest value, not the course of time. */
  instant?: boolean
}

/** A column of a table: a label by its name, or the value of a query by its letter (A, B, …). */
export interface Column {
  field: string
  title: string
  unit?: string
  decimals?: number
  width?: number
  /** Where a click on the cell leads. */
  link?: string
}

/** Options of what is drawn over time. */
export interface Course {
  steps?: readonly Step[]
  /** Regular expression over legends → colour. */
  colours?: Readonly<Record<string, Colour>>
  /** Regular expression over the legends of lines to stay below. */
  limits?: string
  stack?: boolean
  max?: number
  /** Each step of the axis is ten times the one before: for what differs by powers of ten. */
  log?: boolean
}

export type Draw =
  | { kind: 'stat'; steps: readonly Step[]; decimals?: number; spark?: boolean; empty?: string }
  | ({ kind: 'lines' } & Course)
  | ({ kind: 'bars' } & Course)
  | { kind: 'gauges'; steps: readonly Step[]; max?: number }
  | { kind: 'heatmap' }
  | { kind: 'table'; columns: readonly Column[]; sortBy: string; most?: number }
  | { kind: 'logs' }

export interface Panel {
  /** Stays with the panel for good: links point at it. */
  id: number
  title: string
  /** What it shows, and what to do next when it looks bad. */
  about: string
  unit: string
  width: number
  height: number
  queries: readonly Query[]
  draw: Draw
}

export interface Section {
  id: number
  title: string
  panels: readonly Panel[]
}

export interface Dashboard {
  uid: string
  /** File name without its end. */
  name: string
  title: string
  about: string
  /** Which variables it offers besides the data sources, job and instance. */
  variables: readonly ('model' | 'model_version' | 'trace_id')[]
  sections: readonly Section[]
}

type Common = Pick<Panel, 'id' | 'title' | 'about' | 'unit' | 'width'> & { height?: number }
type Options<K extends Draw['kind']> = Omit<Extract<Draw, { kind: K }>, 'kind'>

const heights: Record<Draw['kind'], number> = {
  stat: 4,
  lines: 8,
  bars: 8,
  gauges: 6,
  heatmap: 8,
  table: 8,
  logs: 9,
}

const panel = (common: Common, queries: readonly Query[], draw: Draw): Panel => ({
  height: heights[draw.kind],
  ...common,
  queries,
  draw,
})

export const stat = (common: Common, expr: string, options: Options<'stat'>): Panel =>
  panel(common, [{ expr, instant: !options.spark }], { kind: 'stat', ...options })

export const lines = (common: Common, queries: readonly Query[], options: Course = {}): Panel =>
  panel(common, queries, { ...options, kind: 'lines' })

/** Events per second or per interval, summed: bars that stand on each other. */
export const bars = (common: Common, queries: readonly Query[], options: Course = {}): Panel =>
  panel(common, queries, { stack: true, ...options, kind: 'bars' })

export const gauges = (common: Common, query: Query, options: Options<'gauges'>): Panel =>
  panel(common, [{ ...query, instant: true }], { kind: 'gauges', ...options })

export const heatmap = (common: Common, expr: string): Panel =>
  panel(common, [{ expr, legend: '{{le}}' }], { kind: 'heatmap' })

export const table = (
  common: Omit<Common, 'unit'>,
  exprs: readonly string[],
  options: Options<'table'>,
): Panel => {
  const queries = exprs.map((expr) => ({ expr, instant: true }))
  return panel({ ...common, unit: 'short' }, queries, { kind: 'table', ...options })
}

export const logs = (common: Omit<Common, 'unit'>, expr: string): Panel =>
  panel({ ...common, unit: 'short' }, [{ expr }], { kind: 'logs' })

export const section = (id: number, title: string, panels: readonly Panel[]): Section => ({
  id,
  title,
  panels,
})
