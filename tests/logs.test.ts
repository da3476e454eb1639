// What a server logs: fields, ids that lead from an answer to its lines, audit events, and nothing secret.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { localContext } from '../src/parts.ts'
import { type Relais, startRelais, testModels } from './support/relais.ts'

interface Line {
  [field: string]: unknown
  ts: string
  level: string
  event: string
  log_type: string
}

const folder = mkdtempSync(join(tmpdir(), 'relais-logs-'))
const path = join(folder, 'relais.jsonl')
const page = readFileSync(join(import.meta.dir, '../docs/logs.md'), 'utf8')
const documented = [...page.matchAll(/^\| `([\w.]+)` \| (.+?) \| /gm)].map(([, name, on]) => {
  return { name: name as string, on: on as string }
})

/** What goes to standard output, which is kept out of the report of the tests. */
const printed: Uint8Array[] = []
const shown = { write: (bytes: Uint8Array) => printed.push(Uint8Array.from(bytes)), flush: () => 0 }
Object.defineProperty(Bun.stdout, 'writer', { value: () => shown, configurable: true })

let relais: Relais
const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const traced = { traceparent: `00-${traceId}-00f067aa0ba902b7-01` }
const row = [5.4321, 3.4321, 1.4321, 0.4321]

async function text(): Promise<string> {
  await relais.app.log.flush()
  return readFileSync(path, 'utf8')
}
const lines = async (): Promise<Line[]> =>
  (await text())
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line)
const textOf = (line: Line | undefined, field: string): string => String(line?.[field])
const those = async (members: Record<string, unknown>): Promise<Line[]> =>
  (await lines()).filter((line) =>
    Object.entries(members).every(([name, value]) => line[name] === value),
  )

const predict = (headers: Record<string, string> = {}, instances: unknown = [row]) =>
  relais.call('POST', '/v1/models/iris:predict', { headers, body: { instances } })

let leadToken = ''
let scientistToken = ''
beforeAll(async () => {
  relais = await startRelais({ 'log-level': 'info', 'log-file': path, instance: 'here-1' })
  leadToken = await relais.token('ml-lead', { sub: 'lena' })
  scientistToken = await relais.token('data-scientist', { sub: 'sam' })
  await relais.pushExample('iris', 'iris')
  await relais.pushExample('iris', 'iris')
  expect((await relais.promote('iris', 1, 'Production', {}, leadToken)).status).toBe(200)
  expect((await relais.promote('iris', 2, 'Production', {}, leadToken)).status).toBe(200)
}, 60_000)

afterAll(async () => {
  await relais.close()
  delete (Bun.stdout as { writer?: unknown }).writer
  rmSync(folder, { recursive: true, force: true })
})

