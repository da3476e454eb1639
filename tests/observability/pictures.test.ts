// No picture is empty: every query of every dashboard and rule is asked of a real Prometheus that scraped
// the real server, and what is known of the traffic is found again in the numbers.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

import { cleanUp, familyOf } from '../support/binary.ts'
import { until } from '../support/faults.ts'
import { type Entry, logql } from '../support/logql.ts'
import type { Sample } from '../support/prometheus.ts'
import { referenceOf } from '../support/relais.ts'
import { root } from '../support/sources.ts'
import { type History, startHistory } from './history.ts'
import { entriesOf } from './log-lines.ts'
import { dashboards, type Question, rules, substituted } from './queries.ts'
import { offered, type Values, valuesOf, withoutComparisons } from './resolve.ts'
import { predictDoors, Tally } from './traffic.ts'

/** Asked with the data of a test, these have nothing to show. Each with its reason. */
const rightlyEmpty: Record<string, string> = {}

const boards = dashboards()
const questions = boards.flatMap((board) => board.questions)
const ofLanguage = (language: Question['language']): [string, Question][] =>
  questions.filter((one) => one.language === language).map((one) => [one.where, one])

let history: History
let entries: Entry[]
/** Values of variables by dashboard. */
const values = new Map<string, Values>()

beforeAll(async () => {
  history = await startHistory({ rounds: 4 })
  entries = entriesOf(history.stack.server.said().out)
  const traced = entries.find(({ metadata }) => metadata['trace_id'] !== undefined)
  const given = { trace_id: traced?.metadata['trace_id'] ?? 'none' }
  for (const board of boards) {
    const own = await valuesOf(history.stack.prometheus, board, given)
    values.set(board.file, { ...given, ...own })
  }
}, 120_000)

afterAll(async () => {
  await history?.stack.stop()
  cleanUp()
})

const query = (expression: string): Promise<Sample[]> => history.stack.prometheus.query(expression)
const valueOf = async (expression: string): Promise<number | undefined> =>
  (await query(expression))[0]?.value

