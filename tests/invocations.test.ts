// MLflow's scoring protocol: every payload's answer, which version, who may ask, faults, ping.
// tests/mlflow compares the same payloads with MLflow itself and records the answers.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { loadConfig } from '../src/config.ts'
import { parseModelUri } from '../src/core/model-uri.ts'
import { serveModels, writeModels } from './mlflow/models.ts'
import { comparable, groups, score } from './mlflow/payloads.ts'
import { agrees, type Answer, type Relais, startRelais } from './support/relais.ts'

const recorded = JSON.parse(
  readFileSync(join(import.meta.dir, 'mlflow/answers.json'), 'utf8'),
) as Record<string, unknown>

let relais: Relais
beforeAll(async () => {
  relais = await startRelais({ 'default-model': 'models:/iris/Production', 'max-body': '4MB' })
  writeModels(relais.data)
  await serveModels(relais, relais.data)
}, 60_000)
afterAll(() => relais.close())

const row = [5.1, 3.5, 1.4, 0.2]
const body = { instances: [row] }
const ask = (path: string, options: object = {}): Promise<Answer<any>> =>
  relais.call('POST', path, { body, ...options })
const csv = (raw: string | Uint8Array, path = '/v1/models/iris/invocations') =>
  ask(path, { body: undefined, raw, headers: { 'content-type': 'text/csv' } })

/** Fails unless the answer is an error in MLflow's shape, with nothing from within. */
function expectError(answer: Answer<any>, status: number, code: string): void {
  expect([answer.status, answer.body.error_code]).toEqual([status, code])
  expect(answer.headers.get('content-type')).toBe('application/json')
  expect(Object.keys(answer.body)).toEqual(['error_code', 'message'])
  expect(answer.body.message.length).toBeGreaterThan(5)
  expect(answer.text).not.toMatch(/stack|\.ts\b|node_modules|\n\s+at |TypeError|undefined/)
  expect(answer.headers.get('x-request-id')).toBeString()
}

for (const [group, members] of Object.entries(groups)) {
  test(`payloads: ${group}`, async () => {
    const wrong = []
    for (const payload of members) {
      const url = `${relais.url}/v1/models/${payload.model}/invocations`
      const answer = comparable(await score(url, payload, relais.admin))
      // undefined members are not in the file.
      const plain = JSON.parse(JSON.stringify(answer)) as unknown
      const expected = recorded[payload.name]
      if (!agrees(plain, expected)) wrong.push({ name: payload.name, answer, expected })
    }
    expect(wrong).toEqual([])
  })
}

test('recorded answers belong to a payload', () => {
  const names = new Set(Object.values(groups).flatMap((g) => g.map(({ name }) => name)))
  expect(Object.keys(recorded).filter((name) => !names.has(name))).toEqual([])
})

