// The door of the Open Inference Protocol V2: infer in JSON and binary, metadata, statistics.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { brotliCompressSync, deflateSync, gunzipSync, gzipSync, inflateSync } from 'node:zlib'

import { createApp } from '../src/app.ts'
import { loadConfig } from '../src/config.ts'
import { file, serve } from './support/load.ts'
import { model as onnxModel, node, types, unary, value } from './support/onnx.ts'
import { agrees, referenceOf, type Relais, startRelais } from './support/relais.ts'
import { bytesOf, infer, lengthPrefixed, packed, send, type V2Input } from './support/v2.ts'

const maxBody = 4 << 20
let relais: Relais

const elements = [
  'bool',
  'float16',
  'float32',
  'float64',
  'int8',
  'int16',
  'int32',
  'int64',
  'uint8',
  'uint16',
  'uint32',
  'uint64',
  'string',
]

async function serveBytes(name: string, bytes: Uint8Array): Promise<void> {
  const path = join(relais.data, `${name}.onnx`)
  writeFileSync(path, bytes)
  await serve(relais, name, path)
}

const x = (data: unknown, shape = [2, 2], datatype = 'FP32'): V2Input => ({
  name: 'x',
  datatype,
  shape,
  data,
})
const four = [1, 2, 3, 4]

beforeAll(async () => {
  relais = await startRelais({ 'max-body': '4MB' })
  for (const name of ['iris', 'customers', 'breast-cancer']) {
    expect((await relais.pushExample(name, name)).status).toBe(201)
    expect((await relais.promote(name, 1, 'Production')).status).toBe(200)
  }
  for (const element of elements) await serve(relais, element, file(`identity-${element}`))
  await serve(relais, 'multi', file('multi'))
  await serve(relais, 'scalar', file('scalar'))
}, 60_000)
afterAll(() => relais.close())

describe('server and models', () => {
  const get = (path: string, token = relais.admin) => relais.call<any>('GET', path, { token })

  test('§17 live and ready need no token', async () => {
    for (const [path, body] of [
      ['/v2/health/live', { live: true }],
      ['/v2/health/ready', { ready: true }],
    ] as const) {
      const answer = await relais.call('GET', path, { token: null })
      expect([answer.status, answer.body]).toEqual([200, body])
    }
  })

  test('server metadata at both spellings of its path', async () => {
    for (const path of ['/v2', '/v2/']) {
      const { status, body, headers } = await get(path)
      expect([status, headers.get('content-type')]).toEqual([200, 'application/json'])
      expect(Object.keys(body)).toEqual(['name', 'version', 'extensions'])
      expect(body.extensions).toEqual([
        'model_repository',
        'model_configuration',
        'binary_tensor_data',
        'parameters',
        'statistics',
        'classification',
      ])
    }
  })

  test('metadata and configuration agree on shapes', async () => {
    const metadata = await get('/v2/models/iris')
    expect(metadata.body).toEqual({
      name: 'iris',
      versions: ['1'],
      platform: 'onnxruntime_onnx',
      inputs: [{ name: 'X', datatype: 'FP32', shape: [-1, 4] }],
      outputs: [
        { name: 'output_label', datatype: 'INT64', shape: [-1] },
        { name: 'output_probability', datatype: 'FP32', shape: [-1, 3] },
      ],
    })
    const config = (await get('/v2/models/iris/config')).body
    expect(config).toMatchObject({
      name: 'iris',
      platform: 'onnxruntime_onnx',
      max_batch_size: 1024,
      input: [{ name: 'X', data_type: 'TYPE_FP32', dims: [4] }],
      output: [
        { name: 'output_label', data_type: 'TYPE_INT64', dims: [] },
        { name: 'output_probability', data_type: 'TYPE_FP32', dims: [3] },
      ],
      model_transaction_policy: { decoupled: false },
    })
    const scalar = (await get('/v2/models/scalar/config')).body
    expect(scalar.max_batch_size).toBe(0)
    const k = scalar.input.find(({ name }: any) => name === 'k')
    const shown = (await get('/v2/models/scalar')).body.inputs.find(({ name }: any) => name === 'k')
    expect([k.dims, shown.shape]).toEqual([[], []])
    expect((await get('/v2/models/string/config')).body.input[0].data_type).toBe('TYPE_STRING')
  })

  test('a stage or an alias may stand where a version stands', async () => {
    await relais.pushExample('staged', 'iris')
    await relais.pushExample('staged', 'iris-v2')
    await relais.pushExample('staged', 'iris')
    await relais.promote('staged', 1, 'Production')
    await relais.promote('staged', 2, 'Staging')
    const set = await relais.call('PUT', '/api/v1/models/staged/aliases/candidate', {
      body: { version: 3 },
    })
    expect(set.status).toBe(200)
    const data = referenceOf('iris').rows[0]
    const input = { name: 'X', datatype: 'FP32', shape: [1, 4], data }
    for (const [at, version] of [
      ['staged', '1'],
      ['staged/versions/1', '1'],
      ['staged/versions/2', '2'],
      ['staged/versions/3', '3'],
      ['staged/versions/production', '1'],
      ['staged/versions/Staging', '2'],
      ['staged/versions/candidate', '3'],
    ]) {
      const answer = await infer(relais, at!, [input])
      expect([at, answer.status, answer.body.model_version]).toEqual([at, 200, version])
      const metadata = await get(`/v2/models/${at}`)
      expect([at, metadata.status]).toEqual([at, 200])
      expect(metadata.body.versions).toEqual(at === 'staged' ? ['1', '2', '3'] : [version])
      const ready = await get(`/v2/models/${at}/ready`)
      expect(ready.body).toEqual({ name: 'staged', ready: true })
    }
  })

  test('models are listed to those who may know of them', async () => {
    const all = await get('/v2/models')
    expect(all.body.models).toContain('iris')
    const narrow = await relais.token('predictor', { sub: 'narrow', models: ['iris'] })
    expect((await get('/v2/models', narrow)).body).toEqual({ models: ['iris'] })
    const stats = await get('/v2/models/stats', narrow)
    expect(stats.body.model_stats.map(({ name }: any) => name)).toEqual(['iris'])
  })
})

