// A driver that makes everything happen that the dashboards show, and remembers what it sent.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import type { RouteClass } from '../../src/http/request.ts'
import { example, type Served } from '../support/binary.ts'
import { until } from '../support/faults.ts'
import { referenceOf, testModels } from '../support/relais.ts'

export interface Sent {
  status: number
  body: any
}

export interface SendOptions {
  body?: unknown
  raw?: string | Uint8Array | FormData
  type?: string
  token?: string | null
}

/** How often each key was seen. */
export class Tally {
  readonly counts = new Map<string, number>()

  add(key: string, by = 1): void {
    this.counts.set(key, (this.counts.get(key) ?? 0) + by)
  }

  get sorted(): Record<string, number> {
    return Object.fromEntries([...this.counts].toSorted(([a], [b]) => (a < b ? -1 : 1)))
  }
}

/** One way to ask iris for a prediction: the same rows through every door. */
export interface PredictDoor {
  name: string
  path: string
  /** The version that answers there. */
  version: 1 | 2
  body: (rows: number[][]) => unknown
  /** Classes in an answer. */
  labels: (answer: any) => number[]
}

const columns = referenceOf('iris').columns
export const irisRows = referenceOf('iris').rows as number[][]

const instances = (rows: number[][]): unknown => ({ instances: rows })
const tensor = (rows: number[][]): unknown => ({
  inputs: [{ name: 'X', datatype: 'FP32', shape: [rows.length, 4], data: rows.flat() }],
})
const split = (data: number[][]): unknown => ({ dataframe_split: { columns, data } })

const labelsInRows = ({ predictions }: any): number[] =>
  predictions.map((one: any) => one.output_label)
const labelsInTensor = ({ outputs }: any): number[] =>
  outputs.find((one: any) => one.name === 'output_label').data

const kserve = { body: instances, labels: labelsInRows }
const v2 = { body: tensor, labels: labelsInTensor }
const mlflow = { body: split, labels: labelsInRows }
const at = '/v1/models/iris'

/** Needs `--default-model iris`, version 1 in Production and 2 in Staging. */
export const predictDoors: readonly PredictDoor[] = [
  { name: 'KServe V1', path: `${at}:predict`, version: 1, ...kserve },
  { name: 'KServe V1, version', path: `${at}/versions/1:predict`, version: 1, ...kserve },
  { name: 'KServe V1, label', path: `${at}/labels/Staging:predict`, version: 2, ...kserve },
  { name: 'V2', path: '/v2/models/iris/infer', version: 1, ...v2 },
  { name: 'V2, version', path: '/v2/models/iris/versions/2/infer', version: 2, ...v2 },
  { name: 'MLflow, default model', path: '/invocations', version: 1, ...mlflow },
  { name: 'MLflow', path: `${at}/invocations`, version: 1, ...mlflow },
  { name: 'MLflow, version', path: `${at}/versions/1/invocations`, version: 1, ...mlflow },
  { name: 'MLflow, label', path: `${at}/labels/Staging/invocations`, version: 2, ...mlflow },
]

export class Driver {
  /** `predict 200` and so on, of everything that was sent. */
  readonly answers = new Tally()
  /** `1 ok` and so on: predictions of iris by version and outcome. */
  readonly outcomes = new Tally()
  /** `1 0`: rows of iris by version and class. */
  readonly classes = new Tally()
  server: Served

  constructor(server: Served) {
    this.server = server
  }

  async send(
    routeClass: RouteClass,
    method: string,
    path: string,
    options: SendOptions = {},
  ): Promise<Sent> {
    const { body, raw, token = this.server.admin, type } = options
    const headers: Record<string, string> = {}
    if (token !== null) headers['authorization'] = `Bearer ${token}`
    if (type !== undefined) headers['content-type'] = type
    else if (body !== undefined) headers['content-type'] = 'application/json'
    const sent = raw ?? (body === undefined ? null : JSON.stringify(body))
    const response = await fetch(`${this.server.url}${path}`, { method, headers, body: sent })
    const text = await response.text()
    this.answers.add(`${routeClass} ${response.status}`)
    try {
      return { status: response.status, body: JSON.parse(text) }
    } catch {
      return { status: response.status, body: text }
    }
  }

  /** `send`, for what must succeed. */
  async done(
    routeClass: RouteClass,
    method: string,
    path: string,
    options: SendOptions = {},
  ): Promise<any> {
    const { status, body } = await this.send(routeClass, method, path, options)
    if (status >= 300) throw new Error(`${method} ${path}: ${status} ${JSON.stringify(body)}`)
    return body
  }

  /** Pushes bytes as the next version; returns its number. */
  async push(
    model: string,
    bytes: Uint8Array,
    metadata: Record<string, unknown> = {},
  ): Promise<number> {
    const raw = new FormData()
    raw.set('metadata', JSON.stringify(metadata))
    raw.set('model', new Blob([new Uint8Array(bytes)]), 'model.onnx')
    return (await this.done('stream', 'POST', `/api/v1/models/${model}/versions`, { raw })).version
  }

