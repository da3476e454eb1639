// Writes what an import brings to a Relais server; in a rehearsal it only looks what is there.
import { setTimeout as pause } from 'node:timers/promises'

import type { GivenExperiment, TakenExperiment } from '../importing/experiments.ts'
import type { GivenMetric } from '../importing/given.ts'
import type { GivenLoggedModel } from '../importing/logged-models.ts'
import type { GivenModel } from '../importing/models.ts'
import type { GivenRun, TakenFolder } from '../importing/runs.ts'
import type { GivenVersion, TakenVersion } from '../importing/versions.ts'
import { pathOfUri } from '../registry/files.ts'
import { type Client, modelPath } from './client.ts'
import { CommandError } from './command.ts'
import { encoded, Refusal } from './mlflow-source.ts'

const tries = 5
const firstPause = 250
const artifacts = '/api/2.0/mlflow-artifacts/artifacts'
const tracking = '/api/2.0/mlflow'

/** HTTP status of a refusal by the server; undefined when there was no answer. */
export const statusOf = (error: unknown): number | undefined =>
  error instanceof CommandError
    ? (error.problem as { status?: number } | undefined)?.status
    : undefined

/** One thing cannot be brought; the others can. */
export class Missing extends Error {}

/** Would everything that follows fail like this? Then the import ends, and goes on when called again. */
export function isFatal(error: unknown): boolean {
  if (error instanceof Missing || error instanceof Refusal) return false
  const status = statusOf(error)
  return status === undefined || status === 401 || status === 403 || status === 507
}

/** Will the same call succeed a little later, if the server is being restarted? */
const mayPass = (error: unknown): boolean =>
  error instanceof CommandError && [undefined, 429, 503, 504].includes(statusOf(error))

interface Run {
  run: { info: { artifact_uri: string } }
}
interface LoggedModel {
  model: { info: { artifact_uri: string } }
}

export class ImportTarget {
  readonly isRehearsal: boolean
  private readonly client: Client

  constructor(client: Client, isRehearsal: boolean) {
    this.client = client
    this.isRehearsal = isRehearsal
  }

  async experiment(given: GivenExperiment): Promise<TakenExperiment> {
    if (!this.isRehearsal) return this.take('experiments', given)
    interface Found {
      experiment: { experiment_id: string }
    }
    const query = new URLSearchParams({ experiment_name: given.name }).toString()
    const found = await this.found<Found>(`${tracking}/experiments/get-by-name?${query}`)
    const { experiment_id: id } = found?.experiment ?? given
    return { created: found === undefined, experiment_id: id }
  }

  async run(given: GivenRun): Promise<TakenFolder> {
    if (!this.isRehearsal) return this.take('runs', given)
    const folder = await this.folderOfRun(given.info.run_id)
    return { created: folder === undefined, artifact_uri: folder ?? '' }
  }

  async metrics(runId: string, metrics: readonly GivenMetric[]): Promise<void> {
    if (this.isRehearsal || metrics.length === 0) return
    await this.take('metrics', { run_id: runId, metrics })
  }

  async loggedModel(given: GivenLoggedModel): Promise<TakenFolder> {
    if (!this.isRehearsal) return this.take('logged-models', given)
    const folder = await this.folderOfLoggedModel(given.info.model_id)
    return { created: folder === undefined, artifact_uri: folder ?? '' }
  }

  async model(given: GivenModel): Promise<{ created: boolean }> {
    if (!this.isRehearsal) return this.take('models', given)
    return { created: (await this.found(modelPath(given.name))) === undefined }
  }

  async hasVersion(name: string, version: number): Promise<boolean> {
    return (await this.found(`${modelPath(name)}/versions/${version}`)) !== undefined
  }

  version(given: GivenVersion): Promise<TakenVersion> {
    return this.take('versions', given)
  }

  async folderOfRun(id: string): Promise<string | undefined> {
    const query = new URLSearchParams({ run_id: id }).toString()
    return (await this.found<Run>(`${tracking}/runs/get?${query}`))?.run.info.artifact_uri
  }

  async folderOfLoggedModel(id: string): Promise<string | undefined> {
    const path = `${tracking}/logged-models/${encodeURIComponent(id)}?allow_deleted=true`
    return (await this.found<LoggedModel>(path))?.model.info.artifact_uri
  }

  /** What a folder holds directly: sizes of files by name, null for folders. */
  async list(folder: string): Promise<Map<string, number | null>> {
    interface Listing {
      files?: { path: string; is_dir: boolean; file_size?: number }[]
    }
    const query = new URLSearchParams({ path: folder }).toString()
    const { files = [] } = await this.json<Listing>('GET', `${artifacts}?${query}`)
    return new Map(files.map((one) => [one.path, one.is_dir ? null : (one.file_size ?? 0)]))
  }

  /** Hex SHA-256 of a file, which the server knows without reading it. */
  async digest(path: string): Promise<string | undefined> {
    const { headers } = await this.client.call('HEAD', `${artifacts}/${encoded(path)}`)
    return headers.get('etag')?.replaceAll('"', '')
  }

  /** Not tried again here: the bytes are gone with the first attempt. */
  async put(path: string, bytes: AsyncIterable<Uint8Array>): Promise<void> {
    const stream = bytes as unknown as ReadableStream<Uint8Array>
    const body = { stream, type: 'application/octet-stream' }
    await this.client.call('PUT', `${artifacts}/${encoded(path)}`, body)
  }

  private take<T>(what: string, given: object): Promise<T> {
    return this.json<T>('POST', `/api/v1/import/${what}`, given)
  }

  private async found<T>(path: string): Promise<T | undefined> {
    try {
      return await this.json<T>('GET', path)
    } catch (error) {
      if (statusOf(error) === 404) return undefined
      throw error
    }
  }

  /** Every call here may be repeated: what is there already is not made twice. */
  private async json<T>(method: string, path: string, body?: object): Promise<T> {
    for (let tried = 1; ; tried += 1) {
      try {
        return await this.client.json<T>(method, path, body)
      } catch (error) {
        if (!mayPass(error) || tried === tries) throw error
        await pause(firstPause * 2 ** (tried - 1))
      }
    }
  }
}

/** The path that a folder of this server has in the artifact store. */
export const pathHere = (uri: string): string => pathOfUri(uri) ?? ''
