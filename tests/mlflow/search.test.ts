// The same random searches at MLflow's server and at ours: the same ids in the same order on the same
// pages, and the same verdict on filters that are malformed. SEARCH_SEED repeats a run.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { pythonWith } from '../support/python.ts'
import { type Relais, startRelais } from '../support/relais.ts'
import { makeData, Random, seedRelais } from './search-data.ts'
import { entities, type Entity, makeQueries, type Query } from './search-queries.ts'

const count = Number(process.env.SEARCH_COUNT ?? 2000)
const seed = Number(process.env.SEARCH_SEED ?? Date.now() % 1_000_000)
const mostPages = 4

interface Found {
  error?: string
  pages?: string[][]
}

const folder = mkdtempSync(join(tmpdir(), 'relais-search-'))
let relais: Relais
let queries: Query[]
let theirs: Found[]
let ours: Found[]

const places: Record<
  Entity,
  { method: string; path: string; member: string; id: (one: any) => string }
> = {
  experiments: {
    method: 'POST',
    path: 'experiments',
    member: 'experiments',
    id: (e) => e.experiment_id,
  },
  runs: { method: 'POST', path: 'runs', member: 'runs', id: (r) => r.info.run_id },
  'logged-models': {
    method: 'POST',
    path: 'logged-models',
    member: 'models',
    id: (m) => m.info.model_id,
  },
  models: {
    method: 'GET',
    path: 'registered-models',
    member: 'registered_models',
    id: (m) => m.name,
  },
  versions: {
    method: 'GET',
    path: 'model-versions',
    member: 'model_versions',
    id: (v) => `${v.name} ${v.version}`,
  },
}

async function ask({ entity, body }: Query): Promise<Found> {
  const { method, path, member, id } = places[entity]
  const url = `/api/2.0/mlflow/${path}/search`
  const pages: string[][] = []
  const sent = { ...body }
  while (pages.length < mostPages) {
    const query = new URLSearchParams()
    for (const [name, value] of Object.entries(sent)) {
      for (const one of [value].flat()) query.append(name, String(one))
    }
    const answer =
      method === 'GET'
        ? await relais.call(method, `${url}?${query}`)
        : await relais.call(method, url, { body: sent })
    if (answer.status >= 500) throw new Error(`${JSON.stringify(body)}: ${answer.text}`)
    if (answer.status !== 200) return { error: answer.text }
    pages.push((answer.body[member] ?? []).map(id))
    const next = answer.body.next_page_token as string | undefined
    if (next === undefined) break
    sent.page_token = next
  }
  return { pages }
}

/** MLflow's answers, from a process that ends when it has them all. */
async function askMlflow(): Promise<Found[]> {
  const python = await pythonWith(join(import.meta.dir, 'requirements.txt'))
  const child = Bun.spawn([python, join(import.meta.dir, 'search.py'), folder], {
    env: { PATH: process.env.PATH ?? '', HOME: folder },
    stdout: 'ignore',
    stderr: 'pipe',
  })
  const [words, code] = await Promise.all([child.stderr.text(), child.exited])
  if (code !== 0) throw new Error(words.slice(-3000))
  return JSON.parse(readFileSync(join(folder, 'answers.json'), 'utf8')) as Found[]
}

beforeAll(async () => {
  console.log(`SEARCH_SEED=${seed}`)
  const data = makeData(seed)
  queries = makeQueries(new Random(seed + 1), data, count)
  writeFileSync(join(folder, 'data.json'), JSON.stringify(data))
  writeFileSync(join(folder, 'queries.json'), JSON.stringify(queries))
  const asked = askMlflow()
  relais = await startRelais()
  await seedRelais(relais.app.foundation.db, data)
  ours = []
  for (const query of queries) ours.push(await ask(query))
  theirs = await asked
}, 600_000)
afterAll(async () => {
  await relais?.close()
  rmSync(folder, { recursive: true, force: true })
})

describe.each([...entities])('%s:', (entity) => {
  const pairs = () => [...queries.entries()].filter(([, query]) => query.entity === entity)

  test('the same pages where both answer', () => {
    const wrong = pairs().filter(
      ([at]) => ours[at]!.pages && theirs[at]!.pages && !Bun.deepEquals(ours[at], theirs[at]),
    )
    for (const [at, query] of wrong.slice(0, 5))
      console.log(JSON.stringify({ query, ours: ours[at], theirs: theirs[at] }))
    expect(wrong.length).toBe(0)
  })

  test('the same verdict', () => {
    const wrong = pairs().filter(
      ([at]) => (ours[at]!.error === undefined) !== (theirs[at]!.error === undefined),
    )
    for (const [at, query] of wrong.slice(0, 60))
      console.log(
        JSON.stringify(query.body.filter),
        JSON.stringify(query.body.order_by),
        'ours',
        ours[at]!.error ?? 'ok',
        'theirs',
        theirs[at]!.error?.slice(0, 200) ?? 'ok',
      )
    expect(wrong.length).toBe(0)
  })

  test('the searches are worth their name', () => {
    const found = pairs().map(([at]) => ours[at]!)
    console.log(
      entity,
      'errors',
      found.filter((f) => f.error).length,
      'nonempty',
      found.filter(({ pages }) => pages?.[0]?.length).length,
      'several pages',
      found.filter(({ pages }) => (pages?.length ?? 0) > 1).length,
    )
  })
})
