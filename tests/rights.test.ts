// Who may do what: role × right, narrowing, finer refusals, default deny.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

import { rights, type Role, roles } from '../src/core/principal.ts'
import { apiPrefixes } from '../src/mlflow/door.ts'
import { rawGet, sendRaw } from './support/raw.ts'
import { type Answer, type Relais, startRelais, testModels } from './support/relais.ts'

const identity = join(testModels, 'identity-float32.onnx')
let relais: Relais
const tokens = {} as Record<Role, string>

beforeAll(async () => {
  relais = await startRelais({ 'default-model': 'models:/m/Production' })
  for (const role of roles) tokens[role] = await relais.token(role)
  await relais.push('m', identity, {}, tokens['ml-lead'])
  await relais.promote('m', 1, 'Production')
})
afterAll(() => relais.close())

/** right → the roles that hold it, as RULES §10 says. */
const table: Record<string, Role[]> = {
  'models:read': ['viewer', 'data-scientist', 'ml-lead', 'ci', 'auditor', 'admin'],
  'models:predict': ['predictor', 'data-scientist', 'ml-lead', 'ci', 'admin'],
  'models:create': ['data-scientist', 'ml-lead', 'ci', 'admin'],
  'models:write': ['data-scientist', 'ml-lead', 'ci', 'admin'],
  'models:delete': ['data-scientist', 'ml-lead', 'ci', 'admin'],
  'versions:create': ['data-scientist', 'ml-lead', 'ci', 'admin'],
  'stage:None': ['data-scientist', 'ml-lead', 'ci', 'admin'],
  'stage:Staging': ['data-scientist', 'ml-lead', 'ci', 'admin'],
  'stage:Production': ['ml-lead', 'ci', 'admin'],
  'stage:Archived': ['data-scientist', 'ml-lead', 'ci', 'admin'],
  'aliases:write': ['data-scientist', 'ml-lead', 'ci', 'admin'],
  'runs:read': ['viewer', 'data-scientist', 'ml-lead', 'ci', 'auditor', 'admin'],
  'runs:write': ['data-scientist', 'ml-lead', 'ci', 'admin'],
  'metrics:read': ['viewer', 'data-scientist', 'ml-lead', 'ci', 'auditor', 'admin'],
  'audit:read': ['auditor', 'admin'],
  'tokens:manage': ['admin'],
  'settings:manage': ['admin'],
}

interface Probe {
  right: string
  method: string
  path: string
  body?: unknown
  /** Status for a caller who may. Writes aim at what does not exist, so that they can be repeated. */
  status: number
  /** Template of the route, where it is not the path itself. */
  route?: string
}

const absent = '/api/v1/models/absent'
const native = '/api/v1/models/:model'
const stageProbe = (stage: string): Probe => ({
  right: `stage:${stage}`,
  method: 'POST',
  path: `${absent}/versions/1/stage`,
  body: { stage },
  status: 404,
  route: `${native}/versions/:version/stage`,
})
const read = (path: string, route: string, status = 200): Probe => ({
  right: 'models:read',
  method: 'GET',
  path,
  status,
  route,
})
const probe = (
  ...[right, method, path, status, more = {}]: [string, string, string, number, Partial<Probe>?]
): Probe => ({ right, method, path, status, ...more })

/** A template with 1 for each of its parameters. */
const filled = (template: string): string =>
  template.replaceAll(/:(?!predict|score)[a-z]+|\{[a-z_]+\}/g, '1')

/** The code of a refusal, in the shape of whichever door answered. */
const codeOf = ({ body }: Answer<any>): string => body.code ?? body.error_code
const at: Record<string, string> = {
  '/versions/{version}': '/versions/1',
  '/labels/{label}': '/labels/Production',
}

/** An endpoint of MLflow's REST API, under both of its prefixes. */
const mlflow = (
  ...[right, place, status, more = {}]: [string, string, number, Partial<Probe>?]
): Probe[] => {
  const [method = '', path = ''] = place.split(' ')
  return apiPrefixes.map((prefix) =>
    probe(right, method, filled(`${prefix}${path}`), status, {
      ...(method === 'GET' ? {} : { body: {} }),
      ...more,
      route: `${prefix}${path.split('?')[0]}`,
    }),
  )
}