describe('which version', () => {
  test('Production, a number, a stage, an alias, the default model', async () => {
    await relais.pushExample('iris', 'iris-v2')
    await relais.promote('iris', 2, 'Staging')
    await relais.call('PUT', '/api/v1/models/iris/aliases/next', { body: { version: 2 } })
    const answers = new Map<string, string>()
    for (const path of [
      '/invocations',
      '/v1/models/iris/invocations',
      '/v1/models/iris/versions/1/invocations',
      '/v1/models/iris/labels/Production/invocations',
      '/v1/models/iris/versions/2/invocations',
      '/v1/models/iris/labels/staging/invocations',
      '/v1/models/iris/labels/next/invocations',
    ]) {
      const answer = await ask(path, { body: { instances: [[6, 2.9, 4.8, 1.6]] } })
      expect([path, answer.status]).toEqual([path, 200])
      answers.set(path, answer.text)
    }
    const first = answers.get('/invocations') ?? ''
    const second = answers.get('/v1/models/iris/versions/2/invocations') ?? ''
    expect(second).not.toBe(first)
    expect([...answers.values()]).toEqual([first, first, first, first, second, second, second])
  })

  test('a model and an alias may be called invocations', async () => {
    await relais.pushExample('invocations', 'iris')
    await relais.promote('invocations', 1, 'Production')
    await relais.call('PUT', '/api/v1/models/invocations/aliases/invocations', {
      body: { version: 1 },
    })
    const status = await relais.call('GET', '/v1/models/invocations')
    expect([status.status, status.body['name']]).toEqual([200, 'invocations'])
    const label = await relais.call('GET', '/v1/models/invocations/labels/invocations')
    expect([label.status, label.body['name']]).toEqual([200, 'invocations'])
    expect((await ask('/v1/models/invocations/invocations')).status).toBe(200)
    const twice = await ask('/v1/models/invocations/labels/invocations/invocations')
    expect(twice.status).toBe(200)
    expect((await relais.predict('invocations', [row])).status).toBe(200)
  })

  const absent: [string, string][] = [
    ['/v1/models/none/invocations', 'RESOURCE_DOES_NOT_EXIST'],
    ['/v1/models/iris/versions/99/invocations', 'RESOURCE_DOES_NOT_EXIST'],
    ['/v1/models/iris/labels/nope/invocations', 'RESOURCE_DOES_NOT_EXIST'],
    ['/v1/models/multi/labels/Staging/invocations', 'RESOURCE_DOES_NOT_EXIST'],
    ['/v1/models/iris/versions/Production/invocations', 'ENDPOINT_NOT_FOUND'],
    ['/v1/models/iris/labels/1/invocations', 'ENDPOINT_NOT_FOUND'],
  ]
  for (const [path, code] of absent) {
    test(`404: ${path}`, async () => expectError(await ask(path), 404, code))
  }

  test('a badly encoded name is 400', async () => {
    expectError(await ask('/v1/models/%E0%A4%A/invocations'), 400, 'BAD_REQUEST')
  })
})

describe('who may ask', () => {
  const paths = ['/invocations', '/v1/models/iris/invocations']
  for (const path of paths) {
    test(`${path}: 401, 403, 200`, async () => {
      const [viewer, other, predictor] = [
        await relais.token('viewer'),
        await relais.token('predictor', { sub: 'other', models: ['multi'] }),
        await relais.token('predictor', { sub: 'own', models: ['iris'] }),
      ]
      const anonymous = await ask(path, { token: null })
      expectError(anonymous, 401, 'UNAUTHENTICATED')
      expect(anonymous.headers.get('www-authenticate')).toBe('Bearer')
      expectError(await ask(path, { token: 'junk' }), 401, 'UNAUTHENTICATED')
      expectError(await ask(path, { token: viewer }), 403, 'PERMISSION_DENIED')
      expectError(await ask(path, { token: other }), 403, 'PERMISSION_DENIED')
      expect((await ask(path, { token: predictor })).status).toBe(200)
    })
  }

  test('a caller without the right does not learn which models exist', async () => {
    const viewer = await relais.token('viewer')
    const answer = await ask('/v1/models/none/invocations', { token: viewer })
    expectError(answer, 403, 'PERMISSION_DENIED')
  })
})

describe('faults', () => {
  test('405 with Allow', async () => {
    for (const [method, path, allow] of [
      ['GET', '/invocations', 'POST'],
      ['PUT', '/v1/models/iris/invocations', 'POST'],
      ['POST', '/ping', 'GET'],
    ] as const) {
      const answer = await relais.call(method, path)
      expectError(answer, 405, 'BAD_REQUEST')
      expect(answer.headers.get('allow')).toBe(allow)
    }
  })

  test('413 over the limit, in JSON and in CSV', async () => {
    const large = ' '.repeat(5 << 20)
    expectError(await ask('/invocations', { body: { instances: large } }), 413, 'BAD_REQUEST')
    expectError(await csv(large), 413, 'BAD_REQUEST')
  })

  test('415 as plain text: other types, packed bodies', async () => {
    for (const headers of [
      { 'content-type': 'text/plain' },
      { 'content-type': 'application/json', 'content-encoding': 'gzip' },
      { 'content-type': 'text/csv', 'content-encoding': 'gzip' },
    ]) {
      const answer = await ask('/invocations', { body: undefined, raw: '{', headers })
      expect([answer.status, answer.headers.get('content-type')]).toEqual([
        415,
        'text/plain; charset=utf-8',
      ])
    }
  })

  test('what the model refuses is 400 with the code of a bad request', async () => {
    const path = '/v1/models/resize/invocations'
    const file = join(import.meta.dir, 'models/resize.onnx')
    expect((await relais.push('resize', file)).status).toBe(201)
    await relais.promote('resize', 1, 'Production')
    const x = [[[[1, 2]]]]
    expectError(await ask(path, { body: { inputs: { x, scales: [1, 2] } } }), 400, 'BAD_REQUEST')
  })

  test('missing inputs are listed, and so are extra ones and the schema', async () => {
    const answer = await ask('/invocations', {
      body: { dataframe_records: [{ sepal_length: 1, colour: 'red' }] },
    })
    expectError(answer, 400, 'INVALID_PARAMETER_VALUE')
    expect(answer.body.message).toContain('missing inputs [sepal_width, petal_length, petal_width]')
    expect(answer.body.message).toContain('extra inputs: [colour]')
    expect(answer.body.message).toContain("'sepal_length': float (required)")
  })

  test('each wrong value is named by row and column', async () => {
    const columns = ['petal_width', 'petal_length', 'sepal_width', 'sepal_length']
    const data = [
      [0.2, 1.4, 3.5, 5.1],
      ['wide', 1.4, 3.5, 500],
    ]
    const answer = await ask('/invocations', { body: { dataframe_split: { columns, data } } })
    expectError(answer, 400, 'INVALID_PARAMETER_VALUE')
    expect(answer.body.message).toContain("row 1, column 'petal_width': expected float32: a number")
    expect(answer.body.message).toContain("row 1, column 'sepal_length': must be at most")
  })
})

