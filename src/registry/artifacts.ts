// Artifacts on disk: freed by a sweeper when no version refers to them any more.
import { eq } from 'drizzle-orm'

import type { Db } from '../db/db.ts'
import { files, models, versions } from '../db/tables.ts'
import type { Storage } from '../storage/storage.ts'

/** Digests that a version or file still needs: deleted versions count until `retention` ms passed. */
async function neededBlobs(db: Db, retention: number): Promise<Set<string>> {
  const limit = Date.now() - retention
  const rows = await db.read
    .select({
      served: versions.sha256,
      uploaded: versions.originalSha256,
      versionGone: versions.deletedAt,
      modelGone: models.deletedAt,
    })
    .from(versions)
    .innerJoin(models, eq(models.id, versions.modelId))
  const kept = rows.filter(
    ({ versionGone, modelGone }) =>
      (versionGone ?? limit) >= limit && (modelGone ?? limit) >= limit,
  )
  const named = await db.read.select({ sha256: files.sha256 }).from(files)
  return new Set([
    ...kept.flatMap(({ served, uploaded }) => [served, uploaded]),
    ...named.map(({ sha256 }) => sha256),
  ])
}

export class BlobKeeper {
  private readonly db: Db
  private readonly storage: Storage
  private readonly retention: number
  private readonly pins = new Map<string, number>()

  constructor(db: Db, storage: Storage, retention: number) {
    this.db = db
    this.storage = storage
    this.retention = retention
  }

  /** Keeps a digest safe until its version is recorded. Returns the release. */
  pin(sha256: string): () => void {
    this.pins.set(sha256, (this.pins.get(sha256) ?? 0) + 1)
    return () => {
      const left = (this.pins.get(sha256) ?? 1) - 1
      if (left === 0) this.pins.delete(sha256)
      else this.pins.set(sha256, left)
    }
  }

  /** Digests that must be in storage. */
  needed(): Promise<Set<string>> {
    return neededBlobs(this.db, this.retention)
  }

  /** Removes every blob that nothing needs. Returns how many. */
  async sweep(): Promise<number> {
    // Listed before the rows are read, so that a blob of a version made meanwhile is not in the list.
    const present = await this.storage.list()
    const needed = await neededBlobs(this.db, this.retention)
    let removed = 0
    for (const digest of present) {
      if (needed.has(digest) || this.pins.has(digest)) continue
      // Looked at again: the same bytes may have been registered while others were removed.
      if ((await neededBlobs(this.db, this.retention)).has(digest)) continue
      await this.storage.remove(digest)
      removed += 1
    }
    return removed
  }
}