const trackingProbes: Probe[] = [
  ...mlflow('runs:read', 'GET experiments/get?experiment_id=0', 200),
  ...mlflow('runs:read', 'GET experiments/get-by-name?experiment_name=Default', 200),
  ...mlflow('runs:read', 'GET runs/get?run_id=1', 404),
  ...mlflow('runs:read', 'GET metrics/get-history?run_id=1&metric_key=m', 200),
  ...mlflow('runs:read', 'GET metrics/get-history-bulk-interval?run_ids=1&metric_key=m', 200),
  ...mlflow('runs:read', 'GET logged-models/{model_id}', 404),
  // What lacks its fields is refused with 400, but only after the right was found.
  ...[
    'create',
    'update',
    'delete',
    'restore',
    'set-experiment-tag',
    'delete-experiment-tag',
  ].flatMap((verb) => mlflow('runs:write', `POST experiments/${verb}`, 400)),
  ...mlflow('runs:write', 'POST runs/create', 404, { body: { experiment_id: '9999' } }),
  ...[
    'update',
    'delete',
    'restore',
    'log-metric',
    'log-parameter',
    'set-tag',
    'delete-tag',
  ].flatMap((verb) => mlflow('runs:write', `POST runs/${verb}`, 400)),
  ...['log-batch', 'log-inputs', 'outputs', 'log-model'].flatMap((verb) =>
    mlflow('runs:write', `POST runs/${verb}`, 400),
  ),
  ...mlflow('runs:write', 'POST logged-models', 400),
  ...mlflow('runs:write', 'PATCH logged-models/{model_id}', 400),
  ...mlflow('runs:write', 'DELETE logged-models/{model_id}', 404),
  ...mlflow('runs:write', 'PATCH logged-models/{model_id}/tags', 404),
  ...mlflow('runs:write', 'DELETE logged-models/{model_id}/tags/{key}', 404),
  ...mlflow('runs:write', 'POST logged-models/{model_id}/params', 404),
]

const registryProbes: Probe[] = [
  // What lacks its fields is refused with 400, but only after the right was found.
  ...mlflow('models:create', 'POST registered-models/create', 400),
  ...['rename', 'set-tag'].flatMap((verb) =>
    mlflow('models:write', `POST registered-models/${verb}`, 400),
  ),
  ...mlflow('models:write', 'PATCH registered-models/update', 400),
  ...mlflow('models:write', 'DELETE registered-models/delete-tag', 400),
  ...mlflow('models:delete', 'DELETE registered-models/delete', 400),
  ...mlflow('models:read', 'GET registered-models/get?name=m', 200),
  ...mlflow('models:read', 'GET registered-models/get-latest-versions?name=m', 200),
  ...mlflow('models:read', 'POST registered-models/get-latest-versions', 200, {
    body: { name: 'm' },
  }),
  ...mlflow('aliases:write', 'POST registered-models/alias', 400),
  ...mlflow('aliases:write', 'DELETE registered-models/alias', 400),
  ...mlflow('models:read', 'GET registered-models/alias?name=m&alias=latest', 200),
  ...mlflow('versions:create', 'POST model-versions/create', 400),
  ...mlflow('models:write', 'PATCH model-versions/update', 400),
  ...mlflow('stage:Production', 'POST model-versions/transition-stage', 404, {
    body: { name: 'm', version: '99', stage: 'Production' },
  }),
  ...mlflow('models:delete', 'DELETE model-versions/delete', 400),
  ...mlflow('models:read', 'GET model-versions/get?name=m&version=1', 200),
  ...mlflow('models:read', 'GET model-versions/get-download-uri?name=m&version=1', 200),
  ...mlflow('models:write', 'POST model-versions/set-tag', 400),
  ...mlflow('models:write', 'DELETE model-versions/delete-tag', 400),
  ...mlflow('runs:read', 'GET experiments/search', 200),
  ...['experiments/search', 'runs/search'].flatMap((path) =>
    mlflow('runs:read', `POST ${path}`, 200),
  ),
  ...['experiments/search-datasets', 'logged-models/search'].flatMap((path) =>
    mlflow('runs:read', `POST ${path}`, 400),
  ),
  ...mlflow('models:read', 'GET registered-models/search', 200),
  ...mlflow('models:read', 'GET model-versions/search', 200),
]

