// Back to the last live version, and back in service after a quarantine.
import { eq } from 'drizzle-orm'

import { moveRefusal } from '../auth/policy.ts'
import type { Context } from '../core/context.ts'
import { Fault } from '../core/fault.ts'
import { newId, randomHex } from '../core/ids.ts'
import { system } from '../core/principal.ts'
import { versions } from '../db/tables.ts'
import { findModel, findVersion } from '../registry/registry.ts'
import {
  demandMatch,
  demandRevision,
  earlierLives,
  holdersOf,
  liveIn,
  markRolledBack,
  type Move,
  moveVersions,
  revisionOf,
  type Stage,
} from '../registry/stages.ts'
import { viewVersion } from '../registry/versions.ts'
import { withLoaded } from './promote.ts'
import { type Promotion, tryAgain } from './promotion.ts'

export interface RollbackInput {
  name: string
  stage: 'Production' | 'Staging'
  /** Where the present versions go. */
  demoteTo: 'Archived' | 'Staging' | 'None'
  reason?: string | undefined
}

export interface RolledBack {
  stage: Stage
  live_version: number | null
  rolled_back_from: number | null
  demoted: { version: number; to: Stage }[]
  revision: number
}

/**
 * §3: goes to the most recent earlier live version that is sound and was not itself rolled back
 * from; repeated calls walk further back. Hash and trial are checked, quality gates are not.
 */
export async function rollback(
  s: Promotion,
  ctx: Context,
  input: RollbackInput,
): Promise<RolledBack> {
  const { name, stage, demoteTo } = input
  const action = 'model.rollback'
  await s.access.require(ctx, `stage:${stage}`, name, action)
  await s.access.require(ctx, `stage:${demoteTo}`, name, action)
  const intent = { action, input }
  const earlier = await s.audit.replay<RolledBack>(ctx, intent)
  if (earlier) return earlier
  const q = s.db.read
  const model = await findModel(q, name)
  const revision = await revisionOf(q, model.id, stage)
  demandMatch(ctx.ifMatch, stage, revision)
  const live = await liveIn(q, model.id, stage)
  const [target] = await earlierLives(q, model.id, stage, live?.version)
  if (!target) {
    throw new Fault(
      'rollback.nothing-earlier',
      `${stage} of ${name} has no earlier version to serve.`,
    )
  }
  const leaving = (await holdersOf(q, model.id, stage)).filter((row) => row.id !== target.id)
  for (const row of [...leaving, target]) {
    const why = moveRefusal(ctx, row, row === target ? stage : demoteTo)
    if (why !== null) await s.access.refuse(ctx, action, `model/${name}`, why)
  }
  const result = await withLoaded(s, { model: name, row: target, stage }, () =>
    s.audit.change(ctx, intent, async (tx) => {
      await demandRevision(tx, model, stage, revision)
      if (live) await markRolledBack(tx, model.id, stage, live.version)
      const present = await findVersion(tx, model, target.version)
      const moves: Move[] = [
        ...leaving.map((row): Move => ({ version: row, to: demoteTo, kind: 'demote' })),
        { version: present, to: stage, kind: 'rollback' },
      ]
      const reason = input.reason ?? null
      const record = { actor: ctx.principal.sub, reason, requestId: ctx.requestId }
      await moveVersions(tx, model, moves, record)
      const now = await liveIn(tx, model.id, stage)
      const rolledBack: RolledBack = {
        stage,
        live_version: now?.version ?? null,
        rolled_back_from: live?.version ?? null,
        demoted: leaving.map((row) => ({ version: row.version, to: demoteTo })),
        revision: await revisionOf(tx, model.id, stage),
      }
      return { result: rolledBack, object: `model/${name}`, details: { ...rolledBack, reason } }
    }),
  )
  s.metrics.rollbacks.inc({ model: name })
  s.metrics.stageTransitions.inc({ model: name, to: stage })
  s.metrics.stageTransitions.inc({ model: name, to: demoteTo }, result.demoted.length)
  return result
}

/** §5: marks a version that kills or hangs engines; its stage stays as it is. */
export async function quarantine(
  s: Promotion,
  at: { name: string; version: number },
  reason: string,
): Promise<void> {
  const ctx: Context = {
    principal: system,
    requestId: newId(),
    traceId: randomHex(16),
    ip: '',
  }
  const input = { ...at, reason }
  await s.audit.change(ctx, { action: 'version.quarantine', input }, async (tx) => {
    const row = await findVersion(tx, await findModel(tx, at.name), at.version)
    const mark = { quarantinedAt: Date.now(), quarantineReason: reason }
    await tx.update(versions).set(mark).where(eq(versions.id, row.id))
    return { result: {}, object: `model/${at.name}/version/${at.version}`, details: { reason } }
  })
}

/** Lifts a quarantine after another trial. Needs the right of the stage the version is in. */
export async function clearQuarantine(
  s: Promotion,
  ctx: Context,
  at: { name: string; version: number },
): Promise<object> {
  const action = 'version.quarantine-clear'
  await s.access.require(ctx, 'models:write', at.name, action)
  const model = await findModel(s.db.read, at.name)
  const row = await findVersion(s.db.read, model, at.version)
  await s.access.require(ctx, `stage:${row.stage as Stage}`, at.name, action)
  // What changes nothing leaves no entry.
  if (row.quarantinedAt === null) return viewVersion(s.db.read, model, row)
  const why = await tryAgain(s, row)
  if (why !== null) throw new Fault('version.failed', `The trial failed again: ${why}.`)
  const result = await s.audit.change(ctx, { action, input: at }, async (tx) => {
    const lifted = { quarantinedAt: null, quarantineReason: null }
    await tx.update(versions).set(lifted).where(eq(versions.id, row.id))
    const view = await viewVersion(tx, model, { ...row, ...lifted })
    const details = { was: row.quarantineReason }
    return { result: view, object: `model/${at.name}/version/${at.version}`, details }
  })
  await s.deployments.reconcile(at.name)
  return result
}