/** Counts by the values of labels, joined by blanks. */
async function table(expression: string, ...labels: string[]): Promise<Record<string, number>> {
  const rows = (await query(expression)).filter(({ value }) => value !== 0)
  const pairs = rows.map(
    ({ metric, value }) => [labels.map((label) => metric[label]).join(' '), value] as const,
  )
  return Object.fromEntries(pairs.toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

function demandData(where: string, samples: readonly Sample[]): void {
  const reason = rightlyEmpty[where]
  if (reason !== undefined) return console.log(`rightly empty: ${where}: ${reason}`)
  expect({ where, series: samples.length }).not.toEqual({ where, series: 0 })
  expect(samples.filter(({ value }) => Number.isNaN(value))).toEqual([])
}

describe('dashboards', () => {
  test('there are four, with queries for both data sources', () => {
    expect(boards.map(({ file }) => file)).toEqual([
      'models.json',
      'quality.json',
      'registry.json',
      'service.json',
    ])
    expect(ofLanguage('promql').length).toBeGreaterThan(50)
    expect(ofLanguage('logql').length).toBeGreaterThan(2)
  })

  const variables = boards.flatMap((board) =>
    board.variables
      .filter((variable) => variable.query !== '')
      .map((variable) => [`${board.file} $${variable.name}`, board, variable] as const),
  )
  test.each(variables)('%s has values', async (_where, board, variable) => {
    const found = await offered(history.stack.prometheus, variable, values.get(board.file)!)
    expect(found).not.toEqual([])
  })

  test.each(ofLanguage('promql'))('%s', async (where, { text, dashboard }) => {
    const expression = substituted(text, values.get(dashboard)!)
    demandData(where, await query(expression))
    const now = Date.now() / 1000
    const series = await history.stack.prometheus.range(expression, now - 60, now, 5)
    if (!rightlyEmpty[where]) expect(series).not.toEqual([])
  })

  test('a server that nobody has asked yet shows no NaN', async () => {
    const single = questions.filter((one) => one.language === 'promql' && one.single)
    const bad: string[] = []
    for (const { where, text, dashboard } of single) {
      const expression = substituted(text, values.get(dashboard)!)
      const samples = await history.stack.prometheus.query(expression, history.idleAt)
      if (samples.some(({ value }) => Number.isNaN(value))) bad.push(where)
    }
    expect(bad).toEqual([])
  })

  test.each(ofLanguage('logql'))('%s', (_where, { text, dashboard }) => {
    const answer = logql(substituted(text, values.get(dashboard)!), entries)
    const found = answer.kind === 'lines' ? answer.lines : answer.samples
    expect(found).not.toEqual([])
  })
})

describe('queries of the documentation', () => {
  const page = join(root, 'docs/logs.md')
  const block = existsSync(page) ? /^```logql\n(.*?)^```/ms.exec(readFileSync(page, 'utf8')) : null
  const examples = (block?.[1] ?? '').split('\n').filter((line) => line.trim() !== '')
  test.each(examples)('%s', (text) => {
    const [traced] = values.values()
    const known = text.replace(/trace_id="\w+"/, `trace_id="${traced!['trace_id']}"`)
    const answer = logql(known, entries)
    expect(answer.kind === 'lines' ? answer.lines : answer.samples).not.toEqual([])
  })
})

describe('rules', () => {
  const all = rules()
  test.each(all.map((rule) => [rule.where, rule] as const))('%s', async (where, rule) => {
    demandData(where, await query(withoutComparisons(rule.text)))
    if (rule.kind === 'record') demandData(where, await query(rule.name))
  })

  test('all of them are evaluated without a fault', async () => {
    const { groups } = await history.stack.prometheus.api('rules')
    const states = groups.flatMap((group: any) =>
      group.rules.map(({ name, health, lastError }: any) => ({ name, health, lastError })),
    )
    expect(states.length).toBe(all.length)
    expect(states.filter(({ health }: any) => health !== 'ok')).toEqual([])
  })
})

const own = '{job="relais",route!="/metrics"}'

describe('numbers', () => {
  test('requests sent are requests counted, by class and status', async () => {
    const { sorted } = history.driver.answers
    const by = ['route_class', 'code']
    expect(await table(`sum by (${by.join()}) (http_requests_total${own})`, ...by)).toEqual(sorted)
    const byClass = new Tally()
    for (const [key, times] of Object.entries(sorted)) {
      byClass.add(`${key.slice(0, -2)}xx`, times)
    }
    const series = `http_request_duration_seconds_count${own}`
    const measured = `sum by (route_class, status_class) (${series})`
    expect(await table(measured, 'route_class', 'status_class')).toEqual(byClass.sorted)
  })

  test('so do rates: what was sent within the last minutes, by the extrapolation of Prometheus', async () => {
    const counted = await valueOf('sum(increase(http_requests_total{route_class="predict"}[5m]))')
    const sent = Object.entries(history.driver.answers.sorted)
      .filter(([key]) => key.startsWith('predict'))
      .reduce((sum, [, times]) => sum + times, 0)
    expect(counted! / sent).toBeGreaterThan(0.8)
    expect(counted! / sent).toBeLessThan(1.25)
  })

  test('predictions by version and outcome, rows by class', async () => {
    const iris = 'model="iris",model_version=~"1|2"'
    const outcomes = `sum by (model_version, outcome) (predictions_total{${iris}})`
    const { outcomes: sent, classes } = history.driver
    expect(await table(outcomes, 'model_version', 'outcome')).toEqual(sent.sorted)
    const rows = `sum by (model_version, class) (predicted_class_total{${iris}})`
    expect(await table(rows, 'model_version', 'class')).toEqual(classes.sorted)
    const all = [...classes.counts.values()].reduce((sum, times) => sum + times, 0)
    expect(await valueOf(`sum(prediction_score_count{${iris}})`)).toBe(all)
    expect(await valueOf(`sum(prediction_score_bucket{${iris},le="+Inf"})`)).toBe(all)
    const ok = (sent.counts.get('1 ok') ?? 0) + (sent.counts.get('2 ok') ?? 0)
    expect(await valueOf(`sum(model_inference_duration_seconds_count{${iris}})`)).toBe(ok)
  })

  test('each kind of wrong input once per round', async () => {
    const counted = await table(
      'sum by (check) (data_check_failures_total{model="customers"})',
      'check',
    )
    const kinds = ['missing', 'null', 'range', 'set', 'shape', 'type', 'unknown']
    expect(counted).toEqual(Object.fromEntries(kinds.map((kind) => [kind, history.rounds])))
  })

  test('refused tokens by reason', async () => {
    const each = history.rounds * predictDoors.length
    const counted = await table('sum by (reason) (auth_failures_total)', 'reason')
    expect(counted).toEqual({ invalid: each, missing: each })
  })

  test('versions by stage, promotions and rollbacks', async () => {
    const { server, prometheus } = history.stack
    const get = async (path: string): Promise<any> => (await server.call('GET', path)).json()
    const stages = new Tally()
    const production: string[] = []
    for (const { name } of (await get('/api/v1/models?limit=100')).models) {
      for (const one of (await get(`/api/v1/models/${name}/versions?limit=100`)).versions) {
        stages.add(one.stage)
        const serves = one.stage === 'Production' && !one.quarantine
        if (serves) production.push(`${name} ${one.version}`)
      }
    }
    expect(await table('registry_model_versions', 'stage')).toEqual(stages.sorted)
    const rollbacks = await table('model_rollbacks_total', 'model')
    expect(rollbacks).toEqual({ 'breast-cancer': history.rounds - 1 })
    const live = 'model_promotion_timestamp_seconds{stage="Production"}'
    const promoted = await prometheus.query(live)
    const named = promoted.map(({ metric }) => `${metric['model']} ${metric['model_version']}`)
    expect(named.toSorted()).toEqual(production.toSorted())
    const now = Date.now() / 1000
    expect(promoted.filter(({ value }) => value > now || value < now - 300)).toEqual([])
    expect(await table('model_fallback', 'model', 'stage')).toMatchObject({ 'div Production': 1 })
  })

  test('engines, memory, files on disk', async () => {
    const { server } = history.stack
    const engines = familyOf(server.pid).length - 1
    expect(await valueOf('engines_running')).toBe(engines)
    const resident = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))
    const memory = await valueOf('process_resident_memory_bytes{job="relais"}')
    expect(memory! / (Number(resident![1]) * 1024)).toBeGreaterThan(0.5)
    expect(memory! / (Number(resident![1]) * 1024)).toBeLessThan(2)
    const database = statSync(join(server.data, 'relais.db')).size
    expect(await valueOf('sqlite_database_bytes')).toBe(database)
    const blobs = join(server.data, 'blobs')
    const files = readdirSync(blobs, { recursive: true, encoding: 'utf8' })
    const sizes = files.map((name) => statSync(join(blobs, name))).filter((one) => one.isFile())
    const bytes = sizes.reduce((sum, { size }) => sum + size, 0)
    // It is looked at every five seconds.
    await until(async () => (await valueOf('registry_artifact_bytes')) === bytes, 10_000)
  })

  test('audit entries are those of the trail', async () => {
    const { server } = history.stack
    const actions = new Tally()
    for (let page = ''; ;) {
      const answer: any = await (await server.call('GET', `/api/v1/audit?limit=100${page}`)).json()
      for (const one of answer.entries) actions.add(`${one.action} ${one.outcome}`)
      if (answer.next_page_token === undefined) break
      page = `&page_token=${answer.next_page_token}`
    }
    // The first token of a new folder is written before anything is counted.
    actions.add('token.create done', -1)
    const counted = await table('audit_events_total', 'action', 'outcome')
    expect(counted).toEqual(actions.sorted)
  })

  test('what is recorded at training, and what is promised', async () => {
    const accuracy = await table('model_training_accuracy{model="iris"}', 'model_version')
    const { metrics } = referenceOf('iris')
    expect(accuracy['1']).toBeCloseTo(metrics['accuracy']!, 9)
    expect(await table('sla_latency_objective_seconds', 'objective')).toEqual({
      p50: 0.05,
      p95: 0.15,
      p99: 0.3,
    })
  })
})
