// Where an MLflow client says that a version comes from, resolved to a folder on this server.
import { and, desc, eq, isNull } from 'drizzle-orm'

import type { Context } from '../core/context.ts'
import { Fault } from '../core/fault.ts'
import { parseModelUri } from '../core/model-uri.ts'
import type { Queries } from '../db/db.ts'
import {
  type LoggedModelRow,
  loggedModels,
  models,
  type RunRow,
  runs,
  type VersionRow,
  versions,
} from '../db/tables.ts'
import { versionByAlias } from '../registry/aliases.ts'
import { demandPath, filesBelow, folderOfVersion, pathOfUri } from '../registry/files.ts'
import type { Registry } from '../registry/registry.ts'
import { readVersion } from '../registry/versions.ts'

/** What a client says of the origin of a version. */
export interface Origin {
  source: string
  runId?: string | undefined
  loggedModelId?: string | undefined
}

/** What was found there. */
export interface Resolved {
  /** As it is recorded: references that can move are replaced by what they pointed at. */
  source: string
  folder: string
  runId: string | undefined
  loggedModelId: string | undefined
  /** Set where the source is a registered version, which is copied as it is. */
  version?: VersionRow
}

const invalidSource = (source: string, why: string): Fault =>
  new Fault('source.invalid', `Invalid model version source: '${source.slice(0, 200)}'. ${why}`)

const elsewhere =
  'Only what is on this server can be registered: models:/m-<id>, models:/<name>/<version>, ' +
  'runs:/<run id>/<path> or mlflow-artifacts:/<path>. Log the model here first.'

/** What a client claims must be what the source says, or the record would lie. */
function demandSame(source: string, field: string, claimed?: string, real?: string | null): void {
  if (claimed === undefined || claimed === (real ?? undefined)) return
  throw invalidSource(source, `${field} must identify what the source lies in.`)
}

function folderAt(source: string, artifactUri: string): string {
  const folder = pathOfUri(artifactUri)
  if (folder === null) throw invalidSource(source, elsewhere)
  return folder
}

async function findRun(q: Queries, id: string, { source }: Origin): Promise<RunRow> {
  const [row] = await q.select().from(runs).where(eq(runs.id, id))
  if (!row) throw invalidSource(source, `There is no run ${id.slice(0, 100)}.`)
  return row
}

async function findLoggedModel(
  q: Queries,
  id: string,
  { source }: Origin,
): Promise<LoggedModelRow> {
  const [row] = await q
    .select()
    .from(loggedModels)
    .where(and(eq(loggedModels.id, id), isNull(loggedModels.deletedAt)))
  if (!row) throw invalidSource(source, `There is no logged model ${id.slice(0, 100)}.`)
  return row
}

/** `models:/m-<id>`. It may still be pending: clients register before they finish it. */
async function ofLoggedModel(q: Queries, id: string, origin: Origin): Promise<Resolved> {
  const { source, runId, loggedModelId } = origin
  demandSame(source, 'model_id', loggedModelId, id)
  const { artifactUri, sourceRunId } = await findLoggedModel(q, id, origin)
  const folder = folderAt(source, artifactUri)
  return { source, folder, runId: runId ?? sourceRunId ?? undefined, loggedModelId: id }
}

function ofVersion(name: string, version: VersionRow, origin: Origin): Resolved {
  demandSame(origin.source, 'run_id', origin.runId, version.runId)
  demandSame(origin.source, 'model_id', origin.loggedModelId, version.loggedModelId)
  return {
    source: `models:/${name}/${version.version}`,
    folder: folderOfVersion(version.id),
    runId: version.runId ?? undefined,
    loggedModelId: version.loggedModelId ?? undefined,
    version,
  }
}

/** `models:/NAME/VERSION`, `/STAGE`, `/latest` or `@ALIAS`, if the caller may read that model. */
async function ofRegisteredModel(s: Registry, ctx: Context, origin: Origin): Promise<Resolved> {
  const { model, reference } = parseModelUri(origin.source) ?? {}
  if (!model || !reference) throw invalidSource(origin.source, elsewhere)
  const isLatest = reference.toLowerCase() === 'latest'
  const row = isLatest
    ? await versionByAlias(s, ctx, model, reference)
    : (await readVersion(s, ctx, model, reference)).row
  return ofVersion(model, row, origin)
}

