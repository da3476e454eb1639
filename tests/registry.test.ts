// The registry: names, aliases, edits, deletion and its undoing, idempotency, paging, schema files.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import { eq } from 'drizzle-orm'

import { versions as versionTable } from '../src/db/tables.ts'
import { blobPath } from './support/faults.ts'
import { examples, type Relais, startRelais, testModels } from './support/relais.ts'

const file = (type: string): string => join(testModels, `identity-${type}.onnx`)
const identity = file('float32')
let relais: Relais

beforeAll(async () => {
  relais = await startRelais()
})
afterAll(() => relais.close())

const modelPath = (name: string): string => `/api/v1/models/${encodeURIComponent(name)}`
const create = (name: string, more: object = {}) =>
  relais.call('POST', '/api/v1/models', { body: { name, ...more } })
const gist = ({ status, body }: { status: number; body: any }) => [status, body.code]

const goodNames = [
  'iris',
  'a b',
  'Größe',
  '模型',
  '100%',
  'a%2Fb',
  '?x=1&y#z',
  "'; DROP TABLE models--",
  '"quoted" \\ back',
  '__proto__',
  'constructor',
  '...',
  '..%',
  '-',
  'a'.repeat(255),
  '😀'.repeat(255),
]

test('§25 good names are taken as they are, percent-encoded in URLs', async () => {
  for (const name of goodNames) {
    const made = await create(name)
    expect([made.status, made.body.name]).toEqual([201, name])
    const found = await relais.call('GET', modelPath(name))
    expect([found.status, found.body.name]).toEqual([200, name])
    expect((await relais.call('DELETE', modelPath(name))).status).toBe(200)
  }
})

const badNames = [
  '',
  '.',
  '..',
  ' a',
  'a ',
  'a\u00a0',
  'a/b',
  '../a',
  'a:b',
  'a\nb',
  'a\u0000b',
  'a\u007fb',
  'a\u0085b',
  'abc\u202etxt',
  'a\u2066b',
  'a\u200bb',
  '\ufeffa',
  'a\u00adb',
  'a\u2028b',
  'a\ue000b',
  'a\ud800b',
  'a'.repeat(256),
]

test('§25 bad names are refused wherever a model can be made', async () => {
  for (const name of badNames) {
    const shown = JSON.stringify(name)
    expect([shown, ...gist(await create(name))]).toEqual([shown, 422, 'name.invalid'])
    if (name === '' || !name.isWellFormed() || name === '.' || name === '..') continue
    const made = await relais.push(name, identity)
    expect([shown, ...gist(made)]).toEqual([shown, 422, 'name.invalid'])
  }
  const listed = await relais.call('GET', '/api/v1/models')
  expect(listed.body.models).toEqual([])
})

test('§12 aliases may not be stages, versions or latest; they move and are served', async () => {
  await relais.push('aliased', identity)
  await relais.push('aliased', identity)
  const put = (alias: string, version: number) =>
    relais.call('PUT', `${modelPath('aliased')}/aliases/${encodeURIComponent(alias)}`, {
      body: { version },
    })
  for (const alias of [
    'production',
    'Staging',
    'NONE',
    'archived',
    'latest',
    'LATEST',
    'v1',
    '7',
  ]) {
    expect([alias, ...gist(await put(alias, 1))]).toEqual([alias, 409, 'alias.reserved'])
  }
  for (const alias of ['a b', 'a.b', 'é!', 'x'.repeat(256)]) {
    expect([alias, ...gist(await put(alias, 1))]).toEqual([alias, 422, 'name.invalid'])
  }
  expect(gist(await put('shadow', 9))).toEqual([404, 'version.not-found'])
  const served = async () => {
    const { status, body } = await relais.predict('aliased', [[1, 2]], { at: 'labels/shadow' })
    return body.model_version ?? status
  }
  expect(await served()).toBe(404)
  expect((await put('shadow', 1)).status).toBe(200)
  expect(await served()).toBe('1')
  expect((await put('shadow', 2)).status).toBe(200)
  expect(await served()).toBe('2')
  expect((await relais.call('GET', `${modelPath('aliased')}/versions/shadow`)).body).toMatchObject({
    version: 2,
    aliases: ['shadow'],
  })
  expect((await relais.call('GET', modelPath('aliased'))).body.aliases).toEqual({ shadow: 2 })
  const remove = () => relais.call('DELETE', `${modelPath('aliased')}/aliases/shadow`)
  expect((await remove()).status).toBe(200)
  expect(gist(await remove())).toEqual([404, 'alias.not-found'])
  expect(await served()).toBe(404)
})

