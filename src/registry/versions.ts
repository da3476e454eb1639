// Model versions: numbered by the server, read, list, edit.
import { and, desc, eq, isNull, lt, sql } from 'drizzle-orm'

import { versionRefusal } from '../auth/policy.ts'
import type { Context } from '../core/context.ts'
import { Fault } from '../core/fault.ts'
import { newId } from '../core/ids.ts'
import type { Queries } from '../db/db.ts'
import { placeholders, prepared } from '../db/prepared.ts'
import {
  aliases,
  type Json,
  type ModelRow,
  models,
  type VersionRow,
  versions,
} from '../db/tables.ts'
import { runViews } from './lineage.ts'
import { mergeTags } from './models.ts'
import { findModel, findVersion, type Registry, versionView } from './registry.ts'
import { demandStage, liveIn, stageNamed } from './stages.ts'

/** What a version carries beside its bytes. */
export interface VersionInput {
  description?: string | undefined
  tags?: Record<string, string> | undefined
  metrics?: Record<string, number> | undefined
  params?: Record<string, string> | undefined
  gitCommit?: string | undefined
  runId?: string | undefined
  /** As an MLflow client gave them. */
  source?: string | undefined
  runLink?: string | undefined
  loggedModelId?: string | undefined
}

/** What intake and trial found out about the bytes. */
export interface VersionFindings {
  status: 'READY' | 'FAILED_REGISTRATION'
  servability: 'servable' | 'failed' | 'not-servable'
  reason: string | null
  sha256: string
  size: number
  originalSha256: string
  originalSize: number
  signature: Json | null
  schema: Json | null
  trial: Json | null
}

async function nextNumber(tx: Queries, model: ModelRow): Promise<number> {
  const [fresh] = await tx.select().from(models).where(eq(models.id, model.id))
  return fresh?.nextVersion ?? model.nextVersion
}

const insertRow = prepared((q) => q.insert(versions).values(placeholders(versions)).prepare())

/**
 * Inserts the next version, or that of a free `number`; call it within a transaction. Numbers are never
 * used twice.
 */
export async function insertVersion(
  tx: Queries,
  ctx: Context,
  model: ModelRow,
  what: { input: VersionInput; findings: VersionFindings; number?: number },
): Promise<VersionRow> {
  const now = Date.now()
  const next = await nextNumber(tx, model)
  const version = what.number ?? next
  await tx
    .update(models)
    .set({ nextVersion: Math.max(next, version + 1), updatedAt: now })
    .where(eq(models.id, model.id))
  const { input, findings } = what
  const row: VersionRow = {
    id: newId(),
    modelId: model.id,
    version,
    stage: 'None',
    description: input.description ?? '',
    tags: input.tags ?? {},
    metrics: input.metrics ?? {},
    params: input.params ?? {},
    gitCommit: input.gitCommit ?? null,
    runId: input.runId ?? null,
    source: input.source ?? null,
    runLink: input.runLink ?? null,
    loggedModelId: input.loggedModelId ?? null,
    quarantinedAt: null,
    quarantineReason: null,
    createdBy: ctx.principal.sub,
    createdAt: now,
    updatedAt: now,
    deletedAt: null,
    ...findings,
  }
  await insertRow(tx).execute({ ...row })
  return row
}

const aliasesOf = prepared((q) =>
  q
    .select()
    .from(aliases)
    .where(eq(aliases.modelId, sql.placeholder('modelId')))
    .prepare(),
)

/** Aliases of each version of a model. */
async function aliasesByVersion(q: Queries, modelId: string): Promise<Map<number, string[]>> {
  const rows = await aliasesOf(q).execute({ modelId })
  const found = new Map<number, string[]>()
  for (const { version, alias } of rows) found.set(version, [...(found.get(version) ?? []), alias])
  return found
}

