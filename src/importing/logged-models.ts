// Logged models taken over from elsewhere, with parameters, tags and every metric.
import { eq } from 'drizzle-orm'

import type { Context } from '../core/context.ts'
import type { Queries } from '../db/db.ts'
import {
  loggedModelMetrics,
  loggedModelParams,
  type LoggedModelRow,
  loggedModels,
  loggedModelTags,
} from '../db/tables.ts'
import type { LoggedModelStatus } from '../tracking/logged-models.ts'
import { metricRow } from '../tracking/metrics.ts'
import { below, findExperiment, type Tracking } from '../tracking/tracking.ts'
import {
  demandSame,
  type GivenMetric,
  type GivenTag,
  inBatches,
  metricIn,
  pairsIn,
} from './given.ts'
import type { TakenFolder } from './runs.ts'

interface GivenMeasure extends GivenMetric {
  run_id: string
  dataset_name?: string | undefined
  dataset_digest?: string | undefined
}

export interface GivenLoggedModel {
  info: {
    model_id: string
    /** The one that the experiment has here. */
    experiment_id: string
    name: string
    creation_timestamp_ms: number
    last_updated_timestamp_ms: number
    status: `LOGGED_MODEL_${LoggedModelStatus}`
    status_message?: string | undefined
    model_type?: string | undefined
    source_run_id?: string | undefined
    tags?: GivenTag[] | undefined
  }
  data?: { params?: GivenTag[] | undefined; metrics?: GivenMeasure[] | undefined } | undefined
}

async function rowOf(q: Queries, ctx: Context, info: GivenLoggedModel['info']) {
  const experiment = await findExperiment(q, info.experiment_id)
  const row: LoggedModelRow = {
    id: info.model_id,
    experimentId: experiment.id,
    name: info.name,
    modelType: info.model_type || null,
    sourceRunId: info.source_run_id || null,
    artifactUri: below(experiment.artifactLocation, 'models', info.model_id, 'artifacts'),
    status: info.status.replace('LOGGED_MODEL_', ''),
    statusMessage: info.status_message || null,
    createdBy: ctx.principal.sub,
    createdAt: info.creation_timestamp_ms,
    updatedAt: info.last_updated_timestamp_ms,
    deletedAt: null,
  }
  return row
}

async function insertOwned(tx: Queries, modelId: string, given: GivenLoggedModel): Promise<void> {
  const owned = (pairs: GivenTag[] | undefined) =>
    inBatches(pairsIn(pairs).map((pair) => ({ modelId, ...pair })))
  for (const some of owned(given.info.tags)) await tx.insert(loggedModelTags).values(some)
  for (const some of owned(given.data?.params)) await tx.insert(loggedModelParams).values(some)
  const metrics = (given.data?.metrics ?? []).map((one) => {
    const { dataset_name: datasetName, dataset_digest: datasetDigest } = one
    const row = metricRow(one.run_id, { ...metricIn(one), datasetName, datasetDigest })
    return { ...row, modelId }
  })
  for (const some of inBatches(metrics)) {
    await tx.insert(loggedModelMetrics).values(some).onConflictDoNothing()
  }
}

/** Makes a logged model under its own id. One that is here already stays as it is. */
export async function importLoggedModel(
  s: Tracking,
  ctx: Context,
  given: GivenLoggedModel,
): Promise<TakenFolder> {
  await s.access.require(ctx, 'settings:manage', undefined, 'logged-model.import')
  return s.db.tx(async (tx) => {
    const row = await rowOf(tx, ctx, given.info)
    const [found] = await tx.select().from(loggedModels).where(eq(loggedModels.id, row.id))
    if (found) {
      const { experimentId, createdAt } = found
      const isSame = experimentId === row.experimentId && createdAt === row.createdAt
      demandSame(`The logged model ${row.id}`, isSame)
      return { created: false, artifact_uri: found.artifactUri }
    }
    await tx.insert(loggedModels).values(row)
    await insertOwned(tx, row.id, given)
    return { created: true, artifact_uri: row.artifactUri }
  })
}
