// Metrics: every value a run measured, the latest of each, and those that measure a logged model.
import { inArray, sql } from 'drizzle-orm'

import type { Queries } from '../db/db.ts'
import { placeholders, prepared } from '../db/prepared.ts'
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

/** `nameOf` tells what the message calls a field. */
export function demandMetric(
  { key, timestamp }: Metric,
  nameOf: (field: 'key' | 'timestamp') => string,
): void {
  demandKey(nameOf('key'), key)
  if (timestamp >= 0) return
  throw refused(
    `Invalid value ${timestamp} for parameter '${nameOf('timestamp')}' supplied: it is before 1970.`,
  )
}

/** As MLflow keeps them: NaN as a flag, infinity as the largest number. */
export function metricRow(runId: string, metric: Metric): MetricRow {
  const nan = Number.isNaN(metric.value)
  const value = Math.max(-Number.MAX_VALUE, Math.min(Number.MAX_VALUE, metric.value))
  return {
    runId,
    key: metric.key,
    value: nan ? 0 : value,
    nan,
    timestamp: metric.timestamp,
    step: metric.step,
    modelId: metric.modelId ?? null,
    datasetName: metric.datasetName ?? null,
    datasetDigest: metric.datasetDigest ?? null,
  }
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

const insertValue = prepared((q) =>
  q.insert(runMetrics).values(placeholders(runMetrics)).onConflictDoNothing().prepare(),
)

const l = latestMetrics

/** Of each key the row with the greatest (step, timestamp, value) stays. */
const insertLatest = prepared((q) =>
  q
    .insert(l)
    .values(placeholders(l))
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
    .prepare(),
)

/** Inserts the values that are new, and moves the latest ones on. */
export async function insertMetrics(
  tx: Queries,
  runId: string,
  metrics: readonly Metric[],
): Promise<void> {
  const rows = metrics.map((metric) => metricRow(runId, metric))
  await demandModels(tx, rows)
  for (const row of rows) {
    await insertValue(tx).execute(row)
    await insertLatest(tx).execute(row)
    // A run that measures a model twice at one time and step keeps the first value.
    const { modelId } = row
    if (modelId === null) continue
    await tx
      .insert(loggedModelMetrics)
      .values({ ...row, modelId })
      .onConflictDoNothing()
  }
}