const probes: Probe[] = [
  ...registryProbes,
  ...trackingProbes,
  read('/api/v1/models', '/api/v1/models'),
  read('/api/v1/models/m', native),
  read('/api/v1/models/m/versions', `${native}/versions`),
  read('/api/v1/models/m/versions/1', `${native}/versions/:version`),
  read('/api/v1/models/m/versions/1/model', `${native}/versions/:version/model`),
  read('/api/v1/models/m/history', `${native}/history`),
  probe('models:predict', 'POST', '/v1/models/m:predict', 200, {
    body: { instances: [[1, 2]] },
    route: '/v1/models/{model}:predict',
  }),
  probe('models:predict', 'POST', '/v1/models/m/versions/1:predict', 200, {
    body: { instances: [[1, 2]] },
    route: '/v1/models/{model}/versions/{version}:predict',
  }),
  probe('models:predict', 'POST', '/v1/models/m/labels/Production:predict', 200, {
    body: { instances: [[1, 2]] },
    route: '/v1/models/{model}/labels/{label}:predict',
  }),
  ...['', '/versions/1'].map((at) =>
    probe('models:predict', 'POST', `/v2/models/m${at}/infer`, 200, {
      body: { inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: [1, 2] }] },
      route: `/v2/models/{model}${at.replace('1', '{version}')}/infer`,
    }),
  ),
  probe('stage:Production', 'POST', '/v2/repository/models/m/load', 200, {
    body: {},
    route: '/v2/repository/models/{model}/load',
  }),
  probe('stage:Production', 'POST', '/v2/repository/models/m/unload', 409, {
    body: {},
    route: '/v2/repository/models/{model}/unload',
  }),
  ...['', '/versions/{version}', '/labels/{label}'].map((middle) =>
    probe('models:predict', 'POST', `/v1/models/m${at[middle] ?? ''}/invocations`, 200, {
      body: { inputs: [[1, 2]] },
      route: `/v1/models/{model}${middle}/invocations`,
    }),
  ),
  probe('models:predict', 'POST', '/invocations', 200, { body: { inputs: [[1, 2]] } }),
  // The body of these is JSON here; that it is refused tells that the right was there.
  ...['', '/versions/{version}', '/labels/{label}'].map((middle) =>
    probe('models:predict', 'POST', `/v1/models/m${at[middle] ?? ''}:score`, 415, {
      body: {},
      route: `/v1/models/{model}${middle}:score`,
    }),
  ),
  probe('models:create', 'POST', '/api/v1/models', 409, { body: { name: 'm' } }),
  probe('models:write', 'PATCH', absent, 404, { body: { description: '' }, route: native }),
  probe('models:write', 'PATCH', `${absent}/versions/1`, 404, {
    body: { description: '' },
    route: `${native}/versions/:version`,
  }),
  probe('models:write', 'DELETE', `${absent}/versions/1/quarantine`, 404, {
    route: `${native}/versions/:version/quarantine`,
  }),
  probe('models:delete', 'DELETE', absent, 404, { route: native }),
  probe('models:delete', 'POST', `${absent}/restore`, 404, { route: `${native}/restore` }),
  probe('models:delete', 'DELETE', `${absent}/versions/1`, 404, {
    route: `${native}/versions/:version`,
  }),
  probe('models:delete', 'POST', `${absent}/versions/1/restore`, 404, {
    route: `${native}/versions/:version/restore`,
  }),
  probe('versions:create', 'POST', `${absent}/versions`, 415, {
    body: {},
    route: `${native}/versions`,
  }),
  stageProbe('None'),
  stageProbe('Staging'),
  stageProbe('Production'),
  stageProbe('Archived'),
  probe('stage:Production', 'POST', `${absent}/rollback`, 404, {
    body: {},
    route: `${native}/rollback`,
  }),
  probe('stage:Staging', 'POST', `${absent}/rollback`, 404, {
    body: { stage: 'Staging' },
    route: `${native}/rollback`,
  }),
  probe('aliases:write', 'PUT', `${absent}/aliases/a`, 404, {
    body: { version: 1 },
    route: `${native}/aliases/:alias`,
  }),
  probe('aliases:write', 'DELETE', `${absent}/aliases/a`, 404, {
    route: `${native}/aliases/:alias`,
  }),
  probe('metrics:read', 'GET', '/metrics', 200),
  probe('metrics:read', 'GET', '/api/v1/dashboards', 200),
  probe('metrics:read', 'GET', '/api/v1/dashboards/service', 200, {
    route: '/api/v1/dashboards/:name',
  }),
  probe('audit:read', 'GET', '/api/v1/audit', 200),
  probe('audit:read', 'GET', '/api/v1/audit/verify', 200),
  probe('tokens:manage', 'GET', '/api/v1/tokens', 200),
  probe('tokens:manage', 'POST', '/api/v1/tokens', 201, { body: { sub: 'x', role: 'viewer' } }),
  probe('tokens:manage', 'DELETE', '/api/v1/tokens/absent', 404, { route: '/api/v1/tokens/:jti' }),
  probe('settings:manage', 'POST', '/api/v1/keys/rotate', 200, { body: {} }),
  probe('settings:manage', 'GET', '/api/v1/backup', 200),
  ...['experiments', 'runs', 'metrics', 'logged-models', 'models', 'versions'].map((what) =>
    probe('settings:manage', 'POST', `/api/v1/import/${what}`, 422, { body: {} }),
  ),
  probe('settings:manage', 'GET', '/api/v1/doctor', 200),
]

