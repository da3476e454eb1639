// The prediction door: KServe V1 and TensorFlow Serving's REST (RULES §23, §27, §34).
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliCompressSync } from 'node:zlib'

import { model as onnxModel, node, types, unary, value } from './support/onnx.ts'
import {
  agrees,
  type Answer,
  examples,
  referenceOf,
  type Relais,
  startRelais,
  testModels,
} from './support/relais.ts'

const maxBody = 16 << 20
let relais: Relais
const file = (name: string): string => join(testModels, `${name}.onnx`)

/** Pushes a file and makes it live. */
async function serve(name: string, path: string, metadata: object = {}): Promise<void> {
  const pushed = await relais.push(name, path, metadata as Record<string, unknown>)
  expect([name, pushed.status, pushed.body.detail]).toEqual([name, 201, undefined])
  expect((await relais.promote(name, pushed.body.version, 'Production')).status).toBe(200)
}

function serveBytes(name: string, bytes: Uint8Array, metadata: object = {}): Promise<void> {
  const path = join(relais.data, `${name}.onnx`)
  writeFileSync(path, bytes)
  return serve(name, path, metadata)
}

const post = (name: string, body: unknown, at = ''): Promise<Answer<any>> =>
  relais.call('POST', `/v1/models/${name}${at}:predict`, { body })

const postText = (name: string, raw: string): Promise<Answer<any>> =>
  relais.call('POST', `/v1/models/${name}:predict`, {
    raw,
    headers: { 'content-type': 'application/json' },
  })

/** What is wrong, as [pointer, code] pairs; every flaw must have a message as well. */
function flawsOf(answer: Answer<any>): [string, string][] {
  expect([answer.status, answer.body.code]).toEqual([422, 'input.invalid'])
  for (const flaw of answer.body.errors) {
    expect(Object.keys(flaw).sort()).toEqual(['code', 'message', 'pointer'])
    expect(flaw.message.length).toBeGreaterThan(5)
  }
  return answer.body.errors.map((flaw: any) => [flaw.pointer, flaw.code])
}

beforeAll(async () => {
  relais = await startRelais({ 'max-body': '16MB' })
  for (const name of ['iris', 'customers']) {
    expect((await relais.pushExample(name, name)).status).toBe(201)
    expect((await relais.promote(name, 1, 'Production')).status).toBe(200)
  }
  await serve('multi', file('multi'))
  await serve('identity', file('identity-float32'))
}, 30_000)
afterAll(() => relais.close())

