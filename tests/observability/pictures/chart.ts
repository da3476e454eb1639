// Time series and heat maps as SVG, in Grafana's dark colours.
import { ticks, written } from './units.ts'

export const palette = [
  '#73BF69',
  '#F2CC0C',
  '#8AB8FF',
  '#FF780A',
  '#F2495C',
  '#5794F2',
  '#B877D9',
  '#705DA0',
  '#37872D',
  '#FADE2A',
  '#447EBC',
  '#C15C17',
  '#890F02',
  '#0A437C',
  '#6D1F62',
]
const named: Record<string, string> = {
  green: '#73BF69',
  yellow: '#FADE2A',
  orange: '#FF9830',
  red: '#F2495C',
  blue: '#5794F2',
  purple: '#B877D9',
  text: '#ccccdc',
}
export const colourOf = (name: string): string => named[name] ?? name

export interface Curve {
  name: string
  points: readonly (readonly [at: number, value: number])[]
  colour: string
  dashed: boolean
}

export interface Mark {
  at: number
  colour: string
}

export interface Frame {
  width: number
  height: number
  /** Seconds since the epoch. */
  from: number
  to: number
  step: number
  unit: string
  marks: readonly Mark[]
}

export const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

const left = 74
const bottom = 20
const top = 6

const place = (frame: Frame) => {
  const inner = { width: frame.width - left - 8, height: frame.height - top - bottom }
  return {
    ...inner,
    x: (at: number): number => left + ((at - frame.from) / (frame.to - frame.from)) * inner.width,
  }
}

const clock = (at: number): string => new Date(at * 1000).toISOString().slice(11, 19)

function timeAxis(frame: Frame): string {
  const { x } = place(frame)
  const steps = [5, 10, 15, 30, 60, 120, 300]
  const wanted = (frame.to - frame.from) / Math.max(2, Math.floor(frame.width / 110))
  const step = steps.find((one) => one >= wanted) ?? 600
  const parts: string[] = []
  for (let at = Math.ceil(frame.from / step) * step; at <= frame.to; at += step) {
    const line = `<line x1="${x(at)}" x2="${x(at)}" y1="${top}" y2="${frame.height - bottom}" class="grid"/>`
    parts.push(
      `${line}<text x="${x(at)}" y="${frame.height - 5}" text-anchor="middle">${clock(at)}</text>`,
    )
  }
  return parts.join('')
}

function marked(frame: Frame): string {
  const { x } = place(frame)
  return frame.marks
    .filter(({ at }) => at >= frame.from && at <= frame.to)
    .map(({ at, colour }) => {
      const foot = frame.height - bottom
      const line = `<line x1="${x(at)}" x2="${x(at)}" y1="${top}" y2="${foot}" stroke="${colour}" stroke-dasharray="4 3" opacity="0.8"/>`
      return `${line}<path d="M${x(at)} ${foot} l-4 6 h8 z" fill="${colour}"/>`
    })
    .join('')
}

/** Values stand on those of the curves before. */
function stacked(curves: readonly Curve[]): Curve[] {
  const sums = new Map<number, number>()
  return curves.map((curve) => ({
    ...curve,
    points: curve.points.map(([at, value]) => {
      const sum = (sums.get(at) ?? 0) + (Number.isFinite(value) ? value : 0)
      sums.set(at, sum)
      return [at, sum] as const
    }),
  }))
}

export interface Drawing {
  bars: boolean
  stack: boolean
  /** Each step of the axis is ten times the one before. */
  log: boolean
  max: number | undefined
  limits: readonly { value: number; colour: string }[]
}

interface Scale {
  low: number
  high: number
  /** Values with a line and a label. */
  marks: number[]
  /** 0 at the foot of the axis, 1 at its top. */
  share: (value: number) => number
}

function linear(values: readonly number[], frame: Frame, { limits, max }: Drawing): Scale {
  const highest = Math.max(...values, 0)
  const near = limits.map(({ value }) => value).filter((value) => value <= highest * 3)
  const high = max ?? (Math.max(highest, ...near) * 1.08 || 1)
  const low = Math.min(0, ...values)
  const count = Math.max(2, Math.floor(place(frame).height / 38))
  const marks = ticks(low, high, count, frame.unit)
  return { low, high, marks, share: (value) => (value - low) / (high - low) }
}

function powersOfTen(values: readonly number[]): Scale {
  const exponents = values.filter((value) => value > 0).map((value) => Math.log10(value))
  const least = Math.floor(exponents.length === 0 ? 0 : Math.min(...exponents))
  const most = Math.max(least + 1, Math.ceil(Math.max(...exponents, least)))
  const marks = Array.from({ length: most - least + 1 }, (_, at) => 10 ** (least + at))
  const share = (value: number): number =>
    (Math.log10(Math.max(value, 10 ** least)) - least) / (most - least)
  return { low: 10 ** least, high: 10 ** most, marks, share }
}