describe('statuses', () => {
  const input = { name: 'X', datatype: 'FP32', shape: [1, 4], data: [5.1, 3.5, 1.4, 0.2] }
  const body = { inputs: [input] }
  const at = '/v2/models'

  const table: [method: string, path: string, status: number, code: string][] = [
    ['GET', `${at}/nobody`, 404, 'model.not-found'],
    ['GET', `${at}/nobody/ready`, 404, 'model.not-found'],
    ['GET', `${at}/nobody/config`, 404, 'model.not-found'],
    ['GET', `${at}/nobody/stats`, 404, 'model.not-found'],
    ['POST', `${at}/nobody/infer`, 404, 'model.not-found'],
    ['POST', '/v2/repository/models/nobody/load', 404, 'model.not-found'],
    ['POST', '/v2/repository/models/nobody/unload', 404, 'model.not-found'],
    ['GET', `${at}/iris/versions/9`, 404, 'version.not-found'],
    ['GET', `${at}/iris/versions/9/ready`, 404, 'version.not-found'],
    ['GET', `${at}/iris/versions/9/config`, 404, 'version.not-found'],
    ['GET', `${at}/iris/versions/nothing/stats`, 404, 'version.not-found'],
    ['POST', `${at}/iris/versions/9/infer`, 404, 'version.not-found'],
    ['POST', `${at}/iris/versions/Staging/infer`, 404, 'stage.empty'],
    ['GET', `${at}/iris/versions/Staging`, 404, 'stage.empty'],
    ['GET', '/v2/nowhere', 404, 'route.not-found'],
    ['GET', '/v2/health', 404, 'route.not-found'],
    ['GET', `${at}/`, 404, 'route.not-found'],
    ['GET', `${at}/iris/`, 404, 'route.not-found'],
    ['GET', `${at}/iris/versions`, 404, 'route.not-found'],
    ['POST', `${at}/iris/generate`, 404, 'route.not-found'],
    ['GET', '/v2/logging', 404, 'route.not-found'],
    ['GET', '/v2/systemsharedmemory/status', 404, 'route.not-found'],
    ['POST', '/v2', 405, 'request.method'],
    ['POST', '/v2/health/live', 405, 'request.method'],
    ['POST', '/v2/health/ready', 405, 'request.method'],
    ['DELETE', at, 405, 'request.method'],
    ['POST', `${at}/stats`, 405, 'request.method'],
    ['PUT', `${at}/iris`, 405, 'request.method'],
    ['POST', `${at}/iris/ready`, 405, 'request.method'],
    ['POST', `${at}/iris/config`, 405, 'request.method'],
    ['POST', `${at}/iris/stats`, 405, 'request.method'],
    ['GET', `${at}/iris/infer`, 405, 'request.method'],
    ['GET', `${at}/iris/versions/1/infer`, 405, 'request.method'],
    ['GET', '/v2/repository/index', 405, 'request.method'],
    ['GET', '/v2/repository/models/iris/load', 405, 'request.method'],
    ['GET', '/v2/repository/models/iris/unload', 405, 'request.method'],
    ['POST', '/v2/repository/other/index', 501, 'request.unsupported'],
    ['POST', '/v2/repository/other/models/iris/load', 501, 'request.unsupported'],
    ['POST', '/v2/repository/other/models/iris/unload', 501, 'request.unsupported'],
    ['POST', `${at}/%E0%A4%A/infer`, 400, 'request.malformed'],
  ]
  for (const [method, path, status, code] of table) {
    test(`${method} ${path} is ${status} ${code}`, async () => {
      const answer = await relais.call(method, path, method === 'GET' ? {} : { body })
      expect([answer.status, answer.body.code]).toEqual([status, code])
      expect(answer.body.error.length).toBeGreaterThan(5)
      expect(answer.headers.get('content-type')).toBe('application/json')
      if (status === 405) expect(answer.headers.get('allow')).toMatch(/^(GET|POST)$/)
    })
  }

  test('§14 401 and 403 in the shape of the protocol', async () => {
    const other = await relais.token('predictor', { sub: 'other', models: ['churn-*'] })
    const viewer = await relais.token('viewer')
    for (const [method, path] of [
      ['GET', `${at}/iris`],
      ['GET', `${at}/iris/ready`],
      ['GET', `${at}/iris/config`],
      ['GET', `${at}/iris/stats`],
      ['GET', `${at}/iris/versions/1`],
      ['POST', `${at}/iris/infer`],
      ['POST', `${at}/iris/versions/1/infer`],
      ['POST', '/v2/repository/models/iris/load'],
      ['POST', '/v2/repository/models/iris/unload'],
    ] as const) {
      const options = method === 'POST' ? { body } : {}
      const open = await relais.call(method, path, { ...options, token: null })
      expect([path, open.status, open.body.code]).toEqual([path, 401, 'auth.missing'])
      expect(open.headers.get('www-authenticate')).toBe('Bearer')
      expect(typeof open.body.error).toBe('string')
      const wrong = await relais.call(method, path, { ...options, token: 'nonsense' })
      expect([path, wrong.status]).toEqual([path, 401])
      const refused = await relais.call(method, path, { ...options, token: other })
      expect([path, refused.status, refused.body.code]).toEqual([path, 403, 'access.denied'])
      expect(typeof refused.body.error).toBe('string')
      const read = await relais.call(method, path, { ...options, token: viewer })
      expect([path, read.status]).toEqual([path, method === 'GET' ? 200 : 403])
    }
    for (const path of ['/v2', at, `${at}/stats`, '/v2/nowhere']) {
      expect([path, (await relais.call('GET', path, { token: null })).status]).toEqual([path, 401])
    }
    const index = await relais.call('POST', '/v2/repository/index', { token: null })
    expect(index.status).toBe(401)
  })
})

