// Registered models: create, read, list, edit.
import { and, asc, desc, eq, gt, isNull, sql } from 'drizzle-orm'

import { modelRefusal } from '../auth/policy.ts'
import type { Context } from '../core/context.ts'
import { Fault } from '../core/fault.ts'
import { newId } from '../core/ids.ts'
import { can } from '../core/principal.ts'
import { iso } from '../core/time.ts'
import type { Queries } from '../db/db.ts'
import { aliases, type ModelRow, models, versions } from '../db/tables.ts'
import { demandName, findModel, modelNamed, type Registry } from './registry.ts'
import { liveIn, revisionOf, stageNames } from './stages.ts'

export interface ModelInput {
  name: string
  description?: string | undefined
  tags?: Record<string, string> | undefined
}

export interface ModelEdit {
  description?: string | undefined
  /** Tags to set; null removes one. */
  tags?: Record<string, string | null> | undefined
}

/** A model as the native API shows it, with what is live in each stage. */
export async function modelView(
  q: Queries,
  model: ModelRow,
  serving?: Registry['serving'],
): Promise<object> {
  const stages: Record<string, object> = {}
  for (const stage of stageNames) {
    const live = await liveIn(q, model.id, stage)
    const revision = await revisionOf(q, model.id, stage)
    const now = serving?.(model.name, stage)
    stages[stage] = { live_version: live?.version ?? null, revision, ...now }
  }
  const rows = await q.select().from(aliases).where(eq(aliases.modelId, model.id))
  const [latest] = await q
    .select({ version: versions.version })
    .from(versions)
    .where(and(eq(versions.modelId, model.id), isNull(versions.deletedAt)))
    .orderBy(desc(versions.version))
    .limit(1)
  return {
    name: model.name,
    description: model.description,
    tags: model.tags,
    latest_version: latest?.version ?? null,
    stages,
    aliases: Object.fromEntries(rows.map((row) => [row.alias, row.version])),
    created_by: model.createdBy,
    created_at: iso(model.createdAt),
    updated_at: iso(model.updatedAt),
  }
}

/** `model.exists` when a model has that name. */
export async function demandFree(tx: Queries, name: string): Promise<void> {
  if (await modelNamed(tx, name))
    throw new Fault('model.exists', `Registered Model (name=${name}) already exists.`)
}

/** Inserts a model; call it within a transaction. `model.exists` when the name is taken. */
export async function insertModel(tx: Queries, ctx: Context, input: ModelInput): Promise<ModelRow> {
  const now = Date.now()
  await demandFree(tx, input.name)
  const row: ModelRow = {
    id: newId(),
    name: input.name,
    description: input.description ?? '',
    tags: input.tags ?? {},
    nextVersion: 1,
    createdBy: ctx.principal.sub,
    createdAt: now,
    updatedAt: now,
    deletedAt: null,
  }
  await tx.insert(models).values(row)
  return row
}

export async function createModel(s: Registry, ctx: Context, input: ModelInput): Promise<object> {
  await s.access.require(ctx, 'models:create', input.name, 'model.create')
  demandName(input.name)
  return s.audit.change(ctx, { action: 'model.create', input }, async (tx) => {
    const row = await insertModel(tx, ctx, input)
    return { result: await modelView(tx, row), object: `model/${row.name}`, details: {} }
  })
}

/** The model, if the caller may read it. */
export async function readModel(s: Registry, ctx: Context, name: string): Promise<ModelRow> {
  await s.access.require(ctx, 'models:read', name)
  return findModel(s.db.read, name)
}

export async function getModel(s: Registry, ctx: Context, name: string): Promise<object> {
  return modelView(s.db.read, await readModel(s, ctx, name), s.serving)
}

export interface ListInput {
  /** Only names that contain this text. */
  filter?: string | undefined
  after?: string | undefined
  limit: number
}

/** Models the caller may read, by name; one more than `limit` when there are more. */
export async function listModels(s: Registry, ctx: Context, input: ListInput): Promise<ModelRow[]> {
  await s.access.require(ctx, 'models:read')
  const found: ModelRow[] = []
  let after = input.after ?? ''
  const contains = `%${(input.filter ?? '').replaceAll(/[%_\\]/g, String.raw`\$&`)}%`
  const matches = sql`${models.name} like ${contains} escape '\\'`
  // Rows the caller may not see are left out, so a page may take several queries.
  while (found.length <= input.limit) {
    const page = await s.db.read
      .select()
      .from(models)
      .where(and(isNull(models.deletedAt), gt(models.name, after), matches))
      .orderBy(asc(models.name))
      .limit(200)
    found.push(...page.filter((row) => can(ctx.principal, 'models:read', row.name)))
    const last = page[page.length - 1]
    if (page.length < 200 || last === undefined) break
    after = last.name
  }
  return found.slice(0, input.limit + 1)
}

/** Does the model have a version in Production, servable or not? */
export async function hasProduction(q: Queries, modelId: string): Promise<boolean> {
  const [row] = await q
    .select({ id: versions.id })
    .from(versions)
    .where(
      and(
        eq(versions.modelId, modelId),
        eq(versions.stage, 'Production'),
        isNull(versions.deletedAt),
      ),
    )
    .limit(1)
  return row !== undefined
}

/** §11: refuses to change a model that has a version in Production. */
export async function refuseFor(
  s: Registry,
  ctx: Context,
  model: ModelRow,
  action: string,
): Promise<void> {
  const why = modelRefusal(ctx, await hasProduction(s.db.read, model.id))
  if (why !== null) await s.access.refuse(ctx, action, `model/${model.name}`, why)
}

/** Tags after an edit: null removes. */
export function mergeTags(
  tags: Record<string, string>,
  edit: Record<string, string | null> = {},
): Record<string, string> {
  const merged: Record<string, string | null> = { ...tags, ...edit }
  const kept = Object.entries(merged).filter(
    (entry): entry is [string, string] => entry[1] !== null,
  )
  return Object.fromEntries(kept)
}

export async function updateModel(
  s: Registry,
  ctx: Context,
  name: string,
  edit: ModelEdit,
): Promise<object> {
  const action = 'model.update'
  await s.access.require(ctx, 'models:write', name, action)
  await refuseFor(s, ctx, await findModel(s.db.read, name), action)
  return s.audit.change(ctx, { action, input: { name, edit } }, async (tx) => {
    const model = await findModel(tx, name)
    const description = edit.description ?? model.description
    // As in MLflow, tags do not count as an update.
    const updatedAt = edit.description === undefined ? model.updatedAt : Date.now()
    const change = { description, tags: mergeTags(model.tags, edit.tags), updatedAt }
    await tx.update(models).set(change).where(eq(models.id, model.id))
    const result = await modelView(tx, { ...model, ...change })
    return { result, object: `model/${name}`, details: { ...edit } }
  })
}
