// One panel of a dashboard as HTML, drawn from what Prometheus and the log lines answer.
import { type Entry, logql } from '../../support/logql.ts'
import type { Prometheus, Sample } from '../../support/prometheus.ts'
import { substituted } from '../queries.ts'
import type { Values } from '../resolve.ts'
import {
  colourOf,
  type Curve,
  escaped,
  type Frame,
  heatmap,
  type Mark,
  palette,
  spark,
  timeSeries,
} from './chart.ts'
import { written } from './units.ts'

export interface Source {
  prometheus: Prometheus
  entries: readonly Entry[]
  values: Values
  from: number
  to: number
  step: number
  marks: readonly Mark[]
}

interface Size {
  width: number
  height: number
}

const legend = (target: any, labels: Record<string, string>): string => {
  const format = target.legendFormat ?? ''
  if (format === '' || format === '__auto') {
    const { __name__: _name, ...own } = labels
    return Object.values(own).join(' ') || 'value'
  }
  return format.replaceAll(
    /\{\{\s*(\w+)\s*\}\}/g,
    (_all: string, name: string) => labels[name] ?? '',
  )
}

const promql = (source: Source, target: any): string => substituted(target.expr, source.values)

/** Properties that overrides give to a name. */
function overridden(panel: any, name: string): Record<string, any> {
  const found: Record<string, any> = {}
  for (const { matcher, properties } of panel.fieldConfig?.overrides ?? []) {
    const fits =
      matcher.id === 'byRegexp'
        ? new RegExp(matcher.options.replaceAll(/^\/|\/$/g, '')).test(name)
        : matcher.options === name
    if (fits) for (const { id, value } of properties) found[id] = value
  }
  return found
}

async function curvesOf(panel: any, source: Source): Promise<Curve[]> {
  const curves: Curve[] = []
  for (const target of panel.targets) {
    for (const { labels, points } of await seriesOf(target, source)) {
      const name = legend(target, labels)
      const over = overridden(panel, name)
      curves.push({
        name,
        points,
        colour: colourOf(over['color']?.fixedColor ?? palette[curves.length % palette.length]!),
        dashed: over['custom.lineStyle']?.fill === 'dash',
      })
    }
  }
  return curves
}

interface Found {
  labels: Record<string, string>
  points: (readonly [at: number, value: number])[]
}

async function seriesOf(target: any, source: Source): Promise<Found[]> {
  const { prometheus, from, to, step, entries } = source
  if (target.datasource?.type !== 'loki') {
    const series = await prometheus.range(promql(source, target), from, to, step)
    return series.map(({ metric, points }) => ({ labels: metric, points: gapped(points, step) }))
  }
  const text = substituted(target.expr, { ...source.values, __auto: `${step}s` })
  const found = new Map<string, Found>()
  for (let at = from; at <= to; at += step) {
    const answer = logql(text, entries, at * 1000)
    for (const { labels, value } of answer.kind === 'samples' ? answer.samples : []) {
      const key = JSON.stringify(labels)
      const one = found.get(key) ?? { labels, points: [] }
      found.set(key, one)
      one.points.push([at, value])
    }
  }
  return [...found.values()]
}

/** A line ends where its series does. */
function gapped(points: readonly [number, number][], step: number): [number, number][] {
  return points.flatMap(([at, value], n) => {
    const before = points[n - 1]
    const hole = before !== undefined && at - before[0] > step * 1.5
    return hole ? [[before[0] + step, Number.NaN] as [number, number], [at, value]] : [[at, value]]
  })
}

function colourFor(panel: any, value: number): string {
  const steps = panel.fieldConfig.defaults.thresholds?.steps ?? [{ value: null, color: 'text' }]
  const reached = steps.filter((step: any) => step.value === null || value >= step.value)
  return colourOf(reached.at(-1)?.color ?? 'text')
}

const instant = (source: Source, target: any): Promise<Sample[]> =>
  source.prometheus.query(promql(source, target), source.to)

