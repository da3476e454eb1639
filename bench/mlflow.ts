// Relais against MLflow's own server. --search: pages of searches among 100,000 versions and 10,000
// runs, both databases filled by one script. With --check it exits 1 above the mark.
import { Database } from 'bun:sqlite'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

import { pythonWith } from '../tests/support/python.ts'
import { freePort, start, untilReady } from './process.ts'
import { binary, buildBinary, startRelais } from './relais.ts'
import { median } from './rounds.ts'

const check = process.argv.includes('--check')
const quick = process.argv.includes('--quick')
const modelCount = quick ? 200 : 2000
const versionsEach = 50
const runCount = quick ? 1000 : 10_000
const rounds = 2
/** Our 95th percentile as a share of MLflow's. */
const mark = 0.1

const stages = ['None', 'None', 'Staging', 'Production', 'Archived']
const hex = (count: number): string => count.toString(16).padStart(32, '0')
const began = 1_700_000_000_000

interface Version {
  model: number
  version: number
  at: number
  stage: string
  run: string
  tags: Record<string, string>
}

function* everyVersion(): Generator<Version> {
  for (let at = 0; at < modelCount * versionsEach; at += 1) {
    // Models get versions in turn, as teams make them.
    const model = (at * 7919) % modelCount
    const version = Math.floor(at / modelCount) + 1
    const tags = { team: `team-${model % 20}`, build: String(at % 1000), ok: String(at % 2 === 0) }
    const stage = stages[at % stages.length] ?? 'None'
    yield { model, version, at: began + at * 1000, stage, run: hex(at % runCount), tags }
  }
}

const nameOf = (model: number): string => `model-${String(model).padStart(5, '0')}`
const json = JSON.stringify

/** Fills a database in one transaction. */
function fill(path: string, work: (insert: (table: string, row: object) => void) => void): void {
  const db = new Database(path)
  db.run('PRAGMA busy_timeout = 30000')
  const statements = new Map<string, ReturnType<Database['prepare']>>()
  db.transaction(() =>
    work((table, row) => {
      const names = Object.keys(row)
      const key = `${table} ${names.join()}`
      const marks = names.map(() => '?').join(', ')
      const text = `INSERT INTO ${table} (${names.join(', ')}) VALUES (${marks})`
      const statement = statements.get(key) ?? db.prepare(text)
      statements.set(key, statement)
      statement.run(...(Object.values(row) as string[]))
    }),
  )()
  db.close()
}

/** Ten parameters and ten metrics of a run. */
const numbered = <T>(of: (at: number) => T): [string, T][] =>
  Array.from({ length: 10 }, (_, at) => [`k${at}`, of(at)])

const fillRelais = (path: string): void =>
  fill(path, (insert) => {
    const by = { created_by: 'bench' }
    for (let model = 0; model < modelCount; model += 1) {
      const times = { created_at: began, updated_at: began + model * 1000 }
      const tags = json({ team: `team-${model % 20}` })
      const row = { id: `model ${model}`, name: nameOf(model), description: '', tags }
      insert('models', { ...row, next_version: versionsEach + 1, ...by, ...times })
    }
    const none = { sha256: '', size: 0, original_sha256: '', original_size: 0, description: '' }
    const state = { status: 'READY', servability: 'not-servable', metrics: '{}', params: '{}' }
    for (const { model, version, at, stage, run, tags } of everyVersion()) {
      const id = `model ${model}`
      const times = { created_at: at, updated_at: at }
      const source = `mlflow-artifacts:/0/${run}/model`
      const place = { id: `${model} ${version}`, model_id: id, version, stage, run_id: run, source }
      insert('versions', { ...place, tags: json(tags), ...none, ...state, ...by, ...times })
    }
    for (let at = 0; at < runCount; at += 1) {
      const id = hex(at)
      const times = { start_time: began + at * 1000, end_time: began + at * 1000 + 500 }
      const row = { id, experiment_id: 0, name: `run-${at}`, user_id: 'ann', status: 'FINISHED' }
      insert('runs', { ...row, artifact_uri: `mlflow-artifacts:/0/${id}`, ...times, ...by })
      insert('run_tags', { run_id: id, key: 'mlflow.runName', value: `run-${at}` })
      for (const [key, value] of numbered((n) => String((at * (n + 1)) % 100))) {
        insert('run_params', { run_id: id, key, value })
      }
      for (const [key, value] of numbered((n) => ((at * (n + 7)) % 1000) / 1000)) {
        insert('latest_metrics', { run_id: id, key, value, nan: 0, timestamp: began, step: 0 })
      }
    }
  })

