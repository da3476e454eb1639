// Stages: which version is live, how versions move, where a rollback leads, what is on record.
import { and, asc, desc, eq, isNull, lt, sql } from 'drizzle-orm'

import { Fault } from '../core/fault.ts'
import type { Queries } from '../db/db.ts'
import { prepared } from '../db/prepared.ts'
import {
  lives,
  type ModelRow,
  models,
  stages,
  transitions,
  type VersionRow,
  versions,
} from '../db/tables.ts'

const modelId = sql.placeholder('modelId')
const inStage = sql.placeholder('stage')

const numbered = prepared((q) =>
  q
    .select()
    .from(versions)
    .where(and(eq(versions.modelId, modelId), eq(versions.version, sql.placeholder('version'))))
    .prepare(),
)

const highestServable = prepared((q) =>
  q
    .select()
    .from(versions)
    .where(
      and(
        eq(versions.modelId, modelId),
        eq(versions.stage, inStage),
        eq(versions.servability, 'servable'),
        isNull(versions.deletedAt),
      ),
    )
    .orderBy(desc(versions.version))
    .limit(1)
    .prepare(),
)

const lastLive = prepared((q) =>
  q
    .select()
    .from(lives)
    .where(and(eq(lives.modelId, modelId), eq(lives.stage, inStage)))
    .orderBy(desc(lives.id))
    .limit(1)
    .prepare(),
)

export const stageNames = ['None', 'Staging', 'Production', 'Archived'] as const
export type Stage = (typeof stageNames)[number]

/** Stages whose live version is served. */
export const servedStages = ['Production', 'Staging'] as const satisfies readonly Stage[]

export const isServed = (stage: string): boolean =>
  (servedStages as readonly string[]).includes(stage)

/** The canonical name of a stage in any case, or undefined. */
export function stageNamed(text: string): Stage | undefined {
  return stageNames.find((stage) => stage.toLowerCase() === text.toLowerCase())
}

/** The stage of that name in any case; `request.invalid` pointing at `pointer` when there is none. */
export function demandStage(text: string, pointer: string): Stage {
  const stage = stageNamed(text)
  if (stage) return stage
  const errors = [{ pointer, code: 'schema', message: `one of ${stageNames.join(', ')}` }]
  throw new Fault('request.invalid', `There is no stage ${text}.`, { errors })
}

/** A version by number, deleted ones included. */
export async function versionRow(
  q: Queries,
  modelId: string,
  version: number,
): Promise<VersionRow | null> {
  const [row] = await numbered(q).execute({ modelId, version })
  return row ?? null
}

/** §1: the live version of a stage is its highest servable one. */
export async function liveIn(
  q: Queries,
  modelId: string,
  stage: Stage,
): Promise<VersionRow | undefined> {
  const [row] = await highestServable(q).execute({ modelId, stage })
  return row
}

/** All versions in a stage, servable or not. */
export function holdersOf(q: Queries, modelId: string, stage: Stage): Promise<VersionRow[]> {
  return q
    .select()
    .from(versions)
    .where(
      and(eq(versions.modelId, modelId), eq(versions.stage, stage), isNull(versions.deletedAt)),
    )
    .orderBy(asc(versions.version))
}

/** How often a stage has changed; 0 for one that never did. */
export async function revisionOf(q: Queries, modelId: string, stage: Stage): Promise<number> {
  const [row] = await q
    .select()
    .from(stages)
    .where(and(eq(stages.modelId, modelId), eq(stages.stage, stage)))
  return row?.revision ?? 0
}

async function bump(tx: Queries, modelId: string, stage: Stage): Promise<number> {
  const [row] = await tx
    .insert(stages)
    .values({ modelId, stage, revision: 1 })
    .onConflictDoUpdate({
      target: [stages.modelId, stages.stage],
      set: { revision: (await revisionOf(tx, modelId, stage)) + 1 },
    })
    .returning()
  return row?.revision ?? 0
}

/** Closes the record of the version that was live and opens one for the new one, if it differs. */
export async function recordLive(tx: Queries, modelId: string, stage: Stage): Promise<void> {
  const now = Date.now()
  const live = await liveIn(tx, modelId, stage)
  const [open] = await tx
    .select()
    .from(lives)
    .where(and(eq(lives.modelId, modelId), eq(lives.stage, stage), isNull(lives.until)))
  if (open?.version === live?.version) return
  if (open) await tx.update(lives).set({ until: now }).where(eq(lives.id, open.id))
  if (live) {
    const { version } = live
    await tx
      .insert(lives)
      .values({ modelId, stage, version, since: now, until: null, rolledBack: false })
  }
}