const unitOf = (panel: any): string => panel.fieldConfig?.defaults?.unit ?? 'short'

async function stat(panel: any, source: Source, size: Size): Promise<string> {
  const [target] = panel.targets
  const samples = await instant(source, target)
  const last = samples.find(({ value }) => Number.isFinite(value))?.value
  const { decimals, noValue } = panel.fieldConfig.defaults
  const shown = last === undefined ? (noValue ?? 'No data') : written(last, unitOf(panel), decimals)
  const colour = last === undefined ? '#2c3235' : colourFor(panel, last)
  let area = ''
  if (panel.options.graphMode === 'area') {
    const [series] = await seriesOf(target, source)
    area = spark(series?.points ?? [], size.width, size.height / 2, '#ffffff')
  }
  const font = Math.min(size.height * 0.4, size.width / (shown.length * 0.75), 60)
  return `<div class="stat" style="background:${colour}"><span style="font-size:${font}px">${escaped(shown)}</span><div class="area">${area}</div></div>`
}

const frameOf = (panel: any, source: Source, { width, height }: Size): Frame => ({
  width,
  height,
  from: source.from,
  to: source.to,
  step: source.step,
  unit: unitOf(panel),
  marks: source.marks,
})

const empty = '<div class="empty">No data</div>'

async function series(panel: any, source: Source, size: Size): Promise<string> {
  const curves = await curvesOf(panel, source)
  if (curves.length === 0) return empty
  const { custom = {}, max, thresholds } = panel.fieldConfig.defaults
  const style = custom.thresholdsStyle?.mode ?? 'off'
  const steps = style === 'off' ? [] : (thresholds?.steps ?? [])
  const limits = steps
    .filter((step: any) => step.value !== null)
    .map((step: any) => ({ value: step.value, colour: colourOf(step.color) }))
  const names = curves.map(
    ({ name, colour, dashed }) =>
      `<span><i style="${dashed ? `border-top:2px dashed ${colour}` : `background:${colour}`}"></i>${escaped(name)}</span>`,
  )
  const perLine = Math.max(
    1,
    Math.floor(size.width / (Math.max(...curves.map((c) => c.name.length)) * 7 + 34)),
  )
  const lines = Math.min(3, Math.ceil(names.length / perLine))
  const frame = frameOf(panel, source, { width: size.width, height: size.height - lines * 20 - 4 })
  const drawing = {
    bars: custom.drawStyle === 'bars',
    log: custom.scaleDistribution?.type === 'log',
    stack: (custom.stacking?.mode ?? 'none') !== 'none',
    max,
    limits,
  }
  return `${timeSeries(curves, frame, drawing)}<div class="legend">${names.join('')}</div>`
}

async function heat(panel: any, source: Source, size: Size): Promise<string> {
  const found = await seriesOf(panel.targets[0], source)
  const buckets = found
    .map(({ labels, points }) => ({
      le: Number(labels['le']!.replace('+Inf', 'Infinity')),
      points,
    }))
    .toSorted((a, b) => a.le - b.le)
  return buckets.length === 0 ? empty : heatmap(buckets, frameOf(panel, source, size))
}

async function gauges(panel: any, source: Source): Promise<string> {
  const rows: string[] = []
  const [target] = panel.targets
  const samples = await instant(source, target)
  const most = panel.fieldConfig.defaults.max ?? Math.max(...samples.map(({ value }) => value))
  for (const { metric, value } of samples) {
    const colour = colourFor(panel, value)
    const share = most > 0 ? (value / most) * 100 : 0
    const { decimals } = panel.fieldConfig.defaults
    rows.push(
      `<div class="gauge"><b>${escaped(legend(target, metric))}</b><div><i style="width:${share}%;background:${colour}"></i></div><em style="color:${colour}">${written(value, unitOf(panel), decimals)}</em></div>`,
    )
  }
  return rows.length === 0 ? empty : `<div class="gauges">${rows.join('')}</div>`
}

type Row = Record<string, string | number>

