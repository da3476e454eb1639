// Shapes that all of MLflow's answers share.
import type { RunRow } from '../db/tables.ts'
import type { ExperimentView, LoggedModelView, Pair, RunView } from '../tracking/loading.ts'
import { lifecycle } from '../tracking/tracking.ts'

/** Leaves out what says nothing: null, empty texts and empty lists are absent on this wire. */
export function optional(members: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(members).filter(
      ([, value]) =>
        value !== null &&
        value !== undefined &&
        value !== '' &&
        !(Array.isArray(value) && value.length === 0),
    ),
  )
}

/** A map as a list of `{key, value}`. */
export const pairsOf = (map: Readonly<Record<string, string>>): { key: string; value: string }[] =>
  Object.entries(map).map(([key, value]) => ({ key, value }))

/** A list as it is, or nothing when it is empty; JSON leaves undefined members out. */
export const some = <T>(list: T[]): T[] | undefined => (list.length > 0 ? list : undefined)

const pairsWire = (pairs: readonly Pair[]): Pair[] | undefined =>
  some(pairs.map(({ key, value }) => ({ key, value })))

export function experimentWire({ experiment, tags }: ExperimentView): object {
  return {
    experiment_id: String(experiment.id),
    name: experiment.name,
    artifact_location: experiment.artifactLocation,
    lifecycle_stage: lifecycle(experiment),
    creation_time: experiment.createdAt,
    last_update_time: experiment.updatedAt,
    tags: pairsWire(tags),
  }
}

export function runInfoWire(run: RunRow): object {
  return {
    run_id: run.id,
    run_uuid: run.id,
    run_name: run.name,
    experiment_id: String(run.experimentId),
    user_id: run.userId,
    status: run.status,
    start_time: run.startTime ?? undefined,
    end_time: run.endTime ?? undefined,
    artifact_uri: run.artifactUri,
    lifecycle_stage: lifecycle(run),
  }
}

interface Measured {
  key: string
  value: number
  nan: boolean
  timestamp: number
  step: number
}

/** JSON has no NaN, so MLflow writes the word. */
export const metricWire = ({ key, value, nan, timestamp, step }: Measured) => ({
  key,
  value: nan ? 'NaN' : value,
  timestamp,
  step,
})

const datasetWire = ({ tags, dataset }: RunView['datasets'][number]): object => ({
  tags: some(Object.entries(tags).map(([key, value]) => ({ key, value }))),
  dataset: {
    name: dataset.name,
    digest: dataset.digest,
    source_type: dataset.sourceType,
    source: dataset.source,
    schema: dataset.schema ?? undefined,
    profile: dataset.profile ?? undefined,
  },
})

export function runWire({ run, tags, params, metrics, datasets, models }: RunView): object {
  const inputs = models.filter(({ direction }) => direction === 'input')
  const outputs = models.filter(({ direction }) => direction === 'output')
  return {
    info: runInfoWire(run),
    data: {
      metrics: some(metrics.map(metricWire)),
      params: pairsWire(params),
      tags: pairsWire(tags),
    },
    inputs: {
      dataset_inputs: some(datasets.map(datasetWire)),
      model_inputs: some(inputs.map(({ modelId }) => ({ model_id: modelId }))),
    },
    outputs: {
      model_outputs: some(outputs.map(({ modelId, step }) => ({ model_id: modelId, step }))),
    },
  }
}

export function loggedModelWire({ model, tags, params, metrics }: LoggedModelView): object {
  return {
    info: {
      model_id: model.id,
      experiment_id: String(model.experimentId),
      name: model.name,
      creation_timestamp_ms: model.createdAt,
      last_updated_timestamp_ms: model.updatedAt,
      artifact_uri: model.artifactUri,
      status: `LOGGED_MODEL_${model.status}`,
      status_message: model.statusMessage ?? undefined,
      model_type: model.modelType ?? undefined,
      source_run_id: model.sourceRunId ?? undefined,
      tags: pairsWire(tags),
    },
    data: {
      params: pairsWire(params),
      metrics: some(
        metrics.map((row) => ({
          ...metricWire(row),
          model_id: row.modelId,
          run_id: row.runId,
          dataset_name: row.datasetName ?? undefined,
          dataset_digest: row.datasetDigest ?? undefined,
        })),
      ),
    },
  }
}
