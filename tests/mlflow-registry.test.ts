// MLflow's registry door: its 19 endpoints without the searches, as its clients call them.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { until } from './support/faults.ts'
import {
  type Call,
  makeLoggedModel,
  makeRun,
  mlflowOf,
  mlModel,
  putFiles,
} from './support/mlflow-api.ts'
import * as onnx from './support/onnx.ts'
import { type Relais, startRelais, testModels } from './support/relais.ts'

const bytesOf = (name: string): Uint8Array => readFileSync(join(testModels, `${name}.onnx`))
const identity = bytesOf('identity-float32')
let runId: string
let modelId: string

let relais: Relais
let call: Call
const tokens: Record<string, string> = {}

beforeAll(async () => {
  relais = await startRelais({ 'stage-grace': '2s' })
  call = mlflowOf(relais)
  for (const role of ['viewer', 'data-scientist', 'ml-lead', 'ci', 'predictor'] as const) {
    tokens[role] = await relais.token(role)
  }
  tokens['narrow'] = await relais.token('ml-lead', { sub: 'narrow', models: ['n-*'] })
  runId = (await makeRun(call)).id
  const logged = await makeLoggedModel(call, 'model', runId)
  modelId = logged.id
  await putFiles(relais, logged.folder, {
    MLmodel: mlModel(),
    'model.onnx': identity,
    'conda.yaml': '',
  })
})
afterAll(() => relais.close())

/** What must succeed. */
async function done(...args: Parameters<Call>): Promise<any> {
  const { status, body } = await call(...args)
  expect([args[1], status, body]).toEqual([args[1], 200, body])
  return body
}

/** Makes a model with that many versions, each the same small ONNX model. */
async function made(name: string, versions = 0, token?: string): Promise<void> {
  await done('POST', 'registered-models/create', { name }, token)
  for (let at = 0; at < versions; at += 1) {
    await done('POST', 'model-versions/create', { name, source: `models:/${modelId}` }, token)
  }
}

/** Registers a folder of files as the next version of a model that is made if need be. */
async function registered(name: string, files: Record<string, string | Uint8Array>): Promise<any> {
  await call('POST', 'registered-models/create', { name })
  await putFiles(relais, `9/${name}`, files)
  return call('POST', 'model-versions/create', { name, source: `mlflow-artifacts:/9/${name}` })
}

const moved = (name: string, version: number, stage: string, more = {}, token?: string) =>
  call(
    'POST',
    'model-versions/transition-stage',
    { name, version: String(version), stage, ...more },
    token,
  )

const stagesOf = async (name: string): Promise<string[]> => {
  const { body } = await relais.call('GET', `/api/v1/models/${name}/versions`)
  return body.versions
    .toReversed()
    .map((one: { version: number; stage: string }) => `${one.version} ${one.stage}`)
}

/** Gauges that speak of what is loaded of a model. */
const seriesOf = async (name: string): Promise<string[]> =>
  (await relais.call('GET', '/metrics')).text
    .split('\n')
    .filter((line) => line.includes(`model="${name}"`) && /_(loaded|fallback|info)/.test(line))
    .map((line) => line.split('{')[0]!)

const servedBy = async (name: string): Promise<unknown> =>
  (await relais.predict(name, [[1, 2]])).body.model_version

