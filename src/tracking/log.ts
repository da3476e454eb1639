// What a run logs, all in one transaction: parameters once and for all, metrics with history, tags.
import { and, eq, sql } from 'drizzle-orm'

import type { Context } from '../core/context.ts'
import type { Queries } from '../db/db.ts'
import { placeholders, prepared } from '../db/prepared.ts'
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

/** What the fields of a call are called in its faults. */
interface Naming {
  metric: (at: number, field: 'key' | 'timestamp') => string
  param: (at: number) => string
  tag: (at: number) => string
}

const inBatch: Naming = {
  metric: (at, field) => `metrics[${at}].${field}`,
  param: (at) => `params[${at}].key`,
  tag: (at) => `tags[${at}].key`,
}

const alone: Naming = {
  metric: (_at, field) => (field === 'key' ? 'name' : field),
  param: () => 'key',
  tag: () => 'key',
}

/** The batch as it will be kept, or `request.invalid`. */
function soundBatch({ metrics, params, tags }: Batch, naming: Naming): Batch {
  demandCount('metrics', metrics.length)
  demandCount('params', params.length)
  demandCount('tags', tags.length)
  demandCount('all', metrics.length + params.length + tags.length)
  for (const [at, metric] of metrics.entries()) {
    demandMetric(metric, (field) => naming.metric(at, field))
  }
  for (const [at, { key }] of params.entries()) demandKey(naming.param(at), key)
  demandUnique(
    'parameter',
    params.map(({ key }) => key),
  )
  return {
    metrics,
    params: params.map(({ key, value }) => ({ key, value: cut(value, limits.paramValue) })),
    tags: tags.map((tag, at) => soundTag(tag, naming.tag(at))),
  }
}

// A row that is there with another value is neither inserted nor updated, so not returned.
const insertParam = prepared((q) =>
  q
    .insert(runParams)
    .values(placeholders(runParams))
    .onConflictDoUpdate({
      target: [runParams.runId, runParams.key],
      set: { value: sql`excluded.value` },
      setWhere: sql`${runParams.value} = excluded.value`,
    })
    .returning({ key: runParams.key })
    .prepare(),
)

/** Inserts what is new; the same value again is fine, another is `request.invalid`. */
async function insertParams(tx: Queries, runId: string, params: readonly Pair[]): Promise<void> {
  for (const { key, value } of params) {
    const kept = await insertParam(tx).execute({ runId, key, value })
    if (kept.length > 0) continue
    const [was] = await tx
      .select()
      .from(runParams)
      .where(and(eq(runParams.runId, runId), eq(runParams.key, key)))
    throw refused(
      `Changing param values is not allowed. Param with key='${key}' was already logged with ` +
        `value='${was?.value}' for run ID='${runId}'; the new value is '${value}'.`,
    )
  }
}

async function keep(s: Tracking, ctx: Context, runId: string, sound: () => Batch): Promise<void> {
  await s.access.require(ctx, 'runs:write', undefined, 'run.log')
  const { metrics, params, tags } = sound()
  await s.db.tx(async (tx) => {
    await activeRun(tx, runId)
    await insertParams(tx, runId, params)
    await insertMetrics(tx, runId, metrics)
    await setRunTags(tx, runId, tags)
  })
}

/** All of the batch or nothing. The run must be active. */
export const logBatch = (s: Tracking, ctx: Context, runId: string, batch: Batch): Promise<void> =>
  keep(s, ctx, runId, () => soundBatch(batch, inBatch))

/** One metric, parameter or tag, which its faults do not call one of many. */
export const logOne = (
  s: Tracking,
  ctx: Context,
  runId: string,
  one: Partial<Batch>,
): Promise<void> =>
  keep(s, ctx, runId, () => soundBatch({ metrics: [], params: [], tags: [], ...one }, alone))