export interface Move {
  version: VersionRow
  to: Stage
  kind: 'move' | 'archive' | 'rollback' | 'demote' | 'delete'
}

export interface MoveRecord {
  actor: string
  reason: string | null
  requestId: string
}

/** Moves versions and records each move; call it within a transaction. */
export async function moveVersions(
  tx: Queries,
  model: ModelRow,
  moves: readonly Move[],
  record: MoveRecord,
): Promise<void> {
  const touched = new Set<Stage>()
  const at = Date.now()
  for (const { version, to, kind } of moves) {
    const from = version.stage as Stage
    await tx.update(versions).set({ stage: to, updatedAt: at }).where(eq(versions.id, version.id))
    const place = { modelId: model.id, version: version.version, from, to, kind, at }
    await tx.insert(transitions).values({ ...place, ...record })
    touched.add(from).add(to)
  }
  await tx.update(models).set({ updatedAt: at }).where(eq(models.id, model.id))
  for (const stage of touched) {
    await bump(tx, model.id, stage)
    await recordLive(tx, model.id, stage)
  }
}

/** §2: throws `stage.conflict` with the present state when the stage moved since it was read. */
export async function demandRevision(
  tx: Queries,
  model: ModelRow,
  stage: Stage,
  read: number,
): Promise<void> {
  const now = await revisionOf(tx, model.id, stage)
  if (now === read) return
  const live = await liveIn(tx, model.id, stage)
  throw new Fault(
    'stage.conflict',
    `${stage} of ${model.name} changed meanwhile; look and try again.`,
    {
      members: { stage, revision: now, live_version: live?.version ?? null },
    },
  )
}

/** §26: If-Match carries the revision of the stage that is entered. */
export function demandMatch(ifMatch: string | undefined, stage: Stage, revision: number): void {
  if (ifMatch === undefined || ifMatch === '*' || ifMatch === String(revision)) return
  throw new Fault('precondition.failed', `${stage} is at revision ${revision}, not ${ifMatch}.`, {
    members: { stage, revision },
  })
}

/** May this version serve at all? */
export const isSound = (version: VersionRow): boolean =>
  version.deletedAt === null && version.servability === 'servable' && version.quarantinedAt === null

/**
 * §3: earlier live versions of a stage that are sound and were not rolled back from, most recent
 * first, the present live version left out.
 */
export async function earlierLives(
  q: Queries,
  modelId: string,
  stage: Stage,
  current: number | undefined,
): Promise<VersionRow[]> {
  const past = await q
    .select()
    .from(lives)
    .where(and(eq(lives.modelId, modelId), eq(lives.stage, stage)))
    .orderBy(desc(lives.id))
  const seen = new Set<number>(current === undefined ? [] : [current])
  const found: VersionRow[] = []
  for (const { version, rolledBack } of past) {
    if (seen.has(version)) continue
    seen.add(version)
    // The newest record counts: an explicit promotion after a rollback makes a version eligible again.
    if (rolledBack) continue
    const row = await versionRow(q, modelId, version)
    if (row && isSound(row)) found.push(row)
  }
  return found
}

/** Marks every record of these versions in the stage as left by a rollback. */
export async function markRolledBack(
  tx: Queries,
  modelId: string,
  stage: Stage,
  version: number,
): Promise<void> {
  await tx
    .update(lives)
    .set({ rolledBack: true })
    .where(and(eq(lives.modelId, modelId), eq(lives.stage, stage), eq(lives.version, version)))
}

/** When the stage was emptied and what was live then, or undefined while it is not empty. */
export async function emptiedStage(
  q: Queries,
  modelId: string,
  stage: Stage,
): Promise<{ version: number; until: number } | undefined> {
  const [last] = await lastLive(q).execute({ modelId, stage })
  return last?.until ? { version: last.version, until: last.until } : undefined
}

/** When the present live version of a stage became it, in milliseconds since the epoch, if there is one. */
export async function liveSince(q: Queries, modelId: string, stage: Stage): Promise<number | null> {
  const [last] = await lastLive(q).execute({ modelId, stage })
  return last && last.until === null ? last.since : null
}

/** Moves of a model's versions, newest first. */
export function historyOf(q: Queries, modelId: string, before: number, limit: number) {
  return q
    .select()
    .from(transitions)
    .where(and(eq(transitions.modelId, modelId), lt(transitions.id, before)))
    .orderBy(desc(transitions.id))
    .limit(limit)
}