test('descriptions and tags are edited, and null removes a tag', async () => {
  const made = await create('edited', { description: 'first', tags: { a: '1', b: '2' } })
  expect(made.body).toMatchObject({ description: 'first', tags: { a: '1', b: '2' } })
  const edit = (path: string, body: object) => relais.call('PATCH', path, { body })
  const path = modelPath('edited')
  const changed = await edit(path, { tags: { a: null, c: '3' } })
  expect(changed.body).toMatchObject({ description: 'first', tags: { b: '2', c: '3' } })
  expect((await edit(path, { description: '' })).body.description).toBe('')
  const tagged = { tags: { run: 'x' }, params: { depth: '3' }, git_commit: 'abc123' }
  await relais.push('edited', identity, tagged)
  const version = await edit(`${path}/versions/1`, { description: 'best', tags: { run: null } })
  expect(version.body).toMatchObject({
    description: 'best',
    tags: {},
    params: { depth: '3' },
    git_commit: 'abc123',
  })
  const { moves } = (await relais.call('GET', `${path}/history`)).body
  expect(moves).toEqual([])
})

test('§9 what is live cannot be deleted; the rest can, and be restored with its number', async () => {
  const path = modelPath('gone')
  for (let at = 0; at < 3; at += 1) await relais.push('gone', identity)
  await relais.promote('gone', 1, 'Production')
  await relais.promote('gone', 2, 'Staging')
  const table: [string, number, string | undefined][] = [
    [`${path}/versions/1`, 409, 'version.live'],
    [`${path}/versions/2`, 409, 'version.live'],
    [path, 409, 'version.live'],
    [`${path}/versions/3`, 200, undefined],
    [`${path}/versions/3`, 404, 'version.not-found'],
  ]
  for (const [target, status, code] of table) {
    expect(gist(await relais.call('DELETE', target))).toEqual([status, code])
  }
  expect(gist(await relais.call('GET', `${path}/versions/3`))).toEqual([404, 'version.not-found'])
  expect(gist(await relais.promote('gone', 3, 'Staging'))).toEqual([404, 'version.not-found'])
  const restore = (target: string) => relais.call('POST', `${target}/restore`)
  expect((await restore(`${path}/versions/3`)).body.version).toBe(3)
  expect(gist(await restore(`${path}/versions/3`))).toEqual([409, 'version.not-deleted'])
  await relais.promote('gone', 1, 'Archived')
  await relais.promote('gone', 2, 'None')
  expect((await relais.call('DELETE', path)).status).toBe(200)
  expect(gist(await relais.call('GET', path))).toEqual([404, 'model.not-found'])
  expect(gist(await relais.predict('gone', [[1, 2]]))).toEqual([404, 'model.not-found'])
  expect((await restore(path)).body).toMatchObject({ name: 'gone', latest_version: 3 })
  expect(gist(await restore(path))).toEqual([404, 'model.not-found'])
  expect((await relais.push('gone', identity)).body.version).toBe(4)
})

