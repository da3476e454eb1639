// Dashboards and rules: fresh, well-formed, about metrics that exist, and exported as they are.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { alerts, ruleFiles } from '../src/build/alerts.ts'
import { dashboardFiles } from '../src/build/dashboards.ts'
import { objectives } from '../src/build/dashboards/queries.ts'
import { readArgs, UsageError } from '../src/cli/command.ts'
import { dashboardsExport } from '../src/cli/dashboards.ts'
import { catalogue, type Entry } from '../src/telemetry/catalogue.ts'
import { flawsOf } from './support/grafana/validator.ts'
import { selectedIn } from './support/promql.ts'
import { type Relais, startRelais } from './support/relais.ts'
import { shippedAlerts, shippedRules } from './support/rules.ts'
import { root } from './support/sources.ts'

const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const files = readdirSync(join(root, 'dashboards')).filter((name) => name.endsWith('.json'))
const dashboards = files.map((file) => ({ file, ...JSON.parse(read(`dashboards/${file}`)) }))
const panelsOf = (dashboard: any): any[] =>
  dashboard.panels.filter(({ type }: any) => type !== 'row')
const panels = dashboards.flatMap((dashboard) =>
  panelsOf(dashboard).map((panel) => ({ ...panel, name: `${dashboard.file} ${panel.title}` })),
)

test('are those of src/build; `bun run generate:dashboards` renews them', () => {
  expect(files.toSorted()).toEqual(Object.keys(dashboardFiles()).toSorted())
  for (const [name, text] of Object.entries(dashboardFiles())) {
    expect([name, read(`dashboards/${name}`) === text]).toEqual([name, true])
  }
  for (const [name, text] of Object.entries(ruleFiles())) {
    expect([name, read(`dashboards/rules/${name}`) === text]).toEqual([name, true])
  }
})

describe('each dashboard', () => {
  test.each(dashboards)('$file fits the schema of Grafana’s SDK', (dashboard) => {
    const { file: _, ...content } = dashboard
    expect(flawsOf(content)).toEqual([])
  })

  test('the schema tells a wrong place and an unknown key', () => {
    const { file: _, ...content } = dashboards[0]!
    const [first, second, ...rest] = content.panels
    const wrong = { ...second, gridPos: { ...second.gridPos, w: 'wide' } }
    expect(flawsOf({ ...content, panels: [first, wrong, ...rest] })).not.toEqual([])
    expect(flawsOf({ ...content, panells: [] })).not.toEqual([])
  })

  test('has a uid, panel ids and titles of its own', () => {
    const uids: string[] = dashboards.map(({ uid }) => uid)
    expect(uids.toSorted()).toEqual([
      'relais-models',
      'relais-quality',
      'relais-registry',
      'relais-service',
    ])
    for (const { file, panels: all } of dashboards) {
      const ids = all.map(({ id }: any) => id)
      expect([file, ids.every((id: unknown) => Number.isInteger(id))]).toEqual([file, true])
      expect([file, new Set(ids).size]).toEqual([file, ids.length])
      const titles = all.map(({ title }: any) => title)
      expect([file, new Set(titles).size]).toEqual([file, titles.length])
    }
  })

  test('has no panel on another, none beyond the edge, and few in a row', () => {
    for (const { file, panels: all } of dashboards) {
      const cells = new Set<string>()
      const rows = new Map<number, number>()
      for (const { title, gridPos } of all) {
        const { x, y, w, h } = gridPos
        rows.set(y, (rows.get(y) ?? 0) + 1)
        expect([file, title, x + w <= 24]).toEqual([file, title, true])
        for (let column = x; column < x + w; column += 1) {
          for (let line = y; line < y + h; line += 1) {
            expect([file, title, cells.has(`${column}/${line}`)]).toEqual([file, title, false])
            cells.add(`${column}/${line}`)
          }
        }
      }
      expect(Math.max(...rows.values())).toBeLessThanOrEqual(8)
    }
  })

  test('keeps time and variables on the way to the others, and shares the crosshair', () => {
    for (const { tags, links, refresh, graphTooltip, templating, annotations } of dashboards) {
      expect(tags).toEqual(['relais', 'generated'])
      expect([refresh, graphTooltip]).toEqual(['30s', 1])
      expect(links).toMatchObject([{ tags: ['relais'], keepTime: true, includeVars: true }])
      const names = templating.list.map(({ name }: any) => name)
      expect(names.slice(0, 4)).toEqual(['datasource', 'logs', 'job', 'instance'])
      expect(annotations.list.map(({ name }: any) => name)).toEqual([
        'Promotions',
        'Rollbacks',
        'Firing alerts',
      ])
    }
  })
})

