// Model versions of MLflow's registry: registered, read, edited, moved between stages.
import type { Context } from '../core/context.ts'
import { Fault } from '../core/fault.ts'
import type { Queries } from '../db/db.ts'
import type { VersionRow } from '../db/tables.ts'
import { registerFromSource } from '../promotion/from-source.ts'
import { promote } from '../promotion/promote.ts'
import { deleteVersion } from '../registry/deletion.ts'
import { folderOfVersion } from '../registry/files.ts'
import { aliasesOf } from '../registry/many.ts'
import { readModel } from '../registry/models.ts'
import { findVersion, noVersion } from '../registry/registry.ts'
import { demandStage, isServed } from '../registry/stages.ts'
import { updateVersion } from '../registry/versions.ts'
import type { MlflowParts } from './api.ts'
import type { Endpoint } from './door.ts'
import { type Fields, invalid } from './fields.ts'
import { descriptionIn, nameIn, tagEndpoints, tagsIn, versionIn } from './registry-fields.ts'
import { optional, pairsOf } from './wire.ts'

/** A version and the name of its model. */
export interface NamedVersion {
  name: string
  row: VersionRow
}

/**
 * Texts are there also when they are empty, as in MLflow. Without a status its clients would wait for
 * one, so there always is one.
 */
function wireOf({ name, row }: NamedVersion, aliases: readonly string[]): object {
  return {
    name,
    version: String(row.version),
    creation_timestamp: row.createdAt,
    last_updated_timestamp: row.updatedAt,
    current_stage: row.stage,
    description: row.description,
    run_id: row.runId ?? '',
    run_link: row.runLink ?? '',
    status: row.status,
    ...optional({
      source: row.source,
      status_message: row.reason,
      tags: pairsOf(row.tags),
      aliases,
    }),
  }
}

/** Versions as MLflow's clients read them, in the order given, with all their aliases. */
export async function modelVersionWire(
  q: Queries,
  found: readonly NamedVersion[],
): Promise<object[]> {
  const rows = await aliasesOf(
    q,
    found.map(({ row }) => row.modelId),
  )
  const named = Map.groupBy(rows, ({ modelId, version }) => `${modelId} ${version}`)
  return found.map((one) => {
    const own = named.get(`${one.row.modelId} ${one.row.version}`) ?? []
    return wireOf(
      one,
      own.map(({ alias }) => alias),
    )
  })
}

interface Place {
  name: string
  version: number
}

const placeIn = (fields: Fields): Place => ({
  name: nameIn(fields),
  version: versionIn(fields),
})

async function read(s: MlflowParts, ctx: Context, { name, version }: Place): Promise<VersionRow> {
  return findVersion(s.db.read, await readModel(s, ctx, name), version)
}

async function answer(s: MlflowParts, ctx: Context, place: Place): Promise<object> {
  const row = await read(s, ctx, place)
  const [wire] = await modelVersionWire(s.db.read, [{ name: place.name, row }])
  return { model_version: wire }
}

/** A text that may be absent or, which is the same, empty. */
const textIn = (fields: Fields, name: string): string | undefined =>
  fields.optionalText(name) || undefined

async function create(s: MlflowParts, ctx: Context, fields: Fields): Promise<object> {
  const name = nameIn(fields)
  const made = await registerFromSource(s, ctx, {
    name,
    source: fields.text('source'),
    runId: textIn(fields, 'run_id'),
    loggedModelId: textIn(fields, 'model_id'),
    runLink: textIn(fields, 'run_link'),
    description: descriptionIn(fields),
    tags: tagsIn(fields),
  })
  return answer(s, ctx, { name, version: (made as Place).version })
}

/** §2: here nothing is archived unless the client says so. */
async function transition(s: MlflowParts, ctx: Context, fields: Fields): Promise<object> {
  const place = placeIn(fields)
  const stage = demandStage(fields.text('stage'), '/stage')
  const archiveExisting = fields.boolean('archive_existing_versions')
  if (archiveExisting && !isServed(stage)) {
    const message = `Versions in ${stage} cannot be archived; only those in Staging or Production.`
    throw invalid('/archive_existing_versions', message)
  }
  await promote(s, ctx, { ...place, stage, archiveExisting })
  return answer(s, ctx, place)
}

/** MLflow looks for the version only, so that is what it misses of a model that is not there. */
const ofVersion = (endpoint: Endpoint): Endpoint => ({
  ...endpoint,
  handle: async (ctx, fields, at) => {
    try {
      return await endpoint.handle(ctx, fields, at)
    } catch (error) {
      if (!(error instanceof Fault) || error.code !== 'model.not-found') throw error
      const { name, version } = placeIn(fields)
      throw noVersion(name, version)
    }
  },
})

function versionEndpoints(s: MlflowParts): Endpoint[] {
  return [
    {
      method: 'PATCH',
      path: 'model-versions/update',
      need: 'models:write',
      action: 'version.update',
      handle: async (ctx, fields) => {
        const place = placeIn(fields)
        await updateVersion(s, ctx, place, { description: descriptionIn(fields) ?? '' })
        return answer(s, ctx, place)
      },
    },
    {
      method: 'POST',
      path: 'model-versions/transition-stage',
      need: 'stage:None',
      action: 'version.stage',
      handle: (ctx, fields) => transition(s, ctx, fields),
    },
    {
      method: 'DELETE',
      path: 'model-versions/delete',
      need: 'models:delete',
      action: 'version.delete',
      handle: async (ctx, fields) => {
        await deleteVersion(s, ctx, placeIn(fields), 'mlflow')
        return {}
      },
    },
    {
      method: 'GET',
      path: 'model-versions/get',
      need: 'models:read',
      handle: (ctx, fields) => answer(s, ctx, placeIn(fields)),
    },
    {
      method: 'GET',
      path: 'model-versions/get-download-uri',
      need: 'models:read',
      handle: async (ctx, fields) => {
        const { id } = await read(s, ctx, placeIn(fields))
        return { artifact_uri: `mlflow-artifacts:/${folderOfVersion(id)}` }
      },
    },
  ]
}

export const modelVersionEndpoints = (s: MlflowParts): Endpoint[] => [
  {
    method: 'POST',
    path: 'model-versions/create',
    need: 'versions:create',
    action: 'version.create',
    handle: (ctx, fields) => create(s, ctx, fields),
  },
  ...versionEndpoints(s).map(ofVersion),
  ...tagEndpoints('model-versions', 'version.update', (ctx, fields, tags) =>
    updateVersion(s, ctx, placeIn(fields), { tags: tags() }),
  ).map(ofVersion),
]
