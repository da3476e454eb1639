// Metrics: every value a run measured, the latest of each, and those that measure a logged model.
import { inArray, sql } from 'drizzle-orm'

import type { Queries } from '../db/db.ts'
import {
  latestMetrics,
  loggedModelMetrics,
  loggedModels,
  type MetricRow,
  runMetrics,
} from '../db/tables.ts'
import { demandKey, refused } from './limits.ts'

export interface Metric {
  key: string
  /** May be NaN or infinite. */
  value: number
  /** Milliseconds since the epoch. */
  timestamp: number
  step: number
  /** The logged model that was measured, and on what. */
  modelId?: string | undefined
  datasetName?: string | undefined
  datasetDigest?: string | undefined
}

/** `place` leads the names in the message. */
export function demandMetric({ key, timestamp }: Metric, place: string): void {
  demandKey(`${place}key`, key)
  if (timestamp >= 0) return
  throw refused(
    `Invalid value ${timestamp} for parameter '${place}timestamp' supplied: it is before 1970.`,
  )
}

/** As MLflow keeps them: NaN as a flag, infinity as the largest number. */
function rowOf(runId: string, metric: Metric): MetricRow {
  const nan = Number.isNaN(metric.value)
  const value = Math.max(-Number.MAX_VALUE, Math.min(Number.MAX_VALUE, metric.value))
  return {
    runId,
    key: metric.key,
    // −0 and 0 are one value to the database; NaN is not stored as such.
    value: nan ? 0 : value + 0,
    nan,
    timestamp: metric.timestamp,
    step: metric.step,
    modelId: metric.modelId ?? null,
    datasetName: metric.datasetName ?? null,
    datasetDigest: metric.datasetDigest ?? null,
  }
}

const isLater = (a: MetricRow, b: MetricRow): boolean =>
  a.step !== b.step
    ? a.step > b.step
    : a.timestamp !== b.timestamp
      ? a.timestamp > b.timestamp
      : a.value > b.value

/** Of each key the row with the greatest (step, timestamp, value). */
function latestOf(rows: readonly MetricRow[]): MetricRow[] {
  const latest = new Map<string, MetricRow>()
  for (const row of rows) {
    const known = latest.get(row.key)
    if (!known || isLater(row, known)) latest.set(row.key, row)
  }
  return [...latest.values()]
}

async function demandModels(tx: Queries, rows: readonly MetricRow[]): Promise<void> {
  const wanted = [...new Set(rows.flatMap(({ modelId }) => modelId ?? []))]
  if (wanted.length === 0) return
  const found = await tx
    .select({ id: loggedModels.id })
    .from(loggedModels)
    .where(inArray(loggedModels.id, wanted))
  const known = new Set(found.map(({ id }) => id))
  const unknown = wanted.find((id) => !known.has(id))
  if (unknown !== undefined) throw refused(`Logged model with ID '${unknown}' not found.`)
}

/** Inserts the values that are new, and moves the latest ones on. */
export async function insertMetrics(
  tx: Queries,
  runId: string,
  metrics: readonly Metric[],
): Promise<void> {
  if (metrics.length === 0) return
  const rows = metrics.map((metric) => rowOf(runId, metric))
  await demandModels(tx, rows)
  await tx.insert(runMetrics).values(rows).onConflictDoNothing()
  const l = latestMetrics
  await tx
    .insert(l)
    .values(latestOf(rows))
    .onConflictDoUpdate({
      target: [l.runId, l.key],
      set: {
        value: sql`excluded.value`,
        nan: sql`excluded.nan`,
        timestamp: sql`excluded.timestamp`,
        step: sql`excluded.step`,
        modelId: sql`excluded.model_id`,
        datasetName: sql`excluded.dataset_name`,
        datasetDigest: sql`excluded.dataset_digest`,
      },
      setWhere: sql`(excluded.step, excluded.timestamp, excluded.value) > (${l.step}, ${l.timestamp}, ${l.value})`,
    })
  const ofModels = rows.flatMap((row) =>
    row.modelId === null ? [] : [{ ...row, modelId: row.modelId }],
  )
  if (ofModels.length > 0) {
    await tx.insert(loggedModelMetrics).values(ofModels).onConflictDoNothing()
  }
}
