// Reads a running MLflow server through its REST API: page by page, patient with a server that is busy.
import { basename } from 'node:path/posix'
import { setTimeout as pause } from 'node:timers/promises'

import type { GivenExperiment } from '../importing/experiments.ts'
import type { GivenMetric, GivenTag } from '../importing/given.ts'
import type { GivenLoggedModel } from '../importing/logged-models.ts'
import type { GivenModel } from '../importing/models.ts'
import type { GivenRun } from '../importing/runs.ts'
import type { GivenVersion } from '../importing/versions.ts'
import { CommandError, UsageError } from './command.ts'

type Env = Record<string, string | undefined>
type Query = Record<string, string | number | string[] | undefined>

const api = '/api/2.0/mlflow'
const tries = 5
const firstPause = 250
const pageSize = 50

export type SourceRun = GivenRun & {
  info: { artifact_uri: string }
  data?: { metrics?: GivenMetric[] }
}
export type SourceLoggedModel = GivenLoggedModel & { info: { artifact_uri: string } }
export type SourceModel = GivenModel & { aliases?: { alias: string; version: string }[] }
export type SourceVersion = Omit<GivenVersion, 'version' | 'aliases'> & { version: string }

export interface SourceFile {
  name: string
  isDir: boolean
  /** Undefined where the server does not tell. */
  size: number | undefined
}

/** A folder of artifacts, and how it is read: through the proxy, or as what belongs to something. */
export interface Place {
  list: (folder: string) => string
  file: (path: string) => string
}

/** The server answered, and not with what was asked for. */
export class Refusal extends CommandError {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** What MLflow's own client reads. The secret never is an argument, which other users could see. */
function credentials(env: Env): string | undefined {
  const { MLFLOW_TRACKING_USERNAME: user, MLFLOW_TRACKING_PASSWORD: password } = env
  if (user !== undefined && password !== undefined) {
    return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
  }
  const token = env.MLFLOW_TRACKING_TOKEN
  return token === undefined ? undefined : `Bearer ${token}`
}

function addressOf(from: string): string {
  const url = URL.parse(from)
  if (!url || !/^https?:$/.test(url.protocol)) {
    throw new UsageError(`--from ${from}: write for example http://mlflow:5000`)
  }
  if (url.username !== '' || url.password !== '') {
    const names = 'MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD'
    throw new UsageError(`put the name and the password into ${names}, not into --from`)
  }
  return from.replace(/\/+$/, '')
}

function queryOf(query: Query): string {
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    value === undefined ? [] : [value].flat().map((one): [string, string] => [name, String(one)]),
  )
  return pairs.length === 0 ? '' : `?${new URLSearchParams(pairs).toString()}`
}

/** MLflow answers 500 to what will never succeed as well, so those are not asked for long. */
function triesFor({ status }: Response): number {
  if (status > 500 || status === 429) return tries
  return status === 500 ? 2 : 1
}

export const encoded = (path: string): string => path.split('/').map(encodeURIComponent).join('/')

/** Paths one below the other; an empty one is none. */
export const joined = (...parts: string[]): string => parts.filter((part) => part !== '').join('/')

/** `mlflow-artifacts:/a/b` → `a/b`. With a host it is another server's, and read as what it belongs to. */
export const proxiedPath = (uri: string): string | undefined =>
  /^mlflow-artifacts:\/(?!\/)(.*)$/s.exec(uri)?.[1]?.replace(/\/+$/, '')

const quoted = (name: string): string => (name.includes("'") ? `"${name}"` : `'${name}'`)

export class MlflowSource {
  readonly url: string
  private readonly headers: Record<string, string>
  private hasAnswered = false

  constructor(from: string, env: Env) {
    this.url = addressOf(from)
    const authorization = credentials(env)
    this.headers = authorization === undefined ? {} : { authorization }
  }

  /** Deleted ones, too. */
  experiments(): AsyncGenerator<GivenExperiment> {
    const query = { view_type: 'ALL', max_results: pageSize, order_by: ['creation_time ASC'] }
    return this.pages('POST experiments/search', query, 'experiments')
  }

