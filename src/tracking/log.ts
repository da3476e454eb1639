// What a run logs, all in one transaction: parameters once and for all, metrics with history, tags.
import { and, eq, inArray, sql } from 'drizzle-orm'

import type { Context } from '../core/context.ts'
import type { Queries } from '../db/db.ts'
import { runParams } from '../db/tables.ts'
import { cut, demandKey, demandUnique, limits, refused } from './limits.ts'
import type { Pair } from './loading.ts'
import { demandMetric, insertMetrics, type Metric } from './metrics.ts'
import { setRunTags, soundTag } from './run-tags.ts'
import { activeRun, type Tracking } from './tracking.ts'

export interface Batch {
  metrics: Metric[]
  params: Pair[]
  tags: Pair[]
}

/** How much one call may carry. */
const most = { metrics: 1000, params: 100, tags: 100, all: 1000 } as const

function demandCount(what: keyof typeof most, count: number): void {
  if (count <= most[what]) return
  const named = what === 'all' ? 'metrics, params and tags' : what
  throw refused(`A batch can contain at most ${most[what]} ${named}; this one has ${count}.`)
}

/** The batch as it will be kept, or `request.invalid`. */
function soundBatch({ metrics, params, tags }: Batch): Batch {
  demandCount('metrics', metrics.length)
  demandCount('params', params.length)
  demandCount('tags', tags.length)
  demandCount('all', metrics.length + params.length + tags.length)
  for (const [at, metric] of metrics.entries()) demandMetric(metric, `metrics[${at}].`)
  for (const [at, { key }] of params.entries()) demandKey(`params[${at}].key`, key)
  demandUnique(
    'parameter',
    params.map(({ key }) => key),
  )
  return {
    metrics,
    params: params.map(({ key, value }) => ({ key, value: cut(value, limits.paramValue) })),
    tags: tags.map((tag, at) => soundTag(tag, `tags[${at}].key`)),
  }
}

/** Inserts what is new; the same value again is fine, another is `request.invalid`. */
async function insertParams(tx: Queries, runId: string, params: readonly Pair[]): Promise<void> {
  if (params.length === 0) return
  const { key, value } = runParams
  // A row that is there with another value is neither inserted nor updated, so not returned.
  const kept = await tx
    .insert(runParams)
    .values(params.map((pair) => ({ runId, ...pair })))
    .onConflictDoUpdate({
      target: [runParams.runId, key],
      set: { value: sql`excluded.value` },
      setWhere: sql`${value} = excluded.value`,
    })
    .returning({ key })
  if (kept.length === params.length) return
  const fine = new Set(kept.map((row) => row.key))
  const other = params.find((pair) => !fine.has(pair.key)) as Pair
  const [was] = await tx
    .select()
    .from(runParams)
    .where(and(eq(runParams.runId, runId), inArray(key, [other.key])))
  throw refused(
    `Changing param values is not allowed. Param with key='${other.key}' was already logged with ` +
      `value='${was?.value}' for run ID='${runId}'; the new value is '${other.value}'.`,
  )
}

/** All of the batch or nothing. The run must be active. */
export async function logBatch(
  s: Tracking,
  ctx: Context,
  runId: string,
  batch: Batch,
): Promise<void> {
  await s.access.require(ctx, 'runs:write', undefined, 'run.log')
  const { metrics, params, tags } = soundBatch(batch)
  await s.db.tx(async (tx) => {
    await activeRun(tx, runId)
    await insertParams(tx, runId, params)
    await insertMetrics(tx, runId, metrics)
    await setRunTags(tx, runId, tags)
  })
}