  pushExample(model: string, name: string): Promise<number> {
    const schema = JSON.parse(readFileSync(example(name, 'schema.json'), 'utf8'))
    const { metrics } = referenceOf(name)
    return this.push(model, readFileSync(example(name, 'model.onnx')), { schema, metrics })
  }

  pushTestModel(file: string, model = file): Promise<number> {
    return this.push(model, readFileSync(join(testModels, `${file}.onnx`)))
  }

  promote(model: string, version: number, stage: string): Promise<unknown> {
    const path = `/api/v1/models/${model}/versions/${version}/stage`
    return this.done('registry', 'POST', path, { body: { stage, reason: 'measured better' } })
  }

  async token(role: string, sub = role, ttl = 3600): Promise<string> {
    const body = { sub, role, ttl_seconds: ttl }
    return (await this.done('registry', 'POST', '/api/v1/tokens', { body })).token
  }

  /** Rows of iris through a door, with a count of what comes back. */
  async predict(door: PredictDoor, rows: number[][], token?: string): Promise<void> {
    const { path, version, body, labels } = door
    const options = { body: body(rows), ...(token === undefined ? {} : { token }) }
    const answer = await this.send('predict', 'POST', path, options)
    // Who may not predict is refused before a version is looked for.
    if (answer.status === 403) return
    this.outcomes.add(`${version} ${answer.status === 200 ? 'ok' : 'rejected'}`)
    if (answer.status !== 200) return
    for (const label of labels(answer.body)) this.classes.add(`${version} ${label}`)
  }
}

const cancerRows = referenceOf('breast-cancer').rows as number[][]
const customerRows = referenceOf('customers').rows
const diabetesRows = referenceOf('diabetes').rows
/** Kills the engine that runs it. */
export const poisonText = '{"instances":[{"a":-9223372036854775808,"b":-1}]}'
const forever = '{"inputs":{"n":[1099511627776]}}'

const askCancer = (driver: Driver, from: number): Promise<unknown> =>
  driver.done('predict', 'POST', '/v1/models/breast-cancer:predict', {
    body: { instances: cancerRows.slice(from, 2 * from + 1) },
  })

/** What the server must be started with. */
export const trafficFlags = ['--default-model', 'iris', '--predict-timeout', '500ms']

/** Models and stages to begin with. */
export async function populate(driver: Driver): Promise<void> {
  for (const name of ['iris', 'iris-v2', 'iris']) await driver.pushExample('iris', name)
  for (const name of ['breast-cancer', 'breast-cancer-v2']) {
    await driver.pushExample('breast-cancer', name)
  }
  for (const name of ['customers', 'diabetes']) await driver.pushExample(name, name)
  for (const name of ['div', 'div', 'spin']) await driver.pushTestModel(name)
  await driver.promote('iris', 1, 'Production')
  await driver.promote('iris', 2, 'Staging')
  await driver.promote('breast-cancer', 1, 'Production')
  for (const name of ['customers', 'diabetes', 'spin']) await driver.promote(name, 1, 'Production')
  await driver.promote('div', 1, 'Production')
  await driver.promote('div', 2, 'Production')
}

/** Good, bad, unauthorised and forbidden, through every door. */
async function everyDoor(driver: Driver, viewer: string, round: number): Promise<void> {
  for (const [at, door] of predictDoors.entries()) {
    for (let n = 0; n < 4; n += 1) {
      const from = (round * 7 + at * 4 + n) % 40
      await driver.predict(door, irisRows.slice(from, from + 1 + n))
    }
    const wrong = [[1e9, -1, 2, 3]]
    await driver.predict(door, wrong)
    await driver.predict(door, irisRows.slice(0, 1), viewer)
    // Refused before anybody looks where it was going.
    const body = door.body(wrong)
    await driver.send('registry', 'POST', door.path, { body, token: null })
    await driver.send('registry', 'POST', door.path, { body, token: 'not.a.token' })
  }
}

/** Every way in which the input of a prediction can be wrong. */
async function badInputs(driver: Driver): Promise<void> {
  const good = Object.fromEntries(
    referenceOf('customers').columns.map((name, at) => [name, customerRows[0]![at]]),
  )
  const changes: Record<string, unknown>[] = [
    { tenure_months: 'long' },
    { tenure_months: null },
    { tenure_months: 601 },
    { plan: 'golden' },
    { unheard_of: 1 },
  ]
  const { plan: _plan, ...without } = good
  const rows = [...changes.map((change) => ({ ...good, ...change })), without]
  for (const instance of [...rows, [1, 2]]) {
    const body = { instances: [instance] }
    await driver.send('predict', 'POST', '/v1/models/customers:predict', { body })
  }
  await driver.done('predict', 'POST', '/v1/models/customers:predict', {
    body: { instances: customerRows.slice(0, 20) },
  })
  await driver.done('predict', 'POST', '/v1/models/diabetes:predict', {
    body: { instances: diabetesRows.slice(0, 20) },
  })
  const broken = { raw: '{"instances":', type: 'application/json' }
  await driver.send('predict', 'POST', '/v1/models/diabetes:predict', broken)
}