  /** In order of their beginning, so that runs which begin meanwhile move none to another page. */
  runs(experimentId: string): AsyncGenerator<SourceRun> {
    const query = {
      experiment_ids: [experimentId],
      run_view_type: 'ALL',
      max_results: pageSize,
      order_by: ['attributes.start_time ASC'],
    }
    return this.pages('POST runs/search', query, 'runs')
  }

  /** Those that were deleted cannot be listed. None on servers before MLflow 3. */
  async *loggedModels(experimentId: string): AsyncGenerator<SourceLoggedModel> {
    const query = {
      experiment_ids: [experimentId],
      max_results: pageSize,
      order_by: [{ field_name: 'creation_timestamp', ascending: true }],
    }
    try {
      yield* this.pages<SourceLoggedModel>('POST logged-models/search', query, 'models')
    } catch (error) {
      if (!(error instanceof Refusal) || error.status !== 404) throw error
    }
  }

  history(runId: string, key: string): AsyncGenerator<GivenMetric> {
    const query = { run_id: runId, metric_key: key, max_results: 1000 }
    return this.pages('GET metrics/get-history', query, 'metrics')
  }

  models(): AsyncGenerator<SourceModel> {
    const query = { max_results: pageSize, order_by: ['name ASC'] }
    return this.pages('GET registered-models/search', query, 'registered_models')
  }

  /** With its aliases, which lists leave out. */
  async model(name: string): Promise<SourceModel> {
    const answer = await this.get<{ registered_model: SourceModel }>('registered-models/get', {
      name,
    })
    return answer.registered_model
  }

  /** From the first to the last. */
  versions(name: string): AsyncGenerator<SourceVersion> {
    const query = {
      filter: `name = ${quoted(name)}`,
      max_results: pageSize,
      order_by: ['version_number ASC'],
    }
    return this.pages('GET model-versions/search', query, 'model_versions')
  }

  async folderOfVersion(name: string, version: string): Promise<string> {
    const at = { name, version }
    const path = 'model-versions/get-download-uri'
    return (await this.get<{ artifact_uri: string }>(path, at)).artifact_uri
  }

  /** Undefined for one that is not there. */
  async run(id: string): Promise<SourceRun | undefined> {
    return (await this.found<{ run: SourceRun }>('runs/get', { run_id: id }))?.run
  }

  /** Logged models that a run made. */
  async loggedModelsOfRun(id: string): Promise<SourceLoggedModel['info'][]> {
    const made = (await this.run(id))?.outputs?.model_outputs ?? []
    const found = made.map(({ model_id: model }) => this.loggedModel(model))
    return (await Promise.all(found)).flatMap((model) => model?.info ?? [])
  }

  async loggedModel(id: string): Promise<SourceLoggedModel | undefined> {
    const path = `logged-models/${encodeURIComponent(id)}`
    return (await this.found<{ model: SourceLoggedModel }>(path, {}))?.model
  }

  /** `below`: a folder in the artifacts of the run. */
  placeOfRun(id: string, uri: string, below = ''): Place {
    const proxied = proxiedPath(uri)
    if (proxied !== undefined) return this.placeOfProxy(joined(proxied, below))
    const at = (path: string) => queryOf({ run_id: id, path: joined(below, path) || undefined })
    return {
      list: (folder) => `${api}/artifacts/list${at(folder)}`,
      file: (path) => `/get-artifact${at(path)}`,
    }
  }

  placeOfLoggedModel(id: string, uri: string, below = ''): Place {
    const proxied = proxiedPath(uri)
    if (proxied !== undefined) return this.placeOfProxy(joined(proxied, below))
    const at = (name: string, path: string) => queryOf({ [name]: joined(below, path) || undefined })
    const files = `logged-models/${id}/artifacts`
    return {
      list: (folder) => `${api}/${files}/directories${at('artifact_directory_path', folder)}`,
      file: (path) => `/ajax-api/2.0/mlflow/${files}/files${at('artifact_file_path', path)}`,
    }
  }

