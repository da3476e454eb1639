// Evaluates LogQL over lines in memory, as Loki would: labels of streams, structured metadata, pipeline.
import {
  type Compare,
  type Grouping,
  type LabelFilter,
  type LogQuery,
  type Match,
  type MetricQuery,
  parseLogql,
  quantityOf,
  type Stage,
} from './logql-parse.ts'

export interface Entry {
  /** Milliseconds since the epoch. */
  at: number
  line: string
  /** Labels of the stream. */
  stream: Readonly<Record<string, string>>
  /** Structured metadata: found by filters like labels, no part of the stream. */
  metadata: Readonly<Record<string, string>>
}

export interface Shown {
  at: number
  line: string
  labels: Record<string, string>
}

export interface Measured {
  labels: Record<string, string>
  value: number
}

/** Go's leading `(?i)` is a flag here. */
function pattern(text: string, anchored: boolean): RegExp {
  const ignoreCase = text.startsWith('(?i)')
  const body = ignoreCase ? text.slice(4) : text
  return new RegExp(anchored ? `^(?:${body})$` : body, ignoreCase ? 'is' : 's')
}

function matches(op: Match, value: string, wanted: string): boolean {
  if (op === '=' || op === '!=') return (value === wanted) === (op === '=')
  return pattern(wanted, true).test(value) === (op === '=~')
}

function compares(op: Compare, value: number, wanted: number): boolean {
  switch (op) {
    case '==':
      return value === wanted
    case '!=':
      return value !== wanted
    case '>':
      return value > wanted
    case '>=':
      return value >= wanted
    case '<':
      return value < wanted
    case '<=':
      return value <= wanted
  }
}

function passes(filter: LabelFilter, labels: Record<string, string>): boolean {
  switch (filter.kind) {
    case 'and':
      return filter.parts.every((part) => passes(part, labels))
    case 'or':
      return filter.parts.some((part) => passes(part, labels))
    case 'text':
      return matches(filter.op, labels[filter.label] ?? '', filter.value)
    case 'number': {
      const text = labels[filter.label]
      if (text === undefined) return false
      const value = quantityOf(text)
      // Loki keeps such a line and marks it.
      if (value === null) labels['__error__'] = 'LabelFilterErr'
      return value === null || compares(filter.op, value, filter.value)
    }
  }
}

const labelName = (key: string): string => key.replaceAll(/[^a-zA-Z0-9_]/g, '_')

/** Nested keys are joined by `_`, lists are left out, names taken already get `_extracted`. */
function extract(line: string, labels: Record<string, string>): void {
  const taken = new Set(Object.keys(labels))
  const add = (name: string, value: unknown): void => {
    if (value === null || Array.isArray(value)) return
    if (typeof value === 'object') {
      for (const [key, inner] of Object.entries(value)) add(`${name}_${labelName(key)}`, inner)
      return
    }
    const text = typeof value === 'string' ? value : JSON.stringify(value)
    labels[taken.has(name) ? `${name}_extracted` : name] = text
  }
  try {
    const fields = JSON.parse(line) as Record<string, unknown>
    for (const [key, value] of Object.entries(fields)) add(labelName(key), value)
  } catch {
    labels['__error__'] = 'JSONParserErr'
  }
}

function pick(fields: [string, string][], line: string, labels: Record<string, string>): void {
  const found: Record<string, string> = {}
  extract(line, found)
  for (const [label, path] of fields) labels[label] = found[labelName(path)] ?? ''
  if (found['__error__']) labels['__error__'] = found['__error__']
}

/** Only `{{.name}}` and `{{ .name }}`. */
function formatted(template: string, labels: Record<string, string>): string {
  const text = template.replaceAll(
    /\{\{\s*\.(\w+)\s*\}\}/g,
    (_all, name: string) => labels[name] ?? '',
  )
  if (text.includes('{{'))
    throw new SyntaxError(`LogQL: line_format ${template} does more than names`)
  return text
}

function lineFits(stage: Extract<Stage, { kind: 'line' }>, line: string): boolean {
  const isIn = stage.op === '|=' || stage.op === '!='
  const found = stage.values.some((value) =>
    isIn ? line.includes(value) : pattern(value, false).test(line),
  )
  return found === stage.op.startsWith('|')
}

/** Null when the line is filtered out. */
function through(stages: readonly Stage[], entry: Entry): Shown | null {
  const labels: Record<string, string> = { ...entry.stream, ...entry.metadata }
  let { line } = entry
  for (const stage of stages) {
    switch (stage.kind) {
      case 'line':
        if (!lineFits(stage, line)) return null
        break
      case 'filter':
        if (!passes(stage.filter, labels)) return null
        break
      case 'json':
        if (stage.fields.length > 0) pick(stage.fields, line, labels)
        else extract(line, labels)
        break
      case 'line_format':
        line = formatted(stage.template, labels)
        break
      case 'label_format':
        labels[stage.label] = labels[stage.from] ?? ''
        delete labels[stage.from]
        break
      case 'drop':
      case 'keep':
        for (const name of Object.keys(labels)) {
          if (stage.labels.includes(name) === (stage.kind === 'drop')) delete labels[name]
        }
        break
      case 'unwrap': {
        const text = labels[stage.label]
        const value = quantityOf(text ?? '')
        if (text === undefined) return null
        if (value === null) labels['__error__'] = 'SampleExtractionErr'
        labels['__value__'] = String(value)
        break
      }
    }
  }
  return { at: entry.at, line, labels }
}

