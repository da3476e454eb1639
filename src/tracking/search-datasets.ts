// Lists the datasets that runs of some experiments read.
import { eq, inArray, sql } from 'drizzle-orm'

import type { Context } from '../core/context.ts'
import { datasets, runDatasets } from '../db/tables.ts'
import { malformed } from '../search/tokens.ts'
import { experimentNumber, type Tracking } from './tracking.ts'

export interface DatasetSummary {
  experimentId: number
  name: string
  digest: string
  /** What the runs used it for; null where they did not say. */
  context: string | null
}

const mostExperiments = 20
const mostDatasets = 1000

/** Each dataset once per context, at most 1,000. */
export async function searchDatasets(
  s: Pick<Tracking, 'db' | 'access'>,
  ctx: Context,
  experimentIds: readonly string[],
): Promise<DatasetSummary[]> {
  await s.access.require(ctx, 'runs:read')
  const isMany = experimentIds.length > mostExperiments
  if (isMany || experimentIds.length === 0) {
    throw malformed(`'experiment_ids' must name 1 to ${mostExperiments} experiments.`)
  }
  return s.db.read
    .selectDistinct({
      experimentId: datasets.experimentId,
      name: datasets.name,
      digest: datasets.digest,
      context: sql<string | null>`${runDatasets.tags} ->> 'mlflow.data.context'`,
    })
    .from(datasets)
    .innerJoin(runDatasets, eq(runDatasets.datasetId, datasets.id))
    .where(inArray(datasets.experimentId, experimentIds.map(experimentNumber)))
    .limit(mostDatasets)
}