test('§17 before the models are loaded and while the server shuts down', async () => {
  const data = mkdtempSync(join(tmpdir(), 'relais-oip-'))
  const app = await createApp(
    loadConfig({ data, port: '0', 'log-level': 'error' }, {}),
    (error) => {
      throw error
    },
  )
  const authorization = `Bearer ${readFileSync(join(data, 'admin.token'), 'utf8').trim()}`
  const ask = async (method: string, path: string, headers = {}) => {
    const response = await app.server.answer(new Request(`http://x${path}`, { method, headers }))
    return [response.status, response.status === 200 ? '' : ((await response.json()) as any)]
  }
  expect(await ask('GET', '/v2/health/live')).toEqual([200, ''])
  expect(await ask('GET', '/v2/health/ready')).toEqual([503, { ready: false }])
  for (const [method, path] of [
    ['POST', '/v2/models/iris/infer'],
    ['GET', '/v2/models/iris'],
    ['GET', '/v2/models/iris/ready'],
    ['POST', '/v2/repository/models/iris/load'],
  ] as const) {
    const [status, body] = await ask(method, path, { authorization })
    expect([path, status, body.code]).toEqual([path, 503, 'service.starting'])
  }
  await app.stop()
  expect(await ask('GET', '/v2/health/live')).toEqual([200, ''])
  expect(await ask('GET', '/v2/health/ready')).toEqual([503, { ready: false }])
  expect((await ask('GET', '/v2', { authorization }))[0]).toBe(503)
  rmSync(data, { recursive: true, force: true })
})

