// Registered models of MLflow's registry: created, read, edited, renamed, deleted; their aliases.
import type { Context } from '../core/context.ts'
import type { Queries } from '../db/db.ts'
import type { ModelRow } from '../db/tables.ts'
import { renameModel } from '../promotion/rename.ts'
import { deleteAlias, setAlias, versionByAlias } from '../registry/aliases.ts'
import { deleteModel } from '../registry/deletion.ts'
import { aliasesOf, latestOf } from '../registry/many.ts'
import { createModel, readModel, updateModel } from '../registry/models.ts'
import { demandStage } from '../registry/stages.ts'
import type { MlflowParts } from './api.ts'
import type { Endpoint } from './door.ts'
import type { Fields } from './fields.ts'
import { modelVersionWire } from './model-versions.ts'
import {
  descriptionIn,
  nameIn,
  tagEndpoints,
  tagsIn,
  unless,
  versionIn,
} from './registry-fields.ts'
import { optional, pairsOf } from './wire.ts'

/** Models as MLflow's clients read them, in the order given: with aliases and latest versions. */
export async function registeredModelWire(
  q: Queries,
  found: readonly ModelRow[],
): Promise<object[]> {
  const ids = found.map(({ id }) => id)
  const names = new Map(found.map(({ id, name }) => [id, name]))
  const latest = await latestOf(q, ids)
  const named = latest.map((row) => ({ name: names.get(row.modelId) ?? '', row }))
  const wires = await modelVersionWire(q, named)
  const versions = Map.groupBy(wires.keys(), (at) => latest[at]?.modelId)
  const aliases = Map.groupBy(await aliasesOf(q, ids), ({ modelId }) => modelId)
  return found.map((model) => ({
    name: model.name,
    creation_timestamp: model.createdAt,
    last_updated_timestamp: model.updatedAt,
    ...optional({
      description: model.description,
      latest_versions: (versions.get(model.id) ?? []).map((at) => wires[at]),
      tags: pairsOf(model.tags),
      aliases: (aliases.get(model.id) ?? []).map(({ alias, version }) => ({
        alias,
        version: String(version),
      })),
    }),
  }))
}

async function answer(s: MlflowParts, ctx: Context, name: string): Promise<object> {
  const [wire] = await registeredModelWire(s.db.read, [await readModel(s, ctx, name)])
  return { registered_model: wire }
}

async function create(s: MlflowParts, ctx: Context, fields: Fields): Promise<object> {
  const name = nameIn(fields)
  const [description, tags] = [descriptionIn(fields), tagsIn(fields)]
  await createModel(s, ctx, { name, description, tags })
  return answer(s, ctx, name)
}

async function latestVersions(s: MlflowParts, ctx: Context, fields: Fields): Promise<object> {
  const name = nameIn(fields)
  const asked = fields.texts('stages').map((stage) => demandStage(stage, '/stages'))
  const model = await readModel(s, ctx, name)
  const latest = await latestOf(s.db.read, [model.id])
  const rows = latest.filter(
    ({ stage }) => asked.length === 0 || asked.some((one) => one === stage),
  )
  const named = rows.map((row) => ({ name, row }))
  return optional({ model_versions: await modelVersionWire(s.db.read, named) })
}

function modelEndpoints(s: MlflowParts): Endpoint[] {
  return [
    {
      method: 'POST',
      path: 'registered-models/create',
      need: 'models:create',
      action: 'model.create',
      handle: (ctx, fields) => create(s, ctx, fields),
    },
    {
      method: 'POST',
      path: 'registered-models/rename',
      need: 'models:write',
      action: 'model.rename',
      handle: async (ctx, fields) => {
        const newName = nameIn(fields, 'new_name')
        await renameModel(s, ctx, nameIn(fields), newName)
        return answer(s, ctx, newName)
      },
    },
    {
      method: 'PATCH',
      path: 'registered-models/update',
      need: 'models:write',
      action: 'model.update',
      handle: async (ctx, fields) => {
        const name = nameIn(fields)
        await updateModel(s, ctx, name, { description: descriptionIn(fields) ?? '' })
        return answer(s, ctx, name)
      },
    },
    {
      method: 'DELETE',
      path: 'registered-models/delete',
      need: 'models:delete',
      action: 'model.delete',
      handle: async (ctx, fields) => {
        await deleteModel(s, ctx, nameIn(fields), 'mlflow')
        return {}
      },
    },
    {
      method: 'GET',
      path: 'registered-models/get',
      need: 'models:read',
      handle: (ctx, fields) => answer(s, ctx, nameIn(fields)),
    },
    ...(['POST', 'GET'] as const).map((method): Endpoint => ({
      method,
      path: 'registered-models/get-latest-versions',
      need: 'models:read',
      handle: (ctx, fields) => latestVersions(s, ctx, fields),
    })),
  ]
}

function aliasEndpoints(s: MlflowParts): Endpoint[] {
  const path = 'registered-models/alias'
  const place = (fields: Fields) => ({ name: nameIn(fields), alias: fields.text('alias') })
  return [
    {
      method: 'POST',
      path,
      need: 'aliases:write',
      action: 'alias.set',
      handle: async (ctx, fields) => {
        await setAlias(s, ctx, place(fields), versionIn(fields))
        return {}
      },
    },
    {
      method: 'DELETE',
      path,
      need: 'aliases:write',
      action: 'alias.delete',
      handle: async (ctx, fields) => {
        await unless('alias.not-found', deleteAlias(s, ctx, place(fields)))
        return {}
      },
    },
    {
      method: 'GET',
      path,
      need: 'models:read',
      handle: async (ctx, fields) => {
        const { name, alias } = place(fields)
        const row = await versionByAlias(s, ctx, name, alias)
        const [wire] = await modelVersionWire(s.db.read, [{ name, row }])
        return { model_version: wire }
      },
    },
  ]
}

export const registeredModelEndpoints = (s: MlflowParts): Endpoint[] => [
  ...modelEndpoints(s),
  ...tagEndpoints('registered-models', 'model.update', (ctx, fields, tags) =>
    updateModel(s, ctx, nameIn(fields), { tags: tags() }),
  ),
  ...aliasEndpoints(s),
]
