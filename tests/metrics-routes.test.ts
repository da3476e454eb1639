// What requests are counted as: route, class, status, through every door.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'

import type { RouteClass } from '../src/http/request.ts'
import { type Sample, scrape, sumOf } from './support/exposition.ts'
import { referenceOf, type Relais, startRelais } from './support/relais.ts'

describe('routes', () => {
  let relais: Relais
  beforeAll(async () => {
    relais = await startRelais({ 'default-model': 'iris' })
    await relais.pushExample('iris', 'iris')
    await relais.promote('iris', 1, 'Production')
  })
  afterAll(() => relais.close())

  const rows = referenceOf('iris').rows.slice(0, 1)
  const v1 = { instances: rows }
  const v2 = { inputs: [{ name: 'X', datatype: 'FP32', shape: [1, 4], data: rows[0] }] }
  const csv = `sepal_length,sepal_width,petal_length,petal_width\n${rows[0]?.join(',')}\n`
  const artifacts = '/api/2.0/mlflow-artifacts/artifacts'
  const table: [string, string, number, RouteClass, object?][] = [
    ['POST', '/v1/models/iris:predict', 200, 'predict', { body: v1 }],
    ['POST', '/v1/models/iris/versions/1:predict', 200, 'predict', { body: v1 }],
    ['POST', '/v1/models/iris/labels/Production:predict', 200, 'predict', { body: v1 }],
    ['POST', '/v1/models/iris:predict', 422, 'predict', { body: { instances: [[1]] } }],
    ['POST', '/v1/models/none:predict', 404, 'predict', { body: v1 }],
    ['GET', '/v1/models/iris:predict', 405, 'predict'],
    ['POST', '/v2/models/iris/infer', 200, 'predict', { body: v2 }],
    ['POST', '/v2/models/iris/versions/1/infer', 200, 'predict', { body: v2 }],
    ['POST', '/v2/models/iris/infer', 400, 'predict', { body: {} }],
    ['POST', '/v1/models/iris/invocations', 200, 'predict', { body: v1 }],
    ['POST', '/v1/models/iris/versions/1/invocations', 200, 'predict', { body: v1 }],
    ['POST', '/v1/models/iris/labels/Production/invocations', 200, 'predict', { body: v1 }],
    ['POST', '/invocations', 200, 'predict', { body: v1 }],
    ['POST', '/invocations', 400, 'predict', { body: {} }],
    // Jobs and files take as long as they are: no part of the latency SLA (RULES §20).
    ...['', '/versions/1', '/labels/Production'].map(
      (at): [string, string, number, RouteClass, object] => [
        'POST',
        `/v1/models/iris${at}:score`,
        200,
        'stream',
        { raw: csv, headers: { 'content-type': 'text/csv' } },
      ],
    ),
    ['POST', '/v1/models/iris:score', 415, 'stream', { body: {} }],
    ['GET', '/v1/models/iris:score', 405, 'stream'],
    ['POST', '/api/v1/models/iris/versions', 415, 'stream', { body: {} }],
    ['GET', '/api/v1/models/iris/versions/1/model', 200, 'stream'],
    ['GET', '/api/v1/backup', 200, 'stream'],
    ['PUT', `${artifacts}/a.txt`, 200, 'stream', { raw: '0123456789' }],
    ['GET', `${artifacts}/a.txt`, 200, 'stream'],
    ['GET', `${artifacts}/a.txt`, 206, 'stream', { headers: { range: 'bytes=2-4' } }],
    ['GET', `${artifacts}/a.txt`, 416, 'stream', { headers: { range: 'bytes=99-' } }],
    ['GET', `${artifacts}/b.txt`, 404, 'stream'],
    ['GET', artifacts, 200, 'registry'],
    ...['/health', '/health/live', '/health/ready', '/health/registry', '/', '/version'].map(
      (path): [string, string, number, RouteClass] => ['GET', path, 200, 'health'],
    ),
    ['GET', '/ping', 200, 'health'],
    ['POST', '/ping', 405, 'health', { body: {} }],
    ['GET', '/v2/health/live', 200, 'health'],
    ['GET', '/v2/health/ready', 200, 'health'],
    ['GET', '/v2/models/iris/ready', 200, 'health'],
    ['GET', '/metrics', 200, 'health'],
    ['GET', '/v1/models', 200, 'registry'],
    ['GET', '/v1/models/iris', 200, 'registry'],
    ['GET', '/v2/models/iris', 200, 'registry'],
    ['GET', '/api/v1/models', 200, 'registry'],
    ['POST', '/api/v1/models', 422, 'registry', { body: {} }],
    [
      'POST',
      '/api/v1/models',
      400,
      'registry',
      { raw: '{', headers: { 'content-type': 'application/json' } },
    ],
    ['GET', '/api/2.0/mlflow/registered-models/search', 200, 'registry'],
    ['GET', '/docs', 200, 'registry'],
    ['GET', '/nowhere', 404, 'registry'],
  ]

  /** The label sets of http_requests_total with their counts, the scrapes themselves left out. */
  const counts = (samples: readonly Sample[]): Map<string, number> =>
    new Map(
      samples
        .filter(({ name }) => name === 'http_requests_total')
        .map(({ labels, value: count }) => [JSON.stringify(labels), count]),
    )

  for (const [method, path, status, routeClass, options = {}] of table) {
    test(`§20 ${method} ${path} ${status} counts as ${routeClass}`, async () => {
      const before = counts(await scrape(relais))
      expect((await relais.call(method, path, options)).status).toBe(status)
      const risen = [...counts(await scrape(relais))]
        .filter(([key, count]) => count > (before.get(key) ?? 0))
        .map(([key]) => JSON.parse(key) as Record<string, string>)
        .filter(({ route }) => path === '/metrics' || route !== '/metrics')
      expect(risen).toEqual([
        {
          method,
          route: expect.any(String) as never,
          route_class: routeClass,
          code: String(status),
        },
      ])
      expect(risen[0]?.route === 'unmatched').toBe(path === '/nowhere')
    })
  }

  test('a caller without a token is counted before any route is looked for', async () => {
    await relais.call('POST', '/v1/models/iris:predict', { token: null, body: v1 })
    const at = { route: 'unmatched', route_class: 'registry', code: '401' }
    expect(sumOf(await scrape(relais), 'http_requests_total', at)).toBe(1)
    expect(sumOf(await scrape(relais), 'auth_failures_total', { reason: 'missing' })).toBe(1)
  })

  test('what clients make up makes no series', async () => {
    const before = (await scrape(relais)).length
    for (let at = 0; at < 60; at += 1) {
      await relais.call('GET', `/made/up/${at}`)
      await relais.call('GET', `/v1/models/made-up-${at}`)
      await relais.call('POST', `/v1/models/made-up-${at}:predict`, { body: v1 })
      await relais.app.server.answer(
        new Request('http://localhost/health', { method: `VERB${at}` }),
      )
    }
    // One count, and at most one histogram for each of four kinds.
    expect((await scrape(relais)).length - before).toBeLessThan(4 * 21)
  })
})

test('a server that drains shows its metrics, and answers nothing else anew', async () => {
  const relais = await startRelais()
  const { server } = relais.app
  try {
    const headers = { authorization: `Bearer ${relais.admin}` }
    const ask = async (path: string): Promise<number> =>
      (await server.answer(new Request(`http://localhost${path}`, { headers }))).status
    await server.close(1000)
    expect(await ask('/metrics')).toBe(200)
    expect(await ask('/api/v1/models')).toBe(503)
  } finally {
    await relais.close()
  }
})