describe('JSON', () => {
  test('nested and flat data are the same, answers are flat', async () => {
    const rows = [
      [1, 2],
      [3, 4],
    ]
    for (const data of [rows, four]) {
      const { status, body } = await infer(relais, 'float32', [x(data)])
      expect([status, body.outputs]).toEqual([
        200,
        [{ name: 'y', datatype: 'FP32', shape: [2, 2], data: four }],
      ])
      expect([body.model_name, body.model_version, 'id' in body]).toEqual(['float32', '1', false])
    }
  })

  const exact: [element: string, datatype: string, data: string][] = [
    ['float32', 'FP32', '[1.5,-2,3.4028234663852886e+38,0]'],
    ['float64', 'FP64', '[1.1,-2,1.7976931348623157e+308,5e-324]'],
    ['int8', 'INT8', '[-128,127,0,1]'],
    ['int16', 'INT16', '[-32768,32767,0,1]'],
    ['int32', 'INT32', '[-2147483648,2147483647,0,1]'],
    [
      'int64',
      'INT64',
      '[-9223372036854775808,9223372036854775807,9007199254740993,-9007199254740993]',
    ],
    ['uint8', 'UINT8', '[0,255,1,2]'],
    ['uint16', 'UINT16', '[0,65535,1,2]'],
    ['uint32', 'UINT32', '[0,4294967295,1,2]'],
    ['uint64', 'UINT64', '[0,18446744073709551615,9007199254740993,9223372036854775808]'],
    ['bool', 'BOOL', '[true,false,false,true]'],
    ['string', 'BYTES', '["","Zoë","日本語 🚀","a\\"b\\\\c\\nd"]'],
  ]
  for (const [element, datatype, data] of exact) {
    test(`${datatype} goes in and comes out unchanged`, async () => {
      const nested = data.replace(
        /^\[((?:"(?:\\.|[^"])*"|[^,"])+,(?:"(?:\\.|[^"])*"|[^,"])+),/,
        '[[$1],[',
      )
      for (const given of [data, `${nested}]`]) {
        const text = `{"inputs":[{"name":"x","datatype":"${datatype}","shape":[2,2],"data":${given}}]}`
        // Compared as text: JSON.parse here would round what the server kept.
        const answer = await send(relais, element, text)
        expect([given, answer.status]).toEqual([given, 200])
        expect(answer.text).toContain(`"data":${data}}`)
      }
    })
  }

  test('id, chosen outputs in their order, and parameters nobody knows', async () => {
    const inputs = ['a', 'b'].map((name) => ({
      name,
      datatype: 'FP32',
      shape: [2, 3],
      data: [1, 2, 3, 4, 5, 6],
    }))
    const rest = { id: 'my "id"', parameters: { colour: 'red', n: 1, z: true, priority: 3 } }
    const all = await infer(relais, 'multi', inputs.toReversed(), rest)
    expect(all.body.id).toBe('my "id"')
    expect(all.body.outputs.map(({ name }: any) => name)).toEqual(['sum', 'dot'])
    const outputs = [{ name: 'dot' }, { name: 'sum' }]
    const chosen = await infer(relais, 'multi', inputs, { outputs })
    expect(chosen.body.outputs).toEqual([
      { name: 'dot', datatype: 'FP32', shape: [2], data: [14, 77] },
      { name: 'sum', datatype: 'FP32', shape: [2, 3], data: [2, 4, 6, 8, 10, 12] },
    ])
    expect('id' in chosen.body).toBe(false)
    expect((await infer(relais, 'multi', inputs, { outputs: [] })).body.outputs.length).toBe(2)
  })

  test('a scalar, as a bare value and as the list of its one element', async () => {
    const table = x([1, 2, 3, 4])
    for (const data of [3, [3]]) {
      const k = { name: 'k', datatype: 'INT64', shape: [], data }
      const { status, body } = await infer(relais, 'scalar', [table, k])
      expect([status, body.outputs?.[0].data]).toEqual([200, [3, 6, 9, 12]])
    }
  })

  test('§34 scikit-learn and the protocol agree', async () => {
    const { rows, outputs } = referenceOf('breast-cancer')
    const input = { name: 'X', datatype: 'FP32', shape: [rows.length, 30], data: rows }
    const { body } = await infer(relais, 'breast-cancer', [input])
    for (const { name, data } of body.outputs) {
      expect(agrees(data, (outputs[name] as any[]).flat())).toBe(true)
    }
  })

  test('NaN and infinities are null in JSON, and themselves in binary', async () => {
    await serveBytes('log', unary('Log'))
    const input = x([0, -1, 1, 1])
    const { body } = await infer(relais, 'log', [input])
    expect(body.outputs[0].data).toEqual([null, null, 0, 0])
    const rest = { parameters: { binary_data_output: true } }
    const binary = await infer(relais, 'log', [input], rest)
    const given = new Float32Array(binary.raw.y!.buffer)
    expect([...given]).toEqual([-Infinity, NaN, 0, 0])
  })

  type Wrong = [what: string, model: string, body: object, says: RegExp]
  const wrong: Wrong[] = [
    ['no inputs', 'float32', {}, /inputs must be a list/],
    ['inputs that are no list', 'float32', { inputs: {} }, /inputs must be a list/],
    ['an input without a name', 'float32', { inputs: [{ shape: [1, 2] }] }, /must have a name/],
    ['an input that is none', 'float32', { inputs: [7] }, /must be an object/],
    ['no data', 'float32', { inputs: [x(undefined)] }, /exactly one of data/],
    ['an unknown datatype', 'float32', { inputs: [x(four, [2, 2], 'FP8')] }, /datatype is one of/],
    ['BF16', 'float32', { inputs: [x(four, [2, 2], 'BF16')] }, /BF16 is not served/],
    ['FP16 in JSON', 'float16', { inputs: [x(four, [2, 2], 'FP16')] }, /no form in JSON/],
    ['another datatype', 'float32', { inputs: [x(four, [2, 2], 'INT32')] }, /expected float32/],
    ['a shape of another rank', 'float32', { inputs: [x(four, [4])] }, /expected shape/],
    ['a shape of another width', 'float32', { inputs: [x(four, [1, 4])] }, /expected shape/],
    ['too few elements', 'float32', { inputs: [x([1, 2, 3])] }, /does not fit the shape/],
    ['ragged lists', 'float32', { inputs: [x([[1, 2], [3]])] }, /does not fit the shape/],
    ['a huge shape', 'float32', { inputs: [x([[1, 2], []], [2, 9e8])] }, /does not fit the shape/],
    ['a shape beyond numbers', 'float32', { inputs: [x(four, [2 ** 40, 2 ** 40])] }, /shape must/],
    ['a huge shape of nothing', 'float32', { inputs: [x([], [2 ** 31, 0])] }, /below 2147483648/],
    ['a huge shape of nothing, flat', 'float32', { inputs: [x([], [0, 2 ** 40])] }, /shape must/],
    ['a shape below zero', 'float32', { inputs: [x(four, [-2, -2])] }, /shape must be/],
    ['a shape of fractions', 'float32', { inputs: [x(four, [0.5, 8])] }, /shape must be/],
    ['a shape too deep', 'float32', { inputs: [x(four, Array(17).fill(1))] }, /at most 16/],
    ['a text for a number', 'float32', { inputs: [x(['1', 2, 3, 4])] }, /expected float32/],
    ['null', 'float32', { inputs: [x([null, 2, 3, 4])] }, /finite/],
    ['null for an integer', 'int32', { inputs: [x([null, 2, 3, 4], [2, 2], 'INT32')] }, /null/],
    ['a fraction', 'int32', { inputs: [x([1.5, 2, 3, 4], [2, 2], 'INT32')] }, /an integer/],
    ['too large a number', 'int8', { inputs: [x([128, 2, 3, 4], [2, 2], 'INT8')] }, /fit int8/],
    ['a number for BOOL', 'bool', { inputs: [x([1, 0, 1, 0], [2, 2], 'BOOL')] }, /true or false/],
    ['NUL', 'string', { inputs: [x(['a\0b', '', '', ''], [2, 2], 'BYTES')] }, /NUL/],
    ['an input twice', 'float32', { inputs: [x(four), x(four)] }, /twice/],
    ['an unknown input', 'float32', { inputs: [x(four), { ...x(four), name: 'z' }] }, /no such/],
    ['a missing input', 'multi', { inputs: [] }, /missing/],
    ['an unknown output', 'float32', { inputs: [x(four)], outputs: [{ name: 'z' }] }, /no output/],
    [
      'an output twice',
      'float32',
      { inputs: [x(four)], outputs: [{ name: 'y' }, { name: 'y' }] },
      /twice/,
    ],
    ['an id that is no text', 'float32', { id: 7, inputs: [x(four)] }, /id must be/],
    ['parameters in a list', 'float32', { parameters: [], inputs: [x(four)] }, /an object/],
    ['a deep parameter', 'float32', { parameters: { a: [1] }, inputs: [x(four)] }, /a string/],
    ['triton_…', 'float32', { parameters: { triton_x: 1 }, inputs: [x(four)] }, /reserved/],
    ['a sequence', 'float32', { parameters: { sequence_id: 7 }, inputs: [x(four)] }, /sequences/],
    ['a priority', 'float32', { parameters: { priority: -1 }, inputs: [x(four)] }, /priority/],
    ['a timeout', 'float32', { parameters: { timeout: 'soon' }, inputs: [x(four)] }, /timeout/],
    [
      'shared memory',
      'float32',
      { inputs: [{ ...x(undefined), parameters: { shared_memory_region: 'r' } }] },
      /Shared memory/,
    ],
  ]
  for (const [what, name, body, says] of wrong) {
    test(`${what}: 400`, async () => {
      const answer = await send(relais, name, JSON.stringify(body))
      expect([answer.status, answer.body.error]).toEqual([400, expect.stringMatching(says)])
      expect(['request.invalid', 'input.invalid']).toContain(answer.body.code)
    })
  }

  test('no JSON: 400', async () => {
    for (const raw of ['', '{', 'x', '{"inputs":[NaN]}', Buffer.from([0x22, 0xff, 0x22])]) {
      const answer = await send(relais, 'float32', raw)
      expect([answer.status, answer.body.code]).toEqual([400, 'request.malformed'])
    }
    const bomb = await send(relais, 'float32', '['.repeat(1 << 20))
    expect([bomb.status, bomb.body.code]).toEqual([400, 'request.malformed'])
    for (const raw of ['[]', 'null', '7', '"x"']) {
      expect([raw, (await send(relais, 'float32', raw)).status]).toEqual([raw, 400])
    }
  })

  test('a timeout may shorten the deadline, and nothing else', async () => {
    const soon = await infer(relais, 'float32', [x(four)], { parameters: { timeout: 1 } })
    expect([soon.status, soon.body.code]).toEqual([504, 'inference.deadline'])
    for (const timeout of [0, 3_600_000_000, 5_000_000]) {
      const { status } = await infer(relais, 'float32', [x(four)], { parameters: { timeout } })
      expect([timeout, status]).toEqual([timeout, 200])
    }
  })

  test('sequence parameters that stand for none are let through', async () => {
    const parameters = { sequence_id: 0, sequence_start: false, sequence_end: false }
    expect((await infer(relais, 'float32', [x(four)], { parameters })).status).toBe(200)
  })
})