describe('answers', () => {
  const iris = referenceOf('iris')
  const [row = []] = iris.rows
  const named = Object.fromEntries(iris.columns.map((column, at) => [column, row[at]]))

  test('by name, by position and mixed are the same', async () => {
    const answer = await post('iris', { instances: [named, row, named] })
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toStartWith('application/json')
    const [first, second, third] = answer.body.predictions
    expect([first, third]).toEqual([second, second])
    expect(agrees(first.output_probability, iris.outputs['output_probability']?.[0])).toBe(true)
  })

  test('every answer names its request, model and version', async () => {
    const answers = await Promise.all([
      post('iris', { instances: [row] }),
      post('iris', { instances: [row] }, '/versions/1'),
      post('iris', { inputs: [row] }),
    ])
    for (const { body } of answers) {
      expect(body.id).toMatch(
        /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
      )
      expect([body.model_name, body.model_version]).toEqual(['iris', '1'])
    }
    expect(new Set(answers.map(({ body }) => body.id)).size).toBe(3)
  })

  test('several outputs: an object per row, and whole tensors for inputs', async () => {
    const rows = [{ a_0: 1, a_1: 2, a_2: 3, b_0: 4, b_1: 5, b_2: 6 }, [1, 0, 0, 7, 8, 9]]
    const byRow = await post('multi', { instances: rows })
    expect(byRow.body.predictions).toEqual([
      { sum: [5, 7, 9], dot: 32 },
      { sum: [8, 8, 9], dot: 7 },
    ])
    const whole = await post('multi', {
      inputs: {
        b: [
          [4, 5, 6],
          [7, 8, 9],
        ],
        a: [
          [1, 2, 3],
          [1, 0, 0],
        ],
      },
    })
    expect(whole.body.outputs).toEqual({
      sum: [
        [5, 7, 9],
        [8, 8, 9],
      ],
      dot: [32, 7],
    })
    expect('predictions' in whole.body).toBe(false)
  })

  test('one output: bare rows, and a bare tensor for inputs', async () => {
    const rows = [
      [1, 2],
      [3, 4],
    ]
    expect((await post('identity', { instances: rows })).body.predictions).toEqual(rows)
    expect((await post('identity', { inputs: rows })).body.outputs).toEqual(rows)
    expect((await post('identity', { inputs: { x: rows } })).body.outputs).toEqual(rows)
  })

  test('a scalar input beside a table', async () => {
    await serve('scalar', file('scalar'))
    const x = [
      [1, 2],
      [3, 4],
    ]
    const answer = await post('scalar', { inputs: { x, k: 3 } })
    expect(answer.body.outputs).toEqual([
      [3, 6],
      [9, 12],
    ])
    expect(flawsOf(await post('scalar', { inputs: { x, k: [3] } }))).toEqual([
      ['/inputs/k', 'shape'],
    ])
    expect(flawsOf(await post('scalar', { inputs: { x, k: 1.5 } }))).toEqual([
      ['/inputs/k', 'type'],
    ])
    expect(flawsOf(await post('scalar', { instances: [{ x: [1, 2], k: 3 }] }))).toEqual([
      ['/instances', 'shape'],
    ])
  })

  const exact: Record<string, string> = {
    float32: '[[1.5,-2],[3.4028234663852886e+38,0]]',
    float64: '[[1.1,-2],[1.7976931348623157e+308,5e-324]]',
    float16: '[[1.5,-2],[65504,0.25]]',
    int8: '[[-128,127],[0,1]]',
    int16: '[[-32768,32767],[0,1]]',
    int32: '[[-2147483648,2147483647],[0,1]]',
    int64: '[[-9223372036854775808,9223372036854775807],[9007199254740993,-9007199254740993]]',
    uint8: '[[0,255],[1,2]]',
    uint16: '[[0,65535],[1,2]]',
    uint32: '[[0,4294967295],[1,2]]',
    uint64: '[[0,18446744073709551615],[9007199254740993,9223372036854775808]]',
    bool: '[[true,false],[false,true]]',
    string: '[["","Zoë"],["日本語 🚀","a\\"b\\\\c\\nd"]]',
  }
  for (const [type, tensor] of Object.entries(exact)) {
    test(`${type} goes in and comes out unchanged in both forms`, async () => {
      const name = `identity-${type}`
      if (type !== 'float32') await serve(name, file(name))
      const at = type === 'float32' ? 'identity' : name
      // Compared as text: JSON.parse here would round what the server kept.
      const rows = await postText(at, `{"instances":${tensor}}`)
      expect(rows.text).toStartWith(`{"predictions":${tensor},`)
      const whole = await postText(at, `{"inputs":{"x":${tensor}}}`)
      expect(whole.text).toStartWith(`{"outputs":${tensor},`)
    })
  }

  test('64-bit integers outside their type, fractions and exponents', async () => {
    const wrong = async (type: string, text: string): Promise<[string, string][]> =>
      flawsOf(await postText(`identity-${type}`, `{"instances":[[0,${text}]]}`))
    expect(await wrong('int64', '9223372036854775808')).toEqual([['/instances/0/1', 'range']])
    expect(await wrong('int64', '-9223372036854775809')).toEqual([['/instances/0/1', 'range']])
    expect(await wrong('uint64', '18446744073709551616')).toEqual([['/instances/0/1', 'range']])
    expect(await wrong('uint64', '-1')).toEqual([['/instances/0/1', 'range']])
    expect(await wrong('int64', '0.5')).toEqual([['/instances/0/1', 'type']])
    expect(await wrong('int64', '"9007199254740993"')).toEqual([['/instances/0/1', 'type']])
    const strings = '{"instances":[["9007199254740993","1e400"]]}'
    expect((await postText('identity-string', strings)).text).toInclude(
      '"9007199254740993","1e400"',
    )
  })

  test('§23: an integer that is written as a fraction is not rounded in silence', async () => {
    const text = '{"instances":[[0,9007199254740993.0]]}'
    const answer = await postText('identity-int64', text)
    if (answer.status === 200) expect(answer.text).toInclude('9007199254740993')
    else expect(answer.status).toBe(422)
  })

  test('NUL in a string is refused, not cut', async () => {
    const answer = await post('identity-string', { instances: [['a\0b', 'c']] })
    expect(flawsOf(answer)).toEqual([['/instances/0/0', 'string']])
  })

  test('NaN and infinities come out as null', async () => {
    await serveBytes('log', unary('Log'))
    const answer = await post('log', {
      instances: [
        [0, -1],
        [1, 1],
      ],
    })
    expect(answer.body.predictions).toEqual([
      [null, null],
      [0, 0],
    ])
  })

  test('§34: Silero VAD keeps its state over three windows', async () => {
    const silero = JSON.parse(readFileSync(join(testModels, 'silero.json'), 'utf8'))
    const path = join(import.meta.dir, '../node_modules', silero.package.replace(/@[\d.]+$/, ''))
    await serve('silero', join(path, silero.file))
    let state: unknown = [[Array(128).fill(0)], [Array(128).fill(0)]]
    for (const step of silero.steps) {
      const inputs = { input: [step.input], state, sr: 16000 }
      const { status, body } = await post('silero', { inputs })
      expect(status).toBe(200)
      expect(agrees(body.outputs.output.flat(9), step.output.data)).toBe(true)
      expect(agrees(body.outputs.stateN.flat(9), step.stateN.data)).toBe(true)
      state = body.outputs.stateN
    }
    expect(silero.steps.length).toBe(3)
  })

  for (const name of ['breast-cancer', 'customers', 'diabetes', 'iris']) {
    test(`§34: ${name} equals scikit-learn row by row and as whole tensors`, async () => {
      const reference = referenceOf(name)
      if (!['customers', 'iris'].includes(name)) {
        await relais.pushExample(name, name)
        await relais.promote(name, 1, 'Production')
      }
      const rows = reference.rows.map((cells) =>
        Object.fromEntries(reference.columns.map((column, at) => [column, cells[at]])),
      )
      const { status, body } = await post(name, { instances: rows })
      expect(status).toBe(200)
      const outputs = Object.entries(reference.outputs)
      const wrong = rows.filter((_, at) =>
        outputs.some(([output, expected]) => {
          const given =
            outputs.length === 1 ? body.predictions[at][0] : body.predictions[at][output]
          return !agrees(given, expected[at])
        }),
      )
      expect(wrong).toEqual([])
      const schema = JSON.parse(readFileSync(join(examples, name, 'schema.json'), 'utf8'))
      const inputs: Record<string, unknown[][]> = {}
      for (const [at, column] of schema.columns.entries()) {
        inputs[column.input] ??= reference.rows.map(() => [])
        reference.rows.forEach((cells, row) => {
          inputs[column.input]![row]![column.index] = cells[at]
        })
      }
      const whole = await post(name, { inputs })
      expect([name, whole.status, whole.body.errors]).toEqual([name, 200, undefined])
      for (const [output, expected] of outputs) {
        const given = outputs.length === 1 ? whole.body.outputs.flat() : whole.body.outputs[output]
        expect(agrees(given, expected)).toBe(true)
      }
    })
  }
})

