// Every table, once. Migrations are generated from this file (`bun run generate`).
import { sql } from 'drizzle-orm'

import { type Kit, sqliteKit } from './kits.ts'
import { trackingTables } from './tracking-tables.ts'

export type Json = Record<string, unknown>

function makeModels(kit: Kit) {
  return kit.table(
    'models',
    {
      id: kit.text('id').primaryKey(),
      name: kit.text('name').notNull(),
      description: kit.text('description').notNull(),
      tags: kit.json<Record<string, string>>('tags').notNull(),
      nextVersion: kit.int('next_version').notNull(),
      createdBy: kit.text('created_by').notNull(),
      createdAt: kit.time('created_at').notNull(),
      updatedAt: kit.time('updated_at').notNull(),
      deletedAt: kit.time('deleted_at'),
    },
    (t) => [
      kit
        .uniqueIndex('models_name')
        .on(t.name)
        .where(sql`deleted_at is null`),
    ],
  )
}

function makeVersions(kit: Kit, models: ReturnType<typeof makeModels>) {
  return kit.table(
    'versions',
    {
      id: kit.text('id').primaryKey(),
      modelId: kit
        .text('model_id')
        .notNull()
        .references(() => models.id),
      version: kit.int('version').notNull(),
      stage: kit.text('stage').notNull(),
      status: kit.text('status').notNull(),
      servability: kit.text('servability').notNull(),
      reason: kit.text('reason'),
      description: kit.text('description').notNull(),
      /**
       * Digest and size of the bytes that are served; `original*` of those that were uploaded.
       * Empty and 0 for a version that holds no ONNX.
       */
      sha256: kit.text('sha256').notNull(),
      size: kit.int('size').notNull(),
      originalSha256: kit.text('original_sha256').notNull(),
      originalSize: kit.int('original_size').notNull(),
      signature: kit.json<Json>('signature'),
      schema: kit.json<Json>('schema'),
      trial: kit.json<Json>('trial'),
      tags: kit.json<Record<string, string>>('tags').notNull(),
      metrics: kit.json<Record<string, number>>('metrics').notNull(),
      params: kit.json<Record<string, string>>('params').notNull(),
      gitCommit: kit.text('git_commit'),
      runId: kit.text('run_id'),
      quarantinedAt: kit.time('quarantined_at'),
      quarantineReason: kit.text('quarantine_reason'),
      createdBy: kit.text('created_by').notNull(),
      createdAt: kit.time('created_at').notNull(),
      updatedAt: kit.time('updated_at').notNull(),
      deletedAt: kit.time('deleted_at'),
      /** Where an MLflow client says that the version comes from; null for one pushed natively. */
      source: kit.text('source'),
      runLink: kit.text('run_link'),
      loggedModelId: kit.text('logged_model_id'),
    },
    (t) => [
      kit.uniqueIndex('versions_number').on(t.modelId, t.version),
      kit.index('versions_stage').on(t.modelId, t.stage, t.version),
      kit.index('versions_sha256').on(t.sha256),
      kit.index('versions_original_sha256').on(t.originalSha256),
      kit.index('versions_updated').on(t.updatedAt),
      kit.index('versions_created').on(t.createdAt),
      kit.index('versions_run').on(t.runId),
    ],
  )
}

/**
 * The tags of models and versions once more, a row each, so that a search finds them by an index.
 * Triggers in the migration fill these from the JSON columns; nothing else writes here.
 */
function tagTables(kit: Kit) {
  const modelTags = kit.table(
    'model_tags',
    {
      modelId: kit.text('model_id').notNull(),
      key: kit.text('key').notNull(),
      value: kit.text('value').notNull(),
    },
    (t) => [
      kit.primaryKey({ columns: [t.modelId, t.key] }),
      kit.index('model_tags_key').on(t.key, t.value),
    ],
  )
  const versionTags = kit.table(
    'version_tags',
    {
      versionId: kit.text('version_id').notNull(),
      key: kit.text('key').notNull(),
      value: kit.text('value').notNull(),
    },
    (t) => [
      kit.primaryKey({ columns: [t.versionId, t.key] }),
      kit.index('version_tags_key').on(t.key, t.value),
    ],
  )
  return { modelTags, versionTags }
}

function modelTables(kit: Kit) {
  const models = makeModels(kit)
  return { models, versions: makeVersions(kit, models), ...tagTables(kit) }
}

