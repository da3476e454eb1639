// Models and versions are deleted, softly, and brought back.
import { and, desc, eq, isNotNull } from 'drizzle-orm'

import { versionRefusal } from '../auth/policy.ts'
import type { Context } from '../core/context.ts'
import { Fault } from '../core/fault.ts'
import { iso } from '../core/time.ts'
import type { Queries } from '../db/db.ts'
import { aliases, type ModelRow, models, type VersionRow, versions } from '../db/tables.ts'
import { modelView, refuseFor } from './models.ts'
import { findModel, findVersion, modelNamed, type Registry } from './registry.ts'
import {
  holdersOf,
  isServed,
  liveIn,
  moveVersions,
  servedStages,
  type Stage,
  versionRow,
} from './stages.ts'
import { viewVersion } from './versions.ts'

/**
 * §9. `keep`: can be restored within the retention; what is live is refused. `purge`: the same
 * without retention. `mlflow`: as MLflow does, what is live leaves service with the right of its
 * stage, and a version loses its description and where it came from.
 */
export type Deletion = 'keep' | 'purge' | 'mlflow'

interface Live {
  stage: Stage
  row: VersionRow
}

/** What is live of a model, or of one of its versions. */
async function livesOf(q: Queries, model: ModelRow, version?: number): Promise<Live[]> {
  const found: Live[] = []
  for (const stage of servedStages) {
    const row = await liveIn(q, model.id, stage)
    if (row && (version ?? row.version) === row.version) found.push({ stage, row })
  }
  return found
}

/** Asked before the transaction: a refusal writes an entry in a transaction of its own. */
async function demandStages(
  s: Registry,
  ctx: Context,
  at: { name: string; action: string },
  lives: readonly Live[],
): Promise<void> {
  for (const { stage } of lives) {
    await s.access.require(ctx, `stage:${stage}`, at.name, at.action)
  }
}

/** Throws for what may not be deleted as it is: all that is live, or (MLflow) all that became so. */
function demandLeave(lives: readonly Live[], how: Deletion, allowed: readonly Live[]): void {
  for (const { stage, row } of lives) {
    if (how !== 'mlflow') {
      throw new Fault('version.live', `Version ${row.version} is live in ${stage}; move it first.`)
    }
    if (!allowed.some((one) => one.stage === stage)) {
      const detail = `Version ${row.version} became live in ${stage} meanwhile; try again.`
      throw new Fault('stage.conflict', detail, { members: { stage, live_version: row.version } })
    }
  }
}

/** Takes versions out of their stages, so that a restore never brings them straight into service. */
function retire(
  tx: Queries,
  ctx: Context,
  model: ModelRow,
  rows: readonly VersionRow[],
): Promise<void> {
  const moves = rows.map((version) => ({ version, to: 'Archived', kind: 'delete' }) as const)
  const { principal, requestId } = ctx
  return moveVersions(tx, model, moves, { actor: principal.sub, reason: 'deleted', requestId })
}

/** A purged row counts as deleted since ever, so that the sweeper frees its bytes at once. */
const deletedNow = (how: Deletion): number => (how === 'purge' ? 1 : Date.now())

const restorableUntil = (s: Registry, how: Deletion, deletedAt: number): string | null =>
  how === 'purge' ? null : iso(deletedAt + s.config.retention)

export async function deleteModel(
  s: Registry,
  ctx: Context,
  name: string,
  how: Deletion,
): Promise<object> {
  const action = 'model.delete'
  await s.access.require(ctx, 'models:delete', name, action)
  const intent = { action, input: { name, how } }
  const earlier = await s.audit.replay<object>(ctx, intent)
  if (earlier) return earlier
  const found = await findModel(s.db.read, name)
  await refuseFor(s, ctx, found, action)
  const allowed = await livesOf(s.db.read, found)
  if (how === 'mlflow') await demandStages(s, ctx, { name, action }, allowed)
  const result = await s.audit.change(ctx, intent, async (tx) => {
    const model = await findModel(tx, name)
    const lives = await livesOf(tx, model)
    demandLeave(lives, how, allowed)
    for (const { stage } of lives) {
      await retire(tx, ctx, model, await holdersOf(tx, model.id, stage))
    }
    const deletedAt = deletedNow(how)
    await tx.update(models).set({ deletedAt }).where(eq(models.id, model.id))
    const until = restorableUntil(s, how, deletedAt)
    const details = { purge: how === 'purge', live: lives.map(({ row }) => row.version) }
    return { result: { name, restorable_until: until }, object: `model/${name}`, details }
  })
  s.changed(name)
  return result
}

