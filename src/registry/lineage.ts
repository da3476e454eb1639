// What a version takes from the run that made it, and what it shows of that run.
import { eq, inArray } from 'drizzle-orm'

import type { Queries } from '../db/db.ts'
import { latestMetrics, runParams, runs, runTags } from '../db/tables.ts'

const ofMlflow = 'mlflow.'

/** A run as its versions show it. */
export interface RunView {
  id: string
  name: string
  /** The script or notebook that ran. */
  source: string | null
  /** Tags that users set. */
  tags: Record<string, string>
}

/** The runs of these ids that exist. */
export async function runViews(
  q: Queries,
  ids: readonly (string | null)[],
): Promise<Map<string, RunView>> {
  const wanted = [...new Set(ids.filter((id) => id !== null))]
  if (wanted.length === 0) return new Map()
  const found = await q
    .select({ id: runs.id, name: runs.name })
    .from(runs)
    .where(inArray(runs.id, wanted))
  const all = await q.select().from(runTags).where(inArray(runTags.runId, wanted))
  const byRun = Map.groupBy(all, ({ runId }) => runId)
  const views = found.map(({ id, name }): [string, RunView] => {
    const tags = byRun.get(id) ?? []
    const source = tags.find(({ key }) => key === `${ofMlflow}source.name`)?.value ?? null
    const own = tags.filter(({ key }) => !key.startsWith(ofMlflow))
    return [id, { id, name, source, tags: Object.fromEntries(own.map((t) => [t.key, t.value])) }]
  })
  return new Map(views)
}

export interface TakenFromRun {
  gitCommit: string | undefined
  params: Record<string, string>
  metrics: Record<string, number>
}

/** Commit, params and latest metrics of a run (§21); JSON has no NaN, so those are left out. */
export async function takenFromRun(q: Queries, runId: string): Promise<TakenFromRun> {
  const tags = await q.select().from(runTags).where(eq(runTags.runId, runId))
  const params = await q.select().from(runParams).where(eq(runParams.runId, runId))
  const metrics = await q.select().from(latestMetrics).where(eq(latestMetrics.runId, runId))
  return {
    gitCommit: tags.find(({ key }) => key === `${ofMlflow}source.git.commit`)?.value,
    params: Object.fromEntries(params.map(({ key, value }) => [key, value])),
    metrics: Object.fromEntries(
      metrics.filter(({ nan }) => !nan).map(({ key, value }) => [key, value]),
    ),
  }
}
