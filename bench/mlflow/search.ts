// Pages of searches among many versions and runs, asked of both servers in turn.
import { median, percentile } from '../../tests/support/figures.ts'
import { hex, nameOf } from './seed.ts'
import type { Server } from './server.ts'

const json = JSON.stringify
const rounds = 2

type Fields = Record<string, string>

const versions = 'model-versions/search'
const models = 'registered-models/search'
const runs = 'runs/search'
/** What people and MLflow's pages ask for; a hundred rows a page. */
const searches: [path: string, fields: Fields][] = [
  [versions, {}],
  [versions, { order_by: 'name ASC' }],
  [versions, { order_by: 'creation_timestamp DESC' }],
  [versions, { filter: `name = '${nameOf(7)}'` }],
  [versions, { filter: "name LIKE 'model-001%'" }],
  [versions, { filter: "name ILIKE '%MODEL-0001%' AND version_number > 40" }],
  [versions, { filter: `run_id = '${hex(5)}'` }],
  [versions, { filter: "tags.ok = 'true'" }],
  [versions, { filter: "tags.build = '77'" }],
  [versions, { filter: "tags.team = 'team-3' AND tags.ok != 'true'" }],
  [versions, { filter: "tags.team LIKE 'team-1%'", order_by: 'name DESC' }],
  [models, {}],
  [models, { filter: "name LIKE '%-001%'" }],
  [models, { filter: "tags.team = 'team-3'", order_by: 'timestamp DESC' }],
  [runs, {}],
  [runs, { filter: "metrics.k1 > 0.5 AND params.k2 = '3'" }],
  [runs, { order_by: 'metrics.k3 DESC' }],
  [runs, { filter: "attributes.run_name LIKE 'run-99%'" }],
]

async function page({ url, headers }: Server, path: string, fields: Fields): Promise<any> {
  const most = { max_results: '100', ...fields }
  const place = `${url}/api/2.0/mlflow/${path}`
  const { order_by, ...rest } = most as Fields
  const body = json({ ...rest, ...(order_by && { order_by: [order_by] }), experiment_ids: ['0'] })
  const answer =
    path === runs
      ? await fetch(place, {
          method: 'POST',
          headers: { ...headers, 'content-type': 'application/json' },
          body,
        })
      : await fetch(`${place}?${new URLSearchParams(most).toString()}`, { headers })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${path} ${json(fields)}: ${text.slice(0, 300)}`)
  return JSON.parse(text)
}

const idsOf = (answer: any): string[] =>
  (answer.model_versions ?? answer.registered_models ?? answer.runs ?? []).map((one: any) =>
    one.info ? one.info.run_id : `${one.name} ${one.version ?? ''}`,
  )

/** Milliseconds of the first page and of the fifth, or of the last one before it; and what they hold. */
async function walk(
  server: Server,
  path: string,
  fields: Fields,
): Promise<{ times: [number, number]; ids: string[] }> {
  const times: number[] = []
  const ids: string[] = []
  let token: string | undefined
  do {
    const from = performance.now()
    const answer = await page(server, path, { ...fields, ...(token && { page_token: token }) })
    times.push(performance.now() - from)
    ids.push(...idsOf(answer))
    token = answer.next_page_token
  } while (token !== undefined && times.length < 5)
  return { times: [times[0] as number, times.at(-1) as number], ids }
}

/** Every search by both, page by page; the rows must be the same. */
export async function compareSearches(relais: Server, mlflow: Server) {
  const times = { relais: [] as number[], mlflow: [] as number[] }
  const rows = []
  for (const [path, fields] of searches) {
    const first = { relais: [] as number[], mlflow: [] as number[] }
    const later = { relais: [] as number[], mlflow: [] as number[] }
    for (let round = 0; round <= rounds; round += 1) {
      const theirs = await walk(mlflow, path, fields)
      const ours = await walk(relais, path, fields)
      if (json(ours.ids) !== json(theirs.ids))
        throw new Error(`${path} ${json(fields)}: other rows`)
      // The first round warms both up.
      if (round === 0) continue
      for (const [name, found] of [
        ['relais', ours],
        ['mlflow', theirs],
      ] as const) {
        first[name].push(found.times[0])
        later[name].push(found.times[1])
        times[name].push(...found.times)
      }
    }
    const row = {
      search: `${path} ${json(fields)}`,
      first: [median(first.relais), median(first.mlflow)],
      later: [median(later.relais), median(later.mlflow)],
    }
    rows.push(row)
    const words = [row.first, row.later].map(
      ([a = 0, b = 0]) => `${a.toFixed(1)} against ${b.toFixed(1)} ms (${(a / b).toFixed(3)})`,
    )
    console.log(`${row.search}\n  first page ${words[0]}, fifth ${words[1]}`)
  }
  const p95 = [percentile(times.relais, 0.95), percentile(times.mlflow, 0.95)] as const
  return { rounds, p95_ms: p95, p95_ratio: p95[0] / p95[1], rows }
}
