// The same random searches at MLflow's stores and at our server: the same ids in the same order, in
// small pages here, and the same verdict on filters that are malformed. SEARCH_SEED repeats a run; where
// CI is set each run is the same, elsewhere each is new.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { parseFilter } from '../../src/search/filter.ts'
import { newest } from '../support/mlflow.ts'
import { pythonWith } from '../support/python.ts'
import { type Relais, startRelais } from '../support/relais.ts'
import { makeData, Random, seedRelais } from './search-data.ts'
import { entities, type Entity, makeQueries, type Query } from './search-queries.ts'

const count = Number(process.env.SEARCH_COUNT ?? 2000)
const { SEARCH_SEED, CI } = process.env
const seed = Number(SEARCH_SEED ?? (CI === 'true' ? 691_979 : Date.now() % 1_000_000))
const mostPages = 3

interface Theirs {
  error?: string
  ids?: string[]
}

interface Ours {
  error?: string
  pages?: string[][]
  /** Is there a further page? */
  more?: boolean
}

const folder = mkdtempSync(join(tmpdir(), 'relais-search-'))
let relais: Relais
let queries: Query[] = []
let theirs: Theirs[] = []
const ours: Ours[] = []

const places: Record<
  Entity,
  { method: 'GET' | 'POST'; path: string; member: string; id: (one: any) => string }
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

const queryOf = (fields: object): string => {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(fields)) {
    for (const one of [value].flat()) query.append(name, String(one))
  }
  return `?${query.toString()}`
}

/** The first pages of a search here. */
async function ask({ entity, body }: Query): Promise<Ours> {
  const { method, path, member, id } = places[entity]
  const pages: string[][] = []
  let next: string | undefined
  do {
    const { view, ...rest } = body
    const fields = {
      ...rest,
      ...(view !== undefined && { view_type: view, run_view_type: view }),
      ...(next !== undefined && { page_token: next }),
    }
    const url = `/api/2.0/mlflow/${path}/search${method === 'GET' ? queryOf(fields) : ''}`
    const answer = await relais.call(method, url, method === 'GET' ? {} : { body: fields })
    if (answer.status >= 500) throw new Error(`${JSON.stringify(body)}: ${answer.text}`)
    if (answer.status !== 200) return { error: answer.body.message }
    pages.push((answer.body[member] ?? []).map(id))
    next = answer.body.next_page_token
  } while (next !== undefined && pages.length < mostPages)
  return { pages, more: next !== undefined }
}

/** MLflow's answers, from a process that ends when it has them all. */
async function askMlflow(): Promise<Theirs[]> {
  const python = await pythonWith(newest)
  const child = Bun.spawn([python, join(import.meta.dir, 'search.py'), folder], {
    env: { PATH: process.env.PATH ?? '', HOME: folder },
    stdout: 'ignore',
    stderr: 'pipe',
  })
  const [words, code] = await Promise.all([child.stderr.text(), child.exited])
  if (code !== 0) throw new Error(words.slice(-3000))
  return JSON.parse(readFileSync(join(folder, 'answers.json'), 'utf8')) as Theirs[]
}

/** The pages that these ids make. */
function pagesOf(ids: readonly string[], size: number): Ours {
  const pages = Array.from({ length: Math.max(1, Math.ceil(ids.length / size)) }, (_, at) =>
    ids.slice(at * size, (at + 1) * size),
  )
  return { pages: pages.slice(0, mostPages), more: pages.length > mostPages }
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
  for (const query of queries) ours.push(await ask(query))
  theirs = await asked
}, 600_000)
afterAll(async () => {
  await relais?.close()
  rmSync(folder, { recursive: true, force: true })
})

interface Difference {
  reason: string
  /** Which of the two refuses. */
  refuses: 'ours' | 'theirs'
  applies: (query: Query, error: string) => boolean
}

/** More clauses than ANDs outside of quotes can join. */
function lacksAnd({ body: { filter = '' } }: Query): boolean {
  const bare = filter.replaceAll(/'[^']*'|"[^"]*"|`[^`]*`/g, '')
  return parseFilter(filter).length > (bare.match(/\band\b/gi)?.length ?? 0) + 1
}

