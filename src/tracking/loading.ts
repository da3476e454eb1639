// Loads what belongs to many rows at once, by a few queries, however many rows there are.
import { asc, eq, inArray } from 'drizzle-orm'

import { chunksOf } from '../core/chunks.ts'
import type { Queries } from '../db/db.ts'
import {
  type DatasetRow,
  datasets,
  type ExperimentRow,
  experimentTags,
  latestMetrics,
  type LoggedModelMetricRow,
  loggedModelMetrics,
  loggedModelParams,
  type LoggedModelRow,
  loggedModelTags,
  type MetricRow,
  runDatasets,
  type RunModelRow,
  runModels,
  runParams,
  type RunRow,
  runTags,
} from '../db/tables.ts'

export interface Pair {
  key: string
  value: string
}

export interface ExperimentView {
  experiment: ExperimentRow
  tags: Pair[]
}

export interface RunView {
  run: RunRow
  tags: Pair[]
  params: Pair[]
  /** The latest value of every metric. */
  metrics: MetricRow[]
  datasets: { tags: Record<string, string>; dataset: DatasetRow }[]
  /** What the run read and made. */
  models: RunModelRow[]
}

export interface LoggedModelView {
  model: LoggedModelRow
  tags: Pair[]
  params: Pair[]
  metrics: LoggedModelMetricRow[]
}

/** Parameters of one statement: databases have a limit. */
const chunk = 5000

/** The rows that belong to each id, in the order of the query. */
async function byOwner<Id, Row>(
  ids: readonly Id[],
  load: (some: Id[]) => Promise<Row[]>,
  ownerOf: (row: Row) => Id,
): Promise<(id: Id) => Row[]> {
  const groups = new Map<Id, Row[]>()
  for (const some of chunksOf(ids, chunk)) {
    for (const row of await load(some)) {
      const group = groups.get(ownerOf(row))
      if (group) group.push(row)
      else groups.set(ownerOf(row), [row])
    }
  }
  return (id) => groups.get(id) ?? []
}

/** Experiments with their tags, in the order given. */
export async function loadExperiments(
  q: Queries,
  rows: readonly ExperimentRow[],
): Promise<ExperimentView[]> {
  const t = experimentTags
  const tags = await byOwner(
    rows.map(({ id }) => id),
    (ids) => q.select().from(t).where(inArray(t.experimentId, ids)).orderBy(asc(t.key)),
    ({ experimentId }) => experimentId,
  )
  return rows.map((experiment) => ({ experiment, tags: tags(experiment.id) }))
}

/** Runs with all that belongs to them, in the order given. */
export async function loadRuns(q: Queries, rows: readonly RunRow[]): Promise<RunView[]> {
  const ids = rows.map(({ id }) => id)
  const runOf = ({ runId }: { runId: string }): string => runId
  const pairs = (t: typeof runTags) =>
    byOwner(
      ids,
      (some) => q.select().from(t).where(inArray(t.runId, some)).orderBy(asc(t.key)),
      runOf,
    )
  const tags = await pairs(runTags)
  const params = await pairs(runParams)
  const m = latestMetrics
  const metrics = await byOwner(
    ids,
    (some) => q.select().from(m).where(inArray(m.runId, some)).orderBy(asc(m.key)),
    runOf,
  )
  const read = await byOwner(
    ids,
    (some) =>
      q
        .select({ runId: runDatasets.runId, tags: runDatasets.tags, dataset: datasets })
        .from(runDatasets)
        .innerJoin(datasets, eq(datasets.id, runDatasets.datasetId))
        .where(inArray(runDatasets.runId, some))
        .orderBy(asc(runDatasets.position), asc(datasets.name)),
    runOf,
  )
  const models = await byOwner(
    ids,
    (some) =>
      q
        .select()
        .from(runModels)
        .where(inArray(runModels.runId, some))
        .orderBy(asc(runModels.step), asc(runModels.modelId)),
    runOf,
  )
  return rows.map((run) => ({
    run,
    tags: tags(run.id),
    params: params(run.id),
    metrics: metrics(run.id),
    datasets: read(run.id),
    models: models(run.id),
  }))
}

/** Logged models with tags, parameters and every metric, in the order given. */
export async function loadLoggedModels(
  q: Queries,
  rows: readonly LoggedModelRow[],
): Promise<LoggedModelView[]> {
  const ids = rows.map(({ id }) => id)
  const modelOf = ({ modelId }: { modelId: string }): string => modelId
  const pairs = (t: typeof loggedModelTags) =>
    byOwner(
      ids,
      (some) => q.select().from(t).where(inArray(t.modelId, some)).orderBy(asc(t.key)),
      modelOf,
    )
  const tags = await pairs(loggedModelTags)
  const params = await pairs(loggedModelParams)
  const m = loggedModelMetrics
  const metrics = await byOwner(
    ids,
    (some) =>
      q
        .select()
        .from(m)
        .where(inArray(m.modelId, some))
        .orderBy(asc(m.key), asc(m.timestamp), asc(m.step)),
    modelOf,
  )
  return rows.map((model) => ({
    model,
    tags: tags(model.id),
    params: params(model.id),
    metrics: metrics(model.id),
  }))
}