test('§9 a refused restore does not hold up later changes', async () => {
  const path = modelPath('stuck')
  for (let at = 0; at < 2; at += 1) await relais.push('stuck', identity)
  await relais.promote('stuck', 2, 'Production')
  await relais.promote('stuck', 1, 'Production', { archive_existing: false })
  expect((await relais.call('DELETE', `${path}/versions/1`)).status).toBe(200)
  const token = await relais.token('data-scientist', { sub: 'restorer' })
  const refused = await relais.call('POST', `${path}/versions/1/restore`, { token })
  expect(gist(refused)).toEqual([403, 'access.denied'])
  expect((await create('after-stuck')).status).toBe(201)
})

test('§9 retention ends restorability, the sweeper frees blobs, purge at once', async () => {
  const digestOf = async (name: string) =>
    (await relais.call('GET', `${modelPath(name)}/versions/1`)).body.artifact.sha256
  const sweep = () => relais.call('DELETE', `${modelPath('sweeper')}/versions/1?purge=true`)
  await relais.push('kept', file('int8'))
  await relais.push('purged', file('int16'))
  await relais.push('shared', file('int16'))
  await relais.push('sweeper', file('uint8'))
  const [kept, purged] = [await digestOf('kept'), await digestOf('purged')]
  await relais.call('DELETE', `${modelPath('kept')}/versions/1`)
  await relais.call('DELETE', `${modelPath('purged')}/versions/1?purge=true`)
  // Another version still needs the bytes.
  expect(existsSync(blobPath(relais.data, purged))).toBe(true)
  await relais.call('DELETE', `${modelPath('shared')}/versions/1?purge=true`)
  expect(existsSync(blobPath(relais.data, purged))).toBe(false)
  expect(gist(await relais.call('POST', `${modelPath('shared')}/versions/1/restore`))).toEqual([
    409,
    'version.not-deleted',
  ])
  const old = Date.now() - 8 * 864e5
  await relais.app.foundation.db.tx(async (tx) => {
    await tx.update(versionTable).set({ deletedAt: old }).where(eq(versionTable.sha256, kept))
  })
  expect(gist(await relais.call('POST', `${modelPath('kept')}/versions/1/restore`))).toEqual([
    409,
    'version.not-deleted',
  ])
  expect(existsSync(blobPath(relais.data, kept))).toBe(true)
  expect((await sweep()).status).toBe(200)
  expect(existsSync(blobPath(relais.data, kept))).toBe(false)
})

test('§9 a model is purged with its versions', async () => {
  await relais.push('erased', file('uint16'))
  const { artifact } = (await relais.call('GET', `${modelPath('erased')}/versions/1`)).body
  expect((await relais.call('DELETE', `${modelPath('erased')}?purge=true`)).status).toBe(200)
  expect(existsSync(blobPath(relais.data, artifact.sha256))).toBe(false)
  expect(gist(await relais.call('POST', `${modelPath('erased')}/restore`))).toEqual([
    404,
    'model.not-found',
  ])
})