  placeOfProxy(root: string): Place {
    const artifacts = '/api/2.0/mlflow-artifacts/artifacts'
    return {
      list: (folder) => `${artifacts}${queryOf({ path: joined(root, folder) })}`,
      file: (path) => `${artifacts}/${encoded(joined(root, path))}`,
    }
  }

  /** What a folder holds directly. */
  async list(place: Place, folder: string): Promise<SourceFile[]> {
    interface Listing {
      files?: { path: string; is_dir?: boolean; file_size?: number }[]
    }
    const { files = [] } = (await (await this.call('GET', place.list(folder))).json()) as Listing
    return files.map(({ path, is_dir: isDir = false, file_size: size }) => {
      return { name: basename(path), isDir, size: isDir ? undefined : size }
    })
  }

  /** The bytes of a file, as they come. */
  read(place: Place, path: string): Promise<Response> {
    return this.call('GET', place.file(path))
  }

  private async *pages<T>(place: string, query: Query | object, list: string): AsyncGenerator<T> {
    const [method = '', path = ''] = place.split(' ')
    let token: string | undefined
    do {
      const wanted = { ...query, page_token: token }
      const page: Record<string, unknown> =
        method === 'GET'
          ? await this.get(path, wanted as Query)
          : ((await (await this.call(method, `${api}/${path}`, wanted)).json()) as typeof page)
      yield* (page[list] ?? []) as T[]
      token = (page.next_page_token as string | undefined) || undefined
    } while (token !== undefined)
  }

  private async get<T>(path: string, query: Query): Promise<T> {
    return (await (await this.call('GET', `${api}/${path}${queryOf(query)}`)).json()) as T
  }

  private async found<T>(path: string, query: Query): Promise<T | undefined> {
    try {
      return await this.get<T>(path, query)
    } catch (error) {
      if (error instanceof Refusal && error.status === 404) return undefined
      throw error
    }
  }

  /** Everything here only reads, so whatever may pass is asked again. */
  private async call(method: string, path: string, body?: object): Promise<Response> {
    for (let tried = 1; ; tried += 1) {
      const answer = await this.send(method, path, body)
      if (answer?.ok) return answer
      this.hasAnswered ||= answer !== null
      // Whoever never answered has another address.
      const most = answer ? triesFor(answer) : this.hasAnswered ? tries : 1
      if (tried >= most) throw await this.refusal(answer)
      await answer?.body?.cancel()
      await pause(firstPause * 2 ** (tried - 1))
    }
  }

  /** Null when there is no answer. */
  private async send(method: string, path: string, body?: object): Promise<Response | null> {
    const { headers } = this
    const type = { 'content-type': 'application/json' }
    const sent = body && { body: JSON.stringify(body) }
    try {
      return await fetch(`${this.url}${path}`, {
        method,
        headers: body ? { ...headers, ...type } : headers,
        ...sent,
        redirect: 'manual',
      })
    } catch {
      return null
    }
  }

  private async refusal(answer: Response | null): Promise<CommandError> {
    if (answer === null) return new CommandError(`no answer from ${this.url}`, 'Is it running?')
    const said = await answer.text()
    let words = `MLflow answered ${answer.status}`
    try {
      const { error_code: code, message } = JSON.parse(said) as Record<string, string>
      if (code !== undefined) words = `MLflow answered ${code}: ${message}`
    } catch {
      // No JSON: a proxy in between, perhaps.
    }
    if (answer.status !== 401) return new Refusal(answer.status, words.slice(0, 500))
    const names = 'MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD'
    return new CommandError(words.slice(0, 500), `Set ${names}.`)
  }
}

/** A model that holds a prompt. */
export const isPrompt = ({ tags = [] }: { tags?: GivenTag[] | undefined }): boolean =>
  tags.some(({ key, value }) => key === 'mlflow.prompt.is_prompt' && value === 'true')