describe('§23 the feature schema holds for tensors', () => {
  const { columns, rows } = referenceOf('customers')
  const datatypes: Record<string, string> = {}
  const customers = (change: Record<string, unknown> = {}): V2Input[] =>
    columns.map((name, at) => ({
      name,
      datatype: datatypes[name]!,
      shape: [2, 1],
      data: [rows[0]![at], name in change ? change[name] : rows[1]![at]],
    }))
  beforeAll(async () => {
    const { body } = await relais.call<any>('GET', '/v2/models/customers')
    for (const { name, datatype } of body.inputs) datatypes[name] = datatype
  })

  test('ranges, sets and nulls, each at its row and column', async () => {
    expect((await infer(relais, 'customers', customers())).status).toBe(200)
    expect((await infer(relais, 'customers', customers({ satisfaction: null }))).status).toBe(200)
    const answer = await infer(
      relais,
      'customers',
      customers({ tenure_months: -1, monthly_charges: 501, region: 'moon' }),
    )
    expect([answer.status, answer.body.code]).toEqual([400, 'input.invalid'])
    const places = answer.body.errors.map(({ pointer, code }: any) => [pointer, code])
    expect(places.sort()).toEqual([
      ['/inputs/monthly_charges/1/monthly_charges', 'max'],
      ['/inputs/region/1/region', 'allowed'],
      ['/inputs/tenure_months/1/tenure_months', 'min'],
    ])
    expect(answer.body.error).toInclude('/inputs/region/1/region')
    const lacking = await infer(relais, 'customers', customers({ monthly_charges: null }))
    expect([lacking.status, lacking.body.errors?.[0].code]).toEqual([400, 'finite'])
  })

  test('inputs of a table have equally many rows', async () => {
    const [first, ...others] = customers()
    const longer = { ...first!, shape: [3, 1], data: [...(first!.data as []), 'x'] }
    const answer = await infer(relais, 'customers', [longer, ...others])
    expect([answer.status, answer.body.errors?.[0].code]).toEqual([400, 'shape'])
  })

  test('in binary: ranges and what is no finite number', async () => {
    const good = [5.1, 3.5, 1.4, 0.2]
    const iris = (values: number[]): V2Input => ({
      name: 'X',
      datatype: 'FP32',
      shape: [values.length / 4, 4],
      raw: bytesOf(new Float32Array(values)),
    })
    expect((await infer(relais, 'iris', [iris([...good, ...good])])).status).toBe(200)
    for (const [value, code] of [
      [Number.NaN, 'finite'],
      [Number.POSITIVE_INFINITY, 'finite'],
      [1000, 'max'],
      [-1000, 'min'],
    ] as const) {
      const answer = await infer(relais, 'iris', [iris([...good, 5.1, value, 1.4, 0.2])])
      expect([value, answer.status]).toEqual([value, 400])
      const [flaw] = answer.body.errors
      expect([flaw.pointer, flaw.code]).toEqual([`/inputs/X/1/${'sepal_width'}`, code])
    }
    const wild = { name: 'x', datatype: 'FP16', shape: [1, 2], raw: Buffer.from('003c007c', 'hex') }
    const half = await infer(relais, 'float16', [wild], {
      parameters: { binary_data_output: true },
    })
    expect([half.status, half.body.errors?.[0]]).toEqual([
      400,
      { pointer: '/inputs/x/0/f1', code: 'finite', message: expect.any(String) },
    ])
    const byte = { name: 'x', datatype: 'BOOL', shape: [1, 2], raw: Buffer.from([1, 2]) }
    expect((await infer(relais, 'bool', [byte])).body.errors?.[0].pointer).toBe('/inputs/x/0/f1')
  })

  test('without columns: what is no finite number, at its place in each dimension', async () => {
    const cube = ['N', 2, 2]
    await serveBytes(
      'cube',
      onnxModel({
        nodes: [node('Neg', ['x'], ['y'])],
        inputs: [value('x', types.float, cube)],
        outputs: [value('y', types.float, cube)],
      }),
    )
    const raw = bytesOf(new Float32Array([0, 1, 2, 3, 4, 5, Number.NaN, 7]))
    const answer = await infer(relais, 'cube', [
      { name: 'x', datatype: 'FP32', shape: [2, 2, 2], raw },
    ])
    expect(answer.body.errors?.map(({ pointer }: any) => pointer)).toEqual(['/inputs/x/1/1/0'])
  })
})

