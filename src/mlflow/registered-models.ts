// Registered models of MLflow's registry: created, read, edited, renamed, deleted; their aliases.
import type { Queries } from '../db/db.ts'
import type { ModelRow } from '../db/tables.ts'
import { aliasesOf, latestOf } from '../registry/many.ts'
import { modelVersionWire } from './model-versions.ts'
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
