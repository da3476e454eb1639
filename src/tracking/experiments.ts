// Experiments: create, read, rename, delete with their runs, restore, tag.
import { and, eq, isNotNull, isNull } from 'drizzle-orm'

import type { Context } from '../core/context.ts'
import { Fault } from '../core/fault.ts'
import type { Queries } from '../db/db.ts'
import { type ExperimentRow, experiments, experimentTags, runs } from '../db/tables.ts'
import { demandKey, demandLength, demandUnique, limits, refused } from './limits.ts'
import { type ExperimentView, loadExperiments, type Pair } from './loading.ts'
import {
  activeExperiment,
  experimentNumber,
  findExperiment,
  noExperiment,
  type Tracking,
} from './tracking.ts'

export interface ExperimentInput {
  name: string
  /** Where runs put their files: a folder of this server. */
  artifactLocation?: string | undefined
  tags: Pair[]
}

function demandTag({ key, value }: Pair): void {
  demandKey('key', key)
  demandLength('value', value, limits.experimentTag)
}

/** Artifacts are kept here and nowhere else; the folder `versions` belongs to the registry. */
function demandLocation(location: string): void {
  demandLength('artifact_location', location, limits.location)
  const [, path] = /^mlflow-artifacts:(?:\/\/[^/?#]*)?\/([^?#\\]*)$/.exec(location) ?? []
  const parts = path?.split('/') ?? ['..']
  if (parts[0] === 'versions' || parts.some((part) => part === '..' || part === '.')) {
    throw refused(
      `Invalid value '${location.slice(0, 100)}' for parameter 'artifact_location' supplied: ` +
        'artifacts are kept in this server, so it is mlflow-artifacts:/FOLDER or left out.',
    )
  }
}

async function demandFreeName(tx: Queries, name: string): Promise<void> {
  demandLength('name', name, limits.experimentName)
  const [taken] = await tx.select().from(experiments).where(eq(experiments.name, name))
  if (!taken) return
  const state = taken.deletedAt === null ? '' : ' and is deleted; restore it or choose another name'
  throw new Fault('experiment.exists', `Experiment(name=${name}) already exists${state}.`)
}

/** Returns the new experiment's row. `experiment.exists` when the name is taken, by a deleted one too. */
export async function createExperiment(
  s: Tracking,
  ctx: Context,
  input: ExperimentInput,
): Promise<ExperimentRow> {
  const action = 'experiment.create'
  await s.access.require(ctx, 'runs:write', undefined, action)
  const { name, artifactLocation: location, tags } = input
  if (location !== undefined) demandLocation(location)
  for (const tag of tags) demandTag(tag)
  demandUnique(
    'tag',
    tags.map(({ key }) => key),
  )
  return s.audit.change(ctx, { action, input }, async (tx) => {
    await demandFreeName(tx, name)
    const now = Date.now()
    const made = { name, createdBy: ctx.principal.sub, createdAt: now, updatedAt: now }
    const [row] = await tx
      .insert(experiments)
      .values({ ...made, artifactLocation: location ?? '', deletedAt: null })
      .returning()
    if (!row) throw new Error('an insert returned no row')
    const { id } = row
    // The default names the id, which only the insert has given.
    row.artifactLocation = location ?? `mlflow-artifacts:/${id}`
    if (location === undefined) {
      const change = { artifactLocation: row.artifactLocation }
      await tx.update(experiments).set(change).where(eq(experiments.id, id))
    }
    if (tags.length > 0) {
      await tx.insert(experimentTags).values(tags.map((tag) => ({ experimentId: id, ...tag })))
    }
    return { result: row, object: `experiment/${id}`, details: { name } }
  })
}

const viewOf = async (q: Queries, row: ExperimentRow): Promise<ExperimentView> =>
  (await loadExperiments(q, [row]))[0] as ExperimentView

/** Deleted ones, too. */
export async function getExperiment(
  s: Tracking,
  ctx: Context,
  id: string,
): Promise<ExperimentView> {
  await s.access.require(ctx, 'runs:read')
  return viewOf(s.db.read, await findExperiment(s.db.read, id))
}

/** Deleted ones, too: they keep their name. */
export async function getExperimentByName(
  s: Tracking,
  ctx: Context,
  name: string,
): Promise<ExperimentView> {
  await s.access.require(ctx, 'runs:read')
  const [row] = await s.db.read.select().from(experiments).where(eq(experiments.name, name))
  if (row) return viewOf(s.db.read, row)
  throw new Fault('experiment.not-found', `Could not find experiment with name '${name}'.`)
}

export async function renameExperiment(
  s: Tracking,
  ctx: Context,
  id: string,
  name: string,
): Promise<void> {
  const action = 'experiment.update'
  await s.access.require(ctx, 'runs:write', undefined, action)
  await s.audit.change(ctx, { action, input: { id, name } }, async (tx) => {
    const row = await activeExperiment(tx, id)
    if (row.name !== name) await demandFreeName(tx, name)
    const change = { name, updatedAt: Date.now() }
    await tx.update(experiments).set(change).where(eq(experiments.id, row.id))
    return { result: {}, object: `experiment/${row.id}`, details: { name, was: row.name } }
  })
}

/** Marks the experiment and its runs; `experiment.not-found` when it is marked already. */
export function deleteExperiment(s: Tracking, ctx: Context, id: string): Promise<void> {
  return mark(s, ctx, id, { action: 'experiment.delete', deletedAt: Date.now() })
}

/** Unmarks the experiment and, like MLflow, every run of it, those deleted singly included. */
export function restoreExperiment(s: Tracking, ctx: Context, id: string): Promise<void> {
  return mark(s, ctx, id, { action: 'experiment.restore', deletedAt: null })
}

async function mark(
  s: Tracking,
  ctx: Context,
  id: string,
  { action, deletedAt }: { action: string; deletedAt: number | null },
): Promise<void> {
  await s.access.require(ctx, 'runs:write', undefined, action)
  const number = experimentNumber(id)
  await s.audit.change(ctx, { action, input: { id } }, async (tx) => {
    const isOther = deletedAt === null ? isNotNull : isNull
    const marked = await tx
      .update(experiments)
      .set({ deletedAt, updatedAt: Date.now() })
      .where(and(eq(experiments.id, number), isOther(experiments.deletedAt)))
      .returning()
    if (marked.length === 0) throw noExperiment(number)
    await tx
      .update(runs)
      .set({ deletedAt })
      .where(and(eq(runs.experimentId, number), isOther(runs.deletedAt)))
    return { result: {}, object: `experiment/${number}`, details: {} }
  })
}

export async function setExperimentTag(
  s: Tracking,
  ctx: Context,
  id: string,
  tag: Pair,
): Promise<void> {
  await s.access.require(ctx, 'runs:write', undefined, 'experiment.tag')
  demandTag(tag)
  await s.db.tx(async (tx) => {
    const experiment = await activeExperiment(tx, id)
    const { experimentId, key } = experimentTags
    await tx
      .insert(experimentTags)
      .values({ experimentId: experiment.id, ...tag })
      .onConflictDoUpdate({ target: [experimentId, key], set: { value: tag.value } })
  })
}

export async function deleteExperimentTag(
  s: Tracking,
  ctx: Context,
  id: string,
  key: string,
): Promise<void> {
  await s.access.require(ctx, 'runs:write', undefined, 'experiment.tag')
  await s.db.tx(async (tx) => {
    const experiment = await activeExperiment(tx, id)
    const { experimentId } = experimentTags
    const gone = await tx
      .delete(experimentTags)
      .where(and(eq(experimentId, experiment.id), eq(experimentTags.key, key)))
      .returning()
    if (gone.length > 0) return
    throw new Fault('tag.not-found', `No tag with name: ${key} in experiment with id ${id}.`)
  })
}
