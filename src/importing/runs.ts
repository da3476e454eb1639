// Runs taken over from elsewhere, with all that they logged; the history of metrics comes in parts.
import { eq } from 'drizzle-orm'

import type { Context } from '../core/context.ts'
import type { Queries } from '../db/db.ts'
import { runDatasets, runModels, runParams, type RunRow, runs, runTags } from '../db/tables.ts'
import { datasetId } from '../tracking/lineage.ts'
import { insertMetrics } from '../tracking/metrics.ts'
import type { RunStatus } from '../tracking/runs.ts'
import { below, findExperiment, findRun, type Tracking } from '../tracking/tracking.ts'
import {
  deletedIn,
  demandSame,
  type GivenMetric,
  type GivenTag,
  inBatches,
  metricIn,
  pairsIn,
  tagsIn,
} from './given.ts'

export interface GivenRun {
  info: {
    run_id: string
    run_name?: string | undefined
    /** The one that the experiment has here. */
    experiment_id: string
    user_id?: string | undefined
    status: RunStatus
    start_time?: number | undefined
    end_time?: number | undefined
    lifecycle_stage?: string | undefined
  }
  data?: { params?: GivenTag[] | undefined; tags?: GivenTag[] | undefined } | undefined
  inputs?:
    | {
        dataset_inputs?: { tags?: GivenTag[] | undefined; dataset: GivenDataset }[] | undefined
        model_inputs?: { model_id: string }[] | undefined
      }
    | undefined
  outputs?: { model_outputs?: { model_id: string; step?: number | undefined }[] } | undefined
}

interface GivenDataset {
  name: string
  digest: string
  source_type: string
  source: string
  schema?: string | undefined
  profile?: string | undefined
}

/** `artifact_uri`: where the files belong here. */
export interface TakenFolder {
  created: boolean
  artifact_uri: string
}

/** Runs and logged models are no entries of the audit trail, experiments and versions are. */
export const runAction = 'run.import'

async function insertLineage(tx: Queries, run: RunRow, given: GivenRun): Promise<void> {
  const runId = run.id
  for (const [position, { tags, dataset }] of (given.inputs?.dataset_inputs ?? []).entries()) {
    const { source_type: sourceType, ...rest } = dataset
    const id = await datasetId(tx, run, { ...rest, sourceType, tags: [] })
    const row = { runId, datasetId: id, tags: tagsIn(tags), position }
    await tx.insert(runDatasets).values(row).onConflictDoNothing()
  }
  const read = (given.inputs?.model_inputs ?? []).map(({ model_id: modelId }) => {
    return { runId, modelId, direction: 'input', step: 0 }
  })
  const made = (given.outputs?.model_outputs ?? []).map(({ model_id: modelId, step = 0 }) => {
    return { runId, modelId, direction: 'output', step }
  })
  for (const some of inBatches([...read, ...made])) {
    await tx.insert(runModels).values(some).onConflictDoNothing()
  }
}

/** The run as it will be kept, in the folder of its experiment. */
async function rowOf(q: Queries, ctx: Context, { info }: GivenRun): Promise<RunRow> {
  const experiment = await findExperiment(q, info.experiment_id)
  return {
    id: info.run_id,
    experimentId: experiment.id,
    name: info.run_name ?? '',
    userId: info.user_id ?? '',
    status: info.status,
    startTime: info.start_time ?? null,
    endTime: info.end_time ?? null,
    artifactUri: below(experiment.artifactLocation, info.run_id, 'artifacts'),
    createdBy: ctx.principal.sub,
    deletedAt: deletedIn(info),
  }
}

/** Makes a run under its own id. One that is here already stays as it is. */
export async function importRun(s: Tracking, ctx: Context, given: GivenRun): Promise<TakenFolder> {
  await s.access.require(ctx, 'settings:manage', undefined, runAction)
  return s.db.tx(async (tx) => {
    const run = await rowOf(tx, ctx, given)
    const [found] = await tx.select().from(runs).where(eq(runs.id, run.id))
    if (found) {
      const { experimentId, startTime } = found
      const isSame = experimentId === run.experimentId && startTime === run.startTime
      demandSame(`The run ${run.id}`, isSame)
      return { created: false, artifact_uri: found.artifactUri }
    }
    await tx.insert(runs).values(run)
    const owned = (pairs: GivenTag[] | undefined) =>
      inBatches(pairsIn(pairs).map((pair) => ({ runId: run.id, ...pair })))
    for (const some of owned(given.data?.tags)) await tx.insert(runTags).values(some)
    for (const some of owned(given.data?.params)) await tx.insert(runParams).values(some)
    await insertLineage(tx, run, given)
    return { created: true, artifact_uri: run.artifactUri }
  })
}

export interface GivenMetrics {
  run_id: string
  metrics: GivenMetric[]
}

/** Adds values to the history of a run, deleted or not; those that are there are left alone. */
export async function importMetrics(
  s: Tracking,
  ctx: Context,
  given: GivenMetrics,
): Promise<object> {
  await s.access.require(ctx, 'settings:manage', undefined, runAction)
  await s.db.tx(async (tx) => {
    const { id } = await findRun(tx, given.run_id)
    await insertMetrics(tx, id, given.metrics.map(metricIn))
  })
  return {}
}
