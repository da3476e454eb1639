// Searches through MLflow's API: pages and their tokens, rights, prompts, aliases, bounds, hostile filters.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'

import { models, modelTags, versions, versionTags } from '../src/db/tables.ts'
import { makeData, seedRelais } from './mlflow/search-data.ts'
import { type Relais, startRelais } from './support/relais.ts'

let relais: Relais
const data = makeData(7)

beforeAll(async () => {
  relais = await startRelais()
  await seedRelais(relais.app.foundation.db, data)
})
afterAll(() => relais.close())

type Fields = Record<string, unknown>

const post = (path: string, body: Fields, token?: string) =>
  relais.call('POST', `/api/2.0/mlflow/${path}`, { body, ...(token && { token }) })

const get = (path: string, fields: Record<string, string> = {}, token?: string) =>
  relais.call(
    'GET',
    `/api/2.0/mlflow/${path}?${new URLSearchParams(fields).toString()}`,
    token ? { token } : {},
  )

const experimentIds = ['0', '1', '2']

/** Each search with what it needs at least. */
const searches: Record<string, (fields: Fields, token?: string) => ReturnType<typeof post>> = {
  'experiments/search': (fields, token) => post('experiments/search', fields, token),
  'runs/search': (fields, token) =>
    post('runs/search', { experiment_ids: experimentIds, ...fields }, token),
  'logged-models/search': (fields, token) =>
    post('logged-models/search', { experiment_ids: experimentIds, ...fields }, token),
  'registered-models/search': (fields, token) =>
    get('registered-models/search', fields as Record<string, string>, token),
  'model-versions/search': (fields, token) =>
    get('model-versions/search', fields as Record<string, string>, token),
}

describe.each(Object.entries(searches))('%s', (_, search) => {
  test('page tokens go on with the same search only', async () => {
    const first = await search({ filter: '', max_results: 2 })
    expect(first.status).toBe(200)
    const token = first.body.next_page_token
    expect((await search({ filter: '', max_results: 5, page_token: token })).status).toBe(200)
    for (const other of [{ filter: "name != 'x'" }, { filter: "tags.a = 'x'" }]) {
      const answer = await search({ ...other, page_token: token })
      expect([answer.status, answer.body.error_code]).toEqual([400, 'INVALID_PARAMETER_VALUE'])
    }
    const made = [JSON.stringify(['x', 1]), 'null', '{', '[]'].map((text) => btoa(text))
    for (const wrong of ['x', '%', ...made, `${token}x`, token.slice(4)]) {
      const answer = await search({ filter: '', page_token: wrong })
      expect([wrong, answer.body.error_code]).toEqual([wrong, 'INVALID_PARAMETER_VALUE'])
    }
  })

  test('limits of max_results', async () => {
    for (const limit of [0, -1, 10_000_000]) {
      const answer = await search({ max_results: limit })
      expect([limit, answer.status]).toEqual([limit, 400])
    }
  })

  test('roles: who may not read, may not search', async () => {
    expect((await search({}, await relais.token('viewer'))).status).toBe(200)
    const denied = await search({}, await relais.token('predictor'))
    expect([denied.status, denied.body.error_code]).toEqual([403, 'PERMISSION_DENIED'])
  })

  test('values are bound, never read as SQL', async () => {
    const key = 'x` = 1) or (1 = 1'
    for (const filter of [`tags."${key}" = 'x'`, "tags.a = ''' or 1 = 1 --'"]) {
      const answer = await search({ filter })
      expect([answer.status, answer.body]).toEqual([200, {}])
    }
  })
})

test('hostile filters are answered quickly', async () => {
  const many = (text: string): string => text.repeat(100_000 / text.length)
  const hostile: [filter: string, status: number][] = [
    ["tags.a = 'x'; DROP TABLE models", 400],
    ["tags.a = 'x' OR 1 = 1", 400],
    [`tags.a = ${many("'")}`, 200],
    [`tags.a = ${many("\\'")}`, 400],
    [`tags.${many('a.')} = 'x'`, 400],
    [many('1'), 400],
    [`${many('1')}x`, 400],
    [many('('), 400],
    [many('`'), 400],
    [many("tags.a = 'x' AND "), 400],
    [`tags.a LIKE '${many('%a')}'`, 400],
    [`tags.a LIKE '${'%a'.repeat(4000)}b'`, 200],
    [`tags.a IN (${many("'a',")})`, 400],
    [`run_id IN (${"'a',".repeat(9000)})`, 200],
    [many('x '), 400],
    ['x'.repeat(300_000), 400],
  ]
  for (const [filter, status] of hostile) {
    const began = performance.now()
    const answer = await post('runs/search', { experiment_ids: experimentIds, filter })
    expect([filter.slice(0, 30), answer.status]).toEqual([filter.slice(0, 30), status])
    expect(performance.now() - began).toBeLessThan(2000)
  }
})

const names = (rows: { name: string }[] = []): string[] => rows.map(({ name }) => name)
const isPrompt = "tags.`mlflow.prompt.is_prompt` = 'true'"
const isNone = "tag.`mlflow.prompt.is_prompt` != 'true'"