function stageTables(kit: Kit) {
  /** One row per model and stage; `revision` counts its moves and guards against lost races. */
  const stages = kit.table(
    'stages',
    {
      modelId: kit.text('model_id').notNull(),
      stage: kit.text('stage').notNull(),
      revision: kit.int('revision').notNull(),
    },
    (t) => [kit.primaryKey({ columns: [t.modelId, t.stage] })],
  )
  /** Every move of a version, never changed afterwards. */
  const transitions = kit.table(
    'transitions',
    {
      id: kit.serial('id'),
      modelId: kit.text('model_id').notNull(),
      version: kit.int('version').notNull(),
      from: kit.text('from_stage').notNull(),
      to: kit.text('to_stage').notNull(),
      kind: kit.text('kind').notNull(),
      actor: kit.text('actor').notNull(),
      reason: kit.text('reason'),
      requestId: kit.text('request_id').notNull(),
      at: kit.time('at').notNull(),
    },
    (t) => [kit.index('transitions_model').on(t.modelId, t.id)],
  )
  /** Which version was live in a stage, from when to when; a rollback marks what it left. */
  const lives = kit.table(
    'lives',
    {
      id: kit.serial('id'),
      modelId: kit.text('model_id').notNull(),
      stage: kit.text('stage').notNull(),
      version: kit.int('version').notNull(),
      since: kit.time('since').notNull(),
      until: kit.time('until'),
      rolledBack: kit.bool('rolled_back').notNull(),
    },
    (t) => [kit.index('lives_stage').on(t.modelId, t.stage, t.id)],
  )
  const aliases = kit.table(
    'aliases',
    {
      modelId: kit.text('model_id').notNull(),
      alias: kit.text('alias').notNull(),
      version: kit.int('version').notNull(),
      updatedBy: kit.text('updated_by').notNull(),
      updatedAt: kit.time('updated_at').notNull(),
    },
    (t) => [kit.primaryKey({ columns: [t.modelId, t.alias] })],
  )
  return { stages, transitions, lives, aliases }
}

function accessTables(kit: Kit) {
  const tokens = kit.table('tokens', {
    jti: kit.text('jti').primaryKey(),
    sub: kit.text('sub').notNull(),
    role: kit.text('role').notNull(),
    models: kit.json<string[]>('models'),
    kid: kit.text('kid').notNull(),
    createdBy: kit.text('created_by').notNull(),
    createdAt: kit.time('created_at').notNull(),
    expiresAt: kit.time('expires_at').notNull(),
    revokedAt: kit.time('revoked_at'),
  })
  /** Append-only: triggers in the migration refuse UPDATE and DELETE. */
  const audit = kit.table('audit', {
    seq: kit.serial('seq'),
    at: kit.time('at').notNull(),
    actor: kit.text('actor').notNull(),
    role: kit.text('role').notNull(),
    action: kit.text('action').notNull(),
    object: kit.text('object').notNull(),
    outcome: kit.text('outcome').notNull(),
    count: kit.int('count').notNull(),
    details: kit.json<Json>('details').notNull(),
    requestId: kit.text('request_id').notNull(),
    ip: kit.text('ip').notNull(),
    prevHash: kit.text('prev_hash').notNull(),
    hash: kit.text('hash').notNull(),
  })
  /** Answers of mutations that carried an Idempotency-Key, kept for a day. */
  const idempotency = kit.table(
    'idempotency',
    {
      sub: kit.text('sub').notNull(),
      key: kit.text('key').notNull(),
      fingerprint: kit.text('fingerprint').notNull(),
      result: kit.json<Json>('result').notNull(),
      at: kit.time('at').notNull(),
    },
    (t) => [kit.primaryKey({ columns: [t.sub, t.key] })],
  )
  return { tokens, audit, idempotency }
}

export const makeTables = (kit: Kit) => ({
  ...trackingTables(kit),
  ...modelTables(kit),
  ...stageTables(kit),
  ...accessTables(kit),
})

export const tables = makeTables(sqliteKit)
export const { models, versions, stages, transitions, lives, aliases, tokens, audit, idempotency } =
  tables
export const { modelTags, versionTags } = tables
export const { experiments, experimentTags, runs, runParams, runTags, runMetrics, latestMetrics } =
  tables
export const { datasets, runDatasets, runModels, files } = tables
export const { loggedModels, loggedModelParams, loggedModelTags, loggedModelMetrics } = tables

export type ModelRow = typeof models.$inferSelect
export type VersionRow = typeof versions.$inferSelect
export type AliasRow = typeof aliases.$inferSelect
export type AuditRow = typeof audit.$inferSelect
export type TokenRow = typeof tokens.$inferSelect
export type ExperimentRow = typeof experiments.$inferSelect
export type RunRow = typeof runs.$inferSelect
export type MetricRow = typeof latestMetrics.$inferSelect
export type DatasetRow = typeof datasets.$inferSelect
export type RunModelRow = typeof runModels.$inferSelect
export type LoggedModelMetricRow = typeof loggedModelMetrics.$inferSelect
export type LoggedModelRow = typeof loggedModels.$inferSelect
export type FileRow = typeof files.$inferSelect
