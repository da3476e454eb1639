// Artifacts on disk: freed by a sweeper when no version refers to them any more.
import { and, eq, isNotNull, isNull, lt, or } from 'drizzle-orm'
import type { Db } from '../db/db.ts'
import { models, versions } from '../db/tables.ts'
import type { Storage } from '../storage/storage.ts'

/** Digests that a version still needs; those deleted longer than `retention` ms do not count. */
export async function neededBlobs(db: Db, retention: number): Promise<Set<string>> {
  const limit = Date.now() - retention
  const expired = or(lt(versions.deletedAt, limit), lt(models.deletedAt, limit))
  const rows = await db.read
    .select({ served: versions.sha256, uploaded: versions.originalSha256, gone: versions.deletedAt })
    .from(versions)
    .innerJoin(models, eq(models.id, versions.modelId))
    .where(or(and(isNull(versions.deletedAt), isNull(models.deletedAt)), isNotNull(versions.id)))
  const dropped = await db.read
    .select({ served: versions.sha256, uploaded: versions.originalSha256, id: versions.id })
    .from(versions)
    .innerJoin(models, eq(models.id, versions.modelId))
    .where(expired)
  const needed = new Map<string, number>()
  for (const { served, uploaded } of rows) {
    for (const digest of [served, uploaded]) needed.set(digest, (needed.get(digest) ?? 0) + 1)
  }
  for (const { served, uploaded } of dropped) {
    for (const digest of [served, uploaded]) needed.set(digest, (needed.get(digest) ?? 0) - 1)
  }
  return new Set([...needed].filter(([, count]) => count > 0).map(([digest]) => digest))
}