/** Below both prefixes of MLflow's artifact proxy: a place, its route where that differs, the status. */
const artifactProbes = ['/api/2.0/mlflow', '/ajax-api/2.0/mlflow'].flatMap((prefix) => {
  const files = `${prefix}-artifacts`
  const row = (right: string, place: string, route: string, status: number): Probe => {
    const [method = '', path = ''] = place.split(' ')
    return probe(right, method, path, status, { route })
  }
  return [
    row('runs:read', `GET ${files}/artifacts`, `${files}/artifacts`, 200),
    row('runs:read', `GET ${files}/artifacts/1`, `${files}/artifacts/{path}`, 404),
    row('runs:read', `GET ${files}/presigned/1`, `${files}/presigned/{path}`, 501),
    row('runs:write', `PUT ${files}/artifacts/2`, `${files}/artifacts/{path}`, 200),
    row('runs:write', `DELETE ${files}/artifacts/2`, `${files}/artifacts/{path}`, 200),
    ...['create', 'complete', 'abort'].map((step) =>
      row('runs:write', `POST ${files}/mpu/${step}/1`, `${files}/mpu/${step}/{path}`, 501),
    ),
    row('runs:read', `GET ${prefix}/artifacts/list?run_id=1`, `${prefix}/artifacts/list`, 404),
    row(
      'runs:read',
      `GET ${prefix}/logged-models/1/artifacts/directories`,
      `${prefix}/logged-models/{model_id}/artifacts/directories`,
      404,
    ),
  ]
})
probes.push(
  ...artifactProbes,
  read(
    '/model-versions/get-artifact?name=m&version=1&path=MLmodel',
    '/model-versions/get-artifact',
  ),
  probe('runs:read', 'GET', '/get-artifact?run_id=1&path=1', 404, { route: '/get-artifact' }),
)

describe('§10 role × right', () => {
  test('every right has a row, and every guarded route a request', () => {
    expect(Object.keys(table).sort()).toEqual([...rights].sort())
    expect(new Set(probes.map(({ right }) => right))).toEqual(new Set(rights))
    const probed = new Set(probes.map(({ method, path, route }) => `${method} ${route ?? path}`))
    // Any valid token may ask who it is; what it may see of a model's status is tested below.
    const free =
      /^(GET (\/api\/v1\/me|\/v[12]\/models.*|\/v2\/?)|POST \/v2\/repository\/.*(index|\{repository\}.*))$/
    const missing = relais.app.routes
      // HEAD is GET without its bytes.
      .filter(({ method, path }) => !isPublic(path) && method !== 'HEAD')
      .map(({ method, path }) => `${method} ${path}`)
      .filter((route) => !probed.has(route) && !free.test(route))
    expect(missing).toEqual([])
  })
  for (const right of rights) {
    for (const role of roles) {
      const allowed = table[right]?.includes(role) === true
      test(`${role} ${allowed ? 'has' : 'lacks'} ${right}`, async () => {
        for (const { method, path, body, status } of probes.filter((p) => p.right === right)) {
          const options = body === undefined ? {} : { body }
          const answer = await relais.call(method, path, { token: tokens[role], ...options })
          const expected = allowed ? [path, status] : [path, 403]
          expect([path, answer.status]).toEqual(expected)
          if (!allowed) expect(['access.denied', 'PERMISSION_DENIED']).toContain(codeOf(answer))
        }
      })
    }
  }
})

