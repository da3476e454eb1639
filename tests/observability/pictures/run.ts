// `bun run pictures`: drives a real server for three minutes and draws the dashboards from the Prometheus
// that watched it, as PNG into docs/. For readers who have no Grafana at hand, and for a look at changes.
import { join } from 'node:path'

import { chromium } from 'playwright-core'

import { cleanUp } from '../../support/binary.ts'
import { root } from '../../support/sources.ts'
import { entriesOf } from '../log-lines.ts'
import { dashboards } from '../queries.ts'
import { valuesOf } from '../resolve.ts'
import { marksOf, pageOf, pageWidth } from './page.ts'
import { playScene } from './scene.ts'

const [folder = join(root, 'docs'), minutes = '3'] = process.argv.slice(2)
/** Grid rows that a picture shows: whole sections, the most telling first. */
const rowsShown: Record<string, number> = {
  'service.json': 30,
  'models.json': 34,
  'quality.json': 41,
  'registry.json': 45,
}

const scene = await playScene(Number(minutes) * 60)
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu'],
})
try {
  const { server, prometheus } = scene.stack
  const entries = entriesOf(server.said().out)
  const page = await browser.newPage({ viewport: { width: pageWidth, height: 900 } })
  const to = Math.floor(scene.until)
  const base = { prometheus, entries, from: to - Number(minutes) * 60, to, step: 2 }
  for (const dashboard of dashboards()) {
    const { json } = dashboard
    const traced = entries.findLast(({ metadata }) => metadata['trace_id'] !== undefined)
    const given = {
      trace_id: traced?.metadata['trace_id'] ?? '',
      __rate_interval: '10s',
      __range: `${to - base.from}s`,
    }
    const values = { ...(await valuesOf(prometheus, dashboard, given)), ...given }
    const source = { ...base, values }
    const marks = await marksOf(json, source)
    const shown = await pageOf(json, { ...source, marks }, rowsShown[dashboard.file])
    await page.setViewportSize({ width: pageWidth, height: shown.height })
    await page.setContent(shown.html)
    const path = join(folder, `dashboard-${dashboard.file.replace('.json', '.png')}`)
    await page.screenshot({ path })
    console.log(`${path}${shown.empty.length > 0 ? `: no data in ${shown.empty.join(', ')}` : ''}`)
  }
} finally {
  await browser.close()
  await scene.stack.stop()
  cleanUp()
}
