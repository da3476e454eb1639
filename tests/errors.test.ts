// Faults: RFC 9457 documents with a code from the catalogue, and nothing from within.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import { type FaultCode, faults } from '../src/core/fault.ts'
import { rawGet, sendRaw } from './support/raw.ts'
import { type Answer, type Relais, startRelais, testModels } from './support/relais.ts'
import { root, sources } from './support/sources.ts'

const identity = join(testModels, 'identity-float32.onnx')
let relais: Relais
beforeAll(async () => {
  relais = await startRelais({ 'max-body': '64KB', 'max-model': '64KB' })
  await relais.push('m', identity)
  await relais.promote('m', 1, 'Production')
})
afterAll(() => relais.close())

/** Fails unless the answer is a well-formed problem document of that code. */
function expectProblem(answer: Answer<any>, code: FaultCode): void {
  const [status, title] = faults[code]
  const shown = `${answer.status} ${answer.text.slice(0, 300)}`
  expect([shown, answer.body.code]).toEqual([shown, code])
  expect([answer.status, answer.body.status, answer.body.title]).toEqual([status, status, title])
  expect(answer.headers.get('content-type')).toBe('application/problem+json')
  expect(answer.body.type).toBe(`urn:relais:fault:${code}`)
  expect(answer.body.instance).toBe(answer.headers.get('x-request-id'))
  expect(answer.body.detail.length).toBeGreaterThan(5)
  expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
  expect(answer.headers.get('cache-control')).toBe('no-store')
  expectDiscreet(answer.text)
}