test('§10 a token narrowed to globs is worth nothing beside them', async () => {
  const narrow = (role: Role) => relais.token(role, { sub: `narrow-${role}`, models: ['n-*', 'x'] })
  await relais.push('n-1', identity)
  await relais.promote('n-1', 1, 'Production')
  const [scientist, admin, auditor] = [
    await narrow('data-scientist'),
    await narrow('admin'),
    await narrow('auditor'),
  ]
  const body = { instances: [[1, 2]] }
  const cells: [string, string, string, unknown, number][] = [
    [scientist, 'GET', '/api/v1/models/n-1', undefined, 200],
    [scientist, 'GET', '/api/v1/models/m', undefined, 403],
    [scientist, 'GET', '/api/v1/models/not-there', undefined, 403],
    [scientist, 'POST', '/v1/models/n-1:predict', body, 200],
    [scientist, 'POST', '/v1/models/m:predict', body, 403],
    [scientist, 'POST', '/v1/models/not-there:predict', body, 403],
    [scientist, 'GET', '/v1/models/m', undefined, 403],
    [scientist, 'POST', '/api/v1/models', { name: 'n-2' }, 201],
    [scientist, 'POST', '/api/v1/models', { name: 'x' }, 201],
    [scientist, 'POST', '/api/v1/models', { name: 'xy' }, 403],
    [scientist, 'POST', '/api/v1/models', { name: 'an-2' }, 403],
    [scientist, 'GET', '/metrics', undefined, 403],
    [admin, 'DELETE', '/api/v1/models/m', undefined, 403],
    [admin, 'GET', '/api/v1/tokens', undefined, 403],
    [admin, 'POST', '/api/v1/tokens', { sub: 'x', role: 'admin' }, 403],
    [admin, 'GET', '/api/v1/backup', undefined, 403],
    [auditor, 'GET', '/api/v1/audit', undefined, 403],
  ]
  for (const [token, method, path, sent, status] of cells) {
    const answer = await relais.call(method, path, { token, body: sent })
    expect([method, path, answer.status]).toEqual([method, path, status])
  }
  const listed = await relais.call('GET', '/api/v1/models', { token: scientist })
  expect(listed.body.models.map((model: any) => model.name)).toEqual(['n-1', 'n-2', 'x'])
  const served = await relais.call('GET', '/v1/models', { token: scientist })
  expect(served.body.models).not.toContain('m')
  const me = await relais.call('GET', '/api/v1/me', { token: admin })
  expect(me.body).toMatchObject({ sub: 'narrow-admin', role: 'admin', models: ['n-*', 'x'] })
  expect(me.body.rights).not.toContain('tokens:manage')
  expect(me.body.rights).toContain('stage:Production')
})