describe('binary', () => {
  const bits: [element: string, datatype: string, raw: Uint8Array][] = [
    ['float16', 'FP16', bytesOf(new Uint16Array([0x3c00, 0xc000, 0x7bff, 0x0001]))],
    ['float32', 'FP32', bytesOf(new Float32Array([1.5, -2, 3.4028234663852886e38, 1e-45]))],
    ['float64', 'FP64', bytesOf(new Float64Array([1.1, -2, Number.MAX_VALUE, 5e-324]))],
    ['int8', 'INT8', bytesOf(new Int8Array([-128, 127, 0, 1]))],
    ['int16', 'INT16', bytesOf(new Int16Array([-32768, 32767, 0, 1]))],
    ['int32', 'INT32', bytesOf(new Int32Array([-(2 ** 31), 2 ** 31 - 1, 0, 1]))],
    ['int64', 'INT64', bytesOf(new BigInt64Array([-(2n ** 63n), 2n ** 63n - 1n, 0n, 1n]))],
    ['uint8', 'UINT8', bytesOf(new Uint8Array([0, 255, 1, 2]))],
    ['uint16', 'UINT16', bytesOf(new Uint16Array([0, 65535, 1, 2]))],
    ['uint32', 'UINT32', bytesOf(new Uint32Array([0, 2 ** 32 - 1, 1, 2]))],
    ['uint64', 'UINT64', bytesOf(new BigUint64Array([0n, 2n ** 64n - 1n, 1n, 2n]))],
    ['bool', 'BOOL', bytesOf(new Uint8Array([0, 1, 1, 0]))],
    ['string', 'BYTES', lengthPrefixed('', 'Zoë', '日本語 🚀', '\uFEFFmark')],
  ]
  const both = { parameters: { binary_data_output: true } }
  for (const [element, datatype, raw] of bits) {
    test(`${datatype} goes in and comes out bit by bit`, async () => {
      const input = { name: 'x', datatype, shape: [2, 2], raw }
      const answer = await infer(relais, element, [input], both)
      expect([answer.status, answer.body.error]).toEqual([200, undefined])
      expect(answer.headers.get('content-type')).toBe('application/octet-stream')
      expect(answer.body.outputs).toEqual([
        { name: 'y', datatype, shape: [2, 2], parameters: { binary_data_size: raw.length } },
      ])
      expect(Buffer.from(answer.raw.y!).equals(raw)).toBe(true)
    })
    test(`${datatype} as a raw body with a header length of 0`, async () => {
      const isText = datatype === 'BYTES'
      const headers = { 'inference-header-content-length': '0' }
      const answer = await send(relais, element, raw, { headers })
      if (isText) expect(answer.status).toBe(400)
      else expect(Buffer.from(answer.raw.y!).equals(raw)).toBe(true)
    })
  }

  test('a raw body that is one string, and models that take no raw body', async () => {
    await serveBytes(
      'word',
      onnxModel({
        nodes: [node('Identity', ['x'], ['y'])],
        inputs: [value('x', types.string, ['N'])],
        outputs: [value('y', types.string, ['N'])],
      }),
    )
    const headers = { 'inference-header-content-length': '0' }
    const answer = await send(relais, 'word', 'Zoë', { headers })
    expect([answer.status, answer.body.outputs?.[0].shape]).toEqual([200, [1]])
    expect(Buffer.from(answer.raw.y!).equals(lengthPrefixed('Zoë'))).toBe(true)
    for (const [name, raw] of [
      ['multi', new Uint8Array(24)],
      ['float32', new Uint8Array(9)],
      ['float32', new Uint8Array(12)],
      ['word', Buffer.from([0xff])],
      ['word', Buffer.from('a\0')],
    ] as const) {
      expect([name, (await send(relais, name, raw, { headers })).status]).toEqual([name, 400])
    }
  })

  test('each output says for itself whether it is binary', async () => {
    const inputs = ['a', 'b'].map((name) => ({
      name,
      datatype: 'FP32',
      shape: [1, 3],
      raw: bytesOf(new Float32Array([1, 2, 3])),
    }))
    const outputs = [
      { name: 'sum', parameters: { binary_data: false } },
      { name: 'dot', parameters: { binary_data: true } },
    ]
    for (const rest of [{ outputs }, { outputs, parameters: { binary_data_output: true } }]) {
      const { body, raw } = await infer(relais, 'multi', inputs, rest)
      expect(body.outputs[0].data).toEqual([2, 4, 6])
      expect([...new Float32Array(raw.dot!.buffer)]).toEqual([14])
    }
    const mixed = [inputs[0]!, { name: 'b', datatype: 'FP32', shape: [1, 3], data: [1, 2, 3] }]
    expect((await infer(relais, 'multi', mixed)).body.outputs[1].data).toEqual([14])
  })

  test('no rows at all: a zero-size tensor both ways', async () => {
    const input = { name: 'x', datatype: 'FP32', shape: [0, 2], raw: new Uint8Array() }
    const answer = await infer(relais, 'float32', [input], both)
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/json'])
    expect(answer.headers.has('inference-header-content-length')).toBe(false)
    expect(answer.body.outputs).toEqual([
      { name: 'y', datatype: 'FP32', shape: [0, 2], parameters: { binary_data_size: 0 } },
    ])
    const json = await infer(relais, 'float32', [x([], [0, 2])])
    expect(json.body.outputs[0]).toMatchObject({ shape: [0, 2], data: [] })
  })

  test('a header length beside pure JSON, and any content type', async () => {
    const { body, length } = packed([x(four)])
    for (const type of ['application/octet-stream', 'text/plain', 'application/json; x=y']) {
      for (const declared of [{}, { 'inference-header-content-length': String(length) }]) {
        const headers = { 'content-type': type, ...declared }
        expect((await send(relais, 'float32', body, { headers })).status).toBe(200)
      }
    }
  })

  test('a body in chunks without a length', async () => {
    const { body, length } = packed([
      { name: 'x', datatype: 'FP32', shape: [2, 2], raw: bytesOf(new Float32Array(four)) },
    ])
    const headers = { 'inference-header-content-length': String(length) }
    const chunks = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let at = 0; at < body.length; at += 7) controller.enqueue(body.subarray(at, at + 7))
        controller.close()
      },
    })
    const answer = await send(relais, 'float32', chunks, { headers })
    expect([answer.status, answer.body.outputs[0].data]).toEqual([200, four])
  })

  const floats = bytesOf(new Float32Array(four))
  const shaped = (raw: Uint8Array, more = {}): string =>
    JSON.stringify({
      inputs: [
        {
          name: 'x',
          datatype: 'FP32',
          shape: [2, 2],
          parameters: { binary_data_size: raw.length },
          ...more,
        },
      ],
    })
  const broken: [what: string, header: string, raw: Uint8Array, declared?: string][] = [
    ['fewer bytes than it says', shaped(floats), floats.subarray(0, 15)],
    ['more bytes than it says', shaped(floats), Buffer.concat([floats, Buffer.from('x')])],
    ['a size that does not fit the shape', shaped(floats.subarray(0, 12)), floats.subarray(0, 12)],
    ['data beside a size', shaped(floats, { data: four }), floats],
    ['a size below zero', shaped(floats, { parameters: { binary_data_size: -1 } }), floats],
    ['a size that is a text', shaped(floats, { parameters: { binary_data_size: '16' } }), floats],
    ['a header longer than the body', shaped(floats), floats, '99999'],
    ['a header that ends within the JSON', shaped(floats), floats, '10'],
    ['a header length that is no number', shaped(floats), floats, '1e2'],
    ['a header length below zero', shaped(floats), floats, '-1'],
  ]
  for (const [what, header, raw, declared] of broken) {
    test(`${what}: 400`, async () => {
      const headers = { 'inference-header-content-length': declared ?? String(header.length) }
      const body = Buffer.concat([Buffer.from(header), raw])
      const answer = await send(relais, 'float32', body, { headers })
      expect([answer.status, typeof answer.body.error]).toEqual([400, 'string'])
    })
  }

  const texts: [what: string, raw: Uint8Array, says: RegExp][] = [
    ['NUL', lengthPrefixed('a\0b', 'c'), /NUL/],
    ['what is no UTF-8', lengthPrefixed(Buffer.from([0xc3, 0x28]), 'c'), /UTF-8/],
    ['half a character', lengthPrefixed(Buffer.from([0xed, 0xa0, 0x80]), 'c'), /UTF-8/],
    ['one string less', lengthPrefixed('abcdefgh'), /2 strings/],
    ['one string more', lengthPrefixed('a', 'b', 'c'), /2 strings/],
    ['a length beyond the end', Buffer.from('ff0000000100000061', 'hex'), /2 strings/],
    ['no lengths at all', new Uint8Array(3), /too few/],
  ]
  for (const [what, raw, says] of texts) {
    test(`BYTES with ${what}: 400`, async () => {
      const answer = await infer(relais, 'string', [
        { name: 'x', datatype: 'BYTES', shape: [1, 2], raw },
      ])
      expect([answer.status, answer.body.error]).toEqual([400, expect.stringMatching(says)])
    })
  }

  test('BYTES of a huge shape takes no memory', async () => {
    const raw = lengthPrefixed('a')
    const shape = [500_000_000, 2]
    const answer = await infer(relais, 'string', [{ name: 'x', datatype: 'BYTES', shape, raw }])
    expect(answer.status).toBe(400)
  })
})