describe('which version', () => {
  const { rows } = referenceOf('iris')
  beforeAll(async () => {
    await relais.pushExample('staged', 'iris')
    await relais.pushExample('staged', 'iris-v2')
    await relais.pushExample('staged', 'iris')
    await relais.promote('staged', 1, 'Production')
    await relais.promote('staged', 2, 'Staging')
    for (const alias of ['candidate', 'Blue']) {
      const set = await relais.call('PUT', `/api/v1/models/staged/aliases/${alias}`, {
        body: { version: 3 },
      })
      expect(set.status).toBeLessThan(300)
    }
  })

  test('versions by number, stages and aliases by label', async () => {
    const table: [string, string][] = [
      ['', '1'],
      ['/versions/1', '1'],
      ['/versions/2', '2'],
      ['/versions/3', '3'],
      ['/labels/Production', '1'],
      ['/labels/production', '1'],
      ['/labels/Staging', '2'],
      ['/labels/STAGING', '2'],
      ['/labels/candidate', '3'],
      ['/labels/Blue', '3'],
    ]
    for (const [at, version] of table) {
      const answer = await post('staged', { instances: rows.slice(0, 1) }, at)
      expect([at, answer.status, answer.body.model_version]).toEqual([at, 200, version])
    }
  })

  test('what is not there is 404, a label is no number', async () => {
    const table: [string, string][] = [
      ['/versions/9', 'version.not-found'],
      ['/versions/0', 'version.not-found'],
      ['/versions/99999999999', 'version.not-found'],
      ['/labels/nobody', 'version.not-found'],
      ['/labels/3', 'route.not-found'],
      ['/versions/Production', 'route.not-found'],
      ['/versions/1/2', 'route.not-found'],
    ]
    for (const [at, code] of table) {
      const answer = await post('staged', { instances: rows.slice(0, 1) }, at)
      expect([at, answer.status, answer.body.code]).toEqual([at, 404, code])
    }
  })

  test('§27: metadata in the words of KServe and of TensorFlow Serving', async () => {
    const list = await relais.call('GET', '/v1/models')
    expect(list.status).toBe(200)
    expect(list.body.models).toContain('staged')
    const one = await relais.call('GET', '/v1/models/staged')
    expect([one.body.name, one.body.ready]).toEqual(['staged', true])
    const status = { error_code: 'OK', error_message: '' }
    expect(one.body.model_version_status).toContainEqual({
      version: '1',
      state: 'AVAILABLE',
      status,
    })
    for (const [at, version] of [
      ['/versions/2', '2'],
      ['/labels/Staging', '2'],
      ['/labels/staging', '2'],
      ['/labels/Production', '1'],
    ]) {
      const { status: code, body } = await relais.call('GET', `/v1/models/staged${at}`)
      expect([at, code]).toEqual([at, 200])
      expect(body.model_version_status.map((entry: any) => entry.version)).toEqual([version])
    }
    expect((await relais.call('GET', '/v1/models/staged/versions/9')).status).toBe(404)
    expect((await relais.call('GET', '/v1/models/nobody')).body.code).toBe('model.not-found')
  })

  test('§27: a model without a Production version is 404 stage.empty', async () => {
    await relais.pushExample('unpromoted', 'iris')
    const answer = await post('unpromoted', { instances: rows.slice(0, 1) })
    expect([answer.status, answer.body.code]).toEqual([404, 'stage.empty'])
    expect(answer.body.error).toBe(answer.body.detail)
    const staging = await post('unpromoted', { instances: rows.slice(0, 1) }, '/labels/Staging')
    expect([staging.status, staging.body.code]).toEqual([404, 'stage.empty'])
    const { body } = await relais.call('GET', '/v1/models/unpromoted')
    expect([body.ready, body.model_version_status]).toEqual([false, []])
  })

  test('a model nobody knows is 404 model.not-found', async () => {
    const answer = await post('nobody', { instances: [[1]] })
    expect([answer.status, answer.body.code]).toEqual([404, 'model.not-found'])
  })

  test('names are percent-encoded, and bad encoding is 400', async () => {
    const name = 'Größe & Co 100%'
    await serveBytes('plain', unary('Neg'))
    const pushed = await relais.push(name, join(relais.data, 'plain.onnx'))
    expect(pushed.status).toBe(201)
    await relais.promote(name, 1, 'Production')
    const answer = await relais.predict(name, [[1, 2]])
    expect([answer.status, answer.body.model_name]).toEqual([200, name])
    const broken = await relais.call('POST', '/v1/models/%E0%A4%A:predict', { body: {} })
    expect([broken.status, broken.body.code]).toEqual([400, 'request.malformed'])
  })
})

