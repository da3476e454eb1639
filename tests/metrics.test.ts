// Metrics through a whole server: what each door counts, how many series there are, and when they go.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { Exchange, RouteClass } from '../src/http/request.ts'
import { auditActions, isRegistryAction, laneNames } from '../src/telemetry/catalogue.ts'
import { type Sample, samplesOf, scrape, sumOf } from './support/exposition.ts'
import { model, node, types, value } from './support/onnx.ts'
import { referenceOf, type Relais, startRelais } from './support/relais.ts'
import { sources } from './support/sources.ts'

const folder = mkdtempSync(join(tmpdir(), 'relais-metrics-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** A classifier whose label is its input, so that a test may choose the class. */
const chooser = join(folder, 'chooser.onnx')
writeFileSync(
  chooser,
  model({
    nodes: [node('Identity', ['code'], ['label']), node('Identity', ['p'], ['scores'])],
    inputs: [value('code', types.int64, ['N']), value('p', types.float, ['N', 2])],
    outputs: [value('label', types.int64, ['N']), value('scores', types.float, ['N', 2])],
  }),
)
const chooserSchema = {
  task: 'classification',
  columns: [
    { name: 'code', type: 'int64', input: 'code', min: -5, max: 1000, allowed: undefined },
    { name: 'p0', type: 'float32', input: 'p', index: 0, min: 0, max: 1 },
    { name: 'secret_feature', type: 'float32', input: 'p', index: 1 },
  ],
  outputs: [
    { name: 'label', role: 'label', classes: [0, 1] },
    { name: 'scores', role: 'scores' },
  ],
}

/** Rows of the chooser that are given these classes. */
const rowsFor = (codes: readonly number[]): number[][] => codes.map((code) => [code, 0.25, 0.75])

async function serve(relais: Relais, name: string, stage = 'Production'): Promise<void> {
  const metrics = { accuracy: 0.9, f1_score: 0.8 }
  const pushed = await relais.push(name, chooser, { schema: chooserSchema, metrics })
  expect([name, pushed.status, pushed.body.detail]).toEqual([name, 201, undefined])
  expect((await relais.promote(name, pushed.body.version, stage)).status).toBe(200)
}

describe('a server that has just started', () => {
  let relais: Relais
  let samples: Sample[]
  beforeAll(async () => {
    relais = await startRelais({ 'sla-p50': '40ms', 'sla-p95': '150ms', 'sla-p99': '1234ms' })
    samples = await scrape(relais)
  })
  afterAll(() => relais.close())

  test('counts at 0 what is known in advance', () => {
    const known: [string, string, readonly string[]][] = [
      ['auth_failures_total', 'reason', ['missing', 'invalid', 'expired', 'revoked']],
      ['engine_restarts_total', 'cause', ['crash', 'hang', 'memory', 'killed']],
      ['engine_cpu_seconds_total', 'lane', laneNames],
      ['engine_queue_depth', 'lane', laneNames],
      ['engine_resident_memory_bytes', 'lane', laneNames],
      ['log_dropped_total', 'sink', ['stdout', 'file', 'loki', 'otlp']],
      ['registry_operations_total', 'operation', auditActions.filter(isRegistryAction)],
      ['registry_model_versions', 'stage', ['None', 'Staging', 'Production', 'Archived']],
      ['http_requests_total', 'code', ['200', '500']],
    ]
    for (const [name, label, values] of known) {
      const found = values.map((one) => sumOf(samples, name, { [label]: one }))
      expect([name, label, found]).toEqual([name, label, values.map(() => 0)])
    }
    expect(sumOf(samples, 'sqlite_busy_total')).toBe(0)
    for (const action of auditActions) {
      expect([action, sumOf(samples, 'audit_events_total', { action })]).toEqual([action, 0])
    }
  })

  test('knows its objectives, which are bounds of the latency', async () => {
    const objective = (name: string): number | undefined =>
      sumOf(samples, 'sla_latency_objective_seconds', { objective: name })
    expect(['p50', 'p95', 'p99'].map(objective)).toEqual([0.04, 0.15, 1.234])
    const bounds = (await scrape(relais))
      .filter(({ name }) => name === 'http_request_duration_seconds_bucket')
      .map(({ labels }) => labels.le)
    for (const bound of ['0.04', '0.05', '0.15', '0.3', '1.234']) expect(bounds).toContain(bound)
  })

  test('tells what its process and its database take', () => {
    for (const name of [
      'process_max_fds',
      'process_open_fds',
      'process_cpu_seconds_total',
      'process_resident_memory_bytes',
      'sqlite_database_bytes',
      'sqlite_wal_bytes',
    ]) {
      expect([name, (sumOf(samples, name) ?? 0) > 0]).toEqual([name, true])
    }
    for (const operation of ['read', 'write']) {
      const count = sumOf(samples, 'sqlite_query_duration_seconds_count', { operation })
      expect([operation, (count ?? 0) > 0]).toEqual([operation, true])
    }
  })
})

test('every action that leaves an audit entry is in the catalogue, and no other', () => {
  // The one lists them, the other turns them into names of events.
  const left = ['telemetry/catalogue.ts', 'auth/audit-line.ts']
  const code = sources().filter(({ name }) => !left.includes(name))
  const text = code.map((one) => one.text).join('\n')
  const named = auditActions.filter((action) => text.includes(`'${action}'`))
  expect(named).toEqual([...auditActions])
  const nouns = /'((?:access|alias|experiment|keys|model|run|token|version)\.[a-z-]+)'/g
  const found = [...text.matchAll(nouns)].map((match) => match[1] as string)
  // Codes of faults and names of events look alike.
  const others = new Set(
    [...text.matchAll(/(?:Fault\(|^ {2}|write\('\w+', |code === |code: )'([a-z.-]+)'/gm)].map(
      (m) => m[1],
    ),
  )
  const unknown = found.filter((one) => !auditActions.includes(one as never) && !others.has(one))
  // A file, and no action.
  expect([...new Set(unknown)]).toEqual(['model.onnx'])
})

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

describe('predictions', () => {
  let relais: Relais
  beforeAll(async () => {
    relais = await startRelais()
    await serve(relais, 'chooser')
  })
  afterAll(() => relais.close())
  const M = { model: 'chooser', model_version: '1' }
  const get = async (name: string, labels = {}): Promise<number | undefined> =>
    sumOf(await scrape(relais), name, { ...M, ...labels })

  test('all is at 0 before the first', async () => {
    for (const outcome of ['ok', 'error', 'rejected']) {
      expect(await get('predictions_total', { outcome })).toBe(0)
    }
    for (const reason of ['schema', 'timeout', 'runtime', 'overload']) {
      expect(await get('prediction_errors_total', { reason })).toBe(0)
    }
    for (const name of ['0', '1'])
      expect(await get('predicted_class_total', { class: name })).toBe(0)
    expect(await get('prediction_score_count')).toBe(0)
    for (const check of ['type', 'null', 'range', 'set', 'finite', 'shape', 'missing', 'unknown']) {
      expect(await get('data_check_failures_total', { check })).toBe(0)
    }
  })

  test('every door counts classes and scores by row', async () => {
    const rows = rowsFor([0, 1, 1, 7])
    const data = {
      code: rows.map(([code]) => code),
      p: rows.map(([, ...p]) => p),
    }
    const split = { columns: ['code', 'p0', 'secret_feature'], data: rows }
    const inputs = [
      { name: 'code', datatype: 'INT64', shape: [4], data: data.code },
      { name: 'p', datatype: 'FP32', shape: [4, 2], data: data.p.flat() },
    ]
    const csv = `${split.columns.join(',')}\n${rows.map((row) => row.join(',')).join('\n')}\n`
    const doors: [string, object][] = [
      ['/v1/models/chooser:predict', { body: { instances: rows } }],
      ['/v1/models/chooser:predict', { body: { inputs: data } }],
      ['/v2/models/chooser/infer', { body: { inputs } }],
      ['/v1/models/chooser/invocations', { body: { dataframe_split: split } }],
      ['/v1/models/chooser:score', { raw: csv, headers: { 'content-type': 'text/csv' } }],
    ]
    for (const [at, [path, options]] of doors.entries()) {
      const { status, text } = await relais.call('POST', path, options)
      expect([path, status, status === 200 ? '' : text]).toEqual([path, 200, ''])
      const done = at + 1
      const samples = await scrape(relais)
      const of = (name: string): number | undefined =>
        sumOf(samples, 'predicted_class_total', { ...M, class: name })
      expect([path, of('0'), of('1'), of('7')]).toEqual([path, done, 2 * done, done])
      expect(sumOf(samples, 'prediction_score_count', M)).toBe(4 * done)
      expect(sumOf(samples, 'prediction_score_sum', M)).toBe(3 * done)
      const below = (le: string) => sumOf(samples, 'prediction_score_bucket', { ...M, le })
      expect([below('0.7'), below('0.8')]).toEqual([0, 4 * done])
      expect(sumOf(samples, 'predictions_total', { ...M, outcome: 'ok' })).toBe(done)
    }
  })

  test('classes beyond the twentieth are others', async () => {
    const codes = Array.from({ length: 60 }, (_, at) => at + 100)
    expect((await relais.predict('chooser', rowsFor(codes))).status).toBe(200)
    const samples = (await scrape(relais)).filter(({ name }) => name === 'predicted_class_total')
    expect(samples.length).toBe(21)
    // 0, 1 and 7 have been there before.
    expect(sumOf(samples, 'predicted_class_total', { class: 'other' })).toBe(60 - 17)
  })

  test('what is wrong with an input is counted by check, and names no feature', async () => {
    const p = { p0: 0.5, secret_feature: 0.5 }
    const wrong: [string, unknown][] = [
      ['type', { code: 'x', ...p }],
      ['null', { code: null, ...p }],
      ['range', { code: -6, ...p }],
      ['range', { code: 1001, ...p }],
      ['missing', { code: 1, p0: 0.5 }],
      ['unknown', { code: 1, ...p, more: 1 }],
      ['shape', [1, 2]],
    ]
    for (const [check, row] of wrong) {
      const before = (await get('data_check_failures_total', { check })) ?? 0
      const all = (await get('data_check_failures_total')) ?? 0
      expect([check, (await relais.predict('chooser', [row])).status]).toEqual([check, 422])
      expect([check, await get('data_check_failures_total', { check })]).toEqual([
        check,
        before + 1,
      ])
      expect(await get('data_check_failures_total')).toBe(all + 1)
    }
    const { text } = await relais.call('GET', '/metrics')
    expect(text).not.toContain('secret_feature')
    expect(await get('prediction_errors_total', { reason: 'schema' })).toBe(wrong.length)
    expect(await get('predictions_total', { outcome: 'rejected' })).toBe(wrong.length)
  })

  test('so it is at the other doors, and for rows that a job skips', async () => {
    const missing = { code: 1 }
    const csv = 'code,p0,secret_feature\n1,0.5,0.5\nx,0.5,0.5\n9999,0.5,0.5\n'
    const doors: [string, object, Record<string, number>][] = [
      [
        '/v1/models/chooser/invocations',
        { body: { dataframe_records: [missing] } },
        { missing: 1 },
      ],
      [
        '/v2/models/chooser/infer',
        { body: { inputs: [{ name: 'code', datatype: 'INT64', shape: [1], data: [1] }] } },
        { missing: 1 },
      ],
      [
        '/v1/models/chooser:score?on-error=skip',
        { raw: csv, headers: { 'content-type': 'text/csv' } },
        { type: 1, range: 1 },
      ],
      [
        '/v1/models/chooser:score',
        { raw: csv, headers: { 'content-type': 'text/csv' } },
        { type: 1 },
      ],
    ]
    for (const [path, options, expected] of doors) {
      const before = await scrape(relais)
      await relais.call('POST', path, options)
      const after = await scrape(relais)
      const risen = Object.fromEntries(
        ['type', 'null', 'range', 'set', 'finite', 'shape', 'missing', 'unknown'].flatMap(
          (check) => {
            const of = (samples: Sample[]) =>
              sumOf(samples, 'data_check_failures_total', { ...M, check }) ?? 0
            const rise = of(after) - of(before)
            return rise === 0 ? [] : [[check, rise]]
          },
        ),
      )
      expect([path, risen]).toEqual([path, expected])
    }
  })

  test('what cannot be read is the fault of the caller', async () => {
    const before = (await get('predictions_total', { outcome: 'rejected' })) ?? 0
    const answer = await relais.call('POST', '/v1/models/chooser:predict', { raw: '{' })
    expect(answer.status).toBe(400)
    expect(await get('predictions_total', { outcome: 'rejected' })).toBe(before + 1)
    expect(await get('predictions_total', { outcome: 'error' })).toBe(0)
  })
})

describe('versions that come and go', () => {
  let relais: Relais
  beforeAll(async () => {
    relais = await startRelais()
  })
  afterAll(() => relais.close())

  const seriesOf = (samples: readonly Sample[], version: string): string[] => [
    ...new Set(
      samples
        .filter(({ labels }) => labels.model === 'm' && labels.model_version === version)
        .map(({ name }) => name),
    ),
  ]
  const promotion = (samples: readonly Sample[], version: string): number | undefined =>
    sumOf(samples, 'model_promotion_timestamp_seconds', { model: 'm', model_version: version })

  test('all series of a version go when it is unloaded, also the lazy ones', async () => {
    const began = Date.now() / 1000
    await serve(relais, 'm')
    await relais.predict('m', rowsFor([0, 5, 9]))
    await relais.predict('m', [[1]])
    const first = await scrape(relais)
    expect(seriesOf(first, '1')).toEqual(
      expect.arrayContaining([
        'predictions_total',
        'prediction_errors_total',
        'predicted_class_total',
        'prediction_score_count',
        'data_check_failures_total',
        'model_inference_duration_seconds_count',
        'model_loaded',
        'model_info',
        'model_promotion_timestamp_seconds',
      ]),
    )
    expect(promotion(first, '1')).toBeWithin(began - 1, Date.now() / 1000 + 1)
    await serve(relais, 'm')
    const second = await scrape(relais)
    expect(seriesOf(second, '1')).toEqual([])
    expect(promotion(second, '2')).toBeGreaterThan(promotion(first, '1') ?? Infinity)
    const moved = (to: string) => sumOf(second, 'model_stage_transitions_total', { model: 'm', to })
    expect([moved('Production'), moved('Archived'), moved('Staging')]).toEqual([2, 1, 0])
  })

  test('a rollback is a promotion of the older version', async () => {
    expect(sumOf(await scrape(relais), 'model_rollbacks_total', { model: 'm' })).toBe(0)
    const before = promotion(await scrape(relais), '2')
    const { status } = await relais.call('POST', '/api/v1/models/m/rollback', { body: {} })
    expect(status).toBe(200)
    const samples = await scrape(relais)
    expect(sumOf(samples, 'model_rollbacks_total', { model: 'm' })).toBe(1)
    expect(promotion(samples, '1')).toBeGreaterThan(before ?? Infinity)
    expect(seriesOf(samples, '2')).toEqual([])
  })

  test('a version in two lanes keeps its counts when it leaves one of them', async () => {
    expect((await relais.push('m', chooser, { schema: chooserSchema })).body.version).toBe(3)
    await relais.promote('m', 3, 'Staging')
    await relais.predict('m', rowsFor([0]), { at: 'labels/Staging' })
    await relais.promote('m', 3, 'Production')
    const ok = { model: 'm', model_version: '3', outcome: 'ok' }
    await Bun.sleep(50)
    expect(sumOf(await scrape(relais), 'predictions_total', ok)).toBe(1)
    await relais.predict('m', rowsFor([0]))
    expect(sumOf(await scrape(relais), 'predictions_total', ok)).toBe(2)
  })

  test('when a version became live is known after a restart, too', async () => {
    const before = promotion(await scrape(relais), '3')
    await relais.restart()
    expect(before).toBeGreaterThan(0)
    expect(promotion(await scrape(relais), '3')).toBe(before as number)
  })

  test('versions are counted by stage, and the bytes of their artifacts', async () => {
    await Bun.sleep(1100)
    const samples = await scrape(relais)
    const inStage = (stage: string) => sumOf(samples, 'registry_model_versions', { stage })
    expect(['None', 'Staging', 'Production', 'Archived'].map(inStage)).toEqual([0, 0, 1, 2])
    expect(sumOf(samples, 'registry_artifact_bytes')).toBeGreaterThan(100)
    await relais.call('DELETE', '/api/v1/models/m/versions/2')
    await Bun.sleep(1100)
    const after = await scrape(relais)
    expect(sumOf(after, 'registry_model_versions', { stage: 'Archived' })).toBe(1)
  })

  test('engines tell what they take, by lane', async () => {
    const samples = await scrape(relais)
    expect(sumOf(samples, 'engine_resident_memory_bytes', { lane: 'live' })).toBeGreaterThan(1e6)
    const cpu = sumOf(samples, 'engine_cpu_seconds_total', { lane: 'live' }) ?? 0
    expect(cpu).toBeGreaterThan(0)
    const [live] = relais.app.deployments.engines.filter(({ key }) => key === 'live')
    process.kill(live?.pid as number, 'SIGKILL')
    await Bun.sleep(300)
    const after = await scrape(relais)
    // What the engine took that is gone is still counted.
    expect(sumOf(after, 'engine_cpu_seconds_total', { lane: 'live' })).toBeGreaterThanOrEqual(cpu)
    expect(sumOf(after, 'engine_restarts_total', { cause: 'killed' })).toBe(1)
  })

  test('nothing is left of a model that is gone', async () => {
    await relais.promote('m', 3, 'Archived')
    expect((await relais.call('DELETE', '/api/v1/models/m')).status).toBe(200)
    await Bun.sleep(100)
    expect((await scrape(relais)).filter(({ labels }) => labels.model === 'm')).toEqual([])
  })
})

test('20 models with all their classes, on every route, are at most 5000 samples', async () => {
  const relais = await startRelais({ 'default-model': 'm0' })
  try {
    const names = Array.from({ length: 20 }, (_, at) => `m${at}`)
    const codes = Array.from({ length: 30 }, (_, at) => at)
    await Promise.all(
      names.map(async (name) => {
        await serve(relais, name)
        await serve(relais, name, 'Staging')
        await relais.promote(name, 1, 'Production')
        for (const at of ['labels/Production', 'labels/Staging']) {
          const { status } = await relais.predict(name, rowsFor(codes), { at })
          expect([name, at, status]).toEqual([name, at, 200])
        }
      }),
    )
    for (const { method, path } of relais.app.routes) {
      const filled = path
        .replace('{label}', 'Production')
        .replaceAll(/:(?!predict|score)[a-z]+|\{[a-z_]+\}/g, '1')
      await relais.call(method, filled, method === 'POST' ? { body: {} } : {})
    }
    const counted = (await scrape(relais)).filter(({ name }) => name === 'http_requests_total')
    const routes = new Set(counted.map(({ labels: { method, route } }) => `${method} ${route}`))
    expect(
      relais.app.routes.filter(({ method, path }) => !routes.has(`${method} ${path}`)),
    ).toEqual([])
    // Whatever each was answered: as if both a success and a refusal had been.
    for (const { labels } of counted) {
      const { route, route_class: routeClass, method } = labels
      const exchange = { route, routeClass, request: { method } } as unknown as Exchange
      for (const status of [200, 404]) relais.app.server.series.of(exchange, status)
    }
    const { text } = await relais.call('GET', '/metrics')
    const samples = samplesOf(text)
    expect(samples.filter(({ name }) => name === 'predicted_class_total').length).toBe(20 * 2 * 21)
    expect(samples.length).toBeLessThanOrEqual(5000)
  } finally {
    await relais.close()
  }
}, 240_000)