/** Undoes the most recent deletion of a model of that name. */
export async function restoreModel(s: Registry, ctx: Context, name: string): Promise<object> {
  const action = 'model.restore'
  await s.access.require(ctx, 'models:delete', name, action)
  const result = await s.audit.change(ctx, { action, input: { name } }, async (tx) => {
    const [model] = await tx
      .select()
      .from(models)
      .where(and(eq(models.name, name), isNotNull(models.deletedAt)))
      .orderBy(desc(models.deletedAt))
      .limit(1)
    if (!model || (model.deletedAt ?? 0) < Date.now() - s.config.retention) {
      throw new Fault('model.not-found', `No deleted model is named ${JSON.stringify(name)}.`)
    }
    if (await modelNamed(tx, name))
      throw new Fault('model.exists', `${name} was registered anew meanwhile.`)
    await tx.update(models).set({ deletedAt: null }).where(eq(models.id, model.id))
    const view = await modelView(tx, { ...model, deletedAt: null })
    return { result: view, object: `model/${name}`, details: {} }
  })
  s.changed(name)
  return result
}

const redacted = { description: '', source: null, runLink: null }

/** The aliases of the version go with it. */
export async function deleteVersion(
  s: Registry,
  ctx: Context,
  at: { name: string; version: number },
  how: Deletion,
): Promise<object> {
  const { name } = at
  const action = 'version.delete'
  await s.access.require(ctx, 'models:delete', name, action)
  const object = `model/${name}/version/${at.version}`
  const intent = { action, input: { at, how } }
  const earlier = await s.audit.replay<object>(ctx, intent)
  if (earlier) return earlier
  const found = await findModel(s.db.read, name)
  const why = versionRefusal(ctx, await findVersion(s.db.read, found, at.version))
  if (why !== null) await s.access.refuse(ctx, action, object, why)
  const allowed = await livesOf(s.db.read, found, at.version)
  if (how === 'mlflow') await demandStages(s, ctx, { name, action }, allowed)
  const result = await s.audit.change(ctx, intent, async (tx) => {
    const model = await findModel(tx, name)
    const row = await findVersion(tx, model, at.version)
    const lives = await livesOf(tx, model, row.version)
    demandLeave(lives, how, allowed)
    if (lives.length > 0) await retire(tx, ctx, model, [row])
    const deletedAt = deletedNow(how)
    const change = { deletedAt, ...(how === 'mlflow' ? redacted : {}) }
    await tx.update(versions).set(change).where(eq(versions.id, row.id))
    await tx.update(models).set({ updatedAt: Date.now() }).where(eq(models.id, model.id))
    await tx
      .delete(aliases)
      .where(and(eq(aliases.modelId, model.id), eq(aliases.version, row.version)))
    const until = restorableUntil(s, how, deletedAt)
    const details = { purge: how === 'purge', live: lives.map(({ stage }) => stage) }
    return { result: { ...at, restorable_until: until }, object, details }
  })
  s.changed(name)
  return result
}
/** The deleted row of that number, while it can be brought back. */
async function findDeleted(
  q: Queries,
  s: Registry,
  model: ModelRow,
  version: number,
): Promise<VersionRow> {
  const row = await versionRow(q, model.id, version)
  if (row === null || row.deletedAt === null) {
    throw new Fault('version.not-deleted', `Version ${version} is not deleted.`)
  }
  if (row.deletedAt < Date.now() - s.config.retention) {
    throw new Fault('version.not-deleted', `Version ${version} was purged or is gone for good.`)
  }
  return row
}

/** Brings a soft-deleted version back: into its stage, or to Archived if that stage serves. */
export async function restoreVersion(
  s: Registry,
  ctx: Context,
  at: { name: string; version: number },
): Promise<object> {
  const action = 'version.restore'
  await s.access.require(ctx, 'models:delete', at.name, action)
  const intent = { action, input: at }
  const earlier = await s.audit.replay<object>(ctx, intent)
  if (earlier) return earlier
  const q = s.db.read
  const gone = await findDeleted(q, s, await findModel(q, at.name), at.version)
  // Asked before the transaction: a refusal writes an entry in a transaction of its own.
  await s.access.require(ctx, `stage:${gone.stage as Stage}`, at.name, action)
  const found = await s.audit.change(ctx, intent, async (tx) => {
    const model = await findModel(tx, at.name)
    const row = await findDeleted(tx, s, model, at.version)
    // Never straight back into service: what serves has been tried by a promotion.
    const back = { deletedAt: null, stage: isServed(row.stage) ? 'Archived' : row.stage }
    await tx.update(versions).set(back).where(eq(versions.id, row.id))
    const result = await viewVersion(tx, model, { ...row, ...back })
    return { result, object: `model/${at.name}/version/${at.version}`, details: {} }
  })
  s.changed(at.name)
  return found
}
