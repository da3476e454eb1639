// A version enters from files that are on this server already, as MLflow's clients register it.
import { and, eq } from 'drizzle-orm'

import type { Context } from '../core/context.ts'
import { Fault } from '../core/fault.ts'
import type { Queries } from '../db/db.ts'
import { type FileRow, loggedModelTags, type VersionRow } from '../db/tables.ts'
import { copyTree, filesBelow, folderOfVersion } from '../registry/files.ts'
import { takenFromRun } from '../registry/lineage.ts'
import { findModel } from '../registry/registry.ts'
import {
  insertVersion,
  type VersionFindings,
  type VersionInput,
  viewVersion,
} from '../registry/versions.ts'
import { admit } from './intake.ts'
import { type MlModel, mostMlModel, parseMlModel } from './mlmodel.ts'
import type { Promotion } from './promotion.ts'
import { type Origin, type Resolved, resolveSource } from './source.ts'

const action = 'version.create'
/** Protobuf readers refuse larger files. */
const mostProtobuf = 2 ** 31 - 1
const versionsTag = 'mlflow.modelVersions'

export interface SourceInput extends Origin {
  name: string
  description?: string | undefined
  tags?: Record<string, string> | undefined
  runLink?: string | undefined
}

/** A version without a model that can be served: fine for MLflow, with the reason on record (§8). */
export function notServable(reason: string): VersionFindings {
  return {
    status: 'READY',
    servability: 'not-servable',
    reason,
    sha256: '',
    size: 0,
    originalSha256: '',
    originalSize: 0,
    signature: null,
    schema: null,
    trial: null,
  }
}

/** The same bytes were tried before. */
function findingsOf(row: VersionRow): VersionFindings {
  const { reason, sha256, size, originalSha256, originalSize, signature, schema, trial } = row
  const status = row.status as VersionFindings['status']
  const servability = row.servability as VersionFindings['servability']
  const bytes = { sha256, size, originalSha256, originalSize }
  return { status, servability, reason, ...bytes, signature, schema, trial }
}

const remedy = 'Log it with mlflow.onnx.log_model; skl2onnx converts scikit-learn models.'

/** The MLmodel of a folder, or why there is none. */
async function readMlModel(
  s: Promotion,
  file: FileRow | undefined,
): Promise<{ model: MlModel } | { why: string }> {
  if (!file) return { why: `There is no MLmodel file at its source. ${remedy}` }
  if (file.size > mostMlModel) return { why: `Its MLmodel has more than ${mostMlModel} bytes.` }
  const model = parseMlModel(await Bun.file(s.storage.path(file.sha256)).text())
  return model ? { model } : { why: `Its MLmodel cannot be read. ${remedy}` }
}

/** Files in the folder of `onnx`, where its tensors may be stored. */
function pathsBeside(
  s: Promotion,
  files: ReadonlyMap<string, FileRow>,
  onnx: string,
): Record<string, string> {
  const folder = onnx.slice(0, onnx.lastIndexOf('/') + 1)
  const beside = [...files].filter(
    ([path]) => path !== onnx && path.startsWith(folder) && !path.includes('/', folder.length),
  )
  return Object.fromEntries(
    beside.map(([path, { sha256 }]) => [path.slice(folder.length), s.storage.path(sha256)]),
  )
}

/** Looks for ONNX in a folder, tries it if there is one, and hands on what was found. */
export async function examine(
  s: Promotion,
  found: Resolved,
  rows: readonly FileRow[],
  record: (findings: VersionFindings) => Promise<object>,
): Promise<object> {
  if (found.version) return record(findingsOf(found.version))
  if (rows.length === 0) return record(notServable(`Nothing is stored at its source. ${remedy}`))
  const files = new Map(rows.map((row) => [row.path.slice(found.folder.length + 1), row]))
  const read = await readMlModel(s, files.get('MLmodel'))
  if ('why' in read) return record(notServable(read.why))
  const { flavors, onnx, schema } = read.model
  if (onnx === null) {
    const flavours = flavors.join(', ').slice(0, 200)
    return record(notServable(`It holds no ONNX but ${flavours}. ${remedy}`))
  }
  const file = files.get(onnx)
  if (!file)
    return record(notServable(`Its MLmodel names ${onnx.slice(0, 200)}, which is missing.`))
  const most = Math.min(s.config['max-model'], mostProtobuf)
  const candidate = {
    path: s.storage.path(file.sha256),
    sha256: file.sha256,
    size: file.size,
    isNew: false,
    beside: { paths: pathsBeside(s, files, onnx), most },
    ...(schema ? { schema, lenient: true } : {}),
  }
  try {
    return await admit(s, candidate, record)
  } catch (error) {
    // MLflow keeps any ONNX; what cannot be served is still a version.
    const isUnserved =
      error instanceof Fault && ['model.unsupported', 'model.unknown-domain'].includes(error.code)
    if (isUnserved) return record(notServable(error.message))
    throw error
  }
}