describe('hostile bodies', () => {
  test('many records with a key of their own each', async () => {
    const records = Array.from({ length: 20_000 }, (_, at) => ({ [`k${at}`]: 1 }))
    for (const model of ['iris', 'iris-tensor', 'multi']) {
      const answer = await ask(`/v1/models/${model}/invocations`, {
        body: { dataframe_records: records },
      })
      expectError(answer, 400, 'INVALID_PARAMETER_VALUE')
      expect(answer.text.length).toBeLessThan(2000)
    }
  })

  test('rows that are all but empty cost what they are', async () => {
    const first = JSON.stringify({ a: [1, 2, 3], b: [1, 0, 0] })
    const iris = '{"sepal_length":5,"sepal_width":3,"petal_length":1,"petal_width":0.2}'
    const empty = (count: number): string => ',{}'.repeat(count)
    const send = (model: string, raw: string) => {
      const headers = { 'content-type': 'application/json' }
      return ask(`/v1/models/${model}/invocations`, { body: undefined, raw, headers })
    }
    const strict = await send('iris', `{"dataframe_records":[${iris}${empty(100_000)}]}`)
    expectError(strict, 400, 'BAD_REQUEST')
    expect(strict.body.message).toContain("row 1, column 'sepal_length': must not be null")
    const schema = { columns: ['p', 'q'].map((name) => ({ name, nullable: true })) }
    const file = join(import.meta.dir, 'models/identity-float32.onnx')
    expect((await relais.push('gaps', file, { schema })).status).toBe(201)
    await relais.promote('gaps', 1, 'Production')
    const gaps = await send('gaps', `{"dataframe_records":[{"p":1,"q":2}${empty(2)}]}`)
    const answers = gaps.body.predictions.map(({ y }: any) => y)
    expect(answers).toEqual([1, 2, null, null, null, null])
    const many = await send('gaps', `{"dataframe_records":[{"p":1,"q":2}${empty(600_000)}]}`)
    expectError(many, 400, 'INVALID_PARAMETER_VALUE')
    expect(many.body.message).toContain('lacks more than 1000000 cells')
    // One item holds all there is; the others are nothing, and take no part.
    const instances = await send('multi', `{"instances":[${first}${empty(100_000)}]}`)
    expect(instances.status).toBe(200)
  })

  test('columns called like members of Object.prototype', async () => {
    const columns = '["__proto__","constructor","toString","hasOwnProperty"]'
    for (const raw of [
      `{"dataframe_split":{"columns":${columns},"data":[[1,2,3,4]]}}`,
      '{"instances":[{"__proto__":{"sepal_length":1}}]}',
      '{"inputs":{"__proto__":{"sepal_length":[1]}}}',
    ]) {
      const headers = { 'content-type': 'application/json' }
      const answer = await ask('/invocations', { body: undefined, raw, headers })
      expectError(answer, 400, 'INVALID_PARAMETER_VALUE')
    }
  })

  test('a CSV of nothing but line ends, commas, quotes or quoted cells', async () => {
    for (const unit of ['\n', ',', '"', '"",', '\r\n', 'a,']) {
      const began = performance.now()
      expectError(await csv(unit.repeat((3 << 20) / unit.length + 1)), 400, 'BAD_REQUEST')
      expect(performance.now() - began).toBeLessThan(5000)
    }
  })

  test('quotes, doubled quotes, line ends and commas within cells', async () => {
    const header = 'city,count,small,ratio,weight,active'
    const cities = ['a "b" c', 'x,y', 'two\nlines', '', ' ü ', '"', 'plain']
    const rows = cities.map((city) => `"${city.replaceAll('"', '""')}",1,2,3,4,true`)
    for (const end of ['\n', '\r\n']) {
      const raw = [header, ...rows].join(end)
      const answer = await csv(raw, '/v1/models/typed/invocations')
      const wrong = [answer.status, answer.body.message]
      expect(wrong).toEqual([
        400,
        expect.stringContaining("row 3, column 'city': must not be null"),
      ])
    }
    const kept = cities.filter((city) => city !== '')
    const raw = `${header}\n${rows.filter((line) => !line.startsWith('"",')).join('\n')}\n`
    const answer = await csv(raw, '/v1/models/typed/invocations')
    expect(answer.body.predictions.map((one: any) => one.city_out)).toEqual(kept)
  })

  test('other requests are answered while a large CSV is read', async () => {
    const lines = 'x\n1\n' + '1\n'.repeat(1_500_000)
    let done = false
    const reading = csv(lines, '/v1/models/single/invocations').finally(() => (done = true))
    let answered = 0
    while (!done && answered < 20) {
      expect((await relais.call('GET', '/ping', { token: null })).status).toBe(200)
      answered += done ? 0 : 1
    }
    expect(answered).toBeGreaterThan(3)
    expect((await reading).status).toBe(200)
  })
})