/** Versions as the native API shows them, in the order given. */
async function viewVersions(
  q: Queries,
  model: ModelRow,
  rows: readonly VersionRow[],
): Promise<object[]> {
  const byVersion = await aliasesByVersion(q, model.id)
  const runs = await runViews(
    q,
    rows.map((row) => row.runId),
  )
  return rows.map((row) => {
    const beside = { aliases: byVersion.get(row.version) ?? [], run: runs.get(row.runId ?? '') }
    return versionView(model.name, row, beside)
  })
}

export async function viewVersion(q: Queries, model: ModelRow, row: VersionRow): Promise<object> {
  return (await viewVersions(q, model, [row]))[0] as object
}

/** A version by number, or by a stage or alias, which stage names win (§12). */
export async function resolveVersion(
  q: Queries,
  model: ModelRow,
  reference: string,
): Promise<VersionRow> {
  if (/^\d{1,9}$/.test(reference)) return findVersion(q, model, Number(reference))
  const stage = stageNamed(reference)
  if (stage) {
    const live = await liveIn(q, model.id, stage)
    if (live) return live
    throw new Fault('stage.empty', `${model.name} has no version in ${stage}.`)
  }
  const [row] = await q
    .select()
    .from(aliases)
    .where(and(eq(aliases.modelId, model.id), eq(aliases.alias, reference)))
  if (!row) throw new Fault('version.not-found', `${model.name} has no version ${reference}.`)
  return findVersion(q, model, row.version)
}

/** Returns model and version the caller may read. */
export async function readVersion(
  s: Registry,
  ctx: Context,
  name: string,
  reference: string,
): Promise<{ model: ModelRow; row: VersionRow }> {
  await s.access.require(ctx, 'models:read', name)
  const model = await findModel(s.db.read, name)
  return { model, row: await resolveVersion(s.db.read, model, reference) }
}

export interface VersionList {
  before?: number | undefined
  limit: number
  stage?: string | undefined
}

/** Newest first; one more than `limit` when there are more. */
export async function listVersions(
  s: Registry,
  ctx: Context,
  name: string,
  input: VersionList,
): Promise<{ views: object[]; rows: VersionRow[] }> {
  await s.access.require(ctx, 'models:read', name)
  const q = s.db.read
  const model = await findModel(q, name)
  const wanted = input.stage === undefined ? undefined : demandStage(input.stage, '/query/stage')
  const rows = await q
    .select()
    .from(versions)
    .where(
      and(
        eq(versions.modelId, model.id),
        isNull(versions.deletedAt),
        lt(versions.version, input.before ?? Number.MAX_SAFE_INTEGER),
        wanted === undefined ? undefined : eq(versions.stage, wanted),
      ),
    )
    .orderBy(desc(versions.version))
    .limit(input.limit + 1)
  return { rows, views: await viewVersions(q, model, rows) }
}

export interface VersionEdit {
  description?: string | undefined
  tags?: Record<string, string | null> | undefined
}

export async function updateVersion(
  s: Registry,
  ctx: Context,
  at: { name: string; version: number },
  edit: VersionEdit,
): Promise<object> {
  const action = 'version.update'
  await s.access.require(ctx, 'models:write', at.name, action)
  const object = `model/${at.name}/version/${at.version}`
  const found = await findVersion(s.db.read, await findModel(s.db.read, at.name), at.version)
  const why = versionRefusal(ctx, found)
  if (why !== null) await s.access.refuse(ctx, action, object, why)
  return s.audit.change(ctx, { action, input: { at, edit } }, async (tx) => {
    const model = await findModel(tx, at.name)
    const row = await findVersion(tx, model, at.version)
    const description = edit.description ?? row.description
    // As in MLflow, tags do not count as an update.
    const updatedAt = edit.description === undefined ? row.updatedAt : Date.now()
    const change = { description, tags: mergeTags(row.tags, edit.tags), updatedAt }
    await tx.update(versions).set(change).where(eq(versions.id, row.id))
    const result = await viewVersion(tx, model, { ...row, ...change })
    return { result, object, details: { ...edit } }
  })
}