const fillMlflow = (path: string): void =>
  fill(path, (insert) => {
    const workspace = 'default'
    for (let model = 0; model < modelCount; model += 1) {
      const row = { workspace, name: nameOf(model) }
      const times = { creation_time: began, last_updated_time: began + model * 1000 }
      insert('registered_models', { ...row, ...times })
      insert('registered_model_tags', { ...row, key: 'team', value: `team-${model % 20}` })
    }
    for (const { model, version, at, stage, run, tags } of everyVersion()) {
      const row = { workspace, name: nameOf(model), version }
      const times = { creation_time: at, last_updated_time: at }
      const source = `mlflow-artifacts:/0/${run}/model`
      const state = { current_stage: stage, source, run_id: run, status: 'READY' }
      insert('model_versions', { ...row, ...times, ...state })
      for (const [key, value] of Object.entries(tags)) {
        insert('model_version_tags', { ...row, key, value })
      }
    }
    for (let at = 0; at < runCount; at += 1) {
      const id = hex(at)
      const times = { start_time: began + at * 1000, end_time: began + at * 1000 + 500 }
      const row = { run_uuid: id, experiment_id: 0, name: `run-${at}`, user_id: 'ann' }
      const state = { status: 'FINISHED', lifecycle_stage: 'active', source_type: 'LOCAL' }
      insert('runs', { ...row, ...state, artifact_uri: `mlflow-artifacts:/0/${id}`, ...times })
      insert('tags', { run_uuid: id, key: 'mlflow.runName', value: `run-${at}` })
      for (const [key, value] of numbered((n) => String((at * (n + 1)) % 100))) {
        insert('params', { run_uuid: id, key, value })
      }
      for (const [key, value] of numbered((n) => ((at * (n + 7)) % 1000) / 1000)) {
        insert('latest_metrics', { run_uuid: id, key, value, is_nan: 0, timestamp: began, step: 0 })
      }
    }
  })

type Fields = Record<string, string>

const versions = 'model-versions/search'
const models = 'registered-models/search'
const runs = 'runs/search'
/** What people and MLflow's pages ask for; a hundred rows a page. */
const searches: [path: string, fields: Fields][] = [
  [versions, {}],
  [versions, { order_by: 'name ASC' }],
  [versions, { order_by: 'creation_timestamp DESC' }],
  [versions, { filter: `name = '${nameOf(7)}'` }],
  [versions, { filter: "name LIKE 'model-001%'" }],
  [versions, { filter: "name ILIKE '%MODEL-0001%' AND version_number > 40" }],
  [versions, { filter: `run_id = '${hex(5)}'` }],
  [versions, { filter: "tags.ok = 'true'" }],
  [versions, { filter: "tags.build = '77'" }],
  [versions, { filter: "tags.team = 'team-3' AND tags.ok != 'true'" }],
  [versions, { filter: "tags.team LIKE 'team-1%'", order_by: 'name DESC' }],
  [models, {}],
  [models, { filter: "name LIKE '%-001%'" }],
  [models, { filter: "tags.team = 'team-3'", order_by: 'timestamp DESC' }],
  [runs, {}],
  [runs, { filter: "metrics.k1 > 0.5 AND params.k2 = '3'" }],
  [runs, { order_by: 'metrics.k3 DESC' }],
  [runs, { filter: "attributes.run_name LIKE 'run-99%'" }],
]

interface Server {
  name: string
  url: string
  headers: Record<string, string>
}

