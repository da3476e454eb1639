// Runs: create, read, update, delete, restore. What they log is in `log.ts` and `lineage.ts`.
import { eq } from 'drizzle-orm'

import type { Context } from '../core/context.ts'
import { type RunRow, runs, runTags } from '../db/tables.ts'
import { cut, demandLength, demandUnique, limits, refused } from './limits.ts'
import { loadRuns, type Pair, type RunView } from './loading.ts'
import { randomName } from './names.ts'
import { nameTag, setRunTags } from './run-tags.ts'
import { activeExperiment, activeRun, below, findRun, hexId, type Tracking } from './tracking.ts'

export const runStatuses = ['RUNNING', 'SCHEDULED', 'FINISHED', 'FAILED', 'KILLED'] as const
export type RunStatus = (typeof runStatuses)[number]

export interface RunInput {
  experimentId: string
  /** What the client claims; the token says who it is (§15). */
  userId: string
  name?: string | undefined
  /** Milliseconds since the epoch. */
  startTime?: number | undefined
  tags: Pair[]
}

/** MLflow takes any characters in the keys of these tags, so only lengths are looked at. */
function initialTags(tags: readonly Pair[]): Pair[] {
  demandUnique(
    'tag',
    tags.map(({ key }) => key),
  )
  for (const { key } of tags) demandLength('key', key, limits.key)
  return tags.map(({ key, value }) => ({ key, value: cut(value, limits.tagValue) }))
}

/** The run's name is mirrored in a tag; the two may not differ. */
function nameOf(name: string | undefined, tags: readonly Pair[]): string {
  const tagged = tags.find(({ key }) => key === nameTag)?.value
  if (name && tagged && name !== tagged) {
    throw refused(`The run_name '${name}' and the tag ${nameTag} '${tagged}' differ.`)
  }
  return cut(name || tagged || randomName(), limits.tagValue)
}

export async function createRun(s: Tracking, ctx: Context, input: RunInput): Promise<RunView> {
  const action = 'run.create'
  await s.access.require(ctx, 'runs:write', undefined, action)
  const given = initialTags(input.tags)
  const name = nameOf(input.name, given)
  const tags = [...given.filter(({ key }) => key !== nameTag), { key: nameTag, value: name }]
  return s.audit.change(ctx, { action, input }, async (tx) => {
    const experiment = await activeExperiment(tx, input.experimentId)
    const id = hexId()
    const run: RunRow = {
      id,
      experimentId: experiment.id,
      name,
      userId: input.userId,
      status: 'RUNNING',
      startTime: input.startTime ?? null,
      endTime: null,
      artifactUri: below(experiment.artifactLocation, id, 'artifacts'),
      createdBy: ctx.principal.sub,
      deletedAt: null,
    }
    await tx.insert(runs).values(run)
    await tx.insert(runTags).values(tags.map((tag) => ({ runId: id, ...tag })))
    const result: RunView = { run, tags, params: [], metrics: [], datasets: [], models: [] }
    return { result, object: `run/${id}`, details: { experiment: experiment.id, name } }
  })
}

/** Deleted ones, too. */
export async function getRun(s: Tracking, ctx: Context, id: string): Promise<RunView> {
  await s.access.require(ctx, 'runs:read')
  const row = await findRun(s.db.read, id)
  return (await loadRuns(s.db.read, [row]))[0] as RunView
}

export interface RunEdit {
  status?: RunStatus | undefined
  /** Milliseconds since the epoch. */
  endTime?: number | undefined
  name?: string | undefined
}

/** Returns the run as it is then. An empty name changes nothing. */
export async function updateRun(
  s: Tracking,
  ctx: Context,
  id: string,
  edit: RunEdit,
): Promise<RunRow> {
  const action = 'run.update'
  await s.access.require(ctx, 'runs:write', undefined, action)
  return s.audit.change(ctx, { action, input: { id, edit } }, async (tx) => {
    const run = await activeRun(tx, id)
    const name = edit.name ? cut(edit.name, limits.tagValue) : run.name
    const status = edit.status ?? run.status
    const change = { status, endTime: edit.endTime ?? run.endTime, name }
    await tx.update(runs).set(change).where(eq(runs.id, id))
    if (edit.name) await setRunTags(tx, id, [{ key: nameTag, value: name }])
    return { result: { ...run, ...change }, object: `run/${id}`, details: { ...edit } }
  })
}

/** Soft; deleting a deleted one changes nothing. */
export function deleteRun(s: Tracking, ctx: Context, id: string): Promise<void> {
  return mark(s, ctx, id, { action: 'run.delete', deletedAt: Date.now() })
}

export function restoreRun(s: Tracking, ctx: Context, id: string): Promise<void> {
  return mark(s, ctx, id, { action: 'run.restore', deletedAt: null })
}

async function mark(
  s: Tracking,
  ctx: Context,
  id: string,
  { action, deletedAt }: { action: string; deletedAt: number | null },
): Promise<void> {
  await s.access.require(ctx, 'runs:write', undefined, action)
  await s.audit.change(ctx, { action, input: { id } }, async (tx) => {
    await findRun(tx, id)
    await tx.update(runs).set({ deletedAt }).where(eq(runs.id, id))
    return { result: {}, object: `run/${id}`, details: {} }
  })
}