export function timeSeries(curves: readonly Curve[], frame: Frame, drawing: Drawing): string {
  const shown = drawing.stack ? stacked(curves) : curves
  const values = shown
    .flatMap(({ points }) => points.map(([, value]) => value))
    .filter(Number.isFinite)
  const { low, high, marks, share } = drawing.log
    ? powersOfTen(values)
    : linear(values, frame, drawing)
  const { x, height, width } = place(frame)
  const y = (value: number): number => top + height - share(value) * height
  const parts = [timeAxis(frame)]
  for (const value of marks) {
    parts.push(
      `<line x1="${left}" x2="${frame.width - 8}" y1="${y(value)}" y2="${y(value)}" class="grid"/>`,
      `<text x="${left - 6}" y="${y(value) + 4}" text-anchor="end">${written(value, frame.unit)}</text>`,
    )
  }
  const barWidth = Math.max(1.5, (width * frame.step) / (frame.to - frame.from) - 1)
  // What was summed last is the tallest and goes behind.
  for (const { points, colour, dashed } of drawing.stack ? shown.toReversed() : shown) {
    if (drawing.bars) {
      for (const [at, value] of points.filter(([, one]) => one > low)) {
        parts.push(
          `<rect x="${x(at) - barWidth / 2}" y="${y(value)}" width="${barWidth}" height="${y(low) - y(value)}" fill="${colour}" shape-rendering="crispEdges"/>`,
        )
      }
      continue
    }
    let path = ''
    let pen = false
    for (const [at, value] of points) {
      if (Number.isFinite(value))
        path += `${pen ? 'L' : 'M'}${x(at).toFixed(1)} ${y(value).toFixed(1)}`
      pen = Number.isFinite(value)
    }
    const look = dashed ? 'stroke-width="1" stroke-dasharray="8 6"' : 'stroke-width="2"'
    parts.push(`<path d="${path}" fill="none" stroke="${colour}" ${look}/>`)
  }
  for (const { value, colour } of drawing.limits.filter((one) => one.value <= high)) {
    parts.push(
      `<line x1="${left}" x2="${frame.width - 8}" y1="${y(value)}" y2="${y(value)}" stroke="${colour}" stroke-dasharray="8 6"/>`,
    )
  }
  return svg(frame, parts.join('') + marked(frame))
}

const svg = ({ width, height }: Pick<Frame, 'width' | 'height'>, inner: string): string =>
  `<svg width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">${inner}</svg>`

/** A little area without axes. */
export function spark(
  points: Curve['points'],
  width: number,
  height: number,
  colour: string,
): string {
  const values = points.map(([, value]) => (Number.isFinite(value) ? value : 0))
  const high = Math.max(...values, 1e-9)
  const at = (n: number): string =>
    `${((n / Math.max(1, values.length - 1)) * width).toFixed(1)} ${(height - (values[n]! / high) * height * 0.9).toFixed(1)}`
  const line = values.map((_, n) => at(n)).join('L')
  return svg(
    { width, height },
    `<path d="M0 ${height}L${line}L${width} ${height}Z" fill="${colour}" opacity="0.35"/>`,
  )
}

export interface Bucket {
  /** Upper bound. */
  le: number
  points: Curve['points']
}

const blues = [
  [20, 30, 50],
  [8, 69, 148],
  [66, 146, 198],
  [158, 202, 225],
  [247, 251, 255],
] as const

function blue(share: number): string {
  const at = Math.min(0.999, share) * (blues.length - 1)
  const [a, b] = [blues[Math.floor(at)]!, blues[Math.floor(at) + 1]!]
  const mixed = a.map((one, n) => Math.round(one + (b[n]! - one) * (at % 1)))
  return `rgb(${mixed.join(' ')})`
}

/** Cumulative buckets, least bound first; each row shows what lies between two bounds. */
export function heatmap(buckets: readonly Bucket[], frame: Frame): string {
  const { x, width, height } = place(frame)
  const rows = buckets.map(({ le, points }, row) => {
    const below = new Map(buckets[row - 1]?.points ?? [])
    return {
      le,
      cells: points.map(([at, v]) => [at, Math.max(0, v - (below.get(at) ?? 0))] as const),
    }
  })
  const most = Math.max(...rows.flatMap(({ cells }) => cells.map(([, value]) => value)), 1e-9)
  const rowHeight = height / rows.length
  const cell = (width * frame.step) / (frame.to - frame.from)
  const parts = [timeAxis(frame)]
  for (const [row, { le, cells }] of rows.entries()) {
    const y = top + height - (row + 1) * rowHeight
    if (row % Math.ceil(18 / rowHeight) === 0) {
      const label = Number.isFinite(le) ? written(le, frame.unit) : '∞'
      parts.push(`<text x="${left - 6}" y="${y + 4}" text-anchor="end">${label}</text>`)
    }
    for (const [at, value] of cells) {
      if (value <= 1e-9) continue
      const fill = blue(0.1 + 0.9 * Math.sqrt(value / most))
      parts.push(
        `<rect x="${x(at) - cell}" y="${y}" width="${Math.max(1, cell - 1)}" height="${rowHeight - 1}" fill="${fill}"/>`,
      )
    }
  }
  return svg(frame, parts.join('') + marked(frame))
}