describe('who may ask', () => {
  test('401 without a token, 403 for another model or role, 200 with the right one', async () => {
    const { rows } = referenceOf('iris')
    const instances = rows.slice(0, 1)
    const mine = await relais.token('predictor', { models: ['iris'] })
    const other = await relais.token('predictor', { sub: 'other', models: ['churn-*'] })
    const viewer = await relais.token('viewer')
    const call = (token: string | null) =>
      relais.call('POST', '/v1/models/iris:predict', { token, body: { instances } })
    expect((await call(null)).status).toBe(401)
    expect((await call('nonsense')).status).toBe(401)
    expect((await call(other)).status).toBe(403)
    expect((await call(viewer)).status).toBe(403)
    expect((await call(mine)).status).toBe(200)
    const refused = await call(other)
    expect(refused.body.error).toBe(refused.body.detail)
    const seen = await relais.call('GET', '/v1/models', { token: mine })
    expect(seen.body.models).toEqual(['iris'])
    expect((await relais.call('GET', '/v1/models/iris', { token: other })).status).toBe(403)
  })

  test('a caller without the right learns nothing about which models exist', async () => {
    const other = await relais.token('predictor', { sub: 'other', models: ['churn-*'] })
    const call = (name: string) =>
      relais.call('POST', `/v1/models/${name}:predict`, { token: other, body: {} })
    expect([(await call('iris')).status, (await call('no-such-model')).status]).toEqual([403, 403])
  })
})

