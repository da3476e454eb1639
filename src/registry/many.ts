// Look-ups over many models at once, with a few queries however many there are.
import { asc, eq, getTableColumns, inArray, sql } from 'drizzle-orm'

import { chunksOf } from '../core/chunks.ts'
import type { Queries } from '../db/db.ts'
import { aliases, type AliasRow, models, type VersionRow, versions } from '../db/tables.ts'
import { type Stage, stageNames } from './stages.ts'

/** Databases bound the parameters of one query. */
const mostAtOnce = 1000

async function inChunks<T>(
  ids: readonly string[],
  query: (some: string[]) => Promise<T[]>,
): Promise<T[]> {
  const found: T[] = []
  for (const some of chunksOf([...new Set(ids)], mostAtOnce)) found.push(...(await query(some)))
  return found
}

/** Aliases of the models, in order of their names. */
export function aliasesOf(q: Queries, modelIds: readonly string[]): Promise<AliasRow[]> {
  return inChunks(modelIds, (some) =>
    q.select().from(aliases).where(inArray(aliases.modelId, some)).orderBy(asc(aliases.alias)),
  )
}

/** The highest version of a stage of each model. Asked per model, so that an index leads to it. */
function latestIn(q: Queries, stage: Stage, modelIds: string[]): Promise<VersionRow[]> {
  const newest = sql`(select v.id from ${versions} v where v.model_id = ${models.id}
    and v.stage = ${stage} and v.deleted_at is null order by v.version desc limit 1)`
  return q
    .select(getTableColumns(versions))
    .from(models)
    .innerJoin(versions, eq(versions.id, newest))
    .where(inArray(models.id, modelIds))
}

/** The highest version of each stage of the models, servable or not, in order of their numbers. */
export async function latestOf(q: Queries, modelIds: readonly string[]): Promise<VersionRow[]> {
  const found: VersionRow[] = []
  for (const stage of stageNames) {
    found.push(...(await inChunks(modelIds, (some) => latestIn(q, stage, some))))
  }
  return found.toSorted((a, b) => a.version - b.version)
}