test('§26 a repeated Idempotency-Key gets the first answer and changes nothing', async () => {
  let key = 0
  const twice = async (method: string, path: string, body?: object) => {
    key += 1
    const headers = { 'idempotency-key': `key-${key}` }
    const options = body === undefined ? { headers } : { headers, body }
    const first = await relais.call(method, path, options)
    const second = await relais.call(method, path, options)
    expect([path, second.status, second.body]).toEqual([path, first.status, first.body])
    expect(first.status).toBeLessThan(300)
    return first.body
  }
  const path = modelPath('once')
  await twice('POST', '/api/v1/models', { name: 'once' })
  for (const version of [1, 2]) {
    const url = `${path}/versions?metric=accuracy=0.5&stage=Staging`
    const headers = {
      'idempotency-key': `push-${version}`,
      'content-type': 'application/octet-stream',
    }
    const push = () => relais.call('POST', url, { raw: readFileSync(identity), headers })
    const [first, second] = [await push(), await push()]
    expect([first.status, first.body.version, first.body.stage]).toEqual([201, version, 'Staging'])
    expect(second.body).toEqual(first.body)
  }
  await twice('POST', `${path}/versions/1/stage`, { stage: 'Production' })
  await twice('POST', `${path}/versions/2/stage`, { stage: 'Production' })
  await twice('POST', `${path}/rollback`, {})
  await twice('PATCH', path, { description: 'd' })
  await twice('PUT', `${path}/aliases/a`, { version: 2 })
  await twice('DELETE', `${path}/aliases/a`)
  await twice('DELETE', `${path}/versions/2`)
  await twice('POST', `${path}/versions/2/restore`)
  await twice('POST', `${path}/versions/1/stage`, { stage: 'Archived' })
  await twice('DELETE', path)
  await twice('POST', `${path}/restore`)
  const { body } = await relais.call('GET', `${path}/history`)
  expect(body.moves.map((m: any) => `${m.version} ${m.to}`).toReversed()).toEqual([
    '1 Staging',
    '2 Staging',
    '1 Production',
    '1 Archived',
    '2 Production',
    '2 Archived',
    '1 Production',
    '1 Archived',
  ])
  const headers = { 'idempotency-key': 'key-1' }
  const other = await relais.call('POST', '/api/v1/models', { headers, body: { name: 'another' } })
  expect(gist(other)).toEqual([409, 'idempotency.mismatch'])
  const lead = await relais.token('ml-lead')
  const theirs = { headers, body: { name: 'another' }, token: lead }
  expect((await relais.call('POST', '/api/v1/models', theirs)).status).toBe(201)
  const bad = { headers: { 'idempotency-key': 'k'.repeat(256) }, body: { name: 'third' } }
  expect(gist(await relais.call('POST', '/api/v1/models', bad))).toEqual([400, 'request.malformed'])
})

test('§26 lists come in pages and can be filtered', async () => {
  const names = ['page_a', 'page_b', 'page_c', 'pageXd', 'PAGE_E']
  for (const name of names) await create(name)
  const walk = async (path: string, member: string, query: string) => {
    const found: any[] = []
    let token = ''
    do {
      const { status, body } = await relais.call('GET', `${path}?${query}&page_token=${token}`)
      expect([status, body[member].length > 2]).toEqual([200, false])
      found.push(...body[member])
      token = body.next_page_token ?? ''
    } while (token !== '')
    return found
  }
  const seen = await walk('/api/v1/models', 'models', 'limit=2&filter=page_')
  expect(seen.map(({ name }) => name)).toEqual(['PAGE_E', 'page_a', 'page_b', 'page_c'])
  expect((await walk('/api/v1/models', 'models', 'limit=2&filter=%25')).length).toBe(0)
  for (let at = 0; at < 3; at += 1) await relais.push('page_a', identity)
  await relais.promote('page_a', 2, 'Staging')
  const path = `${modelPath('page_a')}/versions`
  const numbers = (await walk(path, 'versions', 'limit=2')).map(({ version }) => version)
  expect(numbers).toEqual([3, 2, 1])
  const staged = await walk(path, 'versions', 'limit=1&stage=staging')
  expect(staged.map(({ version }) => version)).toEqual([2])
  await relais.promote('page_a', 2, 'None')
  await relais.promote('page_a', 2, 'Archived')
  const moves = await walk(`${modelPath('page_a')}/history`, 'moves', 'limit=2')
  expect(moves.map(({ to }) => to)).toEqual(['Archived', 'None', 'Staging'])
  expect((await walk('/api/v1/tokens', 'tokens', 'limit=2')).length).toBeGreaterThan(2)
  const entries = await walk('/api/v1/audit', 'entries', 'limit=2')
  expect(entries.map(({ seq }) => seq)).toEqual(entries.map((_, at) => entries.length - at))
})