/** Files that were tried must be those that are kept. */
export async function demandUnchanged(
  tx: Queries,
  folder: string,
  read: readonly FileRow[],
): Promise<void> {
  const now = await filesBelow(tx, folder)
  const same =
    now.length === read.length &&
    now.every(({ path, sha256 }, at) => path === read[at]?.path && sha256 === read[at].sha256)
  if (!same) throw new Fault('source.changed', 'Files were written at the source; try again.')
}

/** MLflow lists on a logged model which versions were made of it. */
async function noteOnLoggedModel(
  tx: Queries,
  modelId: string,
  made: { name: string; version: number },
): Promise<void> {
  const place = and(eq(loggedModelTags.modelId, modelId), eq(loggedModelTags.key, versionsTag))
  const [tag] = await tx.select().from(loggedModelTags).where(place)
  let earlier: unknown = []
  try {
    earlier = JSON.parse(tag?.value ?? '[]')
  } catch {
    // Clients may write anything into a tag.
  }
  const value = JSON.stringify([...(Array.isArray(earlier) ? (earlier as unknown[]) : []), made])
  await tx
    .insert(loggedModelTags)
    .values({ modelId, key: versionsTag, value })
    .onConflictDoUpdate({ target: [loggedModelTags.modelId, loggedModelTags.key], set: { value } })
}

/** What the version carries beside its files: from the version it copies, or from its run. */
async function inputOf(q: Queries, input: SourceInput, found: Resolved): Promise<VersionInput> {
  const { description, tags, runLink } = input
  const { source, runId, loggedModelId, version } = found
  const own = { description, tags, runLink, source, runId, loggedModelId }
  if (version) {
    const { metrics, params, gitCommit } = version
    return { ...own, metrics, params, gitCommit: gitCommit ?? undefined }
  }
  return runId === undefined ? own : { ...own, ...(await takenFromRun(q, runId)) }
}

/**
 * Registers what lies at a source as the next version of a model that exists. The files become the
 * version's own; ONNX among them is tried and served, a crash makes a failed version (§8), and a
 * version without ONNX is not servable.
 */
export async function registerFromSource(
  s: Promotion,
  ctx: Context,
  input: SourceInput,
): Promise<object> {
  const { name } = input
  await s.access.require(ctx, 'versions:create', name, action)
  const intent = { action, input }
  const earlier = await s.audit.replay<object>(ctx, intent)
  if (earlier) return earlier
  await findModel(s.db.read, name)
  const found = await resolveSource(s, ctx, input)
  const rows = await filesBelow(s.db.read, found.folder)
  const releases = rows.map(({ sha256 }) => s.blobs.pin(sha256))
  const record = (findings: VersionFindings): Promise<object> =>
    s.audit.change(ctx, intent, async (tx) => {
      const model = await findModel(tx, name)
      await demandUnchanged(tx, found.folder, rows)
      const version = { input: await inputOf(tx, input, found), findings }
      const row = await insertVersion(tx, ctx, model, version)
      await copyTree(tx, found.folder, folderOfVersion(row.id), ctx.principal.sub)
      const { loggedModelId } = input
      const made = { name, version: row.version }
      if (loggedModelId !== undefined) await noteOnLoggedModel(tx, loggedModelId, made)
      const { sha256, status, reason } = findings
      const details = { source: found.source, sha256, status, reason, git_commit: row.gitCommit }
      const object = `model/${name}/version/${row.version}`
      return { result: await viewVersion(tx, model, row), object, details }
    })
  try {
    const view = await examine(s, found, rows, record)
    s.changed(name)
    return view
  } finally {
    for (const release of releases) release()
  }
}
