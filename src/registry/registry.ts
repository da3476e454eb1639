// What the registry's verbs work with, and the look-ups they share.
import { and, eq, isNull, sql } from 'drizzle-orm'

import type { Audit } from '../auth/audit.ts'
import type { Access } from '../auth/policy.ts'
import type { Config } from '../config.ts'
import { Fault } from '../core/fault.ts'
import { iso } from '../core/time.ts'
import type { Db, Queries } from '../db/db.ts'
import { prepared } from '../db/prepared.ts'
import { type ModelRow, models, type VersionRow } from '../db/tables.ts'
import type { RunView } from './lineage.ts'
import { versionRow } from './stages.ts'

export interface Registry {
  db: Db
  audit: Audit
  access: Access
  config: Config
  /** Called after a committed change of what should be served. */
  changed: (model: string) => void
  /** What a served stage answers with now, and why that is not its live version (§5). */
  serving: (model: string, stage: string) => { serving: number | null; why: string } | undefined
}

const forbidden = /[/:\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/u

/** §25: MLflow's rule for names, without invisible characters and path tricks. */
export function demandName(name: string): void {
  const sound =
    name.length > 0 &&
    Array.from(name).length <= 255 &&
    name.trim() === name &&
    name !== '.' &&
    name !== '..' &&
    name.isWellFormed() &&
    !forbidden.test(name)
  if (!sound) {
    throw new Fault(
      'name.invalid',
      'Model names have 1 to 255 visible characters, no / or :, no outer spaces, and are not . or ..',
    )
  }
}

const named = prepared((q) =>
  q
    .select()
    .from(models)
    .where(and(eq(models.name, sql.placeholder('name')), isNull(models.deletedAt)))
    .prepare(),
)

/** The model of that name, if there is one. */
export async function modelNamed(q: Queries, name: string): Promise<ModelRow | undefined> {
  const [row] = await named(q).execute({ name })
  return row
}

/** The model of that name, or `model.not-found`. */
export async function findModel(q: Queries, name: string): Promise<ModelRow> {
  const row = await modelNamed(q, name)
  if (!row) throw new Fault('model.not-found', `Registered Model with name=${name} not found.`)
  return row
}

export const noVersion = (name: string, version: number): Fault =>
  new Fault('version.not-found', `Model Version (name=${name}, version=${version}) not found.`)

/** The version of that number, deleted ones left out, or `version.not-found`. */
export async function findVersion(
  q: Queries,
  model: ModelRow,
  version: number,
): Promise<VersionRow> {
  const row = await versionRow(q, model.id, version)
  if (row === null || row.deletedAt !== null) throw noVersion(model.name, version)
  return row
}

/** False for a version that was registered without ONNX. */
export const hasArtifact = (row: VersionRow): boolean => row.sha256 !== ''

/** A version as the native API shows it. */
export function versionView(
  model: string,
  row: VersionRow,
  { aliases, run }: { aliases: readonly string[]; run: RunView | undefined },
): object {
  const { sha256, size, signature, schema, trial, tags, metrics, params } = row
  const quarantine =
    row.quarantinedAt === null ? null : { at: iso(row.quarantinedAt), reason: row.quarantineReason }
  return {
    name: model,
    version: row.version,
    stage: row.stage,
    aliases,
    status: row.status,
    servability: row.servability,
    reason: row.reason,
    quarantine,
    description: row.description,
    tags,
    metrics,
    params,
    git_commit: row.gitCommit,
    run_id: row.runId,
    run: run ?? null,
    source: row.source,
    run_link: row.runLink,
    logged_model_id: row.loggedModelId,
    artifact: hasArtifact(row)
      ? { sha256, size, original_sha256: row.originalSha256, original_size: row.originalSize }
      : null,
    signature,
    schema,
    trial,
    created_by: row.createdBy,
    created_at: iso(row.createdAt),
    updated_at: iso(row.updatedAt),
  }
}
