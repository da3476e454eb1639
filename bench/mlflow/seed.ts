// The same models, versions and runs in both databases, by bulk inserts: writing them through the APIs
// would take hours on one side.
import { Database } from 'bun:sqlite'

export const modelCount = 2000
export const versionsEach = 50
export const runCount = 10_000

const stages = ['None', 'None', 'Staging', 'Production', 'Archived']
export const hex = (count: number): string => count.toString(16).padStart(32, '0')
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

export const nameOf = (model: number): string => `model-${String(model).padStart(5, '0')}`
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

export const fillRelais = (path: string): void =>
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

export const fillMlflow = (path: string): void =>
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
