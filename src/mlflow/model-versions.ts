// Model versions of MLflow's registry: registered, read, edited, moved between stages.
import type { Queries } from '../db/db.ts'
import type { VersionRow } from '../db/tables.ts'
import { aliasesOf } from '../registry/many.ts'
import { optional, pairsOf } from './wire.ts'

/** A version and the name of its model. */
export interface NamedVersion {
  name: string
  row: VersionRow
}

/** Without a status its clients would wait for one, so there always is one. */
function wireOf({ name, row }: NamedVersion, aliases: readonly string[]): object {
  return {
    name,
    version: String(row.version),
    creation_timestamp: row.createdAt,
    last_updated_timestamp: row.updatedAt,
    current_stage: row.stage,
    status: row.status,
    ...optional({
      description: row.description,
      source: row.source,
      run_id: row.runId,
      run_link: row.runLink,
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
