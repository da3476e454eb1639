// Versions taken over from elsewhere: tried like any other, then recorded with number, times and stage.
import { eq } from 'drizzle-orm'

import type { Context } from '../core/context.ts'
import { Fault } from '../core/fault.ts'
import type { Queries } from '../db/db.ts'
import {
  aliases,
  type FileRow,
  type ModelRow,
  models,
  type VersionRow,
  versions,
} from '../db/tables.ts'
import { demandUnchanged, examine, notServable } from '../promotion/from-source.ts'
import type { Promotion } from '../promotion/promotion.ts'
import { demandAlias } from '../registry/aliases.ts'
import {
  copyTree,
  demandPath,
  filesBelow,
  folderOfVersion,
  pathOfUri,
  removeTree,
} from '../registry/files.ts'
import { takenFromRun } from '../registry/lineage.ts'
import { findModel } from '../registry/registry.ts'
import { isServed, moveVersions, type Stage, versionRow } from '../registry/stages.ts'
import { insertVersion, type VersionFindings } from '../registry/versions.ts'
import { demandSame, type GivenTag, tagsIn } from './given.ts'

const action = 'version.import'
/** A folder that was brought for one version alone, and goes when the version has its own files. */
const scratch = /^imported\/[\da-f]{16}\/\d+$/

export interface GivenVersion {
  name: string
  version: number
  creation_timestamp: number
  last_updated_timestamp: number
  current_stage: Stage
  description?: string | undefined
  /** Kept as it is; the files are those of `folder`. */
  source?: string | undefined
  run_id?: string | undefined
  run_link?: string | undefined
  model_id?: string | undefined
  tags?: GivenTag[] | undefined
  aliases?: string[] | undefined
  /** Where its files lie here, as a URI; without one the version has none. */
  folder?: string | undefined
}

export interface TakenVersion {
  created: boolean
  stage: string
  servability: string
  reason: string | null
  /** Aliases that cannot be given here, and why. */
  refused_aliases: { alias: string; why: string }[]
}

function sortAliases(given: readonly string[] = []) {
  const sound: string[] = []
  const refused: TakenVersion['refused_aliases'] = []
  for (const alias of given) {
    try {
      demandAlias(alias)
      sound.push(alias)
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      refused.push({ alias, why: error.message })
    }
  }
  return { sound, refused }
}

const takenOf = (
  created: boolean,
  { stage, servability, reason }: Pick<VersionRow, 'stage' | 'servability' | 'reason'>,
  refused: TakenVersion['refused_aliases'],
): TakenVersion => ({ created, stage, servability, reason, refused_aliases: refused })

/** §8: what failed its trial cannot be in a stage that is served. */
const stageFor = (stage: Stage, { servability }: VersionFindings): Stage =>
  servability === 'failed' && isServed(stage) ? 'None' : stage

async function insert(
  tx: Queries,
  ctx: Context,
  given: GivenVersion,
  findings: VersionFindings,
): Promise<{ model: ModelRow; row: VersionRow }> {
  const model = await findModel(tx, given.name)
  const isFree = (await versionRow(tx, model.id, given.version)) === null
  demandSame(`Version ${given.version} of ${given.name}`, isFree)
  const input = {
    description: given.description,
    tags: tagsIn(given.tags),
    source: given.source || undefined,
    runId: given.run_id || undefined,
    runLink: given.run_link || undefined,
    loggedModelId: given.model_id || undefined,
    ...(given.run_id ? await takenFromRun(tx, given.run_id) : {}),
  }
  const row = await insertVersion(tx, ctx, model, { input, findings, number: given.version })
  const to = stageFor(given.current_stage, findings)
  if (to !== 'None') {
    const record = { actor: ctx.principal.sub, reason: 'imported', requestId: ctx.requestId }
    await moveVersions(tx, model, [{ version: row, to, kind: 'move' }], record)
  }
  const { creation_timestamp: createdAt, last_updated_timestamp: updatedAt } = given
  await tx.update(versions).set({ createdAt, updatedAt }).where(eq(versions.id, row.id))
  // What the import does is no update of the model.
  const { updatedAt: before } = model
  await tx.update(models).set({ updatedAt: before }).where(eq(models.id, model.id))
  return { model, row: { ...row, stage: to } }
}

