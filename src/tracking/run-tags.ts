// Tags of runs: set and delete.
import { and, eq, sql } from 'drizzle-orm'

import type { Context } from '../core/context.ts'
import { Fault } from '../core/fault.ts'
import type { Queries } from '../db/db.ts'
import { runs, runTags } from '../db/tables.ts'
import { cut, demandKey, limits } from './limits.ts'
import type { Pair } from './loading.ts'
import { activeRun, type Tracking } from './tracking.ts'

/** The tag that mirrors the name of a run. */
export const nameTag = 'mlflow.runName'

/** A tag as it will be kept; `what` names its place in the message. */
export function soundTag({ key, value }: Pair, what: string): Pair {
  demandKey(what, key)
  return { key, value: cut(value, limits.tagValue) }
}

/** Sets tags; the last of a key wins. The tag of the name renames the run, unless it is empty. */
export async function setRunTags(tx: Queries, runId: string, tags: readonly Pair[]): Promise<void> {
  const last = new Map(tags.map(({ key, value }) => [key, value]))
  const name = last.get(nameTag)
  if (name) await tx.update(runs).set({ name }).where(eq(runs.id, runId))
  else last.delete(nameTag)
  if (last.size === 0) return
  await tx
    .insert(runTags)
    .values([...last].map(([key, value]) => ({ runId, key, value })))
    .onConflictDoUpdate({
      target: [runTags.runId, runTags.key],
      set: { value: sql`excluded.value` },
    })
}

export async function deleteRunTag(
  s: Tracking,
  ctx: Context,
  id: string,
  key: string,
): Promise<void> {
  await s.access.require(ctx, 'runs:write', undefined, 'run.log')
  await s.db.tx(async (tx) => {
    const run = await activeRun(tx, id)
    const gone = await tx
      .delete(runTags)
      .where(and(eq(runTags.runId, run.id), eq(runTags.key, key)))
      .returning()
    if (gone.length > 0) return
    throw new Fault('tag.not-found', `No tag with name: ${key} in run with id ${id}.`)
  })
}