describe('access lines', () => {
  test('§22 every prediction has one, with who, what, which version and how long', async () => {
    for (let n = 0; n < 50; n += 1) expect((await predict()).status).toBe(200)
    const found = await those({ event: 'http.request', route: '/v1/models/{model}:predict' })
    expect(found.length).toBe(50)
    const [line] = found
    expect(line).toMatchObject({
      level: 'info',
      log_type: 'access',
      service: 'relais',
      instance: 'here-1',
      method: 'POST',
      status: 200,
      model: 'iris',
      model_version: '2',
      user: 'admin',
    })
    expect(line?.['duration_ms']).toBeGreaterThan(0)
    expect(line?.['trace_id']).toMatch(/^[0-9a-f]{32}$/)
    expect(line?.['span_id']).toMatch(/^[0-9a-f]{16}$/)
  })

  test('an answer leads to its line: by its id, its headers, its error body, its trace', async () => {
    const { body, headers } = await predict()
    expect(headers.get('x-request-id')).toBe(body['id'])
    const [own] = await those({ request_id: body['id'] })
    // Without a trace of the caller's the id is the trace id, too.
    expect(own?.['trace_id']).toBe(String(body['id']).replaceAll('-', ''))

    await predict({ ...traced, 'x-request-id': 'mine-1234' })
    expect(await those({ trace_id: traceId, request_id: 'mine-1234' })).toMatchObject([
      { status: 200, model: 'iris' },
    ])

    const refused = await predict(traced, [['no number', 1, 2, 3]])
    expect(refused.status).toBe(422)
    const [line] = await those({ request_id: refused.body['instance'] })
    expect(line).toMatchObject({
      status: 422,
      trace_id: traceId,
      'error.type': 'input.invalid',
      model: 'iris',
    })
    const context = `00-${traceId}-${textOf(line, 'span_id')}-01`
    expect(refused.headers.get('traceparent')).toBe(context)
  })

  test('other doors and unknown callers have theirs', async () => {
    const answers = [
      await relais.call('GET', '/api/v1/models', { token: null }),
      await relais.call('GET', '/api/2.0/mlflow/registered-models/get?name=none'),
      await relais.call('GET', '/v2/models/none'),
      await relais.call('GET', '/nothing/here'),
    ]
    for (const { status, headers } of answers) {
      const [line] = await those({ request_id: headers.get('x-request-id') })
      expect(line).toMatchObject({ log_type: 'access', status })
      expect(line?.['error.type']).toBeString()
      expect(headers.get('traceparent')).toBe(
        `00-${textOf(line, 'trace_id')}-${textOf(line, 'span_id')}-00`,
      )
    }
    expect(answers.map(({ status }) => status)).toEqual([401, 404, 404, 404])
    // Where there is no user, the address tells who it was.
    const refused = (await those({ log_type: 'access' })).filter((line) => line['ip'] !== undefined)
    expect(refused).toMatchObject([{ status: 401, ip: '127.0.0.1', 'error.type': 'auth.missing' }])
  })

  test('a failure of ours has a line with its cause and the same ids', async () => {
    const { db } = relais.app.foundation
    const rename = (from: string, to: string) =>
      db.tx((tx) => Promise.resolve(tx.run(`ALTER TABLE ${from} RENAME TO ${to}`)))
    await rename('aliases', 'aliases_away')
    const { body } = await relais.call('GET', '/api/v1/models/iris', { headers: traced })
    await rename('aliases_away', 'aliases')
    const found = await those({ request_id: body['instance'] })
    expect(found).toMatchObject([
      { event: 'request.failed', level: 'error', log_type: 'app', status: 500, trace_id: traceId },
      { event: 'http.request', log_type: 'access', status: 500, trace_id: traceId },
    ])
    expect(found[0]?.['error.message']).toBeString()
    expect(found[0]?.['span_id']).toBe(found[1]?.['span_id'])
  })
})

describe('audit lines', () => {
  test('a promotion and a rollback are events that name model and version', async () => {
    const rolled = await relais.call('POST', '/api/v1/models/iris/rollback', {
      token: leadToken,
      headers: traced,
      body: { reason: 'worse than before' },
    })
    expect(rolled.status).toBe(200)
    expect(await those({ event: 'model.promoted' })).toMatchObject(
      ['1', '2'].map((model_version) => {
        return {
          log_type: 'audit',
          action: 'version.stage',
          outcome: 'done',
          user: 'lena',
          role: 'ml-lead',
          object: `model/iris/version/${model_version}`,
          model: 'iris',
          model_version,
          stage: 'Production',
          before: 'None',
        }
      }),
    )
    expect(await those({ event: 'model.rolled-back' })).toMatchObject([
      { model: 'iris', model_version: '1', before: '2', stage: 'Production', trace_id: traceId },
    ])
    expect(await text()).not.toInclude('worse than before')
    await relais.promote('iris', 1, 'Archived', {}, leadToken)
    expect(await those({ event: 'version.moved' })).toMatchObject([
      { model_version: '1', stage: 'Archived', before: 'Production' },
    ])
  })

  test('a refusal is one, and promotes nothing', async () => {
    const { status } = await relais.promote('iris', 2, 'Production', {}, scientistToken)
    expect(status).toBe(403)
    const [line] = await those({ event: 'access.denied' })
    expect(line).toMatchObject({ action: 'version.stage', outcome: 'denied', user: 'sam' })
    expect((await those({ event: 'model.promoted', user: 'sam' })).length).toBe(0)
  })

  test('each entry of the trail has its line', async () => {
    await relais.call('PUT', '/api/v1/models/iris/aliases/best', { body: { version: 2 } })
    const made = await relais.app.foundation.tokens.issue(localContext(), {
      sub: 'shop',
      role: 'predictor',
      models: null,
      ttl: 60_000,
    })
    await relais.call('DELETE', `/api/v1/tokens/${made.jti}`)
    const { entries } = (await relais.call('GET', '/api/v1/audit?limit=100')).body
    const logged = await those({ log_type: 'audit' })
    const trail = logged.filter((line) => line['audit_seq'] !== undefined)
    expect(trail.map((line) => line['audit_seq'])).toEqual(
      (entries as { seq: number }[]).map(({ seq }) => seq).toReversed(),
    )
    expect(trail.map((line) => line.event)).toContain('alias.set')
    expect(trail.map((line) => line.event)).toContain('token.revoked')
    expect(await those({ event: 'alias.set' })).toMatchObject([
      { model: 'iris', model_version: '2' },
    ])
  })
})