describe('every endpoint answers what is wrong in MLflow’s words', () => {
  beforeAll(async () => {
    await made('e', 2)
    await made('n-e')
  })
  const absent = {
    name: 'absent',
    version: '1',
    key: 'k',
    alias: 'a',
    new_name: 'z',
    stage: 'None',
  }
  const known = { ...absent, name: 'e', source: 'models:/e/1', value: 'v' }
  const endpoints: [string, string, string[]][] = [
    ['POST', 'registered-models/create', ['name']],
    ['POST', 'registered-models/rename', ['name', 'new_name']],
    ['PATCH', 'registered-models/update', ['name']],
    ['DELETE', 'registered-models/delete', ['name']],
    ['GET', 'registered-models/get', ['name']],
    ['POST', 'registered-models/get-latest-versions', ['name']],
    ['GET', 'registered-models/get-latest-versions', ['name']],
    ['POST', 'registered-models/set-tag', ['name', 'key']],
    ['DELETE', 'registered-models/delete-tag', ['name', 'key']],
    ['POST', 'registered-models/alias', ['name', 'alias', 'version']],
    ['DELETE', 'registered-models/alias', ['name', 'alias']],
    ['GET', 'registered-models/alias', ['name', 'alias']],
    ['POST', 'model-versions/create', ['name', 'source']],
    ['PATCH', 'model-versions/update', ['name', 'version']],
    ['POST', 'model-versions/transition-stage', ['name', 'version', 'stage']],
    ['DELETE', 'model-versions/delete', ['name', 'version']],
    ['GET', 'model-versions/get', ['name', 'version']],
    ['GET', 'model-versions/get-download-uri', ['name', 'version']],
    ['POST', 'model-versions/set-tag', ['name', 'version', 'key']],
    ['DELETE', 'model-versions/delete-tag', ['name', 'version', 'key']],
  ]
  for (const [method, path, required] of endpoints) {
    test(`${method} ${path}`, async () => {
      for (const field of required) {
        const { [field as 'name']: _left, ...rest } = known
        const { status, body } = await call(method, path, rest)
        expect([status, body.error_code]).toEqual([400, 'INVALID_PARAMETER_VALUE'])
        expect(body.message).toInclude(`Missing value for required parameter '${field}'`)
      }
      if (!path.endsWith('models/create')) {
        const gone = await call(method, path, { ...known, name: 'absent' })
        expect([gone.status, gone.body.error_code]).toEqual([404, 'RESOURCE_DOES_NOT_EXIST'])
        const what =
          path.startsWith('model-versions') && !path.endsWith('create')
            ? 'Model Version (name=absent, version=1)'
            : 'Registered Model with name=absent'
        expect(gone.body.message).toInclude(`${what} not found`)
      }
      if (required.includes('version')) {
        for (const version of ['x', '1.0', ' 1', '1'.repeat(10)]) {
          const odd = await call(method, path, { ...known, version })
          expect([odd.status, odd.body.error_code]).toEqual([400, 'INVALID_PARAMETER_VALUE'])
          expect(odd.body.message).toInclude("Parameter 'version' must be an integer")
        }
        for (const version of ['99', '0', '-1']) {
          const gone = await call(method, path, { ...known, version })
          expect([gone.status, gone.body.error_code]).toEqual([404, 'RESOURCE_DOES_NOT_EXIST'])
          const what = `Model Version (name=e, version=${version}) not found`
          expect(gone.body.message).toInclude(what)
        }
      }
      for (const name of ['a/b', 'a:b', '..', '  ']) {
        const odd = await call(method, path, { ...known, name })
        expect([name, odd.status, odd.body.error_code]).toEqual([
          name,
          400,
          'INVALID_PARAMETER_VALUE',
        ])
      }
      const refused = method === 'GET' || path.endsWith('latest-versions') ? 'predictor' : 'viewer'
      for (const token of [tokens[refused], tokens['narrow']]) {
        const { status, body } = await call(method, path, known, token)
        expect([status, body.error_code]).toEqual([403, 'PERMISSION_DENIED'])
      }
    })
  }
})