/** One transaction: the version, its files, its stage, its aliases, the audit entry. */
function record(
  s: Promotion,
  ctx: Context,
  given: GivenVersion,
  { folder, rows }: { folder: string; rows: readonly FileRow[] },
): (findings: VersionFindings) => Promise<TakenVersion> {
  const { sound, refused } = sortAliases(given.aliases)
  return (findings) =>
    s.audit.change(ctx, { action, input: given }, async (tx) => {
      if (folder !== '') await demandUnchanged(tx, folder, rows)
      const { model, row } = await insert(tx, ctx, given, findings)
      const by = { updatedBy: ctx.principal.sub, updatedAt: Date.now() }
      const { version } = row
      for (const alias of sound) {
        const one = { modelId: model.id, alias, version, ...by }
        await tx.insert(aliases).values(one).onConflictDoNothing()
      }
      if (folder !== '') await copyTree(tx, folder, folderOfVersion(row.id), ctx.principal.sub)
      if (scratch.test(folder)) await removeTree(tx, folder)
      const { sha256, status, reason } = findings
      const { source = null } = given
      const details = { source, stage: row.stage, aliases: sound, sha256, status, reason }
      const object = `model/${given.name}/version/${version}`
      return { result: takenOf(true, row, refused), object, details }
    })
}

function folderIn({ folder: uri }: GivenVersion): string {
  if (uri === undefined) return ''
  const path = pathOfUri(uri)
  if (path === null)
    throw new Fault('source.invalid', `${uri.slice(0, 200)} is not on this server.`)
  return demandPath(path)
}

/** Whatever the files are, the version is part of the record: what cannot be served is not served. */
async function examined(
  s: Promotion,
  found: { source: string; folder: string },
  rows: readonly FileRow[],
  keep: (findings: VersionFindings) => Promise<TakenVersion>,
): Promise<TakenVersion> {
  try {
    const resolved = { ...found, runId: undefined, loggedModelId: undefined }
    return (await examine(s, resolved, rows, keep)) as TakenVersion
  } catch (error) {
    const isUnfit = error instanceof Fault && /^(model|schema)\./.test(error.code)
    if (!isUnfit || error.status !== 422) throw error
    return keep(notServable(error.message))
  }
}

/**
 * Makes a version under its own number, from files that are here. They are tried, but no gate is asked:
 * a version keeps its stage, unless it is a served one and the trial failed. A version that is here
 * already, deleted or not, stays as it is.
 */
export async function importVersion(
  s: Promotion,
  ctx: Context,
  given: GivenVersion,
): Promise<TakenVersion> {
  await s.access.require(ctx, 'settings:manage', undefined, action)
  const { name, version, creation_timestamp: createdAt } = given
  const model = await findModel(s.db.read, name)
  const known = await versionRow(s.db.read, model.id, version)
  if (known) {
    demandSame(`Version ${version} of ${name}`, known.createdAt === createdAt)
    return takenOf(false, known, sortAliases(given.aliases).refused)
  }
  const folder = folderIn(given)
  const rows = folder === '' ? [] : await filesBelow(s.db.read, folder)
  const releases = rows.map(({ sha256 }) => s.blobs.pin(sha256))
  try {
    const keep = record(s, ctx, given, { folder, rows })
    const taken = await examined(s, { source: given.source ?? '', folder }, rows, keep)
    s.changed(name)
    // Whoever reads the answer may predict.
    await s.deployments.reconcile(name)
    return taken
  } finally {
    for (const release of releases) release()
  }
}
