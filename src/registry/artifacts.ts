// Artifacts as their users read and write them: files of runs, of logged models and of versions.
import { and, eq, isNull } from 'drizzle-orm'

import type { Context } from '../core/context.ts'
import { Fault, tooLarge } from '../core/fault.ts'
import type { Queries } from '../db/db.ts'
import { type FileRow, models, versions } from '../db/tables.ts'
import { receiveFile, writeAll } from '../storage/receive.ts'
import type { Storage } from '../storage/storage.ts'
import type { BlobKeeper } from './blobs.ts'
import {
  demandPath,
  demandPlace,
  findFile,
  type FolderEntry,
  listFolder,
  removeTree,
  writeFile,
} from './files.ts'
import type { Registry } from './registry.ts'

export interface Artifacts extends Registry {
  storage: Storage
  blobs: BlobKeeper
}

/** Folder of all registered versions; below it nobody writes. */
const ofVersions = 'versions'

const absent = (path: string): Fault =>
  new Fault('artifact.not-found', `No artifact at ${JSON.stringify(path)}.`)

/** Name of the model that a version belongs to, while both are there. */
async function modelOf(q: Queries, versionId: string): Promise<string | undefined> {
  const [row] = await q
    .select({ name: models.name })
    .from(versions)
    .innerJoin(models, eq(models.id, versions.modelId))
    .where(and(eq(versions.id, versionId), isNull(versions.deletedAt), isNull(models.deletedAt)))
  return row?.name
}

/** What a version holds is read with the right on its model, everything else with that on runs. */
async function admitRead(s: Artifacts, ctx: Context, path: string): Promise<void> {
  const [top, id] = path.split('/')
  if (top !== ofVersions) return s.access.require(ctx, 'runs:read')
  const model = await modelOf(s.db.read, id ?? '')
  await s.access.require(ctx, 'models:read', model)
  if (model === undefined) throw absent(path)
}

/** The right to change a path; refused below `versions/`, since registered versions never change. */
async function admitChange(
  s: Artifacts,
  ctx: Context,
  path: string,
  action: string,
): Promise<void> {
  await s.access.require(ctx, 'runs:write', undefined, action)
  if (demandPath(path).split('/')[0] !== ofVersions) return
  const why = 'Files of registered versions never change; register another version.'
  await s.access.refuse(ctx, action, `artifact/${path}`, why)
}

/** A file and the local path of its bytes. Throws `artifact.not-found`. */
export async function readArtifact(
  s: Artifacts,
  ctx: Context,
  path: string,
): Promise<{ file: FileRow; bytes: string }> {
  await admitRead(s, ctx, demandPath(path))
  const file = await findFile(s.db.read, path)
  if (!file || !s.storage.exists(file.sha256)) throw absent(path)
  return { file, bytes: s.storage.path(file.sha256) }
}

/** What a folder holds directly; empty for one that is not there. Versions are not listed. */
export async function listArtifacts(
  s: Artifacts,
  ctx: Context,
  folder: string,
): Promise<FolderEntry[]> {
  if (folder !== '') {
    await admitRead(s, ctx, demandPath(folder))
    return listFolder(s.db.read, folder)
  }
  await s.access.require(ctx, 'runs:read')
  const entries = await listFolder(s.db.read, folder)
  return entries.filter(({ name }) => name !== ofVersions)
}

/** A file as a client sends it. */
export interface Sent {
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>
  /** The size that was declared; NaN where none was. */
  declared: number
}

/**
 * Stores a body under a path, in place of what was there. A sender that leaves early changes nothing.
 * Throws `request.too-large` beyond `max-model`.
 */
export async function writeArtifact(
  s: Artifacts,
  ctx: Context,
  path: string,
  { chunks, declared }: Sent,
): Promise<void> {
  await admitChange(s, ctx, path, 'artifact.write')
  // Asked now and in the transaction: nobody should send a gigabyte to a place where none can be.
  await demandPlace(s.db.read, path)
  const most = s.config['max-model']
  if (declared > most) throw tooLarge(most, 'max-model')
  const { upload, sha256, size } = await receiveFile(s.storage, (to) => writeAll(chunks, to, most))
  const release = s.blobs.pin(sha256)
  try {
    await s.storage.commit(upload.path, sha256)
    const createdBy = ctx.principal.sub
    await s.db.tx((tx) => writeFile(tx, { path, sha256, size, createdBy }))
  } finally {
    release()
    await upload.discard()
  }
}

/** Removes a file, or a folder with all it holds. What is not there is removed already. */
export async function removeArtifact(s: Artifacts, ctx: Context, path: string): Promise<void> {
  await admitChange(s, ctx, path, 'artifact.delete')
  await s.db.tx((tx) => removeTree(tx, path))
}