describe('§11 refused to a data scientist, allowed to an ml-lead', () => {
  const p = '/api/v1/models/prod'
  let scientist: string
  beforeAll(async () => {
    scientist = await relais.token('data-scientist', { sub: 'alice' })
    const lead = tokens['ml-lead']
    for (const token of [lead, lead, scientist, lead])
      await relais.push('prod', identity, {}, token)
    await relais.promote('prod', 1, 'Production')
    await relais.promote('prod', 4, 'Staging')
    await relais.push('prod', identity, {}, scientist)
    await relais.promote('prod', 5, 'Archived', {}, scientist)
    await relais.call('PUT', `${p}/aliases/pinned`, { body: { version: 1 } })
    await relais.call('PUT', `${p}/aliases/held`, { body: { version: 1 } })
  })
  const stage = (version: number, to: string, more: object = {}) =>
    ['POST', `${p}/versions/${version}/stage`, { stage: to, ...more }] as const
  const alias = (name: string, version: number) =>
    ['PUT', `${p}/aliases/${name}`, { version }] as const
  type Request = readonly [method: string, path: string, body?: object]
  // In an order that works for a lead too: each row leaves what the next ones need.
  const refused: Record<string, Request> = {
    'edits a model with a Production version': ['PATCH', p, { description: 'x' }],
    'edits a Production version': ['PATCH', `${p}/versions/1`, { tags: { a: 'b' } }],
    'sets an alias on a Production version': alias('one', 1),
    'sets an alias on an archived version': alias('five', 5),
    'moves an alias away from Production': alias('pinned', 2),
    'removes an alias from Production': ['DELETE', `${p}/aliases/held`],
    'sets champion': alias('champion', 2),
    'sets live': alias('live', 2),
    'sets stable': alias('STABLE', 2),
    'sets a protected glob': alias('prod-eu', 2),
    'removes a protected alias': ['DELETE', `${p}/aliases/prod-eu`],
    'archives another author’s version': stage(2, 'Archived'),
    'archives another’s on the way': stage(3, 'Staging', { archive_existing: true }),
    'moves a version into Production': stage(3, 'Production', { archive_existing: false }),
    'rolls Production back': ['POST', `${p}/rollback`, {}],
    'moves a version out of Production': stage(1, 'Archived'),
  }
  const asked = async (token: string, [method, path, body]: Request) => {
    const { status, body: answer } = await relais.call(method, path, { token, body })
    return [status, answer.code]
  }
  for (const [what, request] of Object.entries(refused)) {
    test(`${what}`, async () => {
      expect(await asked(scientist, request)).toEqual([403, 'access.denied'])
    })
  }
  test('deletes a model or version in Production, pushes into Production', async () => {
    const denied = [403, 'access.denied']
    expect(await asked(scientist, ['DELETE', p])).toEqual(denied)
    expect(await asked(scientist, ['DELETE', `${p}/versions/1`])).toEqual(denied)
    const pushed = await relais.push('prod', identity, { stage: 'Production' }, scientist)
    expect(pushed.body.code).toBe('access.denied')
    const bytes = { 'content-type': 'application/octet-stream' }
    const path = `${p}/versions?stage=Production`
    const bare = await relais.call('POST', path, { token: scientist, raw: 'x', headers: bytes })
    expect(bare.body.code).toBe('access.denied')
    expect((await relais.call('GET', `${p}/versions`)).body.versions).toHaveLength(5)
  })
  test('but may work on the rest', async () => {
    const allowed: Request[] = [
      ['PATCH', `${p}/versions/2`, { description: 'mine too' }],
      alias('trial', 2),
      alias('trial', 4),
      ['DELETE', `${p}/aliases/trial`],
      stage(3, 'Staging'),
      stage(3, 'Archived'),
      stage(3, 'None'),
      ['POST', '/api/v1/models', { name: 'own' }],
      ['PATCH', '/api/v1/models/own', { description: 'x' }],
      ['DELETE', '/api/v1/models/own'],
    ]
    for (const request of allowed) {
      const [status] = await asked(scientist, request)
      expect([request, (status as number) < 300]).toEqual([request, true])
    }
  })
  test('an ml-lead is refused none of it', async () => {
    for (const [what, request] of Object.entries(refused)) {
      expect([what, ...(await asked(tokens['ml-lead'], request))]).toEqual([what, 200, undefined])
    }
  })
})

const isPublic = (path: string): boolean =>
  /^\/(health(\/.*)?|v2\/health\/(live|ready)|docs(\/.*)?|version|ping|\.well-known\/jwks\.json)?$/.test(
    path,
  )