describe('registered models', () => {
  test('one is created, read, edited, renamed and deleted', async () => {
    const tags = [
      { key: 'a', value: '1' },
      { key: 'b', value: '' },
    ]
    const first = await done('POST', 'registered-models/create', {
      name: 'r',
      description: 'd',
      tags,
    })
    const times = {
      creation_timestamp: expect.any(Number),
      last_updated_timestamp: expect.any(Number),
    }
    expect(first).toEqual({ registered_model: { name: 'r', description: 'd', tags, ...times } })
    const again = await call('POST', 'registered-models/create', { name: 'r' })
    expect([again.status, again.body.error_code]).toEqual([400, 'RESOURCE_ALREADY_EXISTS'])
    expect(again.body.message).toMatch(/Registered Model .+ already exists/)
    const edited = await done('PATCH', 'registered-models/update', { name: 'r', description: '' })
    expect(edited.registered_model.description).toBeUndefined()
    await made('taken')
    const clash = await call('POST', 'registered-models/rename', { name: 'r', new_name: 'taken' })
    expect([clash.status, clash.body.error_code]).toEqual([400, 'RESOURCE_ALREADY_EXISTS'])
    const odd = await call('POST', 'registered-models/rename', { name: 'r', new_name: 'a/b' })
    expect([odd.status, odd.body.error_code]).toEqual([400, 'INVALID_PARAMETER_VALUE'])
    const named = await done('POST', 'registered-models/rename', { name: 'r', new_name: 's' })
    expect(named.registered_model).toMatchObject({ name: 's', tags })
    expect(await done('DELETE', 'registered-models/delete', { name: 's' })).toEqual({})
    expect((await call('GET', 'registered-models/get', { name: 's' })).status).toBe(404)
  })

  test('tags are set and removed, also one that is not there, and do not count as updates', async () => {
    await made('tags', 1)
    const before = (await done('GET', 'registered-models/get', { name: 'tags' })).registered_model
    for (const [path, at] of [
      ['registered-models', { name: 'tags' }],
      ['model-versions', { name: 'tags', version: '1' }],
    ] as const) {
      await done('POST', `${path}/set-tag`, { ...at, key: '__proto__', value: 'x'.repeat(100_000) })
      await done('POST', `${path}/set-tag`, { ...at, key: 'k' })
      const got = Object.values(await done('GET', `${path}/get`, at))[0] as typeof before
      expect(got.tags.map((t: { key: string }) => t.key)).toEqual(['__proto__', 'k'])
      expect(got.last_updated_timestamp).toBe(before.last_updated_timestamp)
      for (const key of ['k', 'k', '__proto__'])
        await done('DELETE', `${path}/delete-tag`, { ...at, key })
      expect(
        (Object.values(await done('GET', `${path}/get`, at))[0] as typeof before).tags,
      ).toBeUndefined()
      for (const long of [
        { key: 'k'.repeat(251) },
        { key: 'a?b' },
        { key: '../b' },
        { key: 'k', value: 'x'.repeat(100_001) },
      ]) {
        expect((await call('POST', `${path}/set-tag`, { ...at, ...long })).status).toBe(400)
      }
    }
  })

  test('a renamed model goes on serving, under the new name', async () => {
    await made('old-name', 1)
    await moved('old-name', 1, 'Production')
    await done('POST', 'registered-models/alias', { name: 'old-name', alias: 'best', version: '1' })
    await done('POST', 'registered-models/rename', { name: 'old-name', new_name: 'new-name' })
    expect(await servedBy('new-name')).toBe('1')
    const { model_version: one } = await done('GET', 'registered-models/alias', {
      name: 'new-name',
      alias: 'best',
    })
    expect([one.name, one.current_stage, one.aliases]).toEqual(['new-name', 'Production', ['best']])
    await until(async () => (await relais.predict('old-name', [[1, 2]])).status === 404)
    expect(await seriesOf('old-name')).toEqual([])
    expect(await seriesOf('new-name')).toContain('model_loaded')
  })

  test('aliases move, and go with their version', async () => {
    await made('al', 2)
    const at = { name: 'al', alias: 'champ' }
    await done('POST', 'registered-models/alias', { ...at, version: '1' })
    await done('POST', 'registered-models/alias', { ...at, version: '2' })
    await done('POST', 'registered-models/alias', { ...at, alias: 'b', version: '2' })
    await done('POST', 'registered-models/alias', { ...at, alias: 'größe', version: '1' })
    const { registered_model: model } = await done('GET', 'registered-models/get', { name: 'al' })
    expect(model.aliases).toEqual([
      { alias: 'b', version: '2' },
      { alias: 'champ', version: '2' },
      { alias: 'größe', version: '1' },
    ])
    expect(model.latest_versions.map((v: any) => [v.version, v.aliases])).toEqual([
      ['2', ['b', 'champ']],
    ])
    for (const alias of ['latest', 'LATEST']) {
      const { model_version: latest } = await done('GET', 'registered-models/alias', {
        ...at,
        alias,
      })
      expect(latest.version).toBe('2')
    }
    for (const alias of ['latest', 'v1', 'V22', '3', 'Production', 'a b', 'x'.repeat(256)]) {
      const { status, body } = await call('POST', 'registered-models/alias', {
        ...at,
        alias,
        version: '1',
      })
      expect([alias, status, body.error_code]).toEqual([alias, 400, 'INVALID_PARAMETER_VALUE'])
    }
    await done('DELETE', 'model-versions/delete', { name: 'al', version: '2' })
    const gone = await call('GET', 'registered-models/alias', at)
    expect([gone.status, gone.body]).toEqual([
      400,
      {
        error_code: 'INVALID_PARAMETER_VALUE',
        message: 'Registered model alias champ not found.',
      },
    ])
    for (let i = 0; i < 2; i += 1) {
      expect(await done('DELETE', 'registered-models/alias', { ...at, alias: 'b' })).toEqual({})
    }
  })
})

describe('stages', () => {
  test('§2 nothing is archived unless asked, and only from Staging and Production', async () => {
    await made('st', 4)
    const answer = (await moved('st', 1, 'pRoDuCtIoN')).body.model_version
    expect([answer.version, answer.current_stage]).toEqual(['1', 'Production'])
    await moved('st', 2, 'Production')
    expect(await stagesOf('st')).toEqual(['1 Production', '2 Production', '3 None', '4 None'])
    await moved('st', 3, 'Production', { archive_existing_versions: true })
    expect(await stagesOf('st')).toEqual(['1 Archived', '2 Archived', '3 Production', '4 None'])
    for (const [stage, more] of [
      ['Archived', { archive_existing_versions: true }],
      ['None', { archive_existing_versions: true }],
      ['Live', {}],
      ['Staging', { archive_existing_versions: 'yes' }],
    ] as const) {
      const { status, body } = await moved('st', 4, stage, more)
      expect([stage, status, body.error_code]).toEqual([stage, 400, 'INVALID_PARAMETER_VALUE'])
    }
    expect(await servedBy('st')).toBe('3')
  })

  test('the latest version of each stage, by POST and by GET', async () => {
    await made('lv', 4)
    await moved('lv', 1, 'Staging')
    await moved('lv', 2, 'Staging')
    const latest = async (method: string, fields: object): Promise<string[]> => {
      const path = 'registered-models/get-latest-versions'
      const { model_versions: list = [] } = await done(method, path, { name: 'lv', ...fields })
      return list.map((v: any) => `${v.version} ${v.current_stage}`)
    }
    for (const method of ['GET', 'POST']) {
      expect(await latest(method, {})).toEqual(['2 Staging', '4 None'])
      expect(await latest(method, { stages: ['staging'] })).toEqual(['2 Staging'])
      expect(await latest(method, { stages: ['Production', 'Archived'] })).toEqual([])
      const odd = await call(method, 'registered-models/get-latest-versions', {
        name: 'lv',
        stages: ['Live'],
      })
      expect([odd.status, odd.body.error_code]).toEqual([400, 'INVALID_PARAMETER_VALUE'])
    }
  })

  test('§4 the two steps of a rollback through the client lose no request', async () => {
    await made('rb', 2)
    await moved('rb', 1, 'Production')
    await moved('rb', 2, 'Production', { archive_existing_versions: true })
    const seen = new Set<unknown>()
    let going = true
    const asking = (async () => {
      while (going) seen.add(await servedBy('rb'))
    })()
    await moved('rb', 2, 'Archived')
    await Bun.sleep(100)
    await moved('rb', 1, 'Production')
    await until(async () => (await servedBy('rb')) === '1')
    going = false
    await asking
    expect(seen).toEqual(new Set(['1', '2']))
  })

  test('moves, new versions and deletions update the model; an edit of a version does not', async () => {
    await made('up', 1)
    const updated = async (): Promise<number> => {
      await Bun.sleep(2)
      return (await done('GET', 'registered-models/get', { name: 'up' })).registered_model
        .last_updated_timestamp
    }
    const times = [await updated()]
    await done('POST', 'model-versions/create', { name: 'up', source: `models:/${modelId}` })
    times.push(await updated())
    await moved('up', 1, 'Staging')
    times.push(await updated())
    await done('DELETE', 'model-versions/delete', { name: 'up', version: '2' })
    times.push(await updated())
    expect(new Set(times).size).toBe(4)
    const edit = { name: 'up', version: '1', description: 'new' }
    const { model_version: edited } = await done('PATCH', 'model-versions/update', edit)
    expect([edited.description, await updated()]).toEqual(['new', times[3]])
  })
})

