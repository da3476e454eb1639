// Blobs in storage: which are needed, and a sweeper that frees the others.
import { and, eq, gte, isNull, lt, or } from 'drizzle-orm'

import { chunksOf } from '../core/chunks.ts'
import type { Db } from '../db/db.ts'
import { files, models, versions } from '../db/tables.ts'
import type { Storage } from '../storage/storage.ts'
import { folderOfVersion, hasFiles, removeTree } from './files.ts'

/** Files to remove in one transaction: others wait for it. */
const batch = 100

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

  /** Keeps a digest safe until its row is recorded. Returns the release. */
  pin(sha256: string): () => void {
    this.pins.set(sha256, (this.pins.get(sha256) ?? 0) + 1)
    return () => {
      const left = (this.pins.get(sha256) ?? 1) - 1
      if (left === 0) this.pins.delete(sha256)
      else this.pins.set(sha256, left)
    }
  }

  /** Digests that must be in storage: of versions that are kept, and of files. */
  async needed(): Promise<Set<string>> {
    const kept = await this.db.read
      .select({ served: versions.sha256, uploaded: versions.originalSha256 })
      .from(versions)
      .innerJoin(models, eq(models.id, versions.modelId))
      .where(this.isKept())
    const named = await this.db.read.selectDistinct({ sha256: files.sha256 }).from(files)
    const digests = named.map(({ sha256 }) => sha256)
    for (const { served, uploaded } of kept) digests.push(served, uploaded)
    const needed = new Set(digests)
    // Versions without ONNX have none.
    needed.delete('')
    return needed
  }

  /** Removes files of versions that are gone, then every blob that nothing needs. Returns how many. */
  async sweep(): Promise<number> {
    await this.removeFiles()
    // Listed before the rows are read, so that a blob of a version made meanwhile is not in the list.
    const present = await this.storage.list()
    const needed = await this.needed()
    let removed = 0
    for (const digest of present) {
      if (needed.has(digest) || this.pins.has(digest)) continue
      // Looked at again: the same bytes may have been registered while others were removed, or may
      // have been pinned just now. From this look to the removal nobody else has a turn.
      if ((await this.isNeeded(digest)) || this.pins.has(digest)) continue
      await this.storage.remove(digest)
      removed += 1
    }
    return removed
  }

  /** Of versions joined to their models: deleted ones count until the retention is over. */
  private isKept() {
    const limit = Date.now() - this.retention
    return and(
      or(isNull(versions.deletedAt), gte(versions.deletedAt, limit)),
      or(isNull(models.deletedAt), gte(models.deletedAt, limit)),
    )
  }

  private async isNeeded(digest: string): Promise<boolean> {
    const [file] = await this.db.read
      .select({ path: files.path })
      .from(files)
      .where(eq(files.sha256, digest))
      .limit(1)
    if (file) return true
    const isOf = or(eq(versions.sha256, digest), eq(versions.originalSha256, digest))
    const [version] = await this.db.read
      .select({ id: versions.id })
      .from(versions)
      .innerJoin(models, eq(models.id, versions.modelId))
      .where(and(isOf, this.isKept()))
      .limit(1)
    return version !== undefined
  }

  /** Files of versions end with them; a version that is gone for good is never brought back. */
  private async removeFiles(): Promise<void> {
    const limit = Date.now() - this.retention
    const gone = await this.db.read
      .select({ id: versions.id })
      .from(versions)
      .innerJoin(models, eq(models.id, versions.modelId))
      .where(
        and(or(lt(versions.deletedAt, limit), lt(models.deletedAt, limit)), hasFiles(versions.id)),
      )
    for (const some of chunksOf(gone, batch)) {
      await this.db.tx(async (tx) => {
        for (const { id } of some) await removeTree(tx, folderOfVersion(id))
      })
    }
  }
}