describe('each panel', () => {
  test.each(panels)('$name', (panel) => {
    expect(panel.description).toMatch(/^[A-Z`].{40,}[.?]$/s)
    expect(panel.description).toMatch(/Next[:,]/)
    expect(panel.fieldConfig.defaults.unit).toBeString()
    const { uid, type } = panel.datasource
    expect({ prometheus: '${datasource}', loki: '${logs}' }[type as 'loki']).toBe(uid)
    expect(panel.targets.length).toBeGreaterThan(0)
    for (const target of panel.targets) expect(target.datasource).toEqual(panel.datasource)
  })

  test('uses only variables that its dashboard has', () => {
    const builtIn = new Set([
      '__rate_interval',
      '__range',
      '__interval',
      '__auto',
      '__url_time_range',
    ])
    for (const dashboard of dashboards) {
      const known = new Set(dashboard.templating.list.map(({ name }: any) => name))
      const used = JSON.stringify([panelsOf(dashboard), dashboard.annotations])
        .matchAll(/\$(?:\{(\w+)(?=\})|(\w+))/g)
        .map((match) => match[1] ?? match[2]!)
      const unknown = [...used].filter((name) => !known.has(name) && !builtIn.has(name))
      expect([dashboard.file, [...new Set(unknown)]]).toEqual([dashboard.file, []])
    }
  })

  test('draws the SLA from the settings', () => {
    const service = dashboards.find(({ uid }) => uid === 'relais-service')!
    const red = (id: number): number => {
      const { steps } = service.panels.find((panel: any) => panel.id === id).fieldConfig.defaults
        .thresholds
      return steps.find(({ color }: any) => color === 'red').value
    }
    expect([red(1), red(2), red(3)]).toEqual([0.05, 0.15, 0.3])
    expect(objectives).toEqual({ p50: 0.05, p95: 0.15, p99: 0.3 })
    const course = service.panels.find((panel: any) => panel.id === 11)
    expect(course.targets.at(-1).expr).toContain('sla_latency_objective_seconds')
  })
})

/** PromQL of panels, annotations and variables; of rules. */
const dashboardQueries = dashboards.flatMap((dashboard) => [
  ...panelsOf(dashboard)
    .filter(({ datasource }) => datasource.type === 'prometheus')
    .flatMap(({ targets }) => targets.map(({ expr }: any) => expr as string)),
  ...dashboard.annotations.list.map(({ target }: any) => target.expr as string),
  ...dashboard.templating.list
    .filter(({ type }: any) => type === 'query')
    .map(({ definition }: any) => /^label_values\((.*), \w+\)$/.exec(definition)![1]!),
])
const queries = [...dashboardQueries, ...shippedRules.map(({ expr }) => expr)]

/** What Prometheus makes itself, and what the other parts of the stack export. */
const foreign: Record<string, readonly string[]> = {
  up: ['job', 'instance'],
  ALERTS: ['alertname', 'alertstate', 'job'],
  scrape_samples_scraped: ['job', 'instance'],
  alertmanager_notifications_failed_total: [],
  ...Object.fromEntries(
    shippedRules
      .filter(({ record }) => record !== undefined)
      .map(({ record }) => [record, ['job']]),
  ),
}

/** Metrics that deliberately stand in no dashboard and no rule. */
const unused: readonly string[] = []

describe('queries', () => {
  let relais: Relais
  let served: Set<string>
  beforeAll(async () => {
    relais = await startRelais()
    const { text } = await relais.call('GET', '/metrics')
    served = new Set([...text.matchAll(/^# TYPE (\S+)/gm)].map((match) => match[1]!))
  })
  afterAll(() => relais.close())

  const entries = new Map<string, Entry>(
    Object.values<Entry>(catalogue).map((entry) => [entry.name, entry]),
  )
  const entryOf = (metric: string): Entry | undefined => {
    const histogram = entries.get(metric.replace(/_(bucket|sum|count)$/, ''))
    return histogram?.type === 'histogram' ? histogram : entries.get(metric)
  }

  test('speak only of metrics that the server has, by labels that they have', () => {
    expect(served.size).toBe(entries.size)
    for (const query of queries) {
      for (const { metric, labels } of selectedIn(query)) {
        const entry = entryOf(metric)
        const known = entry ? [...entry.labels, 'job', 'instance', 'le'] : foreign[metric]
        expect([query, metric, known !== undefined]).toEqual([query, metric, true])
        if (entry) expect([metric, served.has(entry.name)]).toEqual([metric, true])
        expect([query, labels.filter((label) => !known!.includes(label))]).toEqual([query, []])
      }
    }
  })

  test('leave no metric out', () => {
    const used = new Set(
      queries.flatMap(selectedIn).map(({ metric }) => entryOf(metric)?.name ?? metric),
    )
    const left = [...served].filter((name) => !used.has(name))
    expect(left.toSorted()).toEqual(unused.toSorted())
  })

  test('pin bounds of histograms only where Prometheus 2 and 3 write them alike', () => {
    const bounds = queries.flatMap((query) => [...query.matchAll(/\ble="([^"]*)"/g)])
    expect(bounds.length).toBeGreaterThan(0)
    expect(bounds.filter(([, bound]) => Number.isInteger(Number(bound)))).toEqual([])
  })

  test('select by class of route and never by path', () => {
    expect(queries.filter((query) => /\broute(=|!)/.test(query))).toEqual([])
    for (const query of queries.filter((text) => text.includes('http_request'))) {
      if (query.includes('in_flight')) continue
      expect([query, query.includes('route_class')]).toEqual([query, true])
    }
  })

  test('GET /api/v1/dashboards gives them as they are', async () => {
    const { body } = await relais.call('GET', '/api/v1/dashboards')
    const uids: string[] = dashboards.map(({ uid }) => uid)
    expect(body.dashboards.map(({ uid }: any) => uid).toSorted()).toEqual(uids.toSorted())
    for (const { name, title, description } of body.dashboards) {
      expect([typeof title, typeof description]).toEqual(['string', 'string'])
      const { text, headers } = await relais.call('GET', `/api/v1/dashboards/${name}`)
      expect(text).toBe(read(`dashboards/${name}.json`))
      expect(headers.get('content-type')).toBe('application/json')
    }
    const { paths } = (await relais.call('GET', '/docs/json')).body
    expect(paths['/api/v1/dashboards/{name}'].get.tags).toEqual(['operation'])
  })
})

describe('each alert', () => {
  const page = read('docs/observability.md')
  const headings = new Set(
    [...page.matchAll(/^#+ (.*)$/gm)].map((match) => match[1]!.toLowerCase().replaceAll(' ', '-')),
  )

  test.each(shippedAlerts)('$alert leads on', (rule) => {
    const { summary, description, runbook_url, dashboard_url } = rule.annotations
    expect(Object.keys(rule.annotations)).toHaveLength(4)
    expect(summary.length).toBeGreaterThan(10)
    expect(description.length).toBeGreaterThan(60)
    // Tests and readers meet it as it stands: only the summary has values in it.
    expect(description).not.toContain('{{')
    const [file, anchor] = runbook_url.split('#') as [string, string]
    expect([existsSync(join(root, file)), headings.has(anchor)]).toEqual([true, true])
    const [, uid, panel] = /\/d\/([\w-]+)\?viewPanel=(\d+)$/.exec(dashboard_url)!
    const dashboard = dashboards.find((one) => one.uid === uid)
    expect(panelsOf(dashboard).map(({ id }) => id)).toContain(Number(panel))
    expect(['critical', 'warning', 'none']).toContain(rule.labels.severity)
  })

  test('has a section in the runbook, and no section is left over', () => {
    const [, runbook] = page.split(/^## Runbook$/m)
    const sections = [...runbook!.split(/^## /m)[0]!.matchAll(/^### (.*)$/gm)].map((m) => m[1]!)
    expect(sections.toSorted()).toEqual([...new Set(alerts.map(({ alert }) => alert))].toSorted())
  })
})

describe('relais dashboards export', () => {
  const folder = mkdtempSync(join(tmpdir(), 'relais-dashboards-'))
  afterAll(() => rmSync(folder, { recursive: true }))

  const run = async (...argv: string[]): Promise<string[]> => {
    const lines: string[] = []
    const line = (text: string): void => void lines.push(text)
    const output = { line, note: line, progress: () => undefined }
    await dashboardsExport.run(readArgs(dashboardsExport, argv), output, {})
    return lines
  }

  test('writes the files as they are and tells which', async () => {
    const lines = await run(folder)
    expect(lines).toHaveLength(7)
    expect(lines[0]).toMatch(/^FILE +BYTES$/)
    expect(lines.find((text) => text.startsWith('rules/alerts.yml'))).toMatch(/ \d+ +written$/)
    for (const name of [...files, 'rules/alerts.yml', 'rules/burn-rate.yml']) {
      expect(readFileSync(join(folder, name), 'utf8')).toBe(read(`dashboards/${name}`))
    }
    // Grafana takes every file of that kind in a provisioned folder for a dashboard.
    const json = readdirSync(folder).filter((name) => name.endsWith('.json'))
    expect(json.toSorted()).toEqual(files.toSorted())
    expect(existsSync(join(folder, 'compose'))).toBe(false)
    expect((await run(folder)).slice(1).every((text) => text.endsWith('was there'))).toBe(true)
  })

  test('renews what is as an earlier version wrote it', async () => {
    const name = 'models.json'
    const older = '{"title": "older"}\n'
    writeFileSync(join(folder, name), older)
    const record = join(folder, '.relais-export')
    const hashes = JSON.parse(readFileSync(record, 'utf8'))
    const hash = new Bun.CryptoHasher('sha256').update(older).digest('hex')
    writeFileSync(record, JSON.stringify({ ...hashes, [name]: hash }))
    expect((await run(folder)).join('\n')).toMatch(/models\.json +\d+ +written/)
    expect(readFileSync(join(folder, name), 'utf8')).toBe(read(`dashboards/${name}`))
  })

  test('does not overwrite what was edited, unless told to', async () => {
    const path = join(folder, 'service.json')
    writeFileSync(path, '{}')
    expect(run(folder)).rejects.toThrow(/service\.json/)
    expect(readFileSync(path, 'utf8')).toBe('{}')
    expect((await run(folder, '--force')).join('\n')).toMatch(/service\.json +\d+ +written/)
    expect(readFileSync(path, 'utf8')).toBe(read('dashboards/service.json'))
  })

  test('puts the addresses of the place into the rules', async () => {
    const urls = ['--grafana-url', 'https://g.example/', '--runbook-url', 'https://r.example/page']
    const [text] = await run(folder, '--json', ...urls)
    expect(JSON.parse(text!).written).toEqual(['rules/alerts.yml', 'rules/burn-rate.yml'])
    const written = readFileSync(join(folder, 'rules/alerts.yml'), 'utf8')
    expect(written).toContain('dashboard_url: https://g.example/d/relais-service?viewPanel=14')
    expect(written).toContain('runbook_url: https://r.example/page#higherrorrate')
    expect(written).not.toMatch(/localhost|docs\/observability/)
    expect(() => run(folder, '--grafana-url', 'example')).toThrow(UsageError)
  })
})