describe('compression', () => {
  const many = Array.from({ length: 2000 }, (_, at) => at)
  const { body, length } = packed([
    { name: 'x', datatype: 'FP32', shape: [1000, 2], raw: bytesOf(new Float32Array(many)) },
  ])
  const header = { 'inference-header-content-length': String(length) }

  test('requests in gzip and deflate; the header length counts unpacked bytes', async () => {
    for (const [coding, bytes] of [
      ['gzip', gzipSync(body)],
      ['deflate', deflateSync(body)],
      ['GZIP', gzipSync(body)],
      ['identity', body],
    ] as const) {
      const headers = { ...header, 'content-encoding': coding }
      const answer = await send(relais, 'float32', bytes, { headers })
      expect([coding, answer.status]).toEqual([coding, 200])
      expect(answer.body.outputs[0].data).toEqual(many)
    }
    const json = gzipSync(JSON.stringify({ inputs: [x(four)] }))
    const headers = { 'content-encoding': 'gzip' }
    expect((await send(relais, 'float32', json, { headers })).body.outputs[0].data).toEqual(four)
  })

  test('another coding is refused with those that are taken', async () => {
    for (const coding of ['br', 'zstd', 'gzip, gzip', 'nonsense']) {
      const headers = { ...header, 'content-encoding': coding }
      const answer = await send(relais, 'float32', brotliCompressSync(body), { headers })
      expect([answer.status, answer.body.code]).toEqual([415, 'request.media-type'])
      expect(answer.headers.get('accept-encoding')).toBe('gzip, deflate')
    }
  })

  test('what is not packed as it says: 400', async () => {
    for (const bytes of [
      body,
      gzipSync(body).subarray(0, 40),
      deflateSync(body),
      new Uint8Array(),
    ]) {
      const headers = { ...header, 'content-encoding': 'gzip' }
      const answer = await send(relais, 'float32', bytes, { headers })
      expect([answer.status, answer.body.code]).toEqual([400, 'request.malformed'])
    }
  })

  test('a bomb is given up at the limit of a body', async () => {
    const bomb = gzipSync(Buffer.alloc(512 << 20))
    expect(bomb.length).toBeLessThan(1 << 20)
    Bun.gc(true)
    const before = process.memoryUsage.rss()
    for (const coding of ['gzip', 'deflate']) {
      const bytes = coding === 'gzip' ? bomb : deflateSync(Buffer.alloc(maxBody + 1))
      const headers = { 'content-encoding': coding }
      const answer = await send(relais, 'float32', bytes, { headers })
      expect([coding, answer.status, answer.body.code]).toEqual([coding, 413, 'request.too-large'])
    }
    expect(process.memoryUsage.rss() - before).toBeLessThan(64 << 20)
    const index = await relais.call('POST', '/v2/repository/index', {
      raw: bomb,
      headers: { 'content-encoding': 'gzip' },
    })
    expect(index.status).toBe(413)
  })

  /** What is really on the wire: fetch would unpack it. */
  async function wire(at: string, accept: string, bytes: Uint8Array) {
    const response = await fetch(`${relais.url}/v2/models/${at}/infer`, {
      method: 'POST',
      body: bytes as Uint8Array<ArrayBuffer>,
      headers: { authorization: `Bearer ${relais.admin}`, 'accept-encoding': accept, ...header },
      decompress: false,
    } as RequestInit)
    return { headers: response.headers, bytes: Buffer.from(await response.arrayBuffer()) }
  }

  test('answers are packed for who names exactly one coding', async () => {
    const plain = await wire('float32', 'identity', body)
    expect(plain.headers.has('content-encoding')).toBe(false)
    for (const [accept, unpack] of [
      ['gzip', gunzipSync],
      ['deflate', inflateSync],
      ['gzip;q=0.5', gunzipSync],
    ] as const) {
      const { headers, bytes } = await wire('float32', accept, body)
      expect(headers.get('content-encoding')).toBe(accept.split(';')[0]!)
      expect(unpack(bytes).equals(plain.bytes)).toBe(true)
    }
    for (const accept of ['gzip, deflate', '*', 'br', 'gzip;q=0', '', 'gzip, identity']) {
      const { headers, bytes } = await wire('float32', accept, body)
      expect([accept, headers.has('content-encoding')]).toEqual([accept, false])
      expect(bytes.equals(plain.bytes)).toBe(true)
    }
  })

  test('the header length of a packed answer counts unpacked bytes', async () => {
    const { body: asked, length: size } = packed(
      [{ name: 'x', datatype: 'FP32', shape: [1000, 2], raw: bytesOf(new Float32Array(many)) }],
      { parameters: { binary_data_output: true } },
    )
    header['inference-header-content-length'] = String(size)
    const { headers, bytes } = await wire('float32', 'gzip', asked)
    header['inference-header-content-length'] = String(length)
    const plain = gunzipSync(bytes)
    const declared = Number(headers.get('inference-header-content-length'))
    expect(plain.length - declared).toBe(8000)
    expect(JSON.parse(plain.subarray(0, declared).toString()).outputs.length).toBe(1)
  })

  test('small answers, metadata, statistics, index and errors never are', async () => {
    const accept = { authorization: `Bearer ${relais.admin}`, 'accept-encoding': 'gzip' }
    const get = ['/v2', '/v2/models', '/v2/models/stats', '/v2/models/breast-cancer/config']
    for (const path of get) {
      const response = await fetch(`${relais.url}${path}`, { headers: accept })
      expect([path, response.headers.has('content-encoding')]).toEqual([path, false])
    }
    for (const [path, raw] of [
      ['/v2/repository/index', '{}'],
      ['/v2/models/float32/infer', JSON.stringify({ inputs: [x(four)] })],
      [
        '/v2/models/float32/infer',
        JSON.stringify({ inputs: [x(Array(2000).fill('x'), [1000, 2])] }),
      ],
    ] as const) {
      const response = await fetch(`${relais.url}${path}`, {
        method: 'POST',
        body: raw,
        headers: accept,
      })
      expect([path, response.headers.has('content-encoding')]).toEqual([path, false])
    }
  })
})