async function page({ url, headers }: Server, path: string, fields: Fields): Promise<any> {
  const most = { max_results: '100', ...fields }
  const place = `${url}/api/2.0/mlflow/${path}`
  const { order_by, ...rest } = most as Fields
  const body = json({ ...rest, ...(order_by && { order_by: [order_by] }), experiment_ids: ['0'] })
  const answer =
    path === runs
      ? await fetch(place, {
          method: 'POST',
          headers: { ...headers, 'content-type': 'application/json' },
          body,
        })
      : await fetch(`${place}?${new URLSearchParams(most).toString()}`, { headers })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${path} ${json(fields)}: ${text.slice(0, 300)}`)
  return JSON.parse(text)
}

const idsOf = (answer: any): string[] =>
  (answer.model_versions ?? answer.registered_models ?? answer.runs ?? []).map((one: any) =>
    one.info ? one.info.run_id : `${one.name} ${one.version ?? ''}`,
  )

/** Milliseconds of the first page and of the fifth, or of the last one before it; and what they hold. */
async function walk(
  server: Server,
  path: string,
  fields: Fields,
): Promise<{ times: [number, number]; ids: string[] }> {
  const times: number[] = []
  const ids: string[] = []
  let token: string | undefined
  do {
    const from = performance.now()
    const answer = await page(server, path, { ...fields, ...(token && { page_token: token }) })
    times.push(performance.now() - from)
    ids.push(...idsOf(answer))
    token = answer.next_page_token
  } while (token !== undefined && times.length < 5)
  return { times: [times[0] as number, times.at(-1) as number], ids }
}

const percentile = (values: readonly number[], part: number): number =>
  values.toSorted((a, b) => a - b)[Math.ceil(values.length * part) - 1] ?? Number.NaN

async function compareSearches(relais: Server, mlflow: Server) {
  const times = { relais: [] as number[], mlflow: [] as number[] }
  const rows = []
  for (const [path, fields] of searches) {
    const first = { relais: [] as number[], mlflow: [] as number[] }
    const later = { relais: [] as number[], mlflow: [] as number[] }
    for (let round = 0; round <= rounds; round += 1) {
      const theirs = await walk(mlflow, path, fields)
      const ours = await walk(relais, path, fields)
      if (json(ours.ids) !== json(theirs.ids))
        throw new Error(`${path} ${json(fields)}: other rows`)
      // The first round warms both up.
      if (round === 0) continue
      for (const [name, found] of [
        ['relais', ours],
        ['mlflow', theirs],
      ] as const) {
        first[name].push(found.times[0])
        later[name].push(found.times[1])
        times[name].push(...found.times)
      }
    }
    const row = {
      search: `${path} ${json(fields)}`,
      first: [median(first.relais), median(first.mlflow)],
      later: [median(later.relais), median(later.mlflow)],
    }
    rows.push(row)
    const words = [row.first, row.later].map(
      ([a = 0, b = 0]) => `${a.toFixed(1)} against ${b.toFixed(1)} ms (${(a / b).toFixed(3)})`,
    )
    console.log(`${row.search}\n  first page ${words[0]}, fifth ${words[1]}`)
  }
  const p95 = { relais: percentile(times.relais, 0.95), mlflow: percentile(times.mlflow, 0.95) }
  return { p95, ratio: p95.relais / p95.mlflow, rows }
}

const folder = mkdtempSync(join(tmpdir(), 'relais-bench-mlflow-'))
const python = await pythonWith(join(import.meta.dir, '../tests/mlflow/requirements.txt'))
await buildBinary()
await using relais = await startRelais([binary])
const port = freePort()
const url = `http://127.0.0.1:${port}`
const store = join(folder, 'mlflow.db')
const words = ['server', '--backend-store-uri', `sqlite:///${store}`, '--port', String(port)]
const mlflow = start([join(dirname(python), 'mlflow'), ...words], {
  env: {
    PATH: `${dirname(python)}:${process.env.PATH}`,
    HOME: folder,
    MLFLOW_DISABLE_TELEMETRY: 'true',
  },
})
try {
  await untilReady(() => fetch(`${url}/api/2.0/mlflow/registered-models/search`), 120)
  console.log(`seeding ${modelCount * versionsEach} versions and ${runCount} runs`)
  fillMlflow(store)
  fillRelais(join(dirname(relais.log), 'relais.db'))
  const found = await compareSearches(
    { name: 'relais', url: relais.url, headers: { authorization: `Bearer ${relais.token}` } },
    { name: 'mlflow', url, headers: {} },
  )
  const { p95, ratio } = found
  console.log(
    `p95 ${p95.relais.toFixed(1)} against ${p95.mlflow.toFixed(1)} ms: ${ratio.toFixed(3)} (mark ${mark})`,
  )
  const counts = { versions: modelCount * versionsEach, models: modelCount, runs: runCount }
  mkdirSync(join(import.meta.dir, 'results'), { recursive: true })
  if (!quick) {
    const record = { search: { ...counts, rounds, milliseconds: '[relais, mlflow]', ...found } }
    writeFileSync(join(import.meta.dir, 'results/mlflow.json'), `${json(record, null, 2)}\n`)
  }
  if (check && ratio > mark) process.exitCode = 1
} finally {
  await mlflow.stop()
  rmSync(folder, { recursive: true, force: true })
}
