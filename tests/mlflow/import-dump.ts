// What a server holds, asked through MLflow's REST API, in one form for MLflow's own and for Relais.
import { createHash } from 'node:crypto'

/** A server that speaks MLflow's REST API. */
export interface Speaker {
  url: string
  headers: Record<string, string>
}

type Json = Record<string, any>
type Query = Record<string, string>

const api = '/api/2.0/mlflow'

async function ask({ url, headers }: Speaker, path: string): Promise<Response> {
  const answer = await fetch(`${url}${path}`, { headers })
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
  return answer
}

const get = async (from: Speaker, path: string, query: Query = {}): Promise<Json> =>
  (await (await ask(from, `${path}?${new URLSearchParams(query).toString()}`)).json()) as Json

/** Everything of a list, whatever the size of its pages. */
async function all(from: Speaker, path: string, body: Json | null, list: string): Promise<Json[]> {
  const found: Json[] = []
  let token: string | undefined
  do {
    const page = token === undefined ? {} : { page_token: token }
    const init = body && {
      method: 'POST',
      headers: { ...from.headers, 'content-type': 'application/json' },
      body: JSON.stringify({ ...body, ...page }),
    }
    const answer = init
      ? ((await (await fetch(`${from.url}${path}`, init)).json()) as Json)
      : await get(from, path, page)
    found.push(...(answer[list] ?? []))
    token = answer['next_page_token']
  } while (token)
  return found
}

/** Names of all there is, by which both servers are asked. */
export interface Names {
  experiments: string[]
  runs: { id: string; metrics: string[] }[]
  loggedModels: string[]
  models: string[]
  versions: { name: string; version: string }[]
}

export async function namesAt(mlflow: Speaker): Promise<Names> {
  const experiments = await all(
    mlflow,
    `${api}/experiments/search`,
    { view_type: 'ALL', max_results: 1000 },
    'experiments',
  )
  const ids = experiments.map((one) => one['experiment_id'])
  const among = { experiment_ids: ids, max_results: 50 }
  const runs = await all(mlflow, `${api}/runs/search`, { ...among, run_view_type: 'ALL' }, 'runs')
  const logged = await all(mlflow, `${api}/logged-models/search`, among, 'models')
  const models = await all(mlflow, `${api}/registered-models/search`, null, 'registered_models')
  const versions = await all(mlflow, `${api}/model-versions/search`, null, 'model_versions')
  return {
    experiments: experiments.map((one) => one['name']),
    runs: runs.map(({ info, data }: Json) => ({
      id: info.run_id,
      metrics: (data.metrics ?? []).map((one: Json) => one['key']),
    })),
    loggedModels: logged.map((one) => one['info'].model_id),
    models: models.map((one) => one['name']),
    versions: versions.map(({ name, version }) => ({ name, version })) as Names['versions'],
  }
}