/** No stack, path, SQL, library or type name of ours leaves the server. */
function expectDiscreet(text: string): void {
  expect(text).not.toMatch(/\.ts\b|node_modules|\n\s+at |SQLITE|select |insert |drizzle|elysia/i)
  expect(text).not.toMatch(/TypeError|ReferenceError|TypeBox|\bstack\b|undefined|\[object/)
  expect(text).not.toContain(relais.data)
}

const m = '/api/v1/models/m'
const predict = '/v1/models/m:predict'
const json = { 'content-type': 'application/json' }
const secret = 'zebra-in-the-body'

type Row = [code: FaultCode, method: string, path: string, body?: unknown]
const table: Row[] = [
  ['route.not-found', 'GET', '/nowhere'],
  ['route.not-found', 'GET', '/api/v1/'],
  ['route.not-found', 'GET', '/api/v2/models'],
  ['route.not-found', 'GET', '/docs/nowhere.js'],
  ['route.not-found', 'GET', '/v1/models/m/versions'],
  ['route.not-found', 'GET', '/v1/models/m/labels/1'],
  ['request.method', 'DELETE', '/api/v1/models'],
  ['request.method', 'PUT', m],
  ['request.method', 'GET', `${m}/rollback`],
  ['request.method', 'POST', '/metrics'],
  ['request.method', 'POST', '/health/live'],
  ['request.method', 'GET', predict],
  ['request.method', 'POST', '/v1/models'],
  ['request.method', 'DELETE', '/v1/models/m'],
  ['model.not-found', 'GET', '/api/v1/models/none'],
  ['model.not-found', 'GET', '/api/v1/models/none/versions'],
  ['model.not-found', 'GET', '/api/v1/models/none/history'],
  ['model.not-found', 'POST', '/api/v1/models/none/rollback', {}],
  ['model.not-found', 'POST', '/v1/models/none:predict', { instances: [[1, 2]] }],
  ['model.not-found', 'GET', '/v1/models/none'],
  ['version.not-found', 'GET', `${m}/versions/9`],
  ['version.not-found', 'GET', `${m}/versions/nope`],
  ['version.not-found', 'GET', `${m}/versions/1e0`],
  ['version.not-found', 'POST', `${m}/versions/9/stage`, { stage: 'None' }],
  ['version.not-found', 'DELETE', `${m}/versions/999999999999`],
  ['version.not-found', 'POST', '/v1/models/m/versions/9:predict', { instances: [[1, 2]] }],
  ['version.not-found', 'POST', '/v1/models/m/labels/nope:predict', { instances: [[1, 2]] }],
  ['stage.empty', 'POST', '/v1/models/m/labels/Staging:predict', { instances: [[1, 2]] }],
  ['stage.empty', 'GET', `${m}/versions/Staging`],
  ['alias.not-found', 'DELETE', `${m}/aliases/nope`],
  ['dashboard.not-found', 'GET', '/api/v1/dashboards/nope'],
  ['token.not-found', 'DELETE', '/api/v1/tokens/nope'],
  ['request.invalid', 'POST', '/api/v1/models', {}],
  ['request.invalid', 'POST', '/api/v1/models', [secret]],
  ['request.invalid', 'POST', '/api/v1/models', 'text'],
  ['request.invalid', 'POST', '/api/v1/models', null],
  ['request.invalid', 'POST', '/api/v1/models', { name: { [secret]: secret } }],
  ['request.invalid', 'POST', '/api/v1/models', { name: 'x', role: 'admin' }],
  ['request.invalid', 'POST', '/api/v1/models', { name: 'x', tags: { a: 1 } }],
  ['request.invalid', 'POST', '/api/v1/models', { name: 'x', description: 'd'.repeat(5001) }],
  ['request.invalid', 'POST', `${m}/versions/1/stage`, { stage: 'Prod' }],
  ['request.invalid', 'POST', `${m}/versions/1/stage`, { stage: 'None', force: true }],
  ['request.invalid', 'POST', `${m}/versions/0/stage`, { stage: 'None' }],
  ['request.invalid', 'POST', `${m}/versions/one/stage`, { stage: 'None' }],
  ['request.invalid', 'POST', `${m}/rollback`, { stage: 'None' }],
  ['request.invalid', 'PUT', `${m}/aliases/a`, { version: 0 }],
  ['request.invalid', 'PATCH', m, { tags: { a: 1 } }],
  ['request.invalid', 'DELETE', `${m}/versions/1?purge=maybe`],
  ['input.invalid', 'POST', predict, {}],
  ['input.invalid', 'POST', predict, { instances: [[1, 2]], inputs: { x: [[1, 2]] } }],
  ['input.invalid', 'POST', predict, { instances: [[1, secret]] }],
  ['input.invalid', 'POST', predict, { instances: [[1]] }],
  ['input.invalid', 'POST', predict, []],
  ['input.invalid', 'POST', predict, null],
  ['version.live', 'DELETE', m],
  ['rollback.nothing-earlier', 'POST', `${m}/rollback`, {}],
]

describe('every fault is a problem document:', () => {
  for (const [code, method, path, body] of table) {
    test(`${code} at ${method} ${path} ${JSON.stringify(body ?? '').slice(0, 60)}`, async () => {
      const answer = await relais.call(method, path, body === undefined ? {} : { body })
      expectProblem(answer, code)
      expect(answer.text).not.toContain(secret)
      if (answer.status === 422) expect(answer.body.errors.length).toBeGreaterThan(0)
      if (path.startsWith('/v1/')) expect(answer.body.error).toBe(answer.body.detail)
      if (answer.status === 405 && !path.startsWith('/v1/'))
        expect(answer.headers.get('allow')).toMatch(/^[A-Z]+(, [A-Z]+)*$/)
    })
  }

  const malformed = [
    '{',
    '{"name":"x"',
    '{name:1}',
    "{'name':1}",
    '\u0000',
    '{"a":1}{"b":2}',
    'NaN',
  ]
  for (const raw of malformed) {
    test(`malformed JSON ${JSON.stringify(raw)} is 400`, async () => {
      const routes: [string, string][] = [
        ['POST', '/api/v1/models'],
        ['PATCH', m],
        ['POST', '/api/v1/tokens'],
        ['POST', predict],
      ]
      for (const [method, path] of routes) {
        const answer = await relais.call(method, path, { raw, headers: json })
        expectProblem(answer, 'request.malformed')
      }
    })
  }

  test('413 where a body is too large, whether it says so or not', async () => {
    const large = JSON.stringify({ name: 'x', description: 'x'.repeat(80_000) })
    const stream = (): ReadableStream<Uint8Array> =>
      new ReadableStream({
        start: (controller) => {
          for (let at = 0; at < 9; at += 1) controller.enqueue(new Uint8Array(10_000).fill(32))
          controller.close()
        },
      })
    const bytes = { 'content-type': 'application/octet-stream' }
    const cases: [string, string, string | ReadableStream<Uint8Array>, Record<string, string>][] = [
      ['POST', '/api/v1/models', large, json],
      ['POST', '/api/v1/models', stream(), json],
      ['PATCH', m, stream(), json],
      ['POST', predict, large, json],
      ['POST', predict, stream(), json],
      ['POST', `${m}/versions`, large, bytes],
      ['POST', `${m}/versions`, stream(), bytes],
    ]
    for (const [method, path, raw, headers] of cases) {
      const answer = await relais.call(method, path, { raw: raw as string, headers })
      expectProblem(answer, 'request.too-large')
    }
  })

  test('415 where the body is of another type', async () => {
    const types = [
      'text/plain',
      'application/x-www-form-urlencoded',
      'application/xml',
      'multipart/form-data; boundary=x',
      'application/octet-stream',
      'nonsense',
    ]
    for (const type of types) {
      const headers = { 'content-type': type }
      const answer = await relais.call('POST', '/api/v1/models', { raw: 'name=x', headers })
      expectProblem(answer, 'request.media-type')
    }
    for (const type of ['application/json', 'text/plain']) {
      const headers = { 'content-type': type }
      const answer = await relais.call('POST', `${m}/versions`, { raw: '{}', headers })
      expectProblem(answer, 'request.media-type')
    }
    // Nothing says what these bytes are, so they are not passed over in silence.
    const bare = `POST ${m}/rollback HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer `
    const body = `content-length: 19\r\n\r\n{"stage":"Staging"}`
    expect((await sendRaw(relais.url, `${bare}${relais.admin}\r\n${body}`)).status).toBe(415)
    const utf8 = { 'content-type': 'application/json; charset=utf-8' }
    const good = await relais.call('POST', '/api/v1/models', { raw: '{"name":"u"}', headers: utf8 })
    expect(good.status).toBe(201)
  })

  test('broken forms are refused and leave nothing', async () => {
    const headers = { 'content-type': 'multipart/form-data; boundary=b' }
    const part = (name: string, more = '') =>
      `--b\r\ncontent-disposition: form-data; name="${name}"${more}\r\n\r\n`
    const file = part('model', '; filename="model.onnx"')
    const cases: [string, FaultCode][] = [
      ['', 'request.malformed'],
      ['garbage', 'request.malformed'],
      [`${part('metadata')}{}\r\n--b--\r\n`, 'request.invalid'],
      [`${part('metadata')}{\r\n${file}x\r\n--b--\r\n`, 'request.malformed'],
      [`${part('metadata')}[]\r\n${file}x\r\n--b--\r\n`, 'request.invalid'],
      [`${part('other')}{}\r\n${file}x\r\n--b--\r\n`, 'request.invalid'],
      [`${file}\r\n--b--\r\n`, 'model.not-onnx'],
      [`${file}not a model\r\n--b--\r\n`, 'model.not-onnx'],
      [`${file}cut off`, 'request.malformed'],
    ]
    for (const [raw, code] of cases) {
      expectProblem(await relais.call('POST', `${m}/versions`, { raw, headers }), code)
    }
    const unbounded = { 'content-type': 'multipart/form-data' }
    const answer = await relais.call('POST', `${m}/versions`, { raw: 'x', headers: unbounded })
    expectProblem(answer, 'request.malformed')
    expect((await relais.call('GET', m)).body.latest_version).toBe(1)
  })
})

test('odd paths and headers are answered without a 500', async () => {
  const authorization = `Bearer ${relais.admin}`
  const targets = [
    '/api/v1/models/%zz',
    '/api/v1/models/%',
    '/api/v1/models/%00',
    '/api/v1/models/%ff',
    '/api/v1/models/%c0%af',
    '/api/v1/models/..%2f..%2fetc%2fpasswd',
    '/api/v1/models/m/versions/%zz',
    '/v1/models/%zz:predict',
    '/v1/models/%zz',
    '/v1/models/m/labels/%ff',
    '/v1/models/:predict',
    '/v1/models/',
    '/api/v1/models?limit=%zz',
    '/api/v1/models?page_token=%00',
    '/api/v1/models?page_token[]=1&page_token[]=2',
    '/api/v1/models?filter=%25%25%25%25&limit=1&limit=2',
    "/api/v1/models?filter=' OR 1=1--".replaceAll(' ', '%20'),
    '/api/v1/models?__proto__[polluted]=1&constructor.prototype.polluted=1',
    `/api/v1/models/${'x'.repeat(5000)}`,
  ]
  const odd: Record<string, string>[] = [
    {},
    { cookie: '__proto__=1; a=%zz; =; constructor=x' },
    { traceparent: 'garbage', 'x-request-id': '../../etc', 'if-match': '"', range: 'bytes=5-' },
    { accept: 'text/html', 'accept-language': 'x'.repeat(500), 'content-length': '0' },
  ]
  for (const target of targets) {
    for (const headers of odd) {
      const { status, body } = await rawGet(relais.url, target, { authorization, ...headers })
      expect([target, status >= 200 && status < 500]).toEqual([target, true])
      expectDiscreet(body)
    }
  }
  expect(({} as Record<string, unknown>).polluted).toBe(undefined)
})

test('prototype pollution is refused or kept as plain data', async () => {
  const polluted = '{"polluted":"yes"}'
  const refused = [
    `{"name":"p","__proto__":${polluted}}`,
    `{"name":"p","constructor":{"prototype":${polluted}}}`,
    `{"name":"p","tags":{"__proto__":${polluted}}}`,
    `{"name":"p","tags":{"a":{"__proto__":${polluted}}}}`,
    `{"__proto__":{"name":"p"}}`,
  ]
  for (const raw of refused) {
    const answer = await relais.call('POST', '/api/v1/models', { raw, headers: json })
    expect([raw, answer.status]).toEqual([raw, 422])
  }
  const rows = [
    `{"instances":[{"__proto__":${polluted},"x_0":1}]}`,
    `{"__proto__":{"instances":[[1,2]]}}`,
    `{"inputs":{"__proto__":[[1,2]]}}`,
    `{"inputs":{"x":[[1,2]],"__proto__":[[1,2]]}}`,
  ]
  for (const raw of rows) {
    const answer = await relais.call('POST', predict, { raw, headers: json })
    expect([raw, answer.status, answer.body.code]).toEqual([raw, 422, 'input.invalid'])
  }
  const form = new FormData()
  form.set('metadata', `{"tags":{"__proto__":${polluted}}}`)
  form.set('model', new Blob([readFileSync(identity)]))
  expect((await relais.call('POST', `${m}/versions`, { raw: form })).status).toBe(422)
  const plain = `{"name":"p","tags":{"__proto__":"x","constructor":"y"}}`
  const kept = await relais.call('POST', '/api/v1/models', { raw: plain, headers: json })
  expect([201, 422]).toContain(kept.status)
  expect(({} as Record<string, unknown>).polluted).toBe(undefined)
  expect(Object.keys(Object.prototype)).toEqual([])
})

test('bombs of nesting are refused before they are parsed', async () => {
  const deep = '['.repeat(30_000) + ']'.repeat(30_000)
  const bombs = [deep, `{"instances":${deep}}`, `${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`]
  for (const raw of bombs) {
    for (const path of [predict, '/api/v1/models']) {
      const answer = await relais.call('POST', path, { raw, headers: json })
      expect([path, [400, 422].includes(answer.status)]).toEqual([path, true])
      expectDiscreet(answer.text)
    }
  }
})

test('a sound x-request-id is echoed, any other is replaced', async () => {
  const echo = async (id: string, path: string): Promise<string | null> => {
    const answer = await relais.call('GET', path, { headers: { 'x-request-id': id } })
    return answer.headers.get('x-request-id')
  }
  for (const path of ['/api/v1/models', '/nowhere', '/v1/models/m', '/health/live']) {
    expect(await echo('my-request_1.2:3', path)).toBe('my-request_1.2:3')
    for (const id of [
      'short',
      'x'.repeat(129),
      'has space in it',
      'quote"quote"',
      '{"a":"bcde"}',
    ]) {
      const given = await echo(id, path)
      expect(given).not.toBe(id)
      expect(given).toMatch(/^[\w-]{30,}$/)
    }
  }
})

test('what is unknown is 500 with nothing but a request id', async () => {
  const { db } = relais.app.foundation
  const rename = (from: string, to: string) =>
    db.tx((tx) => Promise.resolve(tx.run(`ALTER TABLE ${from} RENAME TO ${to}`)))
  await rename('aliases', 'aliases_away')
  try {
    const answer = await relais.call('GET', m, { headers: { 'x-request-id': 'find-me-1' } })
    expectProblem(answer, 'internal')
    expect(answer.body.instance).toBe('find-me-1')
  } finally {
    await rename('aliases_away', 'aliases')
  }
  expect((await relais.call('GET', m)).status).toBe(200)
})

test('a body that is JSON by its type and empty is none', async () => {
  const headers = { 'content-type': 'application/json' }
  expectProblem(await relais.call('DELETE', `${m}/aliases/nope`, { headers }), 'alias.not-found')
})

test('where only some words will do, the fault names them', async () => {
  const { body } = await relais.call('POST', `${m}/versions/1/stage`, { body: { stage: 'prod' } })
  expect(body.errors).toEqual([
    { pointer: '/stage', code: 'schema', message: 'one of None, Staging, Production, Archived' },
  ])
  const short = { sub: 'a', role: 'viewer', ttl_seconds: 0 }
  const { text } = await relais.call('POST', '/api/v1/tokens', { body: short })
  expect(text).toContain('a whole number of at least 1, at most ')
})

test('probes of HTTP/1.0, which name no host, are answered', async () => {
  expect((await sendRaw(relais.url, 'GET /health/live HTTP/1.0\r\n\r\n', 500)).status).toBe(200)
  expect((await sendRaw(relais.url, 'GET /metrics HTTP/1.0\r\n\r\n', 500)).status).toBe(401)
})

test('requests that are no HTTP end with 4xx and the server goes on', async () => {
  const texts = [
    'GET /api/v1/models HTTP/1.1\r\n\r\n',
    'GARBAGE\r\n\r\n',
    'POST /api/v1/models HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello',
    'POST /api/v1/models HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n',
    'GET / HTTP/1.1\r\nhost: x\r\nx: \u0000\r\n\r\n',
  ]
  for (const text of texts) {
    const { status } = await sendRaw(relais.url, text, 500)
    expect([text, status === 0 || (status >= 400 && status < 500)]).toEqual([text, true])
  }
  expect((await relais.call('GET', '/health/live')).status).toBe(200)
})

describe('the catalogue', () => {
  const codes = Object.keys(faults) as FaultCode[]
  const text = sources()
    .filter(({ name }) => name !== 'core/fault.ts')
    .map((source) => source.text)
    .join('\n')

  test('holds no code that nothing throws', () => {
    const central = new Set<FaultCode>(['internal', 'storage.full', 'request.too-large'])
    expect(codes.filter((code) => !central.has(code) && !text.includes(`'${code}'`))).toEqual([])
  })
  test('is listed in the README, each code in backticks', () => {
    const path = join(root, 'README.md')
    const readme = existsSync(path) ? readFileSync(path, 'utf8') : ''
    expect(codes.filter((code) => !readme.includes(`\`${code}\``))).toEqual([])
  })
  test('uses only statuses that say who is at fault, and stable codes', () => {
    for (const code of codes) {
      expect(code).toMatch(/^[a-z-]+(\.[a-z-]+)?$/)
      expect(faults[code][0]).toBeGreaterThanOrEqual(400)
      expect(faults[code][0]).toBeLessThan(600)
    }
  })
})