describe('the registry', () => {
  test('a token that is narrowed finds its models only, on full pages', async () => {
    const token = await relais.token('viewer', { models: ['m-x*', '[ab]'] })
    const wanted = (name: string): boolean => name.startsWith('m-x') || name === '[ab]'
    const all = await get('model-versions/search')
    const expected = all.body.model_versions.filter((one: any) => wanted(one.name))
    const found: any[] = []
    let next: string | undefined
    do {
      const page = await get(
        'model-versions/search',
        { max_results: '2', ...(next && { page_token: next }) },
        token,
      )
      next = page.body.next_page_token
      expect(page.body.model_versions.length).toBe(next ? 2 : page.body.model_versions.length)
      found.push(...page.body.model_versions)
    } while (next)
    expect(expected.length).toBeGreaterThan(3)
    expect(found).toEqual(expected)
    const models = await get('registered-models/search', {}, token)
    expect(names(models.body.registered_models).every(wanted)).toBe(true)
    const none = await relais.token('viewer', { models: ['other'] })
    expect((await get('registered-models/search', {}, none)).body).toEqual({})
  })

  test('prompts are found only when asked for; models without the tag are none', async () => {
    const prompts = data.models.filter(({ tags }) => tags['mlflow.prompt.is_prompt'] === 'true')
    expect(prompts.length).toBeGreaterThan(1)
    const asked = await get('registered-models/search', { filter: isPrompt, max_results: '1000' })
    expect(names(asked.body.registered_models)).toEqual(names(prompts).sort())
    for (const filter of ['', isNone]) {
      const found = await get('registered-models/search', { filter, max_results: '1000' })
      expect(found.body.registered_models.length).toBe(data.models.length - prompts.length)
    }
  })

  test('tags follow every edit, and aliases stand in what is found', async () => {
    const tagged = async (value: string): Promise<string[]> => {
      const answer = await get('registered-models/search', { filter: `tags.stage = '${value}'` })
      return names(answer.body.registered_models)
    }
    await relais.call('POST', '/api/v1/models', { body: { name: 'fresh', tags: { stage: 'one' } } })
    expect(await tagged('one')).toEqual(['fresh'])
    const edit = (tags: Fields) => relais.call('PATCH', '/api/v1/models/fresh', { body: { tags } })
    await edit({ stage: 'two' })
    expect([await tagged('one'), await tagged('two')]).toEqual([[], ['fresh']])
    await edit({ stage: null })
    expect(await tagged('two')).toEqual([])

    const [one] = data.versions.filter(({ deleted, name }) => !deleted && name.startsWith('m-x'))
    const { name, version } = one!
    await relais.call('PUT', `/api/v1/models/${encodeURIComponent(name)}/aliases/best`, {
      body: { version },
    })
    const found = await get('model-versions/search', {
      filter: `name = '${name}' AND version_number = ${version}`,
    })
    expect(found.body.model_versions[0].aliases).toEqual(['best'])
    const model = await get('registered-models/search', { filter: `name = '${name}'` })
    expect(model.body.registered_models[0].aliases).toEqual([
      { alias: 'best', version: String(version) },
    ])
  })

  test('deleted models and their versions are hidden', async () => {
    await relais.call('POST', '/api/v1/models', { body: { name: 'gone' } })
    expect((await relais.call('DELETE', '/api/v1/models/gone')).status).toBe(200)
    expect((await get('registered-models/search', { filter: "name = 'gone'" })).body).toEqual({})
  })
})

test('rows that change between pages are neither lost nor told twice', async () => {
  const seen: string[] = []
  let next: string | undefined
  do {
    const page = await get('model-versions/search', {
      max_results: '7',
      order_by: 'name',
      ...(next && { page_token: next }),
    })
    seen.push(...page.body.model_versions.map((one: any) => `${one.name} ${one.version}`))
    next = page.body.next_page_token
    // With offsets this would shift every later page by one.
    await relais.call('POST', '/api/v1/models', { body: { name: `!${seen.length}` } })
  } while (next)
  expect(new Set(seen).size).toBe(seen.length)
  const all = await get('model-versions/search', { order_by: 'name' })
  expect(seen).toEqual(all.body.model_versions.map((one: any) => `${one.name} ${one.version}`))
})

test('datasets of experiments, once per context', async () => {
  const found = await post('experiments/search-datasets', { experiment_ids: ['0'] })
  const summaries = found.body.dataset_summaries as Fields[]
  expect(new Set(summaries.map((one) => JSON.stringify(one))).size).toBe(summaries.length)
  expect(summaries.every(({ experiment_id }) => experiment_id === '0')).toBe(true)
  expect((await post('experiments/search-datasets', {})).status).toBe(400)
})

test('the tables of tags hold what the JSON columns hold', async () => {
  const { read } = relais.app.foundation.db
  const lines = (rows: { id: string; tags: Record<string, string> }[]): Set<string> =>
    new Set(rows.flatMap(({ id, tags }) => Object.entries(tags).map((tag) => [id, ...tag].join())))
  const tagsOfModels = await read.select().from(modelTags)
  expect(
    new Set(tagsOfModels.map(({ modelId, key, value }) => `${modelId},${key},${value}`)),
  ).toEqual(lines(await read.select().from(models)))
  const tags = await read.select().from(versionTags)
  expect(new Set(tags.map(({ versionId, key, value }) => `${versionId},${key},${value}`))).toEqual(
    lines(await read.select().from(versions)),
  )
})
