// Experiments taken over from elsewhere: known by their names, under their old ids where those are free.
import { eq } from 'drizzle-orm'

import type { Context } from '../core/context.ts'
import { system } from '../core/principal.ts'
import type { Queries } from '../db/db.ts'
import { type ExperimentRow, experiments, experimentTags } from '../db/tables.ts'
import type { Tracking } from '../tracking/tracking.ts'
import { deletedIn, demandSame, type GivenTag, inBatches, pairsIn } from './given.ts'

export interface GivenExperiment {
  experiment_id: string
  name: string
  lifecycle_stage?: string | undefined
  creation_time?: number | undefined
  last_update_time?: number | undefined
  tags?: GivenTag[] | undefined
}

/** `experiment_id`: the one it has here. */
export interface TakenExperiment {
  created: boolean
  experiment_id: string
}

async function byName(q: Queries, name: string): Promise<ExperimentRow | undefined> {
  const [row] = await q.select().from(experiments).where(eq(experiments.name, name))
  return row
}

/** The Default of a new server, which takes the place of the source's own, once. */
const isUntouched = ({ id, createdBy }: ExperimentRow): boolean =>
  id === 0 && createdBy === system.sub

/** Longer ids, which file stores draw at random, would push all later ones beyond exact numbers. */
async function freeId(tx: Queries, id: string): Promise<number | undefined> {
  if (!/^\d{1,9}$/.test(id)) return undefined
  const [taken] = await tx
    .select({ id: experiments.id })
    .from(experiments)
    .where(eq(experiments.id, Number(id)))
  return taken ? undefined : Number(id)
}

async function write(
  tx: Queries,
  ctx: Context,
  given: GivenExperiment,
  found: ExperimentRow | undefined,
): Promise<number> {
  const now = Date.now()
  const createdAt = given.creation_time ?? now
  const row = {
    name: given.name,
    createdBy: ctx.principal.sub,
    createdAt,
    updatedAt: given.last_update_time ?? createdAt,
    deletedAt: deletedIn(given),
  }
  if (found) {
    demandSame(`The experiment ${given.name}`, isUntouched(found))
    await tx.update(experiments).set(row).where(eq(experiments.id, found.id))
    return found.id
  }
  const id = await freeId(tx, given.experiment_id)
  const [made] = await tx
    .insert(experiments)
    .values({ ...row, ...(id === undefined ? {} : { id }), artifactLocation: '' })
    .returning()
  if (!made) throw new Error('an insert returned no row')
  const change = { artifactLocation: `mlflow-artifacts:/${made.id}` }
  await tx.update(experiments).set(change).where(eq(experiments.id, made.id))
  return made.id
}

/**
 * Makes an experiment unless one of that name is here, which then stays as it is. Its artifacts lie on
 * this server, wherever they were before.
 */
export async function importExperiment(
  s: Tracking,
  ctx: Context,
  given: GivenExperiment,
): Promise<TakenExperiment> {
  const action = 'experiment.import'
  await s.access.require(ctx, 'settings:manage', undefined, action)
  const found = await byName(s.db.read, given.name)
  if (found && !isUntouched(found)) return { created: false, experiment_id: String(found.id) }
  return s.audit.change(ctx, { action, input: given }, async (tx) => {
    const id = await write(tx, ctx, given, await byName(tx, given.name))
    const tags = pairsIn(given.tags).map((tag) => ({ experimentId: id, ...tag }))
    for (const some of inBatches(tags)) {
      await tx.insert(experimentTags).values(some).onConflictDoNothing()
    }
    const details = { name: given.name, source_id: given.experiment_id }
    const result = { created: true, experiment_id: String(id) }
    return { result, object: `experiment/${id}`, details }
  })
}
