// A version changes its stage: tried and loaded first, then one transaction, then the swap.
import { eq } from 'drizzle-orm'

import { moveRefusal } from '../auth/policy.ts'
import type { Context } from '../core/context.ts'
import { Fault } from '../core/fault.ts'
import type { Queries } from '../db/db.ts'
import { type ModelRow, type VersionRow, versions } from '../db/tables.ts'
import { findModel, findVersion } from '../registry/registry.ts'
import {
  demandMatch,
  demandRevision,
  holdersOf,
  isServed,
  liveIn,
  type Move,
  moveVersions,
  revisionOf,
  type Stage,
} from '../registry/stages.ts'
import { viewVersion } from '../registry/versions.ts'
import { type Promotion, tryAgain } from './promotion.ts'

export interface StageMove {
  name: string
  version: number
  stage: Stage
  reason?: string | undefined
  /** Whether the other versions of the stage go to Archived; default true for Production only. */
  archiveExisting?: boolean | undefined
}

export interface Moved {
  version: object
  stage: Stage
  revision: number
  /** §1: what is live in the stage now; not always the version that was moved. */
  live_version: number | null
  archived: number[]
}

/** What others are archived by the move, and whether the caller may do that (§11). */
async function othersToArchive(
  s: Promotion,
  ctx: Context,
  at: { model: ModelRow; row: VersionRow },
  move: StageMove,
): Promise<VersionRow[]> {
  const { stage } = move
  const archive = isServed(stage) && (move.archiveExisting ?? stage === 'Production')
  if (!archive) return []
  const holders = await holdersOf(s.db.read, at.model.id, stage)
  const others = holders.filter((holder) => holder.id !== at.row.id)
  for (const other of others) {
    const why = moveRefusal(ctx, other, 'Archived')
    if (why === null) continue
    const object = `model/${move.name}/version/${other.version}`
    await s.access.refuse(ctx, 'version.stage', object, why)
  }
  return others
}

/** §8: what may not enter a served stage. */
function demandFit(row: VersionRow, stage: Stage): void {
  if (isServed(stage) && row.servability === 'failed') {
    throw new Fault('version.failed', `Version ${row.version} failed: ${row.reason ?? 'unknown'}.`)
  }
}

/** What was allowed was allowed from where the version stood; it may have been moved meanwhile. */
function demandUnmoved(present: VersionRow, read: VersionRow): void {
  if (present.stage === read.stage) return
  const detail = `Version ${read.version} is in ${present.stage} meanwhile; look and try again.`
  throw new Fault('stage.conflict', detail, { members: { stage: present.stage } })
}

/** Runs `commit` with the version tried and loaded beside the live one, where it is to serve. */
export async function withLoaded<T>(
  s: Promotion,
  at: { model: string; row: VersionRow; stage: Stage },
  commit: () => Promise<T>,
): Promise<T> {
  const { model, row, stage } = at
  const change = async (): Promise<T> => {
    const result = await commit()
    // Safe mode ends for a model that somebody moved (§32).
    s.changed(model)
    return result
  }
  if (!isServed(stage) || row.servability !== 'servable') {
    const result = await change()
    await s.deployments.reconcile(model)
    return result
  }
  const refuse = (why: string): never => {
    const detail = `Version ${row.version} did not pass its trial: ${why}. Nothing was changed.`
    throw new Fault('version.failed', detail, { members: { report: { trial: why } } })
  }
  const why = await tryAgain(s, row)
  if (why !== null) refuse(why)
  return s.deployments.beside(
    { model, row, production: stage === 'Production' },
    async (failed) => {
      if (failed !== null) refuse(failed)
      return change()
    },
  )
}

async function resultOf(
  tx: Queries,
  model: ModelRow,
  move: StageMove,
  archived: readonly VersionRow[],
): Promise<Moved> {
  const fresh = await findVersion(tx, model, move.version)
  const live = await liveIn(tx, model.id, move.stage)
  return {
    version: await viewVersion(tx, model, fresh),
    stage: move.stage,
    revision: await revisionOf(tx, model.id, move.stage),
    live_version: live?.version ?? null,
    archived: archived.map((row) => row.version),
  }
}

/**
 * Moves a version to a stage. Refused moves, failed trials and lost races (409 with the present
 * state) leave everything as it was. Promotion lifts a quarantine (§5).
 */
export async function promote(s: Promotion, ctx: Context, move: StageMove): Promise<Moved> {
  const { name, version, stage } = move
  const action = 'version.stage'
  const object = `model/${name}/version/${version}`
  await s.access.require(ctx, `stage:${stage}`, name, action)
  const model = await findModel(s.db.read, name)
  const row = await findVersion(s.db.read, model, version)
  const why = moveRefusal(ctx, row, stage)
  if (why !== null) await s.access.refuse(ctx, action, object, why)
  const intent = { action, input: move }
  const earlier = await s.audit.replay<Moved>(ctx, intent)
  if (earlier) return earlier
  const revision = await revisionOf(s.db.read, model.id, stage)
  demandMatch(ctx.ifMatch, stage, revision)
  demandFit(row, stage)
  const others = await othersToArchive(s, ctx, { model, row }, move)

  const moved = await withLoaded(s, { model: name, row, stage }, () =>
    s.audit.change(ctx, intent, async (tx) => {
      await demandRevision(tx, model, stage, revision)
      const present = await findVersion(tx, model, version)
      demandUnmoved(present, row)
      const moves: Move[] = [
        ...others.map((other): Move => ({ version: other, to: 'Archived', kind: 'archive' })),
        { version: present, to: stage, kind: 'move' },
      ]
      const actor = ctx.principal.sub
      const reason = move.reason ?? null
      await moveVersions(tx, model, moves, { actor, reason, requestId: ctx.requestId })
      const lifted = { quarantinedAt: null, quarantineReason: null }
      if (isServed(stage)) await tx.update(versions).set(lifted).where(eq(versions.id, row.id))
      const result = await resultOf(tx, model, move, others)
      const archived = result.archived
      const details = {
        from: present.stage,
        to: stage,
        reason,
        archived,
        live: result.live_version,
      }
      return { result, object, details }
    }),
  )
  s.metrics.stageTransitions.inc({ model: name, to: stage })
  s.metrics.stageTransitions.inc({ model: name, to: 'Archived' }, moved.archived.length)
  return moved
}
