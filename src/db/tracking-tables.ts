// Tables of experiments: runs, what they measured, read and made, and the files they left.
import type { Kit } from './kits.ts'

function experimentTables(kit: Kit) {
  const experiments = kit.table(
    'experiments',
    {
      /** MLflow's ids: 0 is `Default`, which the migration inserts. */
      id: kit.serial('id'),
      name: kit.text('name').notNull(),
      artifactLocation: kit.text('artifact_location').notNull(),
      createdBy: kit.text('created_by').notNull(),
      createdAt: kit.time('created_at').notNull(),
      updatedAt: kit.time('updated_at').notNull(),
      deletedAt: kit.time('deleted_at'),
    },
    // Deleted ones keep their name, as in MLflow.
    (t) => [kit.uniqueIndex('experiments_name').on(t.name)],
  )
  const experimentTags = kit.table(
    'experiment_tags',
    {
      experimentId: kit.int('experiment_id').notNull(),
      key: kit.text('key').notNull(),
      value: kit.text('value').notNull(),
    },
    (t) => [kit.primaryKey({ columns: [t.experimentId, t.key] })],
  )
  return { experiments, experimentTags }
}

/** Columns of one measured value. NaN is a flag with value 0, since SQLite stores it as null. */
const measured = (kit: Kit) => ({
  key: kit.text('key').notNull(),
  value: kit.real('value').notNull(),
  nan: kit.bool('nan').notNull(),
  timestamp: kit.time('timestamp').notNull(),
  step: kit.int('step').notNull(),
  modelId: kit.text('model_id'),
  datasetName: kit.text('dataset_name'),
  datasetDigest: kit.text('dataset_digest'),
})

function runTables(kit: Kit) {
  const runs = kit.table(
    'runs',
    {
      id: kit.text('id').primaryKey(),
      experimentId: kit.int('experiment_id').notNull(),
      name: kit.text('name').notNull(),
      /** What the client claims; who really wrote it is `created_by` (§15). */
      userId: kit.text('user_id').notNull(),
      status: kit.text('status').notNull(),
      startTime: kit.time('start_time'),
      endTime: kit.time('end_time'),
      artifactUri: kit.text('artifact_uri').notNull(),
      createdBy: kit.text('created_by').notNull(),
      deletedAt: kit.time('deleted_at'),
    },
    (t) => [kit.index('runs_experiment').on(t.experimentId, t.startTime, t.id)],
  )
  const pairs = (name: string) =>
    kit.table(
      name,
      {
        runId: kit.text('run_id').notNull(),
        key: kit.text('key').notNull(),
        value: kit.text('value').notNull(),
      },
      (t) => [
        kit.primaryKey({ columns: [t.runId, t.key] }),
        kit.index(`${name}_key`).on(t.key, t.value),
      ],
    )
  /** Every value ever logged; a repeated one is one row. */
  const runMetrics = kit.table(
    'run_metrics',
    { runId: kit.text('run_id').notNull(), ...measured(kit) },
    (t) => [kit.primaryKey({ columns: [t.runId, t.key, t.timestamp, t.step, t.value, t.nan] })],
  )
  /** Per run and key the value with the greatest (step, timestamp, value). */
  const latestMetrics = kit.table(
    'latest_metrics',
    { runId: kit.text('run_id').notNull(), ...measured(kit) },
    (t) => [
      kit.primaryKey({ columns: [t.runId, t.key] }),
      kit.index('latest_metrics_key').on(t.key, t.value),
    ],
  )
  return {
    runs,
    runParams: pairs('run_params'),
    runTags: pairs('run_tags'),
    runMetrics,
    latestMetrics,
  }
}

/** What runs read and made. */
function lineageTables(kit: Kit) {
  const datasets = kit.table(
    'datasets',
    {
      id: kit.text('id').primaryKey(),
      experimentId: kit.int('experiment_id').notNull(),
      name: kit.text('name').notNull(),
      digest: kit.text('digest').notNull(),
      sourceType: kit.text('source_type').notNull(),
      source: kit.text('source').notNull(),
      schema: kit.text('schema'),
      profile: kit.text('profile'),
    },
    (t) => [kit.uniqueIndex('datasets_name').on(t.experimentId, t.name, t.digest)],
  )
  const runDatasets = kit.table(
    'run_datasets',
    {
      runId: kit.text('run_id').notNull(),
      datasetId: kit.text('dataset_id').notNull(),
      tags: kit.json<Record<string, string>>('tags').notNull(),
      /** Counts the datasets of a run in the order in which they were logged; null: long ago. */
      position: kit.int('position'),
    },
    (t) => [kit.primaryKey({ columns: [t.runId, t.datasetId] })],
  )
  const runModels = kit.table(
    'run_models',
    {
      runId: kit.text('run_id').notNull(),
      modelId: kit.text('model_id').notNull(),
      /** `input` or `output`. */
      direction: kit.text('direction').notNull(),
      step: kit.int('step').notNull(),
    },
    (t) => [kit.primaryKey({ columns: [t.runId, t.modelId, t.direction] })],
  )
  return { datasets, runDatasets, runModels }
}

function loggedModelTables(kit: Kit) {
  const loggedModels = kit.table(
    'logged_models',
    {
      id: kit.text('id').primaryKey(),
      experimentId: kit.int('experiment_id').notNull(),
      name: kit.text('name').notNull(),
      modelType: kit.text('model_type'),
      sourceRunId: kit.text('source_run_id'),
      artifactUri: kit.text('artifact_uri').notNull(),
      /** `PENDING`, `READY` or `UPLOAD_FAILED`; MLflow's names without their prefix. */
      status: kit.text('status').notNull(),
      statusMessage: kit.text('status_message'),
      createdBy: kit.text('created_by').notNull(),
      createdAt: kit.time('created_at').notNull(),
      updatedAt: kit.time('updated_at').notNull(),
      deletedAt: kit.time('deleted_at'),
    },
    (t) => [kit.index('logged_models_experiment').on(t.experimentId, t.createdAt, t.id)],
  )
  const pairs = (name: string) =>
    kit.table(
      name,
      {
        modelId: kit.text('model_id').notNull(),
        key: kit.text('key').notNull(),
        value: kit.text('value').notNull(),
      },
      (t) => [kit.primaryKey({ columns: [t.modelId, t.key] })],
    )
  const loggedModelMetrics = kit.table(
    'logged_model_metrics',
    {
      ...measured(kit),
      modelId: kit.text('model_id').notNull(),
      runId: kit.text('run_id').notNull(),
    },
    (t) => [kit.primaryKey({ columns: [t.modelId, t.key, t.timestamp, t.step, t.runId] })],
  )
  return {
    loggedModels,
    loggedModelParams: pairs('logged_model_params'),
    loggedModelTags: pairs('logged_model_tags'),
    loggedModelMetrics,
  }
}

/** Files that MLflow clients see: a path without leading slash, and the blob that holds its bytes. */
const fileTables = (kit: Kit) => ({
  files: kit.table(
    'files',
    {
      path: kit.text('path').primaryKey(),
      sha256: kit.text('sha256').notNull(),
      size: kit.int('size').notNull(),
      createdBy: kit.text('created_by').notNull(),
      createdAt: kit.time('created_at').notNull(),
    },
    (t) => [kit.index('files_sha256').on(t.sha256)],
  ),
})

export const trackingTables = (kit: Kit) => ({
  ...experimentTables(kit),
  ...runTables(kit),
  ...lineageTables(kit),
  ...loggedModelTables(kit),
  ...fileTables(kit),
})