describe('ping', () => {
  test('§22: 200 and a newline without a token while the default model serves', async () => {
    const answer = await relais.call('GET', '/ping', { token: null })
    expect([answer.status, answer.text]).toEqual([200, '\n'])
  })

  test('§22: 404 without a default model or when it does not serve', async () => {
    for (const name of ['', 'none', 'iris@nope', 'iris/7', 'models:/iris/Staging']) {
      const server = await startRelais({ 'default-model': name })
      try {
        await server.pushExample('iris', 'iris')
        await server.promote('iris', 1, 'Production')
        const answer = await server.call('GET', '/ping', { token: null })
        expect([name, answer.status, answer.text]).toEqual([name, 404, '\n'])
        const asked = await server.call('POST', '/invocations', { body })
        const code = name === '' ? 'ENDPOINT_NOT_FOUND' : 'RESOURCE_DOES_NOT_EXIST'
        expectError(asked as Answer<any>, 404, code)
      } finally {
        await server.close()
      }
    }
  })
})

test('default-model as MLflow users write it', () => {
  const table: Record<string, unknown> = {
    iris: { model: 'iris', reference: undefined },
    'iris/3': { model: 'iris', reference: '3' },
    'models:/iris/Staging': { model: 'iris', reference: 'Staging' },
    'models:/iris@champion': { model: 'iris', reference: 'champion' },
    'a@b/2': { model: 'a@b', reference: '2' },
    'models:/': null,
    '/3': null,
    'iris/': null,
    'iris/3/more': null,
    '@champion': null,
  }
  for (const [text, expected] of Object.entries(table)) {
    expect([text, parseModelUri(text)]).toEqual([text, expected as never])
  }
})

test('a default model that cannot be read is refused before anything starts', () => {
  expect(loadConfig({ 'default-model': 'iris' }, {})['default-model']).toBe('iris')
  expect(() => loadConfig({ 'default-model': 'models:/' }, {})).toThrow('default-model')
})

test('the README tells how many payloads are compared', () => {
  const readme = readFileSync(join(import.meta.dir, '../README.md'), 'utf8')
  const count = Object.values(groups).flat().length
  expect(readme).toContain(`sends ${count} payloads to MLflow`)
})