describe('rights', () => {
  test('§10 §11 a data scientist registers and stages, others promote', async () => {
    const { 'data-scientist': scientist, 'ml-lead': lead, ci } = tokens
    await made('dn', 3, scientist)
    expect((await moved('dn', 1, 'Staging', {}, scientist)).status).toBe(200)
    const refused = await moved('dn', 1, 'Production', {}, scientist)
    expect([refused.status, refused.body.error_code]).toEqual([403, 'PERMISSION_DENIED'])
    expect((await moved('dn', 1, 'Production', {}, lead)).status).toBe(200)
    expect((await moved('dn', 2, 'Production', {}, ci)).status).toBe(200)
    const alias = { name: 'dn', alias: 'champion', version: '3' }
    const cells: [string, string, object][] = [
      ['POST', 'registered-models/alias', alias],
      ['POST', 'registered-models/alias', { ...alias, alias: 'mine', version: '2' }],
      ['DELETE', 'registered-models/alias', alias],
      ['POST', 'registered-models/rename', { name: 'dn', new_name: 'dn2' }],
      ['PATCH', 'registered-models/update', { name: 'dn', description: 'x' }],
      ['POST', 'registered-models/set-tag', { name: 'dn', key: 'k', value: 'v' }],
      ['DELETE', 'registered-models/delete', { name: 'dn' }],
      ['PATCH', 'model-versions/update', { name: 'dn', version: '2', description: 'x' }],
      ['DELETE', 'model-versions/delete', { name: 'dn', version: '2' }],
      ['POST', 'model-versions/transition-stage', { name: 'dn', version: '2', stage: 'None' }],
    ]
    for (const [method, path, fields] of cells) {
      const { status, body } = await call(method, path, { ...fields }, scientist)
      expect([path, status, body.error_code]).toEqual([path, 403, 'PERMISSION_DENIED'])
    }
    expect((await call('POST', 'registered-models/alias', alias, lead)).status).toBe(200)
    const { entries } = (await relais.call('GET', '/api/v1/audit?limit=100')).body
    const trail = entries.map(
      (one: any) => `${one.actor} ${one.action} ${one.object} ${one.outcome}`,
    )
    expect(trail).toContain('ml-lead version.stage model/dn/version/1 done')
    expect(trail).toContain('data-scientist version.create model/dn/version/3 done')
  })

  test('a token narrowed to some models copies no version of another', async () => {
    await made('n-copy', 0, tokens['narrow'])
    await made('secret', 1)
    const { artifact_uri: uri } = await done('GET', 'model-versions/get-download-uri', {
      name: 'secret',
      version: '1',
    })
    for (const source of ['models:/secret/1', uri, `${uri}/model.onnx`]) {
      const fields = { name: 'n-copy', source }
      const { status } = await call('POST', 'model-versions/create', fields, tokens['narrow'])
      expect([source, status]).toEqual([source, 403])
    }
  })

  test('Basic: the token is the password, and the user is its subject', async () => {
    const basic = (user: string, password: string): Record<string, string> => ({
      authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`,
    })
    const colon = await relais.token('viewer', { sub: 'team:ann' })
    const cells: [Record<string, string>, number][] = [
      [basic('viewer', tokens['viewer']!), 200],
      [basic('viewer', tokens['viewer']!), 200],
      [basic('team:ann', colon), 200],
      [basic('ci', tokens['viewer']!), 401],
      [basic('', tokens['viewer']!), 401],
      [basic('viewer', 'password'), 401],
      [{ authorization: 'Basic ' }, 401],
      [{ authorization: 'Basic %%%' }, 401],
      [{ authorization: `Digest ${tokens['viewer']}` }, 401],
    ]
    for (const [headers, status] of cells) {
      const path = '/api/2.0/mlflow/registered-models/get?name=tags'
      const answer = await relais.call('GET', path, { token: null, headers })
      expect([headers, answer.status]).toEqual([headers, status])
    }
  })
})

describe('deletion', () => {
  test('§9 what is live leaves service; its number is never used again', async () => {
    await made('del', 2)
    await moved('del', 2, 'Production')
    const about = { name: 'del', version: '2' }
    await done('PATCH', 'model-versions/update', { ...about, description: 'secret' })
    expect(await servedBy('del')).toBe('2')
    expect(await done('DELETE', 'model-versions/delete', about)).toEqual({})
    for (const path of ['get', 'get-download-uri']) {
      expect((await call('GET', `model-versions/${path}`, about)).status).toBe(404)
    }
    await until(async () => (await relais.predict('del', [[1, 2]])).status === 404)
    await done('POST', 'model-versions/create', { name: 'del', source: `models:/${modelId}` })
    expect(await stagesOf('del')).toEqual(['1 None', '3 None'])
    // Brought back by an administrator it is out of service and has lost what it said.
    const back = await relais.call('POST', '/api/v1/models/del/versions/2/restore', { body: {} })
    expect(back.body).toMatchObject({ stage: 'Archived', description: '', source: null })
  })

  test('§9 a model goes with all it has; made anew it starts at 1', async () => {
    await made('all', 2)
    await moved('all', 2, 'Production')
    await moved('all', 1, 'Production')
    await done('POST', 'registered-models/alias', { name: 'all', alias: 'a', version: '1' })
    const scientist = tokens['data-scientist']
    expect(
      (await call('DELETE', 'registered-models/delete', { name: 'all' }, scientist)).status,
    ).toBe(403)
    expect(await done('DELETE', 'registered-models/delete', { name: 'all' })).toEqual({})
    await until(async () => (await relais.predict('all', [[1, 2]])).status === 404)
    expect(await seriesOf('all')).toEqual([])
    const restored = await relais.call('POST', '/api/v1/models/all/restore', { body: {} })
    expect(restored.body.stages.Production.live_version).toBeNull()
    expect(await stagesOf('all')).toEqual(['1 Archived', '2 Archived'])
    await done('DELETE', 'registered-models/delete', { name: 'all' })
    await made('all', 1)
    expect(await stagesOf('all')).toEqual(['1 None'])
  })
})

describe('sources', () => {
  beforeAll(() => made('src', 1))
  const create = (source: string, more: object = {}) =>
    call('POST', 'model-versions/create', { name: 'src', source, ...more })

  test('whatever lies elsewhere is refused, and nothing is fetched', async () => {
    let asked = 0
    const server = Bun.serve({
      port: 0,
      fetch: () => {
        asked += 1
        return new Response('x')
      },
    })
    const elsewhere = [
      'file:///etc/passwd',
      '/etc/passwd',
      './model',
      'model',
      's3://bucket/model',
      'dbfs:/x',
      `http://localhost:${server.port}/m`,
      `https://localhost:${server.port}/m`,
      'models:',
      'models:/',
      'models://host/src/1',
      'models:/src/1/x',
      'runs:/',
      'runs://h/x',
      'mlflow-artifacts:x',
      'mlflow-artifacts:/',
      'mlflow-artifacts:/../x',
      'ftp://h/x',
      `runs:/${runId}`,
      `runs:/${runId}/`,
      `runs:/${runId}/../x`,
      `runs:/${runId}/%2e%2e/x`,
      'mlflow-artifacts:/a/%252e%252e/b',
      'mlflow-artifacts:/a\0b',
      'mlflow-artifacts:/a#b',
    ]
    for (const source of elsewhere) {
      const { status, body } = await create(source)
      expect([source, status, body.error_code]).toEqual([source, 400, 'INVALID_PARAMETER_VALUE'])
    }
    await server.stop(true)
    expect(asked).toBe(0)
    const absent = [
      'models:/src/99',
      'models:/src/Production',
      'models:/src@nobody',
      'models:/no/1',
    ]
    absent.push('mlflow-artifacts:/versions/absent', 'mlflow-artifacts://host/versions/absent/x')
    for (const source of absent) {
      const { status, body } = await create(source)
      expect([source, status, body.error_code]).toEqual([source, 404, 'RESOURCE_DOES_NOT_EXIST'])
    }
    const other = { run_id: 'c'.repeat(32), model_id: `m-${'c'.repeat(32)}` }
    const lies: [string, object][] = [
      [`models:/${other.model_id}`, {}],
      [`runs:/${other.run_id}/model`, {}],
      [`runs:/${runId}/nothing`, { model_id: modelId }],
      [`runs:/${runId}/model`, { run_id: other.run_id }],
      ['models:/src/1', { run_id: other.run_id }],
      [`models:/${modelId}`, { model_id: other.model_id }],
      ['mlflow-artifacts:/0/elsewhere', { run_id: runId }],
      ['mlflow-artifacts:/0/elsewhere', { model_id: modelId }],
    ]
    for (const [source, more] of lies) expect((await create(source, more)).status).toBe(400)
    expect(await stagesOf('src')).toEqual(['1 None'])
  })

  test('what lies here is registered, by each kind of source', async () => {
    const folder = `0/${runId}/artifacts/plain`
    await putFiles(relais, folder, { MLmodel: mlModel(), 'model.onnx': identity })
    await done('POST', 'registered-models/alias', { name: 'src', alias: 'a', version: '1' })
    const { artifact_uri: uri } = await done('GET', 'model-versions/get-download-uri', {
      name: 'src',
      version: '1',
    })
    const cells: [string, object, string?][] = [
      [`models:/${modelId}`, { model_id: modelId }],
      [`runs:/${runId}/plain`, { run_id: runId }],
      // MLflow 3 keeps a model that a run logged beside the run.
      [`runs:/${runId}/model`, {}],
      [`mlflow-artifacts:/${folder}`, { run_id: runId }],
      [`mlflow-artifacts://localhost:5000/${folder}`, { run_id: runId }],
      ['models:/src/1', { run_id: runId }],
      ['models:/src@a', {}, 'models:/src/1'],
      ['models:/src/None', {}],
      ['models:/src/latest', {}],
      [uri, {}, 'models:/src/1'],
    ]
    for (const [source, more, recorded] of cells) {
      const { model_version: one } = (await create(source, more)).body
      expect([source, one?.status, one?.run_id]).toEqual([source, 'READY', runId])
      expect(one.source).toMatch(
        recorded ?? (source.startsWith('models:/src') ? 'models:/src/' : source),
      )
      const view = (await relais.call('GET', `/api/v1/models/src/versions/${one.version}`)).body
      expect([source, view.servability, view.artifact.size]).toEqual([source, 'servable', 78])
    }
  })

  test('a version keeps its own files, and what its source loses or gains is not seen', async () => {
    await registered('own', { MLmodel: mlModel(), 'model.onnx': identity, 'sub/notes.txt': 'x' })
    const { artifact_uri: uri } = await done('GET', 'model-versions/get-download-uri', {
      name: 'own',
      version: '1',
    })
    expect(uri).toMatch(/^mlflow-artifacts:\/versions\/[\da-f-]{36}$/)
    await putFiles(relais, '9/own', { MLmodel: 'changed', more: 'x' })
    const list = async (path: string): Promise<string[]> => {
      const at = `/api/2.0/mlflow-artifacts/artifacts?path=${path}`
      return (await relais.call('GET', at)).body.files.map((file: any) => file.path)
    }
    const path = uri.replace('mlflow-artifacts:/', '')
    expect(await list(path)).toEqual(['MLmodel', 'model.onnx', 'sub'])
    expect(await list(`${path}/sub`)).toEqual(['notes.txt'])
    const kept = await relais.call('GET', `/api/2.0/mlflow-artifacts/artifacts/${path}/MLmodel`)
    expect(kept.text).toBe(mlModel())
  })

  test('the logged model lists the versions that were made of it', async () => {
    await made('listed', 1)
    await done('POST', 'model-versions/create', {
      name: 'listed',
      source: `models:/${modelId}`,
      model_id: modelId,
    })
    const { model } = await done('GET', `logged-models/${modelId}`)
    const tag = model.info.tags.find((one: any) => one.key === 'mlflow.modelVersions')
    expect(JSON.parse(tag.value)).toContainEqual({ name: 'listed', version: 2 })
    expect(tag.value).not.toInclude('"version":1}]')
  })

  test('§21 commit, params, metrics, source and tags come from the run', async () => {
    const tags = [
      { key: 'mlflow.source.git.commit', value: 'abc123' },
      { key: 'mlflow.source.name', value: 'train.py' },
      { key: 'team', value: 'risk' },
    ]
    const { id, folder } = await makeRun(call, { run_name: 'calm-run', tags })
    await putFiles(relais, `${folder}/m`, { MLmodel: mlModel(), 'model.onnx': identity })
    const metric = (key: string, value: unknown, step = 1) => ({ key, value, timestamp: 1, step })
    await done('POST', 'runs/log-batch', {
      run_id: id,
      params: [{ key: 'depth', value: '3' }],
      metrics: [metric('accuracy', 0.9, 2), metric('accuracy', 0.5), metric('odd', 'NaN')],
    })
    await made('lineage')
    await done('POST', 'model-versions/create', { name: 'lineage', source: `runs:/${id}/m` })
    await done('POST', 'model-versions/create', { name: 'lineage', source: 'models:/lineage/1' })
    for (const version of [1, 2]) {
      const { body } = await relais.call('GET', `/api/v1/models/lineage/versions/${version}`)
      expect(body).toMatchObject({
        run_id: id,
        git_commit: 'abc123',
        params: { depth: '3' },
        metrics: { accuracy: 0.9 },
        run: { id, name: 'calm-run', source: 'train.py', tags: { team: 'risk' } },
      })
      expect(Object.keys(body.metrics)).toEqual(['accuracy'])
    }
  })
})

describe('what a version holds', () => {
  test('the columns of its signature are those of its feature schema, where they fit', async () => {
    const column = (name: string, type: string, required = true) => ({ name, type, required })
    const cells: [string, object[], [string, string, boolean?][]][] = [
      [
        'fit',
        [column('a', 'double'), column('b', 'long')],
        [
          ['a', 'float64'],
          ['b', 'int64'],
        ],
      ],
      [
        'optional',
        [column('a', 'float', false), column('b', 'float')],
        [
          ['a', 'float32', true],
          ['b', 'float32'],
        ],
      ],
      [
        'too-many',
        [column('a', 'float'), column('b', 'float'), column('c', 'float')],
        [
          ['f0', 'float32'],
          ['f1', 'float32'],
        ],
      ],
      [
        'text',
        [column('a', 'string'), column('b', 'string')],
        [
          ['f0', 'float32'],
          ['f1', 'float32'],
        ],
      ],
      [
        'dates',
        [column('a', 'datetime'), column('b', 'float')],
        [
          ['f0', 'float32'],
          ['f1', 'float32'],
        ],
      ],
      [
        'tensor',
        [{ type: 'tensor', 'tensor-spec': { dtype: 'float32', shape: [-1, 2] } }],
        [
          ['f0', 'float32'],
          ['f1', 'float32'],
        ],
      ],
    ]
    for (const [name, inputs, columns] of cells) {
      const { body } = await registered(`sig-${name}`, {
        MLmodel: mlModel(inputs),
        'model.onnx': identity,
      })
      expect([name, body.model_version?.status]).toEqual([name, 'READY'])
      const { schema } = (await relais.call('GET', `/api/v1/models/sig-${name}/versions/1`)).body
      const found = schema.columns.map((c: any) => [c.name, c.type, ...(c.nullable ? [true] : [])])
      expect([name, found]).toEqual([name, columns])
    }
    await moved('sig-fit', 1, 'Production')
    const { body } = await relais.predict('sig-fit', [{ b: 2, a: 1.5 }])
    expect(body.predictions).toEqual([[1.5, 2]])
  })

  test('§8 without ONNX it is READY and not servable, and everything copes', async () => {
    const sklearn = 'flavors:\n  python_function: {}\n  sklearn: {pickled_model: model.pkl}\n'
    const reasons: [string, Record<string, string | Uint8Array>, string][] = [
      ['sklearn', { MLmodel: sklearn, 'model.pkl': 'x' }, 'no ONNX but python_function, sklearn'],
      ['nothing', {}, 'Nothing is stored'],
      ['bare', { 'model.onnx': identity }, 'no MLmodel'],
      ['broken', { MLmodel: ': : :\n- [' }, 'cannot be read'],
      [
        'bomb',
        { MLmodel: `a: &a [x]\nb: &b [${'*a,'.repeat(9)}*a]\n`.repeat(20) },
        'cannot be read',
      ],
      ['deep', { MLmodel: '['.repeat(500_000) }, 'cannot be read'],
      ['big', { MLmodel: 'x'.repeat((1 << 20) + 1) }, 'more than'],
      ['gone', { MLmodel: mlModel() }, 'model.onnx, which is missing'],
      ['up', { MLmodel: mlModel(undefined, '../up.onnx') }, '../up.onnx, which is missing'],
      [
        'domain',
        { MLmodel: mlModel(), 'model.onnx': bytesOf('custom-domain') },
        'belongs to the domain',
      ],
    ]
    for (const [name, files, reason] of reasons) {
      const { status, body } = await registered(`ns-${name}`, files)
      expect([name, status, body.model_version?.status]).toEqual([name, 200, 'READY'])
      expect(body.model_version.status_message).toInclude(reason)
      const view = (await relais.call('GET', `/api/v1/models/ns-${name}/versions/1`)).body
      expect([view.servability, view.artifact, view.reason]).toEqual([
        'not-servable',
        null,
        body.model_version.status_message,
      ])
    }
    const { status_message: remedy } = (
      await call('GET', 'model-versions/get', { name: 'ns-sklearn', version: '1' })
    ).body.model_version
    expect(remedy).toInclude('mlflow.onnx.log_model')
    const name = 'ns-sklearn'
    for (const at of ['Staging', 'Production']) expect((await moved(name, 1, at)).status).toBe(200)
    await done('POST', 'registered-models/alias', { name, alias: 'a', version: '1' })
    const version = '/api/v1/models/ns-sklearn/versions/1'
    for (const query of ['', '?original=true']) {
      const { status, body } = await relais.call('GET', `${version}/model${query}`)
      expect([status, body.code]).toEqual([404, 'artifact.not-found'])
    }
    expect((await relais.predict(name, [[1, 2]])).body.code).toBe('stage.empty')
    expect((await relais.predict(name, [[1, 2]], { at: 'versions/1' })).body.code).toBe(
      'version.not-servable',
    )
    expect((await relais.predict(name, [[1, 2]], { at: 'labels/a' })).body.code).toBe(
      'version.not-servable',
    )
    expect((await relais.call('GET', '/health/ready')).status).toBe(200)
    const { body: doctor } = await relais.call('GET', '/api/v1/doctor')
    expect(doctor.findings.filter((f: any) => !f.ok && f.check === 'artifacts')).toEqual([])
    const backup = await relais.call('GET', '/api/v1/backup')
    expect([backup.status, backup.text.length > 10_000]).toEqual([200, true])
    expect((await moved(name, 1, 'Archived')).status).toBe(200)
    expect((await relais.call('DELETE', `${version}?purge=true`)).status).toBe(200)
    // A copy of one is one as well.
    await made('ns-copy')
    const copy = { name: 'ns-copy', source: 'models:/ns-bare/1' }
    const { model_version: copied } = await done('POST', 'model-versions/create', copy)
    expect(copied.status_message).toInclude('no MLmodel')
  })

  test('§8 a model that crashes is FAILED_REGISTRATION, keeps its number, and is not promoted', async () => {
    const files = { MLmodel: mlModel(), 'model.onnx': bytesOf('crash-load-split') }
    const { status, body } = await registered('crash', files)
    expect([status, body.model_version.status, body.model_version.version]).toEqual([
      200,
      'FAILED_REGISTRATION',
      '1',
    ])
    expect(body.model_version.status_message).toInclude('crashed')
    for (const stage of ['Staging', 'Production']) {
      const refused = await moved('crash', 1, stage)
      expect([refused.status, refused.body.error_code]).toEqual([409, 'RESOURCE_CONFLICT'])
    }
    await putFiles(relais, '9/crash', { 'model.onnx': identity })
    const source = 'mlflow-artifacts:/9/crash'
    const again = await done('POST', 'model-versions/create', { name: 'crash', source })
    expect([again.model_version.version, again.model_version.status]).toEqual(['2', 'READY'])
  })

  test('what is no ONNX at all is refused and leaves nothing', async () => {
    const { status, body } = await registered('garbage', {
      MLmodel: mlModel(),
      'model.onnx': 'hello',
    })
    expect([status, body.error_code]).toEqual([400, 'INVALID_PARAMETER_VALUE'])
    expect(await stagesOf('garbage')).toEqual([])
  })
})

describe('§24 external tensor data', () => {
  const weights = new Float32Array(512).map((_, at) => at / 512)
  const data = new Uint8Array(weights.buffer)
  const entry = (key: string, value: string): onnx.Field => [13, onnx.message([1, key], [2, value])]
  /** y = x + w, with w stored at `place`. */
  const adding = (place: Record<string, string>): Uint8Array =>
    onnx.model({
      nodes: [onnx.node('Add', ['x', 'w'], ['y'])],
      inputs: [onnx.value('x', onnx.types.float, ['N', 512])],
      outputs: [onnx.value('y', onnx.types.float, ['N', 512])],
      initializers: [
        onnx.message(
          ...([
            [1, 512],
            [2, 1],
            [8, 'w'],
          ] as onnx.Field[]),
          ...Object.entries(place).map(([key, value]) => entry(key, value)),
          [14, 1],
        ),
      ],
    })

  test('a file of the same folder becomes part of the model', async () => {
    const place = { location: 'model.onnx.data', offset: '4', length: '2048' }
    const beside = Buffer.concat([Buffer.from('head'), data, Buffer.from('tail')])
    const { body } = await registered('ext', {
      MLmodel: mlModel(),
      'model.onnx': adding(place),
      'model.onnx.data': beside,
    })
    expect(body.model_version).toMatchObject({ status: 'READY' })
    expect(body.model_version.status_message).toBeUndefined()
    await moved('ext', 1, 'Production')
    const row = Array.from({ length: 512 }, () => 1)
    const { body: answer } = await relais.predict('ext', [row])
    expect(answer.predictions[0]).toEqual([...weights].map((w) => 1 + w))
    const view = (await relais.call('GET', '/api/v1/models/ext/versions/1')).body
    expect(view.artifact.original_size).toBe(adding(place).length)
    expect(view.artifact.size).toBeGreaterThan(2048)
  })

  test('anything else is refused', async () => {
    const cells: [string, Record<string, string>, string][] = [
      ['absent', { location: 'other.data' }, 'not there'],
      ['up', { location: '../x.data' }, 'outside the folder'],
      ['sub', { location: 'sub/x.data' }, 'outside the folder'],
      ['root', { location: '/etc/passwd' }, 'outside the folder'],
      ['none', {}, 'outside the folder'],
      ['short', { location: 'x.data', length: '2044' }, 'needs 2048 bytes'],
      ['beyond', { location: 'x.data', offset: '4', length: '2048' }, 'beyond the end'],
      ['negative', { location: 'x.data', offset: '-4' }, 'no number'],
    ]
    for (const [name, place, why] of cells) {
      const files = {
        MLmodel: mlModel(),
        'model.onnx': adding(place),
        'x.data': data,
        'sub/x.data': data,
      }
      const { status, body } = await registered(`ext-${name}`, files)
      expect([name, status, body.error_code]).toEqual([name, 400, 'INVALID_PARAMETER_VALUE'])
      expect(body.message).toInclude(why)
    }
  })
})