/** Lists in an order of their own; nothing, empty and −0 are told in one way only. */
function plain(value: unknown): unknown {
  if (value === 0) return 0
  if (value === null || value === '') return undefined
  if (Array.isArray(value)) {
    const list = value.map(plain)
    return list.length === 0
      ? undefined
      : list.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
  }
  if (typeof value !== 'object' || value === null) return value
  const members = Object.entries(value)
    .map(([key, member]) => [key, plain(member)] as const)
    .filter(([, member]) => member !== undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
  return members.length === 0 ? undefined : Object.fromEntries(members)
}

const digest = async (answer: Response): Promise<string> =>
  createHash('sha256')
    .update(Buffer.from(await answer.arrayBuffer()))
    .digest('hex')

/** SHA-256 by path of all files below a folder. `list` and `file` give the paths to ask. */
async function filesOf(
  from: Speaker,
  list: (folder: string) => string,
  file: (path: string) => string,
  folder = '',
): Promise<Record<string, string>> {
  const { files = [] } = (await (await ask(from, list(folder))).json()) as Json
  const found: Record<string, string> = {}
  for (const { path, is_dir: isDir } of files as Json[]) {
    const name = (path as string).split('/').at(-1) as string
    const at = folder === '' ? name : `${folder}/${name}`
    if (isDir) Object.assign(found, await filesOf(from, list, file, at))
    else found[at] = await digest(await ask(from, file(at)))
  }
  return found
}

/** A query without its empty members. */
const query = (members: Query): string =>
  `?${new URLSearchParams(Object.entries(members).filter(([, value]) => value !== '')).toString()}`

const below = (...parts: string[]): string => parts.filter((part) => part !== '').join('/')

/** Files below a path of the artifact proxy. */
function proxied(from: Speaker, uri: string): Promise<Record<string, string>> {
  const root = uri.replace(/^mlflow-artifacts:\//, '')
  const artifacts = '/api/2.0/mlflow-artifacts/artifacts'
  return filesOf(
    from,
    (folder) => `${artifacts}${query({ path: below(root, folder) })}`,
    (path) => `${artifacts}/${below(root, path).split('/').map(encodeURIComponent).join('/')}`,
  )
}

const runFiles = (from: Speaker, id: string, root = ''): Promise<Record<string, string>> =>
  filesOf(
    from,
    (folder) => `${api}/artifacts/list${query({ run_id: id, path: below(root, folder) })}`,
    (path) => `/get-artifact${query({ run_id: id, path: below(root, path) })}`,
  )

function loggedFiles(from: Speaker, id: string, uri: string): Promise<Record<string, string>> {
  if (uri.startsWith('mlflow-artifacts:')) return proxied(from, uri)
  const files = `mlflow/logged-models/${id}/artifacts`
  return filesOf(
    from,
    (folder) => `/api/2.0/${files}/directories${query({ artifact_directory_path: folder })}`,
    (path) => `/ajax-api/2.0/${files}/files${query({ artifact_file_path: path })}`,
  )
}

async function versionFiles(
  from: Speaker,
  place: { name: string; version: string },
  source: string,
): Promise<Record<string, string>> {
  const answer = await get(from, `${api}/model-versions/get-download-uri`, place)
  const uri = answer['artifact_uri'] as string
  const [, run, path = ''] = /^runs:\/(\w+)\/(.*)$/.exec(uri) ?? []
  if (run !== undefined) return runFiles(from, run, path)
  return loggedFiles(from, source.replace('models:/', ''), uri)
}

/** All of that, as both servers should tell it: by what it is, without where its files lie. */
export async function dump(from: Speaker, names: Names): Promise<Map<string, unknown>> {
  const found = new Map<string, unknown>()
  const nameOf = new Map<string, string>()
  for (const name of names.experiments) {
    const answer = await get(from, `${api}/experiments/get-by-name`, { experiment_name: name })
    const { experiment_id: id, artifact_location: _, workspace: __, ...rest } = answer['experiment']
    nameOf.set(id, name)
    found.set(`experiment ${name}`, plain(rest))
  }
  for (const { id, metrics } of names.runs) {
    const { run } = await get(from, `${api}/runs/get`, { run_id: id })
    const { experiment_id: experiment, artifact_uri: _, ...info } = run.info
    const data = { ...run.data, metrics: run.data.metrics?.map(valueOf) }
    const owner = nameOf.get(experiment)
    found.set(`run ${id}`, plain({ ...run, info: { ...info, owner }, data }))
    for (const key of metrics) {
      const history = await get(from, `${api}/metrics/get-history`, { run_id: id, metric_key: key })
      found.set(`run ${id} ${key}`, plain(history['metrics'].map(valueOf)))
    }
    if (owner !== 'unreachable') found.set(`run ${id} files`, await runFiles(from, id))
  }
  for (const id of names.loggedModels) {
    const { model } = await get(from, `${api}/logged-models/${id}`)
    const { experiment_id: experiment, artifact_uri: uri, ...info } = model.info
    const owner = nameOf.get(experiment)
    found.set(`logged model ${id}`, plain({ ...model, info: { ...info, owner } }))
    found.set(`logged model ${id} files`, await loggedFiles(from, id, uri))
  }
  for (const name of names.models) {
    const answer = await get(from, `${api}/registered-models/get`, { name })
    const { latest_versions: _, workspace: __, ...rest } = answer['registered_model']
    found.set(`model ${name}`, plain(rest))
  }
  for (const place of names.versions) {
    const { model_version: version } = await get(from, `${api}/model-versions/get`, place)
    const { status_message: _, workspace: __, ...rest } = version
    const what = `version ${place.name} ${place.version}`
    found.set(what, plain(rest))
    found.set(`${what} files`, await versionFiles(from, place, version.source))
  }
  return found
}

const valueOf = ({ key, value, timestamp, step }: Json): Json => ({ key, value, timestamp, step })
