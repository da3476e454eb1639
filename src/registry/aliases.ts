// Aliases: names that point at a version and can be moved.
import { and, eq } from 'drizzle-orm'

import { aliasRefusal } from '../auth/policy.ts'
import type { Context } from '../core/context.ts'
import { Fault } from '../core/fault.ts'
import type { Queries } from '../db/db.ts'
import { aliases, type ModelRow, type VersionRow } from '../db/tables.ts'
import { latestOf } from './many.ts'
import { findModel, findVersion, type Registry } from './registry.ts'
import { stageNamed } from './stages.ts'

/** §12 and MLflow's rule: 1 to 255 of letters, digits, _ and -; no stage, number, `latest` or `v1`. */
export function demandAlias(alias: string): void {
  if (!/^[\p{L}\p{N}_-]{1,255}$/u.test(alias)) {
    throw new Fault('name.invalid', 'Aliases have 1 to 255 letters, digits, _ or -.')
  }
  if (stageNamed(alias) || /^latest$/i.test(alias) || /^v?\d+$/i.test(alias)) {
    throw new Fault('alias.reserved', `${alias} names a stage or a version; choose another alias.`)
  }
}

const unknownAlias = (alias: string): Fault =>
  new Fault('alias.not-found', `Registered model alias ${alias} not found.`)

async function holderOf(
  q: Queries,
  model: ModelRow,
  alias: string,
): Promise<VersionRow | undefined> {
  const [row] = await q
    .select()
    .from(aliases)
    .where(and(eq(aliases.modelId, model.id), eq(aliases.alias, alias)))
  return row ? findVersion(q, model, row.version) : undefined
}

/** Refuses what §11 keeps from a data scientist. `target` is absent when the alias is removed. */
async function guardAlias(
  s: Registry,
  ctx: Context,
  at: { name: string; alias: string; action: string },
  target: number | undefined,
): Promise<void> {
  await s.access.require(ctx, 'aliases:write', at.name, at.action)
  const model = await findModel(s.db.read, at.name)
  const holder = await holderOf(s.db.read, model, at.alias)
  const aimed = target === undefined ? undefined : await findVersion(s.db.read, model, target)
  const facts = { target: aimed, holder }
  const why = aliasRefusal(ctx, at.alias, facts, s.config['protected-aliases'])
  if (why !== null) await s.access.refuse(ctx, at.action, `model/${at.name}/alias/${at.alias}`, why)
}

/** Refuses to take a version off line under an alias that the caller may not remove either (§11). */
export async function guardAliasesOf(
  s: Pick<Registry, 'db' | 'access' | 'config'>,
  ctx: Context,
  at: { name: string; action: string },
  row: VersionRow,
): Promise<void> {
  const { modelId, version } = row
  const rows = await s.db.read
    .select({ alias: aliases.alias })
    .from(aliases)
    .where(and(eq(aliases.modelId, modelId), eq(aliases.version, version)))
  for (const { alias } of rows) {
    const why = aliasRefusal(ctx, alias, { holder: row }, s.config['protected-aliases'])
    const object = `model/${at.name}/version/${version}`
    if (why !== null) await s.access.refuse(ctx, at.action, object, why)
  }
}

/** The version that an alias points at; `latest`, in any case, is the highest. */
export async function versionByAlias(
  s: Registry,
  ctx: Context,
  name: string,
  alias: string,
): Promise<VersionRow> {
  await s.access.require(ctx, 'models:read', name)
  const q = s.db.read
  const model = await findModel(q, name)
  const isLatest = alias.toLowerCase() === 'latest'
  const row = isLatest ? (await latestOf(q, [model.id])).at(-1) : await holderOf(q, model, alias)
  if (row === undefined) throw unknownAlias(alias)
  return row
}

export async function setAlias(
  s: Registry,
  ctx: Context,
  at: { name: string; alias: string },
  version: number,
): Promise<object> {
  const action = 'alias.set'
  await guardAlias(s, ctx, { ...at, action }, version)
  demandAlias(at.alias)
  const result = await s.audit.change(ctx, { action, input: { at, version } }, async (tx) => {
    const model = await findModel(tx, at.name)
    await findVersion(tx, model, version)
    const before = await holderOf(tx, model, at.alias)
    const by = { updatedBy: ctx.principal.sub, updatedAt: Date.now() }
    await tx
      .insert(aliases)
      .values({ modelId: model.id, alias: at.alias, version, ...by })
      .onConflictDoUpdate({ target: [aliases.modelId, aliases.alias], set: { version, ...by } })
    const details = { version, before: before?.version ?? null }
    const object = `model/${at.name}/alias/${at.alias}`
    return { result: { name: at.name, alias: at.alias, version }, object, details }
  })
  s.changed(at.name)
  return result
}

export async function deleteAlias(
  s: Registry,
  ctx: Context,
  at: { name: string; alias: string },
): Promise<object> {
  const action = 'alias.delete'
  await guardAlias(s, ctx, { ...at, action }, undefined)
  const result = await s.audit.change(ctx, { action, input: at }, async (tx) => {
    const model = await findModel(tx, at.name)
    const gone = await tx
      .delete(aliases)
      .where(and(eq(aliases.modelId, model.id), eq(aliases.alias, at.alias)))
      .returning()
    if (gone.length === 0) throw unknownAlias(at.alias)
    const object = `model/${at.name}/alias/${at.alias}`
    return { result: at, object, details: { version: gone[0]?.version } }
  })
  s.changed(at.name)
  return result
}