test('§26 wrong limits, tokens and filters are refused', async () => {
  const model = modelPath('page_a')
  const lists = ['/api/v1/models', `${model}/versions`, `${model}/history`, '/api/v1/tokens']
  for (const path of [...lists, '/api/v1/audit']) {
    for (const limit of ['101', '0', '-1', '1.5', 'x', '']) {
      const answer = await relais.call('GET', `${path}?limit=${limit}`)
      expect([path, limit, ...gist(answer)]).toEqual([path, limit, 422, 'request.invalid'])
    }
    const answer = await relais.call('GET', `${path}?page_token=bm9wZQ`)
    expect([path, ...gist(answer)]).toEqual([path, 400, 'request.page-token'])
  }
  const text = Buffer.from('p:abc').toString('base64url')
  for (const path of [`${model}/versions`, `${model}/history`, '/api/v1/audit']) {
    const answer = await relais.call('GET', `${path}?page_token=${text}`)
    expect([path, ...gist(answer)]).toEqual([path, 400, 'request.page-token'])
  }
  const unknown = await relais.call('GET', `${model}/versions?stage=Prod`)
  expect(gist(unknown)).toEqual([422, 'request.invalid'])
})

const iris = JSON.parse(readFileSync(join(examples, 'iris/schema.json'), 'utf8'))
const [{ example: _example, ...first }, ...others] = iris.columns
const int64 = { name: 'a', type: 'int64' }

/** what → [file, schema, pointers of the faults] */
const schemas: Record<string, [string, unknown, string[]]> = {
  'no object': ['iris', [], ['']],
  'unknown key': ['iris', { ...iris, colums: [] }, ['/colums']],
  'unknown column key': [
    'iris',
    { columns: [{ ...first, mim: 0 }, ...others] },
    ['/columns/0/mim'],
  ],
  'unknown output key': [
    'iris',
    { outputs: [{ name: 'output_label', role: 'label', clases: [] }] },
    ['/outputs/0/clases'],
  ],
  'unknown task': ['iris', { ...iris, task: 'guessing' }, ['/task']],
  'unknown role': ['iris', { outputs: [{ name: 'output_label', role: 'x' }] }, ['/outputs/0/role']],
  'no such output': ['iris', { outputs: [{ name: 'y', role: 'label' }] }, ['/outputs/0/name']],
  'extra columns': ['iris', { ...iris, extra_columns: 'maybe' }, ['/extra_columns']],
  'columns no list': ['iris', { columns: {} }, ['/columns']],
  'missing column': ['iris', { columns: others }, ['/columns']],
  'missing name': ['iris', { columns: [{ ...first, name: '' }, ...others] }, ['/columns/0/name']],
  'name used twice': [
    'iris',
    { columns: [first, { ...others[0], name: first.name }, ...others.slice(1)] },
    ['/columns/1/name'],
  ],
  'place used twice': [
    'iris',
    { columns: [first, { ...others[0], index: 0 }, ...others.slice(1)] },
    ['/columns/1/index', '/columns'],
  ],
  'column outside': ['iris', { columns: [...iris.columns, { name: 'z', index: 9 }] }, ['/columns']],
  'no such input': [
    'iris',
    { columns: [{ ...first, input: 'Y' }, ...others] },
    ['/columns/0/input', '/columns'],
  ],
  'unknown type': [
    'iris',
    { columns: [{ ...first, type: 'double' }, ...others] },
    ['/columns/0/type'],
  ],
  'text for a float': [
    'iris',
    { columns: [{ ...first, type: 'string' }, ...others] },
    ['/columns/0/type'],
  ],
  'minimum no number': [
    'iris',
    { columns: [{ ...first, min: '0' }, ...others] },
    ['/columns/0/min'],
  ],
  'minimum above maximum': [
    'iris',
    { columns: [{ ...first, min: 2, max: 1 }, ...others] },
    ['/columns/0/min'],
  ],
  'example out of range': [
    'iris',
    { columns: [{ ...first, example: 99 }, ...others] },
    ['/columns/0/example'],
  ],
  'example of another type': [
    'iris',
    { columns: [{ ...first, example: 'x' }, ...others] },
    ['/columns/0/example'],
  ],
  'allowed of another type': [
    'iris',
    { columns: [{ ...first, allowed: ['x'] }, ...others] },
    ['/columns/0/allowed/0'],
  ],
  'nullable integer': [
    'int64',
    {
      columns: [
        { ...int64, nullable: true },
        { name: 'b', type: 'int64' },
      ],
    },
    ['/columns/0/nullable'],
  ],
  'nullable bool': [
    'bool',
    {
      columns: [
        { name: 'a', type: 'bool', nullable: true },
        { name: 'b', type: 'bool' },
      ],
    },
    ['/columns/0/nullable'],
  ],
  'nullable integer column of a float input': [
    'float32',
    {
      columns: [
        { ...int64, nullable: true },
        { name: 'b', type: 'float32' },
      ],
    },
    ['/columns/0/nullable'],
  ],
  'float for an integer': [
    'int64',
    {
      columns: [
        { ...int64, type: 'float32' },
        { ...int64, name: 'b' },
      ],
    },
    ['/columns/0/type'],
  ],
}

