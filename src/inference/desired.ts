// What the registry says should be served: per model the candidates for each stage, best first.
import { eq, isNull } from 'drizzle-orm'

import type { Queries } from '../db/db.ts'
import { aliases, type ModelRow, models, type VersionRow } from '../db/tables.ts'
import { modelNamed } from '../registry/registry.ts'
import {
  earlierLives,
  emptiedStage,
  holdersOf,
  isSound,
  liveIn,
  liveSince,
  servedStages,
  type Stage,
  versionRow,
} from '../registry/stages.ts'

export interface DesiredStage {
  stage: (typeof servedStages)[number]
  /** The live version by the registry; null when the stage is empty. */
  live: VersionRow | null
  /** When it became that, in milliseconds since the epoch. */
  since: number | null
  /** What may serve, best first; the first that loads does. */
  candidates: VersionRow[]
  /** Milliseconds since the epoch after which an emptied stage stops serving, or null. */
  graceUntil: number | null
}

export interface Desired {
  model: ModelRow
  stages: DesiredStage[]
  aliases: { alias: string; row: VersionRow }[]
}

/** §4: a stage emptied a moment ago goes on serving its last live version. */
async function inGrace(
  q: Queries,
  modelId: string,
  stage: Stage,
  grace: number,
): Promise<{ row: VersionRow; until: number } | null> {
  const emptied = await emptiedStage(q, modelId, stage)
  if (!emptied || emptied.until + grace <= Date.now()) return null
  const row = await versionRow(q, modelId, emptied.version)
  return row && isSound(row) ? { row, until: emptied.until + grace } : null
}

async function desiredStage(
  q: Queries,
  modelId: string,
  stage: DesiredStage['stage'],
  options: { grace: number; lastGood: number | undefined },
): Promise<DesiredStage> {
  const live = await liveIn(q, modelId, stage)
  if (!live) {
    const held = await inGrace(q, modelId, stage, options.grace)
    return {
      stage,
      live: null,
      since: null,
      candidates: held ? [held.row] : [],
      graceUntil: held?.until ?? null,
    }
  }
  const earlier = await earlierLives(q, modelId, stage, live.version)
  const beside = (await holdersOf(q, modelId, stage)).toReversed()
  const ordered = [live, ...earlier, ...beside].filter(isSound)
  const unique = [...new Map(ordered.map((row) => [row.id, row])).values()]
  // §32: in safe mode the version that served before the failures goes first.
  const { lastGood } = options
  if (lastGood !== undefined) unique.sort((a, b) => rank(a, lastGood) - rank(b, lastGood))
  const since = await liveSince(q, modelId, stage)
  return { stage, live, since, candidates: unique, graceUntil: null }
}

const rank = (row: VersionRow, good: number): number => (row.version === good ? 0 : 1)

/** Null for a model that does not exist (any more). `lastGood`: in safe mode, by stage. */
export async function desiredOf(
  q: Queries,
  name: string,
  grace: number,
  lastGood: (stage: string) => number | undefined,
): Promise<Desired | null> {
  const model = await modelNamed(q, name)
  if (!model) return null
  const stages: DesiredStage[] = []
  for (const stage of servedStages) {
    stages.push(await desiredStage(q, model.id, stage, { grace, lastGood: lastGood(stage) }))
  }
  const named = await q.select().from(aliases).where(eq(aliases.modelId, model.id))
  const found: Desired['aliases'] = []
  for (const { alias, version } of named) {
    const row = await versionRow(q, model.id, version)
    if (row && row.deletedAt === null) found.push({ alias, row })
  }
  return { model, stages, aliases: found }
}

/** Names of all models. */
export async function modelNames(q: Queries): Promise<string[]> {
  const rows = await q.select({ name: models.name }).from(models).where(isNull(models.deletedAt))
  return rows.map((row) => row.name)
}
