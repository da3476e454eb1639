// The model repository extension: which versions there are, and bringing them into memory and out.
// https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_repository.md
import { and, asc, desc, eq, isNull } from 'drizzle-orm'

import type { Context } from '../core/context.ts'
import { Fault } from '../core/fault.ts'
import type { Principal } from '../core/principal.ts'
import { type ModelRow, models, type VersionRow, versions } from '../db/tables.ts'
import { demandServable, type Deployments } from '../inference/deployments.ts'
import { maySee } from '../inference/predict.ts'
import { guardAliasesOf } from '../registry/aliases.ts'
import { findModel, findVersion, type Registry } from '../registry/registry.ts'
import { liveIn, type Stage } from '../registry/stages.ts'
import { resolveVersion } from '../registry/versions.ts'
import { readParameters } from './parameters.ts'

export interface Repository extends Pick<Registry, 'db' | 'audit' | 'access' | 'config'> {
  deployments: Deployments
}

type Body = Record<string, unknown>
/** Reads the body of a change, once the caller may change something of the model. */
type Reading = () => Promise<Body>

const wrong = (why: string): Fault => new Fault('request.invalid', why)

const servable = and(eq(versions.servability, 'servable'), isNull(versions.deletedAt))

/** One row per servable version of the models the caller may see; `{"ready":true}`: those in memory. */
export async function indexOf(s: Repository, principal: Principal, body: Body): Promise<object[]> {
  const readyOnly = body.ready ?? false
  if (typeof readyOnly !== 'boolean') throw wrong('ready must be true or false.')
  const rows = await s.db.read
    .select({
      name: models.name,
      version: versions.version,
      id: versions.id,
      quarantinedAt: versions.quarantinedAt,
      quarantineReason: versions.quarantineReason,
    })
    .from(versions)
    .innerJoin(models, eq(models.id, versions.modelId))
    .where(and(servable, isNull(models.deletedAt)))
    .orderBy(asc(models.name), asc(versions.version))
  const stateOf = s.deployments.states
  return rows
    .filter(({ name }) => maySee(principal, name))
    .map((row) => ({ name: row.name, version: String(row.version), ...stateOf(row) }))
    .filter(({ state }) => !readyOnly || state === 'READY')
}

/** The version that a body asks for, by number, stage or alias. */
function readReference(body: Body): string | undefined {
  const parameters = readParameters(body.parameters, 'the request')
  for (const name of parameters.keys()) {
    if (name === 'version' || name === 'unload_dependents') continue
    throw wrong(`Parameter ${name} is not taken: models and their configuration come by upload.`)
  }
  const version = parameters.get('version')
  return version === undefined ? undefined : String(version)
}

/** What a request without a version would use, or else comes closest to it. */
async function usualVersion(s: Repository, model: ModelRow): Promise<VersionRow> {
  const q = s.db.read
  const serving = s.deployments.route(model.name)?.stages.Production.serving
  // Read again: a deployment's row is as old as its load, when its stage was another.
  if (serving) return findVersion(q, model, serving.row.version)
  const live = await liveIn(q, model.id, 'Production')
  const found = live ?? (await liveIn(q, model.id, 'Staging'))
  if (found) return found
  const [highest] = await q
    .select()
    .from(versions)
    .where(and(servable, eq(versions.modelId, model.id), isNull(versions.quarantinedAt)))
    .orderBy(desc(versions.version))
    .limit(1)
  if (highest) return highest
  throw new Fault('version.not-found', `${model.name} has no version that can be served.`)
}

/** §28: the version that is meant, once the caller has been found to hold the right of its stage. */
async function admit(
  s: Repository,
  ctx: Context,
  at: { name: string; action: string },
  body: Reading,
): Promise<VersionRow> {
  const { name, action } = at
  // Whoever holds the right of any stage holds this one: asked before the body is read.
  await s.access.require(ctx, 'stage:None', name, action)
  const reference = readReference(await body())
  if (!s.deployments.started) {
    throw new Fault('service.starting', 'The models are being loaded.')
  }
  const model = await findModel(s.db.read, name)
  const row =
    reference === undefined
      ? await usualVersion(s, model)
      : await resolveVersion(s.db.read, model, reference)
  await s.access.require(ctx, `stage:${row.stage as Stage}`, name, action)
  demandServable(row)
  return row
}

async function record(
  s: Repository,
  ctx: Context,
  at: { name: string; action: string },
  { version, stage }: VersionRow,
): Promise<void> {
  const { name, action } = at
  await s.audit.change(ctx, { action, input: { name, version } }, () =>
    Promise.resolve({
      result: {},
      object: `model/${name}/version/${version}`,
      details: { stage },
    }),
  )
}

/** Brings a version into memory; returns once it is loaded, also when it was before. */
export async function loadVersion(
  s: Repository,
  ctx: Context,
  name: string,
  body: Reading,
): Promise<void> {
  const at = { name, action: 'version.load' }
  const row = await admit(s, ctx, at, body)
  await s.deployments.load(name, row)
  await record(s, ctx, at, row)
}

/** Lets go of a version after its last request. Throws `version.live` for that of Production. */
export async function unloadVersion(
  s: Repository,
  ctx: Context,
  name: string,
  body: Reading,
): Promise<void> {
  const at = { name, action: 'version.unload' }
  const row = await admit(s, ctx, at, body)
  await guardAliasesOf(s, ctx, at, row)
  s.deployments.demandUnloadable(name, row)
  await record(s, ctx, at, row)
  await s.deployments.unload(name, row)
}
