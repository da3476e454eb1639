// A version enters by an upload: received, tried, stored, recorded.
import type { Context } from '../core/context.ts'
import { Fault } from '../core/fault.ts'
import { can } from '../core/principal.ts'
import type { Queries } from '../db/db.ts'
import type { ModelRow } from '../db/tables.ts'
import { insertModel } from '../registry/models.ts'
import { demandName, findModel } from '../registry/registry.ts'
import { demandStage, type Stage } from '../registry/stages.ts'
import { insertVersion, type VersionFindings, viewVersion } from '../registry/versions.ts'
import { keepMlmodel } from './describe.ts'
import { admit } from './intake.ts'
import { promote } from './promote.ts'
import type { Promotion } from './promotion.ts'
import type { Received } from './upload.ts'

const action = 'version.create'

/** Rights and names, asked before the first byte of the file is read. */
export async function admitUpload(
  s: Promotion,
  ctx: Context,
  name: string,
  stage: string | null,
): Promise<void> {
  await s.access.require(ctx, 'versions:create', name, action)
  demandName(name)
  if (stage !== null)
    await s.access.require(ctx, `stage:${demandStage(stage, '/stage')}`, name, action)
}

async function findOrCreate(tx: Queries, ctx: Context, name: string): Promise<ModelRow> {
  try {
    return await findModel(tx, name)
  } catch (error) {
    if (!(error instanceof Fault) || !can(ctx.principal, 'models:create', name)) throw error
    return insertModel(tx, ctx, { name })
  }
}

async function record(
  s: Promotion,
  ctx: Context,
  name: string,
  what: { received: Received; findings: VersionFindings },
): Promise<object> {
  const { metadata, sha256 } = what.received
  const { description, tags, metrics, params, git_commit, run_id } = metadata
  const input = { description, tags, metrics, params, gitCommit: git_commit, runId: run_id }
  const mlmodel = await keepMlmodel(s, { ...what.findings, runId: run_id })
  try {
    return await s.audit.change(ctx, { action, input: { name, sha256, metadata } }, async (tx) => {
      const model = await findOrCreate(tx, ctx, name)
      const row = await insertVersion(tx, ctx, model, { input, findings: what.findings })
      await mlmodel.write(tx, row)
      const { status, reason } = what.findings
      const details = { sha256, status, reason, git_commit: git_commit ?? null }
      const object = `model/${name}/version/${row.version}`
      return { result: await viewVersion(tx, model, row), object, details }
    })
  } finally {
    mlmodel.release()
  }
}

/**
 * Registers a received file as the next version of a model, which is made when it is new. A file
 * that crashes or hangs ONNX Runtime becomes a failed version with a reason (§8); one that is no
 * acceptable model is refused and leaves nothing.
 */
export async function register(
  s: Promotion,
  ctx: Context,
  name: string,
  received: Received,
): Promise<object> {
  const { metadata, sha256, upload } = received
  try {
    const stage = metadata.stage === undefined ? null : demandStage(metadata.stage, '/stage')
    if (stage !== null) await s.access.require(ctx, `stage:${stage}`, name, action)
    const intent = { action, input: { name, sha256, metadata } }
    const earlier = await s.audit.replay<object>(ctx, intent)
    const view = earlier ?? (await create(s, ctx, name, received))
    return stage === null || stage === 'None' ? view : await enter(s, ctx, name, { view, stage })
  } finally {
    await upload.discard()
  }
}

/** Tries a received file, stores it and records the version. */
async function create(
  s: Promotion,
  ctx: Context,
  name: string,
  received: Received,
): Promise<object> {
  const { metadata, sha256, size, upload } = received
  const candidate = { path: upload.path, sha256, size, schema: metadata.schema, isNew: true }
  const view = await admit(s, candidate, (findings) => record(s, ctx, name, { received, findings }))
  s.changed(name)
  return view
}

/** The second half of `push --stage`: an ordinary promotion of the version just made. */
async function enter(
  s: Promotion,
  ctx: Context,
  name: string,
  made: { view: object; stage: Stage },
): Promise<object> {
  const { version, servability } = made.view as { version: number; servability: string }
  if (servability === 'failed') return made.view
  // The key belongs to the registration; the move has one of its own, which no client can send.
  const key = ctx.idempotencyKey
  const { principal, requestId, traceId, ip } = ctx
  const idempotencyKey = key === undefined ? undefined : `${key} stage`
  const plain: Context = { principal, requestId, traceId, ip, idempotencyKey }
  const move = { name, version, stage: made.stage, reason: 'pushed' }
  return (await promote(s, plain, move)).version
}
