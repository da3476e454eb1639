// RULES §20: what moves the alerts on errors and latency. Each prediction door does; probes, metrics,
// uploads, downloads and files to score never do, whatever they answer.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import type { RouteClass } from '../../src/http/request.ts'
import { cleanUp, serve, type Served } from '../support/binary.ts'
import { type Sample, samplesOf } from '../support/exposition.ts'
import { testModels } from '../support/relais.ts'
import { rules } from './queries.ts'
import { Driver, irisRows, poisonText, predictDoors, type SendOptions } from './traffic.ts'

interface Selector {
  text: string
  name: string
  matchers: [label: string, op: string, value: string][]
}

/** Selectors of HTTP metrics within the expression of an alert. */
function selectorsOf(alert: string): Selector[] {
  const rule = rules().find(({ name }) => name === alert)
  if (!rule) throw new Error(`no alert is named ${alert}`)
  const found = [...rule.text.matchAll(/\b(http_\w+)\{([^}]*)\}/g)].map(([text, name, inner]) => ({
    text,
    name: name!,
    matchers: [...inner!.matchAll(/(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"/g)]
      .map(([, label, op, value]): Selector['matchers'][number] => [label!, op!, value!])
      // Prometheus adds it.
      .filter(([label]) => label !== 'job'),
  }))
  return [...new Map(found.map((one) => [one.text, one])).values()]
}

const fits = (value: string, op: string, wanted: string): boolean =>
  (op.endsWith('~') ? new RegExp(`^(?:${wanted})$`).test(value) : value === wanted) ===
  op.startsWith('=')

/** Of the buckets the last alone, which counts everything. */
const sumOf = ({ name, matchers }: Selector, lines: readonly Sample[]): number =>
  lines
    .filter((line) => line.name === name && (line.labels['le'] ?? '+Inf') === '+Inf')
    .filter(({ labels }) =>
      matchers.every(([key, op, value]) => fits(labels[key] ?? '', op, value)),
    )
    .reduce((sum, { value }) => sum + value, 0)

const errors = selectorsOf('HighErrorRate')
const latency = selectorsOf('HighLatency')
const failed = errors.filter(({ text }) => text.includes('5..'))
const asked = errors.filter(({ text }) => !text.includes('5..'))

let server: Served
let driver: Driver
let viewer: string

beforeAll(async () => {
  server = await serve({ flags: ['--default-model', 'iris'] })
  driver = new Driver(server)
}, 60_000)
afterAll(async () => {
  await server?.stop()
  cleanUp()
})

const scrape = async (): Promise<Sample[]> =>
  samplesOf(await (await server.call('GET', '/metrics')).text())

/** What a request moves: how much each part of the alerts grows. */
async function moved(send: () => Promise<unknown>): Promise<Record<string, number>> {
  const before = await scrape()
  await send()
  const after = await scrape()
  const grown = (selectors: readonly Selector[]): number =>
    Math.max(...selectors.map((one) => sumOf(one, after) - sumOf(one, before)))
  return { asked: grown(asked), failed: grown(failed), timed: grown(latency) }
}

const nothing = { asked: 0, failed: 0, timed: 0 }
const request =
  (routeClass: RouteClass, method: string, path: string, options: SendOptions = {}) =>
  () =>
    driver.send(routeClass, method, path, options)

test('the alerts have selectors, each bound to a route class', () => {
  expect([errors.length, failed.length, latency.length > 1]).toEqual([2, 1, true])
  for (const { matchers } of [...errors, ...latency]) {
    expect(matchers.map(([label]) => label)).toContain('route_class')
    expect(matchers.map(([label]) => label)).not.toContain('route')
  }
})

describe('an empty server', () => {
  test.each([
    ['/health', 503],
    ['/health/live', 200],
    ['/health/ready', 200],
    ['/health/registry', 200],
    ['/ping', 404],
    ['/v2/health/live', 200],
    ['/v2/health/ready', 200],
  ])('a probe of %s, which answers %d, moves nothing', async (path, status) => {
    const send = async (): Promise<void> => {
      expect((await driver.send('health', 'GET', path, { token: null })).status).toBe(status)
    }
    expect(await moved(send)).toEqual(nothing)
  })
})

describe('a server with models', () => {
  beforeAll(async () => {
    for (const name of ['iris', 'iris-v2']) await driver.pushExample('iris', name)
    await driver.promote('iris', 1, 'Production')
    await driver.promote('iris', 2, 'Staging')
    await driver.pushTestModel('div')
    await driver.promote('div', 1, 'Production')
    viewer = await driver.token('viewer')
  }, 30_000)

  describe.each(predictDoors.map((door) => [door.name, door] as const))('%s', (_name, door) => {
    const rows = irisRows.slice(0, 2)

    test('a good prediction is asked for and timed', async () => {
      expect(await moved(() => driver.predict(door, rows))).toEqual({
        asked: 1,
        failed: 0,
        timed: 1,
      })
    })

    test('a bad one and one without the right are asked for', async () => {
      const once = { asked: 1, failed: 0, timed: 0 }
      expect(await moved(() => driver.predict(door, [[1e9, 1, 1, 1]]))).toEqual(once)
      expect(await moved(() => driver.predict(door, rows, viewer))).toEqual(once)
    })
  })

  const min = '-9223372036854775808'
  const inputs = `{"inputs":[{"name":"a","datatype":"INT64","shape":[1],"data":[${min}]},{"name":"b","datatype":"INT64","shape":[1],"data":[-1]}]}`
  test.each([
    ['/v1/models/div:predict', poisonText],
    ['/v1/models/div/versions/1:predict', poisonText],
    ['/v2/models/div/infer', inputs],
    ['/v2/models/div/versions/1/infer', inputs],
    ['/v1/models/div/invocations', `{"inputs":{"a":[${min}],"b":[-1]}}`],
  ])('a crash behind %s counts as a failure', async (path, raw) => {
    const send = request('predict', 'POST', path, { raw, type: 'application/json' })
    expect(await moved(send)).toEqual({ asked: 1, failed: 1, timed: 0 })
  })

  test.each([
    ['GET', '/api/v1/models'],
    ['GET', '/api/v1/models/nobody'],
    ['GET', '/v2/models/iris'],
    ['GET', '/v1/models/iris'],
    ['GET', '/api/2.0/mlflow/registered-models/get?name=iris'],
  ])('%s %s is asked for, and not timed', async (method, path) => {
    const once = { asked: 1, failed: 0, timed: 0 }
    expect(await moved(request('registry', method, path))).toEqual(once)
  })

  const model = readFileSync(join(testModels, 'identity-float32.onnx'))
  const artifact = '/api/2.0/mlflow-artifacts/artifacts/1/a/model.onnx'
  const octets = { raw: model, type: 'application/octet-stream' }
  test.each([
    ['the metrics', 'GET', '/metrics', {}],
    ['the health of models', 'GET', '/health', {}],
    ['an upload', 'POST', '/api/v1/models/up/versions', octets],
    ['a refused upload', 'POST', '/api/v1/models/up/versions', { ...octets, raw: 'no model' }],
    ['the download of a model', 'GET', '/api/v1/models/iris/versions/1/model', {}],
    ['an artifact sent', 'PUT', artifact, octets],
    ['an artifact fetched', 'GET', artifact, {}],
    [
      'a file to score',
      'POST',
      '/v1/models/iris:score',
      { raw: JSON.stringify(irisRows[0]), type: 'application/x-ndjson' },
    ],
    ['a backup', 'GET', '/api/v1/backup', {}],
  ])('%s moves nothing', async (_what, method, path, options) => {
    const none = await moved(request('stream', method, path, options as SendOptions))
    expect(none).toEqual(nothing)
  })
})

test('a path that nobody knows is no prediction, whoever asked before', async () => {
  const plain = await serve()
  try {
    const ask = async (path: string): Promise<Record<string, number>> => {
      const lines = async (): Promise<Sample[]> =>
        samplesOf(await (await plain.call('GET', '/metrics')).text())
      const before = await lines()
      expect((await plain.call('POST', path, {})).status).toBe(404)
      const after = await lines()
      const classes = ['predict', 'registry'].map((name): [string, number] => {
        const requests: Selector = {
          text: '',
          name: 'http_requests_total',
          matchers: [['route_class', '=', name]],
        }
        return [name, sumOf(requests, after) - sumOf(requests, before)]
      })
      return Object.fromEntries(classes)
    }
    // There is no default model, but somebody wanted a prediction.
    expect(await ask('/invocations')).toEqual({ predict: 1, registry: 0 })
    expect(await ask('/nowhere')).toEqual({ predict: 0, registry: 1 })
  } finally {
    await plain.stop()
  }
}, 20_000)