/** Rows of all queries, joined where the labels that they share are equal, as Grafana's merge does. */
async function rowsOf(panel: any, source: Source): Promise<Row[]> {
  const rows: Row[] = []
  const many = panel.targets.length > 1
  for (const target of panel.targets) {
    const field = many ? `Value #${target.refId}` : 'Value'
    for (const { metric, value } of await instant(source, target)) {
      const { __name__: _name, ...labels } = metric
      const fitting = rows.filter((row) =>
        Object.entries(labels).every(([key, text]) => row[key] === undefined || row[key] === text),
      )
      const open = fitting.filter((row) => row[field] === undefined)
      if (open.length === 0) rows.push({ ...labels, [field]: value })
      for (const row of open) Object.assign(row, labels, { [field]: value })
    }
  }
  return rows
}

async function table(panel: any, source: Source, size: Size): Promise<string> {
  const options = (id: string): any =>
    panel.transformations?.find((one: any) => one.id === id)?.options ?? {}
  const { excludeByName = {}, indexByName = {}, renameByName = {} } = options('organize')
  const rows = await rowsOf(panel, source)
  const fields = [...new Set(rows.flatMap((row) => Object.keys(row)))]
    .filter((field) => excludeByName[field] !== true)
    .toSorted((a, b) => (indexByName[a] ?? 99) - (indexByName[b] ?? 99))
  const [sort] = options('sortBy').sort ?? []
  const by = fields.find((field) => (renameByName[field] ?? field) === sort?.field)
  if (by !== undefined) {
    const order = (a: Row, b: Row): number => ((a[by] ?? '') < (b[by] ?? '') ? -1 : 1)
    rows.sort((a, b) => (sort.desc ? order(b, a) : order(a, b)))
  }
  const fit = Math.floor((size.height - 34) / 30)
  const head = fields.map((field) => {
    const title = renameByName[field] ?? field
    const width = overridden(panel, title)['custom.width']
    return `<th${width ? ` style="width:${width}px"` : ''}>${escaped(title)}</th>`
  })
  const body = rows.slice(0, Math.min(fit, options('limit').limitField ?? fit)).map((row) => {
    const cells = fields.map((field) => {
      const value = row[field]
      const over = overridden(panel, renameByName[field] ?? field)
      if (typeof value !== 'number') return `<td>${escaped(value ?? '')}</td>`
      return `<td class="number">${written(value, over['unit'] ?? unitOf(panel), over['decimals'])}</td>`
    })
    return `<tr>${cells.join('')}</tr>`
  })
  if (rows.length === 0) return empty
  return `<table><thead><tr>${head.join('')}</tr></thead><tbody>${body.join('')}</tbody></table>`
}

const levelColours: Record<string, string> = { error: '#F2495C', warn: '#FF9830', info: '#73BF69' }

function logs(panel: any, source: Source, size: Size): string {
  const answer = logql(substituted(panel.targets[0].expr, source.values), source.entries)
  if (answer.kind === 'samples' || answer.lines.length === 0) return empty
  const shown = answer.lines.toReversed().slice(0, Math.floor(size.height / 22))
  const rows = shown.map(({ at, line, labels }) => {
    const colour = levelColours[labels['level'] ?? 'info'] ?? '#73BF69'
    const when = new Date(at).toISOString().slice(0, 23).replace('T', ' ')
    return `<div style="border-left:3px solid ${colour}"><u>${when}</u> ${escaped(line)}</div>`
  })
  return `<div class="logs">${rows.join('')}</div>`
}

/** What stands within the frame of a panel. */
export async function drawn(panel: any, source: Source, size: Size): Promise<string> {
  switch (panel.type) {
    case 'stat':
      return stat(panel, source, size)
    case 'timeseries':
      return series(panel, source, size)
    case 'heatmap':
      return heat(panel, source, size)
    case 'bargauge':
      return gauges(panel, source)
    case 'table':
      return table(panel, source, size)
    case 'logs':
      return logs(panel, source, size)
    default:
      throw new Error(`no way to draw a panel of type ${panel.type}`)
  }
}