function select({ matchers, stages }: LogQuery, entries: readonly Entry[]): Shown[] {
  return entries
    .filter(({ stream }) =>
      matchers.every(({ label, op, value }) => matches(op, stream[label] ?? '', value)),
    )
    .map((entry) => through(stages, entry))
    .filter((shown) => shown !== null)
}

function grouped(
  labels: Record<string, string>,
  grouping: Grouping | null,
): Record<string, string> {
  const { __value__: _value, ...own } = labels
  if (grouping === null) return own
  const kept = Object.entries(own).filter(
    ([name, value]) => value !== '' && grouping.labels.includes(name) !== grouping.without,
  )
  return Object.fromEntries(kept.toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

function inGroups<T>(
  items: readonly T[],
  labelsOf: (item: T) => Record<string, string>,
): { labels: Record<string, string>; members: T[] }[] {
  const groups = new Map<string, { labels: Record<string, string>; members: T[] }>()
  for (const item of items) {
    const labels = labelsOf(item)
    const key = JSON.stringify(labels)
    const group = groups.get(key) ?? { labels, members: [] }
    group.members.push(item)
    groups.set(key, group)
  }
  return [...groups.values()]
}

const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0)

/** Linear between ranks, as Prometheus has it. */
function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  const rank = share * (sorted.length - 1)
  const low = sorted[Math.floor(rank)]!
  return low + (sorted[Math.ceil(rank)]! - low) * (rank % 1)
}

function reduce(name: string, values: readonly number[]): number {
  switch (name) {
    case 'sum':
      return sumOf(values)
    case 'avg':
      return sumOf(values) / values.length
    case 'max':
      return Math.max(...values)
    case 'min':
      return Math.min(...values)
    case 'count':
      return values.length
    default:
      throw new SyntaxError(`LogQL: ${name} is not done here`)
  }
}

type OverTime = Extract<MetricQuery, { kind: 'over-time' }>

function measure(
  { function: name, parameter, range }: OverTime,
  members: readonly Shown[],
): number {
  const values = members.map(({ labels }) => Number(labels['__value__'] ?? 1))
  const size = (): number => sumOf(members.map(({ line }) => Buffer.byteLength(line)))
  switch (name) {
    case 'rate':
      return sumOf(values) / range
    case 'count_over_time':
      return members.length
    case 'bytes_over_time':
      return size()
    case 'bytes_rate':
      return size() / range
    case 'quantile_over_time':
      return quantile(values, parameter ?? 0)
    default:
      return reduce(name.replace(/_over_time$/, ''), values)
  }
}

function evaluate(query: MetricQuery, entries: readonly Entry[], at: number): Measured[] {
  switch (query.kind) {
    case 'over-time': {
      const from = at - query.range * 1000
      const inRange = entries.filter((entry) => entry.at > from && entry.at <= at)
      const shown = select(query.log, inRange)
      const broken = shown.find(({ labels }) => (labels['__error__'] ?? '') !== '')
      if (broken) throw new Error(`Loki would say: pipeline error ${broken.labels['__error__']}`)
      return inGroups(shown, ({ labels }) => grouped(labels, query.grouping)).map(
        ({ labels, members }) => ({ labels, value: measure(query, members) }),
      )
    }
    case 'aggregate': {
      const inner = evaluate(query.of, entries, at)
      if (query.function === 'topk') {
        return inner.toSorted((a, b) => b.value - a.value).slice(0, query.parameter ?? 0)
      }
      return inGroups(inner, ({ labels }) => grouped(labels, query.grouping)).map(
        ({ labels, members }) => ({
          labels,
          value: reduce(
            query.function,
            members.map(({ value }) => value),
          ),
        }),
      )
    }
    case 'scaled':
      return evaluate(query.of, entries, at).map(({ labels, value }) => ({
        labels,
        value: query.op === '*' ? value * query.by : value / query.by,
      }))
  }
}

export type Evaluated = { kind: 'lines'; lines: Shown[] } | { kind: 'samples'; samples: Measured[] }

/** `at`: the moment of a metric query, milliseconds since the epoch. Throws SyntaxError. */
export function logql(text: string, entries: readonly Entry[], at = Date.now()): Evaluated {
  const query = parseLogql(text)
  if (query.kind === 'log') return { kind: 'lines', lines: select(query, entries) }
  return { kind: 'samples', samples: evaluate(query, entries, at) }
}