/** An engine that dies, one that hangs, and a request that the model refuses. */
async function badModels(driver: Driver, who: string): Promise<void> {
  const json = 'application/json'
  const to = (model: string, raw: string, token?: string): Promise<Sent> =>
    driver.send('predict', 'POST', `/v1/models/${model}:predict`, {
      raw,
      type: json,
      ...(token === undefined ? {} : { token }),
    })
  await to('div', '{"instances":[{"a":8,"b":2}]}')
  await to('div', '{"instances":[{"a":8,"b":0}]}')
  await to('div', poisonText, who)
  await to('spin', '{"inputs":{"n":[3]}}')
  await to('spin', forever, who)
}

const challenger = '/api/v1/models/iris/aliases/challenger'

/** What came with the last round goes: a version that lives for less than a few scrapes has no rates. */
async function takeBack(driver: Driver): Promise<void> {
  await askNewcomers(driver)
  await driver.done('registry', 'DELETE', challenger)
  const body = { reason: 'worse live' }
  await driver.done('registry', 'POST', '/api/v1/models/breast-cancer/rollback', { body })
  for (let n = 0; n < 5; n += 1) await askCancer(driver, n)
}

/** A promotion and a version under an alias. */
async function bringIn(driver: Driver): Promise<void> {
  await driver.promote('breast-cancer', 2, 'Production')
  await driver.done('registry', 'PUT', challenger, { body: { version: 3 } })
  await askNewcomers(driver)
}

/** Traffic for what the last round brought in. */
export async function askNewcomers(driver: Driver): Promise<void> {
  for (let n = 0; n < 5; n += 1) {
    await askCancer(driver, n)
    await driver.done('predict', 'POST', '/v1/models/iris/labels/challenger:predict', {
      body: instances(irisRows.slice(n, n + 1)),
    })
  }
}

async function registryWork(driver: Driver, scientist: string, round: number): Promise<void> {
  const registry = driver.done.bind(driver, 'registry')
  await registry('GET', '/api/v1/models')
  await registry('GET', '/api/v1/models/iris/history')
  await registry('PATCH', '/api/v1/models/iris', { body: { description: `round ${round}` } })
  await driver.send('registry', 'GET', '/api/v1/models/nobody')
  const stage = { body: { stage: 'Production' }, token: scientist }
  await driver.send('registry', 'POST', '/api/v1/models/iris/versions/3/stage', stage)
  await driver.done('stream', 'GET', '/api/v1/models/iris/versions/1/model')
  const passing = await driver.pushExample('passing', 'iris')
  await registry('DELETE', `/api/v1/models/passing/versions/${passing}`)
  await driver.token('viewer', `guest-${round}`)
  await registry('GET', '/api/v1/audit?limit=10')
}

async function mlflowWork(driver: Driver, round: number): Promise<void> {
  const call = (path: string, body: object): Promise<any> =>
    driver.done('registry', 'POST', `/api/2.0/mlflow/${path}`, { body })
  const { run } = await call('runs/create', { experiment_id: '0', run_name: `round-${round}` })
  const { run_id } = run.info
  await call('runs/log-metric', { run_id, key: 'accuracy', value: 0.9, timestamp: Date.now() })
  await call('runs/search', { experiment_ids: ['0'] })
  const file = `/api/2.0/mlflow-artifacts/artifacts/${run.info.artifact_uri.replace('mlflow-artifacts:/', '')}/notes.txt`
  await driver.done('stream', 'PUT', file, { raw: `round ${round}` })
  await driver.done('stream', 'GET', file)
}

/** Probes, documentation, scoring: none of them is part of the service level of predictions. */
async function besides(driver: Driver): Promise<void> {
  for (const path of ['/health', '/health/live', '/health/ready', '/health/registry', '/ping']) {
    await driver.send('health', 'GET', path, { token: null })
  }
  for (const path of ['/v2/health/live', '/v2/health/ready'])
    await driver.send('health', 'GET', path)
  await driver.done('stream', 'POST', '/v1/models/diabetes:score', {
    raw: diabetesRows.map((row) => JSON.stringify(row)).join('\n'),
    type: 'application/x-ndjson',
  })
}

/** Everything once, in about two seconds. */
export async function drive(driver: Driver, round: number): Promise<void> {
  const viewer = await driver.token('viewer')
  const scientist = await driver.token('data-scientist')
  if (round > 0) await takeBack(driver)
  await everyDoor(driver, viewer, round)
  await badInputs(driver)
  await badModels(driver, await driver.token('predictor', `mallory-${round}`))
  await registryWork(driver, scientist, round)
  await mlflowWork(driver, round)
  await besides(driver)
  await bringIn(driver)
}

/** Puts `div` 2 aside: three callers whose requests kill it. Its first version serves the stage. */
export async function quarantine(driver: Driver): Promise<void> {
  for (const who of ['one', 'two', 'three']) {
    const token = await driver.token('predictor', who)
    const options = { raw: poisonText, type: 'application/json', token }
    await driver.send('predict', 'POST', '/v1/models/div:predict', options)
  }
  await until(async () => {
    const { versions } = await driver.done('registry', 'GET', '/api/v1/models/div/versions')
    return versions.some((one: any) => one.version === 2 && one.quarantine)
  })
}