test('every field is in the documentation, and each of those is written somewhere', async () => {
  relais.app.foundation.head.logHead()
  const written = new Set((await lines()).flatMap((line) => Object.keys(line)))
  const names = documented.map(({ name }) => name)
  expect([...written].filter((name) => !names.includes(name))).toEqual([])
  const onAll = documented.filter(({ on }) => on === 'all').map(({ name }) => name)
  expect(onAll.length).toBe(8)
  for (const line of await lines()) {
    expect(onAll.filter((name) => line[name] === undefined)).toEqual([])
  }
  // Those that need an accident: other tests make them.
  const rare = ['error.cause', 'reason', 'lane', 'cause', 'receiver', 'variables', 'good']
  expect(names.filter((name) => !written.has(name) && !rare.includes(name))).toEqual([])
})

test('the file holds what standard output shows', async () => {
  const file = await text()
  expect(Buffer.concat(printed).toString('utf8')).toBe(file)
})

test('no token and no feature value is in any line', async () => {
  const all = await text()
  for (const secret of [relais.admin, leadToken, scientistToken]) {
    expect(all).not.toInclude(secret)
    expect(all).not.toInclude(secret.slice(-40))
  }
  for (const value of row) expect(all).not.toInclude(String(value))
  expect(all).not.toInclude('no number')
  expect(all.toLowerCase()).not.toInclude('bearer ')
})

test('what was dropped is counted for each sink, from the start', async () => {
  const { text: metrics } = await relais.call('GET', '/metrics')
  for (const sink of ['stdout', 'file', 'loki', 'otlp']) {
    expect(metrics).toInclude(`log_dropped_total{sink="${sink}"} 0`)
  }
})

test('§22 with log-sample one of so many good predictions is logged, and every failure', async () => {
  await relais.restart({ 'log-sample': '10' })
  await relais.promote('iris', 2, 'Production')
  const before = (await those({ route: '/v1/models/{model}:predict' })).length
  for (let n = 0; n < 40; n += 1) await predict()
  for (let n = 0; n < 5; n += 1) await predict({}, [['x', 1, 2, 3]])
  for (let n = 0; n < 5; n += 1) await relais.call('GET', '/v1/models/iris')
  const after = (await those({ route: '/v1/models/{model}:predict' })).slice(before)
  expect(after.filter((line) => line['status'] === 200).length).toBe(4)
  expect(after.filter((line) => line['status'] === 422).length).toBe(5)
  expect((await those({ route: '/v1/models/{model}' })).length).toBe(5)
  const { text: metrics } = await relais.call('GET', '/metrics')
  const ok = 'predictions_total{model="iris",model_version="2",outcome="ok"}'
  expect(metrics.split('\n')).toContain(`${ok} 40`)
})

test('a log file that cannot be opened stops the start, by its setting', async () => {
  const file = join(testModels, 'no-such-folder', 'relais.jsonl')
  const thrown = (flags: Record<string, string>): Promise<unknown> =>
    startRelais(flags).catch((error: unknown) => (error as Error).message)
  expect(await thrown({ 'log-file': file })).toMatch(/^log-file: .*ENOENT/)
  const loki = { 'loki-url': 'http://127.0.0.1:1', 'loki-auth-file': file }
  expect(await thrown(loki)).toMatch(/^loki-auth-file: /)
})
