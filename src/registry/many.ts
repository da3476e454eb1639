// Look-ups over many models at once, with a few queries however many there are.
import { and, asc, eq, getTableColumns, inArray, isNull, max } from 'drizzle-orm'

import type { Queries } from '../db/db.ts'
import { aliases, type AliasRow, type VersionRow, versions } from '../db/tables.ts'

/** Databases bound the parameters of one query. */
const mostAtOnce = 1000

async function inChunks<T>(
  ids: readonly string[],
  query: (some: string[]) => Promise<T[]>,
): Promise<T[]> {
  const distinct = [...new Set(ids)]
  const found: T[] = []
  for (let at = 0; at < distinct.length; at += mostAtOnce) {
    found.push(...(await query(distinct.slice(at, at + mostAtOnce))))
  }
  return found
}

/** Aliases of the models, in order of their names. */
export function aliasesOf(q: Queries, modelIds: readonly string[]): Promise<AliasRow[]> {
  return inChunks(modelIds, (some) =>
    q.select().from(aliases).where(inArray(aliases.modelId, some)).orderBy(asc(aliases.alias)),
  )
}

/** The highest version of each stage of the models, servable or not, in order of their numbers. */
export function latestOf(q: Queries, modelIds: readonly string[]): Promise<VersionRow[]> {
  return inChunks(modelIds, (some) => {
    const newest = q
      .select({ modelId: versions.modelId, version: max(versions.version).as('newest') })
      .from(versions)
      .where(and(inArray(versions.modelId, some), isNull(versions.deletedAt)))
      .groupBy(versions.modelId, versions.stage)
      .as('newest_of_stage')
    return q
      .select(getTableColumns(versions))
      .from(newest)
      .innerJoin(
        versions,
        and(eq(versions.modelId, newest.modelId), eq(versions.version, newest.version)),
      )
      .orderBy(asc(versions.version))
  })
}
