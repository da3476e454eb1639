// Logged models: what MLflow 3 keeps of a model before, and whether or not, it is registered.
import { and, eq, sql } from 'drizzle-orm'

import type { Context } from '../core/context.ts'
import { Fault } from '../core/fault.ts'
import type { Queries } from '../db/db.ts'
import {
  loggedModelParams,
  type LoggedModelRow,
  loggedModels,
  loggedModelTags,
} from '../db/tables.ts'
import { cut, demandLength, demandUnique, limits, refused } from './limits.ts'
import { loadLoggedModels, type LoggedModelView, type Pair } from './loading.ts'
import { randomName } from './names.ts'
import { activeExperiment, below, hexId, type Tracking } from './tracking.ts'

/** MLflow's names without their prefix; what its numbers stand for, from 1. */
export const loggedModelStatuses = ['PENDING', 'READY', 'UPLOAD_FAILED'] as const
export type LoggedModelStatus = (typeof loggedModelStatuses)[number]

export interface LoggedModelInput {
  experimentId: string
  name?: string | undefined
  modelType?: string | undefined
  sourceRunId?: string | undefined
  params: Pair[]
  tags: Pair[]
}

const noModel = (id: string): Fault =>
  new Fault('logged-model.not-found', `Logged model with ID '${id.slice(0, 100)}' not found.`)

/** The logged model, deleted or not, or `logged-model.not-found`. */
export async function findLoggedModel(q: Queries, id: string): Promise<LoggedModelRow> {
  const [row] = await q.select().from(loggedModels).where(eq(loggedModels.id, id))
  if (!row) throw noModel(id)
  return row
}

const viewOf = async (q: Queries, row: LoggedModelRow): Promise<LoggedModelView> =>
  (await loadLoggedModels(q, [row]))[0] as LoggedModelView