describe('§14 default deny', () => {
  const credentials: Record<string, Record<string, string>> = {
    nothing: {},
    'an empty header': { authorization: '' },
    garbage: { authorization: 'Bearer garbage' },
    'no token': { authorization: 'Bearer ' },
    'another scheme': { authorization: `Basic ${btoa('admin:admin')}` },
    'a token without its scheme': { authorization: 'eyJhbGciOiJub25lIn0.e30.' },
    'a token in the query': { 'x-query': 'yes' },
  }
  for (const [what, headers] of Object.entries(credentials)) {
    test(`every route that dispatches answers 401 to ${what}`, async () => {
      const { routes } = relais.app
      expect(routes.length).toBeGreaterThan(35)
      const { 'x-query': inQuery, ...sent } = headers
      for (const { method, path } of routes) {
        const query = inQuery ? `?access_token=${relais.admin}&token=${relais.admin}` : ''
        const target = `${filled(path)}${query}`
        const answer = await relais.call(method, target, { token: null, headers: sent })
        if (isPublic(path) && !(path === '/docs/json' && sent.authorization !== undefined)) {
          expect([path, answer.status === 401]).toEqual([path, false])
        } else {
          expect([method, path, answer.status]).toEqual([method, path, 401])
          if (method === 'HEAD') continue
          expect(codeOf(answer)).toMatch(/^(auth\.(missing|invalid)|UNAUTHENTICATED)$/)
          expect(answer.headers.get('www-authenticate')).toStartWith('Bearer')
        }
      }
    })
  }

  test('unknown paths are 401 too, and no other path to a route avoids the check', async () => {
    const targets = [
      '//api/v1/models',
      '/API/v1/models',
      '/api/v1/models/',
      '/api//v1/models',
      '/api/../api/v1/models',
      '/api/./v1/models',
      '/api/v1/models?x=/docs/',
      '/api/v1/models#/docs',
      '/api/v1/models;/docs',
      '/%61pi/v1/models',
      '/docs/../api/v1/models',
      '/docs/..%2fapi/v1/models',
      '/docs/%2e%2e/api/v1/models',
      '/health/..;/api/v1/models',
      '/health/../v1/models',
      '/docs//api/v1/models',
      '/docs%2f..%2fapi/v1/models',
      '/docsx',
      '/v2/health',
      '/v2/health/',
      '/v2/health/live/',
      '/v2/health/live/../../models',
      '/v2/health/ready/..;/v2',
      '/healthz',
      '/version/../metrics',
      '/metrics/',
      '/METRICS',
      '/.well-known/jwks.json/../../metrics',
      '/nowhere',
      `${relais.url}/api/v1/models`,
      'http://docs/docs/../api/v1/models',
      'http://x/docs@/api/v1/models',
    ]
    for (const target of targets) {
      const { status, body } = await rawGet(relais.url, target)
      expect([target, [400, 401, 404].includes(status)]).toEqual([target, true])
      expect(body).not.toMatch(/latest_version|http_requests_total|"models"/)
      if (!/docs[^x]|health[^z]|version|well-known/.test(target))
        expect([target, status]).toEqual([target, 401])
    }
  })

  test('a short host name does not shift the path', async () => {
    for (const host of ['x', 'ab', 'a:1', '[::]']) {
      const authorization = `Bearer ${relais.admin}`
      const listed = await rawGet(relais.url, '/api/v1/models', { host, authorization })
      expect([host, listed.status, listed.body.includes('"models"')]).toEqual([host, 200, true])
      for (const target of ['/docs/api/v1/models', '/health/metrics', '/docs/metrics']) {
        const { status } = await rawGet(relais.url, target, { host })
        expect([host, target, status]).toEqual([host, target, 404])
      }
    }
  })

  test('headers that rewrite path or method are ignored', async () => {
    const headers = {
      'x-original-url': '/health/live',
      'x-rewrite-url': '/docs',
      'x-forwarded-prefix': '/docs',
      'x-forwarded-for': '127.0.0.1',
      forwarded: 'for=127.0.0.1',
      'x-http-method-override': 'DELETE',
      'x-method-override': 'DELETE',
    }
    expect((await rawGet(relais.url, '/api/v1/models', headers)).status).toBe(401)
    const hidden = await rawGet(relais.url, '/health/live', {
      ...headers,
      'x-original-url': '/api/v1/models',
    })
    expect([hidden.status, JSON.parse(hidden.body)]).toEqual([200, { status: 'ok' }])
    const asReader = { ...headers, authorization: `Bearer ${relais.admin}` }
    const answer = await rawGet(relais.url, '/api/v1/models/m', asReader)
    expect([answer.status, JSON.parse(answer.body).name]).toEqual([200, 'm'])
    expect((await relais.call('GET', '/api/v1/models/m')).status).toBe(200)
  })

  test('other methods find no way in', async () => {
    for (const method of ['HEAD', 'OPTIONS', 'PUT', 'DELETE', 'PATCH', 'TRACE', 'PROPFIND']) {
      const { status } = await rawGet(relais.url, '/api/v1/models', {}, method)
      expect([method, [400, 401, 405, 501].includes(status)]).toEqual([method, true])
    }
  })

  test('the answer to an anonymous upload does not wait for its body', async () => {
    const head =
      `POST /api/v1/models/m/versions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n` +
      'content-type: application/octet-stream\r\ncontent-length: 104857600\r\n\r\nfirst bytes'
    const started = performance.now()
    expect((await sendRaw(relais.url, head)).status).toBe(401)
    expect(performance.now() - started).toBeLessThan(1000)
  })

  test('§14 nobody unknown has a body read, on public paths neither', async () => {
    const chunk = `100000\r\n${'a'.repeat(0x100000)}\r\n`
    for (const path of ['/health', '/docs/json', '/docs/none', '/version']) {
      const head = `POST ${path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n`
      const { status } = await sendRaw(relais.url, head + chunk, 1000)
      expect([path, status === 404 || status === 405]).toEqual([path, true])
    }
  })

  test('a guard speaks before the body is validated', async () => {
    const garbage = [{ nonsense: true }, [], 'text', 7]
    for (const { method, path, right } of probes) {
      if (method === 'GET' || /:(read|predict)$/.test(right)) continue
      for (const body of garbage) {
        const answer = await relais.call(method, path, { token: tokens.viewer, body })
        expect([method, path, answer.status]).toEqual([method, path, 403])
      }
    }
    const raw = '{"instances":'
    const refused = await relais.call('POST', '/v1/models/m:predict', { token: tokens.viewer, raw })
    expect(refused.status).toBe(403)
  })
})

