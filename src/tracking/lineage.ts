// What a run read and made: datasets, logged models, and models logged the way older clients do.
import { and, eq, sql } from 'drizzle-orm'

import type { Context } from '../core/context.ts'
import type { Queries } from '../db/db.ts'
import { datasets, runDatasets, runModels, type RunRow, runTags } from '../db/tables.ts'
import { cut, demandLength, limits, refused } from './limits.ts'
import type { Pair } from './loading.ts'
import { setRunTags } from './run-tags.ts'
import { activeRun, hexId, type Tracking } from './tracking.ts'

export interface DatasetInput {
  name: string
  digest: string
  sourceType: string
  source: string
  schema?: string | undefined
  profile?: string | undefined
  tags: Pair[]
}

function demandDataset(input: DatasetInput): void {
  demandLength('name', input.name, limits.datasetName)
  demandLength('digest', input.digest, limits.datasetDigest)
  demandLength('source', input.source, limits.datasetSource)
  demandLength('schema', input.schema ?? '', limits.datasetSchema)
  demandLength('profile', input.profile ?? '', limits.datasetProfile)
  for (const { key, value } of input.tags) {
    demandLength('key', key, limits.inputTagKey)
    demandLength('value', value, limits.inputTagValue)
  }
}

/** The dataset's id; an experiment holds a name and digest once, as it was first described. */
export async function datasetId(tx: Queries, run: RunRow, input: DatasetInput): Promise<string> {
  const { tags: _, ...described } = input
  const { experimentId } = run
  const d = datasets
  const schema = input.schema ?? null
  const profile = input.profile ?? null
  await tx
    .insert(d)
    .values({ id: hexId(), experimentId, ...described, schema, profile })
    .onConflictDoNothing()
  const [row] = await tx
    .select({ id: d.id })
    .from(d)
    .where(
      and(eq(d.experimentId, experimentId), eq(d.name, input.name), eq(d.digest, input.digest)),
    )
  return row?.id as string
}

export interface RunInputs {
  datasets: DatasetInput[]
  /** Ids of logged models. */
  models: string[]
}

/** What was logged before stays as it is. */
export async function logInputs(
  s: Tracking,
  ctx: Context,
  runId: string,
  inputs: RunInputs,
): Promise<void> {
  await s.access.require(ctx, 'runs:write', undefined, 'run.log')
  for (const input of inputs.datasets) demandDataset(input)
  await s.db.tx(async (tx) => {
    const run = await activeRun(tx, runId)
    let position = await tx.$count(runDatasets, eq(runDatasets.runId, runId))
    for (const input of inputs.datasets) {
      const tags = Object.fromEntries(input.tags.map(({ key, value }) => [key, value]))
      const row = { runId, datasetId: await datasetId(tx, run, input), tags, position }
      await tx.insert(runDatasets).values(row).onConflictDoNothing()
      position += 1
    }
    const models = inputs.models.map((modelId) => ({ modelId, step: 0 }))
    await insertModels(tx, runId, 'input', models)
  })
}

export interface ModelOutput {
  modelId: string
  step: number
}

export async function logOutputs(
  s: Tracking,
  ctx: Context,
  runId: string,
  models: ModelOutput[],
): Promise<void> {
  await s.access.require(ctx, 'runs:write', undefined, 'run.log')
  await s.db.tx(async (tx) => {
    await activeRun(tx, runId)
    await insertModels(tx, runId, 'output', models)
  })
}

/** The same model again gets the new step, so that a repeated call does no harm. */
async function insertModels(
  tx: Queries,
  runId: string,
  direction: 'input' | 'output',
  models: readonly ModelOutput[],
): Promise<void> {
  const last = new Map(models.map((model) => [model.modelId, model]))
  if (last.size === 0) return
  await tx
    .insert(runModels)
    .values([...last.values()].map((model) => ({ runId, direction, ...model })))
    .onConflictDoUpdate({
      target: [runModels.runId, runModels.modelId, runModels.direction],
      set: { step: sql`excluded.step` },
    })
}

/** The tag in which clients before MLflow 3 find the models of a run. */
const historyTag = 'mlflow.log-model.history'

type Json = Record<string, unknown>

/** Of an MLmodel what the tag holds. */
function historyEntry(text: string): Json {
  let model: Json
  try {
    model = Object(JSON.parse(text)) as Json
  } catch {
    throw refused('Malformed model info: model_json is not JSON.')
  }
  const lacking = ['artifact_path', 'flavors', 'utc_time_created', 'run_id'].filter(
    (name) => !(name in model),
  )
  if (lacking.length > 0) {
    throw refused(`Model json is missing mandatory fields: ${lacking.join(', ')}.`)
  }
  const { run_id, artifact_path, utc_time_created, model_uuid } = model
  const flavors = Object.entries(Object(model.flavors) as Json).map(([name, flavor]) => {
    const { config: _, ...rest } = Object(flavor) as Json
    return [name, rest]
  })
  return {
    run_id,
    artifact_path,
    utc_time_created,
    model_uuid,
    flavors: Object.fromEntries(flavors) as Json,
  }
}

/** Appends a model, given as the JSON of its MLmodel file, to the history in the run's tag. */
export async function recordModel(
  s: Tracking,
  ctx: Context,
  runId: string,
  modelJson: string,
): Promise<void> {
  await s.access.require(ctx, 'runs:write', undefined, 'run.log')
  const entry = historyEntry(modelJson)
  await s.db.tx(async (tx) => {
    await activeRun(tx, runId)
    const [row] = await tx
      .select()
      .from(runTags)
      .where(and(eq(runTags.runId, runId), eq(runTags.key, historyTag)))
    const value = JSON.stringify([...earlierEntries(row?.value), entry])
    if (cut(value, limits.tagValue) !== value) {
      throw refused(`The run's models no longer fit in the tag ${historyTag}.`)
    }
    await setRunTags(tx, runId, [{ key: historyTag, value }])
  })
}

/** A tag that a client filled with something else counts for nothing. */
function earlierEntries(value = '[]'): unknown[] {
  try {
    const list: unknown = JSON.parse(value)
    return Array.isArray(list) ? list : []
  } catch {
    return []
  }
}