describe('classification', () => {
  const ask = (classification: number, more = {}) => ({
    outputs: [{ name: 'output_probability', parameters: { classification, ...more } }],
  })
  const { rows, outputs } = referenceOf('iris')
  const input = { name: 'X', datatype: 'FP32', shape: [2, 4], data: [...rows[0]!, ...rows.at(-1)!] }
  const scores = [
    outputs['output_probability']![0],
    outputs['output_probability']!.at(-1),
  ] as number[][]

  test('the best classes of each row, with their labels', async () => {
    const { body } = await infer(relais, 'iris', [input], ask(2))
    const [output] = body.outputs
    expect([output.datatype, output.shape]).toEqual(['BYTES', [2, 2]])
    const ranked = scores.flatMap((row) =>
      row
        .map((value, index) => ({ value, index }))
        .sort((a, b) => b.value - a.value || a.index - b.index)
        .slice(0, 2),
    )
    output.data.forEach((text: string, at: number) => {
      const [shown, index, label] = text.split(':')
      expect(Number(index)).toBe(ranked[at]!.index)
      expect(Math.abs(Number(shown) - ranked[at]!.value)).toBeLessThan(1e-5)
      expect(label).toBe(String(ranked[at]!.index))
    })
  })

  test('more classes than there are, and in binary', async () => {
    const { body, raw } = await infer(relais, 'iris', [input], ask(99, { binary_data: true }))
    expect(body.outputs[0].shape).toEqual([2, 3])
    expect(Buffer.from(raw.output_probability!).toString()).toMatch(/1\.000000:0:0/)
  })

  test('without labels, of whole numbers, and of what holds no numbers', async () => {
    const numbers = { name: 'x', datatype: 'INT32', shape: [2, 2], data: [1, 7, 5, 5] }
    const outputs_ = [{ name: 'y', parameters: { classification: 1 } }]
    const { body } = await infer(relais, 'int32', [numbers], { outputs: outputs_ })
    expect(body.outputs[0].data).toEqual(['7:1', '5:0'])
    const half = {
      name: 'x',
      datatype: 'FP16',
      shape: [1, 2],
      raw: bytesOf(new Uint16Array([0x3c00, 0x4000])),
    }
    const halves = await infer(relais, 'float16', [half], { outputs: outputs_ })
    expect(halves.body.outputs[0].data).toEqual(['2.000000:1'])
    const texts = { name: 'x', datatype: 'BYTES', shape: [1, 2], data: ['a', 'b'] }
    const refused = await infer(relais, 'string', [texts], { outputs: outputs_ })
    expect([refused.status, refused.body.error]).toEqual([400, expect.stringMatching(/ranked/)])
  })
})

describe('FP16', () => {
  test('in JSON it is refused on the way in', async () => {
    const rest = { parameters: { binary_data_output: true } }
    const answer = await infer(relais, 'float16', [x(four, [2, 2], 'FP16')], rest)
    expect([answer.status, answer.body.error]).toEqual([400, expect.stringMatching(/as binary/)])
  })

  test('an answer in JSON is refused before it is computed', async () => {
    const raw = bytesOf(new Uint16Array([0x3c00, 0x4000]))
    const answer = await infer(relais, 'float16', [
      { name: 'x', datatype: 'FP16', shape: [1, 2], raw },
    ])
    expect([answer.status, answer.body.error]).toEqual([400, expect.stringMatching(/binary/)])
  })
})

describe('statistics', () => {
  const stats = async (at: string): Promise<any> =>
    (await relais.call<any>('GET', `/v2/models/${at}/stats`)).body.model_stats[0]
  const members = [
    'success',
    'fail',
    'queue',
    'compute_input',
    'compute_infer',
    'compute_output',
    'cache_hit',
    'cache_miss',
  ]

  test('numbers equal the requests that were sent', async () => {
    await serve(relais, 'counted', file('identity-float32'))
    const fresh = await stats('counted')
    expect([fresh.name, fresh.version, fresh.last_inference]).toEqual(['counted', '1', 0])
    const before = Date.now()
    for (let turn = 0; turn < 5; turn += 1) await infer(relais, 'counted', [x(four)])
    await infer(relais, 'counted', [x([1, 2, 3, 4, 5, 6], [3, 2])])
    for (let turn = 0; turn < 2; turn += 1) await infer(relais, 'counted', [x([1], [1, 1])])
    for (const at of ['counted', 'counted/versions/1', 'counted/versions/Production']) {
      const now = await stats(at)
      expect([now.inference_count, now.execution_count]).toEqual([13, 6])
      expect(now.last_inference).toBeGreaterThanOrEqual(before)
      expect(Object.keys(now.inference_stats)).toEqual(members)
      const { success, fail, queue, compute_infer: run, cache_hit: hit } = now.inference_stats
      expect([success.count, fail.count, queue.count, run.count]).toEqual([6, 2, 6, 6])
      expect(success.ns).toBeGreaterThan(run.ns)
      expect(hit).toEqual({ count: 0, ns: 0 })
      const sizes = now.batch_stats.map((b: any) => [b.batch_size, b.compute_infer.count])
      expect(sizes).toEqual([
        [2, 5],
        [3, 1],
      ])
      expect(now.response_stats['0'].success.count).toBe(6)
      expect(now.memory_usage).toEqual([{ type: 'CPU', id: 0, byte_size: expect.any(Number) }])
    }
    const all = (await relais.call<any>('GET', '/v2/models/stats')).body.model_stats
    expect(all.find(({ name }: any) => name === 'counted').inference_count).toBe(13)
  })
})