/** Where the verdicts differ on purpose; all but the first three are about damaged filters. */
const differences: Difference[] = [
  {
    reason:
      'a key twice in an order is refused everywhere; MLflow takes it in two searches of five',
    refuses: 'ours',
    applies: (_, error) => error.includes('duplicate fields'),
  },
  {
    reason:
      'operators may be in lower case everywhere; MLflow refuses some of them for experiments',
    refuses: 'theirs',
    applies: ({ entity, body }) => entity === 'experiments' && /\bi?like\b/.test(body.filter ?? ''),
  },
  {
    reason: 'a filter of spaces alone is none',
    refuses: 'theirs',
    applies: ({ body }) => body.filter?.trim() === '',
  },
  {
    reason: 'NOT NULL is two words however many spaces are between',
    refuses: 'theirs',
    applies: ({ damaged, body }) => damaged && /not\s\s+null/i.test(body.filter ?? ''),
  },
  {
    reason: 'an AND may always lack; MLflow then takes some keys for longer than they are',
    refuses: 'theirs',
    applies: (query) => query.damaged && lacksAnd(query),
  },
  {
    reason:
      'a key is words, or anything in quotes; MLflow takes empty ones and such with signs at the end',
    refuses: 'ours',
    applies: ({ damaged, body }, error) =>
      damaged && (error.includes('cannot be read') || /["'`]\w/.test(body.filter ?? '')),
  },
  {
    reason:
      'values of a list are separated by commas; MLflow reads it as Python, which joins neighbours',
    refuses: 'ours',
    applies: ({ damaged }, error) => damaged && error.includes('ill-formed list'),
  },
  {
    reason:
      'a doubled quote in a list is part of its text, as everywhere else; MLflow reads it as Python',
    refuses: 'theirs',
    applies: ({ damaged, body }, error) =>
      damaged && error.includes('ill-formed list') && /''|""/.test(body.filter ?? ''),
  },
  {
    reason: 'logged models have the grammar of all the others; MLflow parses theirs more loosely',
    refuses: 'ours',
    applies: ({ damaged, entity }) => damaged && entity === 'logged-models',
  },
]

const shown = (at: number): string =>
  JSON.stringify({ query: queries[at], ours: ours[at], theirs: theirs[at] })

describe.each([...entities])('%s:', (entity) => {
  const own = (): number[] => [...queries.keys()].filter((at) => queries[at]?.entity === entity)

  test('the same ids in the same order, page by page', () => {
    const wrong = own().filter((at) => {
      const [here, there] = [ours[at], theirs[at]]
      const size = queries[at]?.body.max_results ?? 1
      return here?.pages && there?.ids && !Bun.deepEquals(here, pagesOf(there.ids, size))
    })
    expect(wrong.map(shown).slice(0, 5)).toEqual([])
  })

  test('the same verdict, but for the differences listed', () => {
    const wrong = own().filter((at) => {
      const isSame = (ours[at]?.error === undefined) === (theirs[at]?.error === undefined)
      if (isSame) return false
      const refuses = theirs[at]?.error === undefined ? 'ours' : 'theirs'
      const error = ours[at]?.error ?? theirs[at]?.error ?? ''
      return !differences.some(
        (one) => one.refuses === refuses && one.applies(queries[at] as Query, error),
      )
    })
    expect(wrong.map(shown).slice(0, 5)).toEqual([])
  })

  test('the searches are worth their time: many find rows, many pages, many are refused', () => {
    const found = own().map((at) => ours[at])
    const share = (holds: (one: Ours) => unknown): number =>
      found.filter((one) => one && holds(one)).length / found.length
    expect(share(({ pages }) => pages?.[0]?.length)).toBeGreaterThan(0.3)
    expect(share(({ pages }) => (pages?.length ?? 0) > 1)).toBeGreaterThan(0.15)
    expect(share(({ error }) => error)).toBeGreaterThan(0.05)
  })
})