for (const [what, [model, schema, pointers]] of Object.entries(schemas)) {
  test(`§23 a schema file is refused: ${what}`, async () => {
    const path = model === 'iris' ? join(examples, 'iris/model.onnx') : file(model)
    const answer = await relais.push('schemed', path, { schema })
    expect(gist(answer)).toEqual([422, 'schema.invalid'])
    expect(answer.body.errors.map((flaw: any) => flaw.pointer)).toEqual(pointers)
  })
}

test('refused uploads leave neither model, version nor file behind', async () => {
  const before = readdirSync(join(relais.data, 'blobs'))
  const token = await relais.token('data-scientist')
  const table: [object, string, number][] = [
    [{ stage: 'Production' }, identity, 403],
    [{ stage: 'Nowhere' }, identity, 422],
    [{ metrics: { accuracy: '1' } }, identity, 422],
    [{ unknown: 1 }, identity, 422],
    [{ schema: { colums: [] } }, identity, 422],
    [{}, join(testModels, 'not-onnx.bin'), 422],
    [{}, join(testModels, 'truncated.onnx'), 422],
    [{}, join(testModels, 'custom-domain.onnx'), 422],
    [{}, join(testModels, 'external-escape.onnx'), 422],
  ]
  for (const [metadata, path, status] of table) {
    const answer = await relais.push('refused', path, metadata as Record<string, unknown>, token)
    expect([metadata, path, answer.status]).toEqual([metadata, path, status])
  }
  expect((await relais.call('GET', modelPath('refused'))).status).toBe(404)
  expect(readdirSync(join(relais.data, 'tmp'))).toEqual([])
  expect(readdirSync(join(relais.data, 'blobs'))).toEqual(before)
})

test('equal bytes are stored once and downloaded as they were uploaded', async () => {
  const bytes = readFileSync(file('uint32'))
  const digest = new Bun.CryptoHasher('sha256').update(bytes).digest('hex')
  for (const name of ['same-a', 'same-b']) {
    const { body } = await relais.push(name, file('uint32'))
    expect(body.artifact).toMatchObject({ sha256: digest, size: bytes.length })
    const url = `${relais.url}${modelPath(name)}/versions/1/model`
    const got = await fetch(url, { headers: { authorization: `Bearer ${relais.admin}` } })
    expect(Buffer.from(await got.arrayBuffer()).equals(bytes)).toBe(true)
    expect(got.headers.get('etag')).toBe(`"${digest}"`)
  }
  const folder = readdirSync(join(relais.data, 'blobs', digest.slice(0, 2)))
  expect(folder.filter((name) => name === digest)).toHaveLength(1)
})