describe('faults', () => {
  test('§27: problem+json with the member error', async () => {
    const answer = await post('iris', { instances: [[1]] })
    expect(answer.status).toBe(422)
    expect(answer.headers.get('content-type')).toStartWith('application/problem+json')
    const { type, title, status, detail, instance, error } = answer.body
    expect([type, status, error]).toEqual(['urn:relais:fault:input.invalid', 422, detail])
    expect(title.length).toBeGreaterThan(0)
    expect(instance).toBe(answer.headers.get('x-request-id'))
  })

  test('each place: unknown, missing, null, type, range, allowed, length', async () => {
    const good = {
      plan: 'basic',
      contract: 'monthly',
      region: 'east',
      tenure_months: 12,
      support_calls: 1,
      monthly_charges: 20.5,
      satisfaction: null,
    }
    const { plan: _plan, ...withoutPlan } = good
    const answer = await post('customers', {
      instances: [
        good,
        { ...good, colour: 'red' },
        withoutPlan,
        { ...good, plan: null },
        { ...good, tenure_months: '12' },
        { ...good, tenure_months: 1.5 },
        { ...good, tenure_months: -1 },
        { ...good, monthly_charges: 501 },
        { ...good, region: 'moon' },
        { ...good, support_calls: true },
        ['basic'],
        'basic',
        { ...good, satisfaction: 6 },
      ],
    })
    expect(flawsOf(answer)).toEqual([
      ['/instances/1/colour', 'unknown'],
      ['/instances/2/plan', 'missing'],
      ['/instances/3/plan', 'null'],
      ['/instances/4/tenure_months', 'type'],
      ['/instances/5/tenure_months', 'type'],
      ['/instances/6/tenure_months', 'min'],
      ['/instances/7/monthly_charges', 'max'],
      ['/instances/8/region', 'allowed'],
      ['/instances/9/support_calls', 'type'],
      ['/instances/10', 'length'],
      ['/instances/11', 'type'],
      ['/instances/12/satisfaction', 'max'],
    ])
    expect((await post('customers', { instances: [good] })).status).toBe(200)
  })

  test('all faults up to 50, and not one more', async () => {
    const wrong = (count: number) => Array.from({ length: count }, () => ['x', 1, 1, 1])
    expect(flawsOf(await post('iris', { instances: wrong(49) })).length).toBe(49)
    expect(flawsOf(await post('iris', { instances: wrong(51) })).length).toBe(50)
    expect(flawsOf(await post('iris', { instances: wrong(20_000) })).length).toBe(50)
  })

  test('ragged and misshapen tensors', async () => {
    expect(flawsOf(await post('identity', { inputs: { x: [[1, 2], [3]] } }))).toEqual([
      ['/inputs/x/1', 'shape'],
    ])
    expect(flawsOf(await post('identity', { inputs: { x: [1, 2] } }))).toEqual([
      ['/inputs/x', 'shape'],
    ])
    expect(flawsOf(await post('identity', { inputs: { x: [] } }))).toEqual([['/inputs/x', 'shape']])
    expect(flawsOf(await post('identity', { inputs: { y: [[1, 2]] } }))).toEqual([
      ['/inputs/y', 'unknown'],
      ['/inputs/x', 'missing'],
    ])
    expect(flawsOf(await post('multi', { inputs: { a: [[1, 2, 3]], b: [] } })).length).toBe(1)
  })

  test('inputs of a table must have equally many rows, named dimensions or not', async () => {
    const reference = referenceOf('customers')
    const inputs: Record<string, unknown> = {}
    reference.columns.forEach((column, at) => {
      inputs[column] = [[reference.rows[0]![at]]]
    })
    inputs['monthly_charges'] = [[20], [30]]
    expect(flawsOf(await post('customers', { inputs }))).toEqual([
      ['/inputs/monthly_charges', 'shape'],
    ])
  })

  test('hostile column names are unknown columns', async () => {
    const row = '"f0": 1, "f1": 2'
    for (const key of ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf', '']) {
      const answer = await postText('identity', `{"instances":[{${row}, "${key}": {"f0": 3}}]}`)
      expect(flawsOf(answer)).toEqual([[`/instances/0/${key}`, 'unknown']])
    }
    const inherited = await postText(
      'identity',
      '{"instances":[{"__proto__": {"f0": 1, "f1": 2}}]}',
    )
    expect(flawsOf(inherited)).toEqual([
      ['/instances/0/f0', 'missing'],
      ['/instances/0/f1', 'missing'],
      ['/instances/0/__proto__', 'unknown'],
    ])
    expect(({} as Record<string, unknown>)['f0']).toBeUndefined()
  })

  test('columns that are named like members of Object.prototype work', async () => {
    const columns = [{ name: '__proto__' }, { name: 'toString' }]
    await serveBytes('proto', unary('Neg'), { schema: { columns } })
    const answer = await postText(
      'proto',
      '{"instances":[{"__proto__": 1, "toString": 2}, [3, 4]]}',
    )
    expect(answer.body.predictions).toEqual([
      [-1, -2],
      [-3, -4],
    ])
    expect(flawsOf(await postText('proto', '{"instances":[{}]}'))).toEqual([
      ['/instances/0/__proto__', 'missing'],
      ['/instances/0/toString', 'missing'],
    ])
  })

  test('both forms, neither, or no object at all: 422', async () => {
    for (const body of [
      { instances: [[1, 2]], inputs: [[1, 2]] },
      {},
      [],
      [[1, 2]],
      'text',
      7,
      null,
    ]) {
      const answer = await post('identity', body)
      expect([JSON.stringify(body), answer.status]).toEqual([JSON.stringify(body), 422])
      expect(answer.body.errors.length).toBe(1)
    }
    for (const instances of [[], {}, 'x', null]) {
      expect(flawsOf(await post('identity', { instances }))).toEqual([['/instances', 'type']])
    }
  })

  test('no body and no JSON: 400', async () => {
    for (const raw of [
      '',
      '{',
      '{"instances": [[1, 2]]',
      'instances=1',
      '{"instances": [[NaN, 1]]}',
    ]) {
      for (const name of ['identity', 'identity-int64']) {
        const answer = await postText(name, raw)
        expect([raw, answer.status, answer.body.code]).toEqual([raw, 400, 'request.malformed'])
      }
    }
    const bare = await relais.call('POST', '/v1/models/identity:predict')
    expect(bare.status).toBe(400)
  })

  test('numbers beyond any float are refused', async () => {
    const answer = await postText('identity', '{"instances":[[1e400, -1e400]]}')
    expect(flawsOf(answer)).toEqual([
      ['/instances/0/0', 'finite'],
      ['/instances/0/1', 'finite'],
    ])
    expect(flawsOf(await postText('identity', '{"instances":[[1e39, 0]]}'))).toEqual([
      ['/instances/0/0', 'range'],
    ])
    const digits = '9'.repeat(400)
    const wide = await postText('identity-int64', `{"instances":[[1, ${digits}]]}`)
    expect(flawsOf(wide)).toEqual([['/instances/0/1', 'finite']])
  })

  test('405 with another method, 404 for another path', async () => {
    for (const [method, path] of [
      ['GET', '/v1/models/iris:predict'],
      ['PUT', '/v1/models/iris:predict'],
      ['DELETE', '/v1/models/iris:predict'],
      ['POST', '/v1/models/iris'],
      ['POST', '/v1/models'],
    ]) {
      const answer = await relais.call(method!, path!)
      expect([method, path, answer.status, answer.body.code]).toEqual([
        method,
        path,
        405,
        'request.method',
      ])
    }
    for (const path of ['/v1/models/', '/v1/models/iris:explain', '/v1/models/iris/versions']) {
      expect([path, (await relais.call('POST', path)).status]).toEqual([
        path,
        path.endsWith(':explain') ? 405 : 404,
      ])
    }
  })
})