test('§18 the OpenAPI document lists only models the token may predict', async () => {
  const paths = async (token: string | null) => {
    const { status, body } = await relais.call('GET', '/docs/json', { token })
    expect(status).toBe(200)
    return Object.keys(body.paths).filter((path) => /^\/v[12]\/models/.test(path))
  }
  await relais.push('docs-a', identity)
  await relais.promote('docs-a', 1, 'Production')
  expect(await paths(null)).toEqual([])
  expect(await paths(tokens.viewer)).toEqual([])
  const narrow = await relais.token('predictor', { sub: 'narrow', models: ['docs-*'] })
  expect(await paths(narrow)).toEqual([
    '/v1/models/docs-a:predict',
    '/v1/models/docs-a:score',
    '/v2/models/docs-a/infer',
    '/v1/models/docs-a/invocations',
  ])
  expect((await paths(tokens.predictor)).length).toBeGreaterThan(1)
})

test('§13 admin.token is written once and is a token like any other', async () => {
  const path = join(relais.data, 'admin.token')
  expect(statSync(path).mode & 0o777).toBe(0o600)
  const { jti, role } = (await relais.call('GET', '/api/v1/me')).body
  expect(role).toBe('admin')
  const spare = await relais.token('admin', { sub: 'spare' })
  await relais.restart()
  expect(readFileSync(path, 'utf8').trim()).toBe(relais.admin)
  expect((await relais.call('GET', '/api/v1/me')).status).toBe(200)
  const revoked = await relais.call('DELETE', `/api/v1/tokens/${jti}`, { token: spare })
  expect(revoked.body).toMatchObject({ jti, sub: 'admin' })
  expect((await relais.call('GET', '/api/v1/me')).body.code).toBe('auth.revoked')
  await relais.restart()
  expect(readFileSync(path, 'utf8').trim()).toBe(relais.admin)
  expect((await relais.call('GET', '/api/v1/me')).body.code).toBe('auth.revoked')
})
