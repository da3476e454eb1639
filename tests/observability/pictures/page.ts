// A whole dashboard as one HTML page in the look of Grafana's dark theme.
import { substituted } from '../queries.ts'
import { colourOf, escaped, type Mark } from './chart.ts'
import { drawn, type Source } from './panels.ts'

export const pageWidth = 1500
const column = (pageWidth - 16) / 24
const rowHeight = 38
const head = 30

const style = `
  * { box-sizing: border-box; margin: 0 }
  body { background: #111217; color: #ccccdc; font: 12px Inter, Roboto, "DejaVu Sans", Arial, sans-serif; width: ${pageWidth}px }
  h1 { font-size: 17px; font-weight: 500; padding: 14px 16px 4px }
  .page { position: relative; margin: 0 8px }
  .panel { position: absolute; background: #181b1f; border: 1px solid #24262c; border-radius: 3px; overflow: hidden }
  .panel h2 { font-size: 13px; font-weight: 500; height: ${head}px; padding: 7px 10px; white-space: nowrap; overflow: hidden; text-overflow: ellipsis }
  .row { position: absolute; font-size: 15px; font-weight: 500; padding: 10px 4px }
  svg { display: block } svg text { fill: #9fa1ad; font-size: 11px } .grid { stroke: #25282e }
  .legend { display: flex; flex-wrap: wrap; gap: 2px 14px; padding: 2px 10px; max-height: 62px; overflow: hidden }
  .legend span { white-space: nowrap } .legend i { display: inline-block; width: 14px; height: 3px; margin: 0 6px 3px 0 }
  .stat { position: absolute; inset: ${head}px 0 0 0; display: flex; align-items: center; justify-content: center; color: #fff; font-weight: 500 }
  .stat .area { position: absolute; left: 0; bottom: 0 } .stat span { z-index: 1; text-shadow: 0 1px 3px #0006 }
  .empty { display: flex; align-items: center; justify-content: center; height: 70%; color: #9fa1ad; font-size: 16px }
  table { border-collapse: collapse; width: 100%; table-layout: fixed } th { color: #6e9fff; font-weight: 500; text-align: left }
  th, td { height: 30px; padding: 0 10px; border-bottom: 1px solid #24262c; white-space: nowrap; overflow: hidden; text-overflow: ellipsis }
  td.number { font-variant-numeric: tabular-nums }
  .gauges { display: flex; flex-direction: column; gap: 6px; padding: 2px 12px 10px; height: calc(100% - ${head}px); justify-content: space-around }
  .gauge { display: flex; align-items: center; gap: 10px } .gauge b { width: 150px; text-align: right; font-weight: 400 }
  .gauge div { flex: 1; background: #22252b; height: 18px } .gauge i { display: block; height: 100% } .gauge em { width: 80px; font-style: normal; font-size: 15px }
  .logs { font: 11.5px "DejaVu Sans Mono", monospace; padding: 0 10px } .logs div { padding: 0 8px; height: 22px; line-height: 22px; white-space: nowrap; overflow: hidden }
  .logs u { text-decoration: none; color: #9fa1ad }
`

/** Points in time that the annotations name. */
export async function marksOf(board: any, source: Omit<Source, 'marks'>): Promise<Mark[]> {
  const { prometheus, values, from, to, step } = source
  const marks: Mark[] = []
  for (const note of board.annotations.list) {
    const colour = colourOf(note.iconColor)
    const expression = substituted(note.expr, values)
    for (const { points } of await prometheus.range(expression, from, to, step)) {
      if (note.useValueForTime) {
        const times = new Set(points.map(([, value]) => value / 1000))
        for (const at of times) marks.push({ at, colour })
      } else if (points[0]) marks.push({ at: points[0][0], colour })
    }
  }
  return marks
}

export interface Page {
  html: string
  height: number
  /** Titles of panels without data. */
  empty: string[]
}

/** `most`: grid rows to show, from the top. */
export async function pageOf(board: any, source: Source, most = 200): Promise<Page> {
  const parts: string[] = []
  const empty: string[] = []
  let lowest = 0
  for (const panel of board.panels) {
    const { x, y, w, h } = panel.gridPos
    if (y + h > most) continue
    lowest = Math.max(lowest, y + h)
    const box = { width: w * column - 8, height: h * rowHeight - 8 }
    const at = `left:${x * column}px;top:${y * rowHeight}px;width:${box.width}px;height:${box.height}px`
    if (panel.type === 'row') {
      parts.push(`<div class="row" style="${at}">${escaped(panel.title)}</div>`)
      continue
    }
    const inner = await drawn(panel, source, {
      width: box.width - 2,
      height: box.height - head - 2,
    })
    if (inner.includes('class="empty"') || inner.includes('>No data<')) empty.push(panel.title)
    parts.push(`<div class="panel" style="${at}"><h2>${escaped(panel.title)}</h2>${inner}</div>`)
  }
  const height = lowest * rowHeight + 8
  const html = `<!doctype html><meta charset="utf-8"><style>${style}</style><h1>${escaped(board.title)}</h1><div class="page" style="height:${height}px">${parts.join('')}</div>`
  return { html, height: height + 46, empty }
}