describe('hostile bodies', () => {
  const send = (
    raw: string | Uint8Array | FormData | ReadableStream<Uint8Array>,
    headers: Record<string, string> = {},
    name = 'identity',
  ) =>
    relais.call<any>('POST', `/v1/models/${name}:predict`, {
      raw: raw as never,
      headers: { 'content-type': 'application/json', ...headers },
    })

  /** Chunks without a Content-Length. */
  const stream = (bytes: Uint8Array, size: number): ReadableStream<Uint8Array> => {
    let at = 0
    return new ReadableStream({
      pull(controller) {
        if (at >= bytes.length) controller.close()
        else {
          controller.enqueue(bytes.subarray(at, at + size))
          at += size
        }
      },
    })
  }
  const body = Buffer.from('{"instances": [[1, 2], [3, 4]]}')

  test('10 MB of [ is refused at once and costs no memory', async () => {
    const bomb = Buffer.alloc(10 << 20, '[')
    for (const name of ['identity', 'identity-int64']) {
      Bun.gc(true)
      const before = process.memoryUsage.rss()
      const started = performance.now()
      const answer = await send(bomb, {}, name)
      expect([answer.status, answer.body.code]).toEqual([400, 'request.malformed'])
      expect(performance.now() - started).toBeLessThan(1000)
      expect(process.memoryUsage.rss() - before).toBeLessThan(100 << 20)
    }
    const nested = `{"instances": ${'['.repeat(70)}1${']'.repeat(70)}, "pad": "${'x'.repeat(20_000)}"}`
    expect((await send(nested)).status).toBe(400)
    const inText = `{"instances": [[1, 2]], "pad": "${'[{\\"'.repeat(20_000)}"}`
    expect((await send(inText)).status).toBe(200)
  })

  test('a small body nested deep is refused without harm', async () => {
    const deep = `{"instances": ${'['.repeat(8000)}${']'.repeat(8000)}}`
    for (const name of ['identity', 'identity-int64']) {
      const { status } = await send(deep, {}, name)
      expect([400, 422]).toContain(status)
    }
  })

  test('a body over the limit is 413, with and without a length', async () => {
    const big = Buffer.alloc(maxBody + 1, ' ')
    expect((await send(big)).status).toBe(413)
    const answer = await send(stream(big, 1 << 16))
    expect([answer.status, answer.body.code]).toEqual([413, 'request.too-large'])
    const fits = Buffer.concat([Buffer.alloc(1 << 20, ' '), body])
    expect((await send(fits)).status).toBe(200)
  })

  test('chunks without a length, down to single bytes', async () => {
    for (const size of [1, 7, 1000]) {
      const answer = await send(stream(body, size))
      expect([size, answer.status, answer.body.predictions]).toEqual([
        size,
        200,
        [
          [1, 2],
          [3, 4],
        ],
      ])
    }
  })

  test('a compressed body is 415, not a riddle', async () => {
    for (const [encoding, bytes] of [
      ['gzip', Bun.gzipSync(body)],
      ['deflate', Bun.deflateSync(body)],
      ['br', brotliCompressSync(body)],
    ] as const) {
      const answer = await send(bytes, { 'content-encoding': encoding })
      expect([encoding, answer.status]).toEqual([encoding, 415])
    }
    expect((await send(body, { 'content-encoding': 'identity' })).status).toBe(200)
  })

  test('no answer repeats what was sent or shows what is inside', async () => {
    const secret = 'S3CRET-VALUE'
    for (const raw of [
      `{"instances": [["${secret}", 1]]}`,
      `{"instances": "${secret}"}`,
      `{"${secret}`,
      `{"inputs": {"x": "${secret}"}}`,
    ]) {
      const { text, status } = await send(raw)
      expect(status).toBeLessThan(500)
      expect(text).not.toInclude(secret)
      expect(text).not.toMatch(/\.ts|node_modules|\/work|\/tmp|at async/)
    }
  })

  test('the server is as well as before', async () => {
    expect((await send(body)).status).toBe(200)
  })
})

test('a model whose input is a bare [N] takes bare values, and none at all without harm', async () => {
  const vector = onnxModel({
    nodes: [node('Neg', ['x'], ['y'])],
    inputs: [value('x', types.float, ['N'])],
    outputs: [value('y', types.float, ['N'])],
  })
  await serveBytes('vector', vector)
  expect((await post('vector', { inputs: { x: [1, 2, 3] } })).body.outputs).toEqual([-1, -2, -3])
  expect((await post('vector', { instances: [1, 2] })).body.predictions).toEqual([-1, -2])
  const empty = await post('vector', { inputs: { x: [] } })
  expect([200, 422]).toContain(empty.status)
})