function demandName(name: string): void {
  if (!/[/:.%"']/.test(name) && name !== '') return
  const shown = JSON.stringify(name.slice(0, 100))
  throw refused(`Invalid model name (${shown}) provided: it may not be empty nor hold / : . % " '`)
}

function soundPairs(what: string, pairs: readonly Pair[], most: number): Pair[] {
  for (const { key } of pairs) demandLength(`${what} key`, key, limits.modelKey)
  return pairs.map(({ key, value }) => ({ key, value: cut(value, most) }))
}

const soundParams = (pairs: readonly Pair[]): Pair[] => {
  demandUnique(
    'parameter',
    pairs.map(({ key }) => key),
  )
  return soundPairs('parameter', pairs, limits.paramValue)
}

const soundTags = (pairs: readonly Pair[]): Pair[] => soundPairs('tag', pairs, limits.tagValue)

/** The last of a key wins. */
async function setTags(tx: Queries, modelId: string, tags: readonly Pair[]): Promise<void> {
  const last = new Map(tags.map(({ key, value }) => [key, value]))
  if (last.size === 0) return
  await tx
    .insert(loggedModelTags)
    .values([...last].map(([key, value]) => ({ modelId, key, value })))
    .onConflictDoUpdate({
      target: [loggedModelTags.modelId, loggedModelTags.key],
      set: { value: sql`excluded.value` },
    })
}

/** Like a run's parameters they never change; the same value again is fine. */
async function insertParams(tx: Queries, modelId: string, params: readonly Pair[]): Promise<void> {
  if (params.length === 0) return
  const { key, value } = loggedModelParams
  const kept = await tx
    .insert(loggedModelParams)
    .values(params.map((pair) => ({ modelId, ...pair })))
    .onConflictDoUpdate({
      target: [loggedModelParams.modelId, key],
      set: { value: sql`excluded.value` },
      setWhere: sql`${value} = excluded.value`,
    })
    .returning({ key })
  const fine = new Set(kept.map((row) => row.key))
  const other = params.find((pair) => !fine.has(pair.key))
  if (other) throw refused(`Changing param values is not allowed: ${other.key} has another value.`)
}

export async function createLoggedModel(
  s: Tracking,
  ctx: Context,
  input: LoggedModelInput,
): Promise<LoggedModelView> {
  await s.access.require(ctx, 'runs:write', undefined, 'logged-model.create')
  if (input.name !== undefined) demandName(input.name)
  const params = soundParams(input.params)
  const tags = soundTags(input.tags)
  return s.db.tx(async (tx) => {
    const experiment = await activeExperiment(tx, input.experimentId)
    const id = `m-${hexId()}`
    const now = Date.now()
    const model: LoggedModelRow = {
      id,
      experimentId: experiment.id,
      name: input.name ?? randomName(),
      modelType: input.modelType ?? null,
      sourceRunId: input.sourceRunId ?? null,
      artifactUri: below(experiment.artifactLocation, 'models', id, 'artifacts'),
      status: 'PENDING',
      statusMessage: null,
      createdBy: ctx.principal.sub,
      createdAt: now,
      updatedAt: now,
      deletedAt: null,
    }
    await tx.insert(loggedModels).values(model)
    await insertParams(tx, id, params)
    await setTags(tx, id, tags)
    return viewOf(tx, model)
  })
}

/** `allowDeleted`: one that was deleted is found, too. */
export async function getLoggedModel(
  s: Tracking,
  ctx: Context,
  id: string,
  allowDeleted: boolean,
): Promise<LoggedModelView> {
  await s.access.require(ctx, 'runs:read')
  const row = await findLoggedModel(s.db.read, id)
  if (row.deletedAt !== null && !allowDeleted) throw noModel(id)
  return viewOf(s.db.read, row)
}

/** Says how the upload of the model's files ended. */
export async function finalizeLoggedModel(
  s: Tracking,
  ctx: Context,
  id: string,
  status: LoggedModelStatus,
): Promise<LoggedModelView> {
  await s.access.require(ctx, 'runs:write', undefined, 'logged-model.update')
  return s.db.tx(async (tx) => {
    const model = await findLoggedModel(tx, id)
    const change = { status, updatedAt: Date.now() }
    await tx.update(loggedModels).set(change).where(eq(loggedModels.id, id))
    return viewOf(tx, { ...model, ...change })
  })
}

/** Soft; deleting a deleted one changes nothing. */
export async function deleteLoggedModel(s: Tracking, ctx: Context, id: string): Promise<void> {
  await s.access.require(ctx, 'runs:write', undefined, 'logged-model.delete')
  await s.db.tx(async (tx) => {
    const { deletedAt } = await findLoggedModel(tx, id)
    const now = Date.now()
    const change = { deletedAt: deletedAt ?? now, updatedAt: now }
    await tx.update(loggedModels).set(change).where(eq(loggedModels.id, id))
  })
}

export async function setLoggedModelTags(
  s: Tracking,
  ctx: Context,
  id: string,
  given: Pair[],
): Promise<LoggedModelView> {
  await s.access.require(ctx, 'runs:write', undefined, 'logged-model.update')
  const tags = soundTags(given)
  return s.db.tx(async (tx) => {
    const model = await findLoggedModel(tx, id)
    await setTags(tx, id, tags)
    return viewOf(tx, model)
  })
}

export async function deleteLoggedModelTag(
  s: Tracking,
  ctx: Context,
  id: string,
  key: string,
): Promise<void> {
  await s.access.require(ctx, 'runs:write', undefined, 'logged-model.update')
  await s.db.tx(async (tx) => {
    await findLoggedModel(tx, id)
    const t = loggedModelTags
    const gone = await tx
      .delete(t)
      .where(and(eq(t.modelId, id), eq(t.key, key)))
      .returning()
    if (gone.length > 0) return
    throw new Fault('tag.not-found', `No tag with key '${key}' found for model with ID '${id}'.`)
  })
}

export async function logLoggedModelParams(
  s: Tracking,
  ctx: Context,
  id: string,
  given: Pair[],
): Promise<void> {
  await s.access.require(ctx, 'runs:write', undefined, 'logged-model.update')
  const params = soundParams(given)
  await s.db.tx(async (tx) => {
    await findLoggedModel(tx, id)
    await insertParams(tx, id, params)
  })
}