/** The newest model of that name that a run logged; MLflow 3 keeps them beside their runs. */
async function loggedBy(
  q: Queries,
  runId: string,
  name: string,
): Promise<LoggedModelRow | undefined> {
  const [row] = await q
    .select()
    .from(loggedModels)
    .where(
      and(
        eq(loggedModels.sourceRunId, runId),
        eq(loggedModels.name, name),
        isNull(loggedModels.deletedAt),
      ),
    )
    .orderBy(desc(loggedModels.createdAt))
    .limit(1)
  return row
}

/** `runs:/ID/PATH`: a folder of the run's artifacts, or a logged model of the run by its name. */
async function ofRun(q: Queries, path: string, origin: Origin): Promise<Resolved> {
  const { source } = origin
  const [id = '', ...rest] = path.split('/')
  const below = demandPath(rest.join('/'))
  demandSame(source, 'run_id', origin.runId, id)
  const run = await findRun(q, id, origin)
  const folder = `${folderAt(source, run.artifactUri)}/${below}`
  const isThere = (await filesBelow(q, folder)).length > 0
  const logged = isThere ? undefined : await loggedBy(q, id, below)
  demandSame(source, 'model_id', origin.loggedModelId, logged?.id)
  const place = logged ? folderAt(source, logged.artifactUri) : folder
  return { source, folder: place, runId: id, loggedModelId: logged?.id }
}

/** A folder of a registered version, if the caller may read its model. */
async function ofVersionFolder(
  s: Registry,
  ctx: Context,
  folder: string,
  origin: Origin,
): Promise<Resolved> {
  const id = folder.split('/')[1] ?? ''
  const [found] = await s.db.read
    .select({ name: models.name, row: versions })
    .from(versions)
    .innerJoin(models, eq(models.id, versions.modelId))
    .where(and(eq(versions.id, id), isNull(versions.deletedAt), isNull(models.deletedAt)))
  if (!found) throw new Fault('version.not-found', `No version has its files in ${folder}.`)
  await s.access.require(ctx, 'models:read', found.name)
  const whole = ofVersion(found.name, found.row, origin)
  const { version: _version, ...part } = whole
  return folder === whole.folder ? whole : { ...part, source: origin.source, folder }
}

async function ofArtifacts(
  s: Registry,
  ctx: Context,
  path: string,
  origin: Origin,
): Promise<Resolved> {
  const { source, runId, loggedModelId } = origin
  const folder = demandPath(path)
  if (folder.startsWith('versions/')) return ofVersionFolder(s, ctx, folder, origin)
  const q = s.db.read
  const model =
    loggedModelId === undefined ? undefined : await findLoggedModel(q, loggedModelId, origin)
  const run = runId === undefined || model ? undefined : await findRun(q, runId, origin)
  const owner = model ?? run
  if (owner && !`${folder}/`.startsWith(`${folderAt(source, owner.artifactUri)}/`)) {
    const field = model ? 'model_id' : 'run_id'
    throw invalidSource(source, `${field} must identify what the source lies in.`)
  }
  return { source, folder, runId: runId ?? model?.sourceRunId ?? undefined, loggedModelId }
}

/**
 * Finds the folder that a source names. Nothing is ever fetched: throws `source.invalid` for whatever
 * is not on this server, `model.not-found` and `version.not-found` for registered ones that are not there,
 * `access.denied` for a version of a model that the caller may not read.
 */
export async function resolveSource(s: Registry, ctx: Context, origin: Origin): Promise<Resolved> {
  const { source } = origin
  await s.access.require(ctx, 'runs:read')
  const [, scheme, path = ''] = /^(models|runs):\/(?!\/)(.+)$/s.exec(source) ?? []
  if (scheme === 'runs') return ofRun(s.db.read, path, origin)
  if (scheme === 'models') {
    const isId = !/[/@]/.test(path)
    return isId ? ofLoggedModel(s.db.read, path, origin) : ofRegisteredModel(s, ctx, origin)
  }
  const artifacts = pathOfUri(source)
  if (artifacts === null) throw invalidSource(source, elsewhere)
  return ofArtifacts(s, ctx, artifacts, origin)
}
