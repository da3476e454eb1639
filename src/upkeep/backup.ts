// A backup: one tar with the database, the artifacts it refers to, keys and the audit head.
import { Database } from 'bun:sqlite'
import { createReadStream, existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'

import { type Pack, pack } from 'tar-stream'

import { schemaVersion } from '../db/migrate.ts'
import type { BlobKeeper } from '../registry/blobs.ts'
import { digestFile } from '../storage/fs.ts'
import type { Storage } from '../storage/storage.ts'

export interface BackupDeps {
  data: string
  storage: Storage
  blobs: BlobKeeper
  version: string
}

export const backupFormat = 1

/** The first entry of the archive. */
export interface Manifest {
  format: number
  schema: number
  version: string
  created_at: string
  /** SHA-256 of every entry but the artifacts, whose name is their digest. */
  digests: Record<string, string>
}

/** Copies a database with everything committed so far; run it in a child, it blocks. */
export function snapshot(from: string, to: string): void {
  const db = new Database(from)
  db.run('PRAGMA busy_timeout = 5000')
  db.run('VACUUM INTO ?', [to])
  db.close()
}

const gone = '(v.deleted_at IS NOT NULL OR m.deleted_at IS NOT NULL)'

/** Digests that versions and files refer to; those of deleted versions may have been freed. */
export function digestsIn(db: Database, which: 'all' | 'kept'): string[] {
  const filter = which === 'kept' ? `WHERE NOT ${gone}` : ''
  const lost = `SELECT 1 FROM versions v JOIN models m ON m.id = v.model_id
    WHERE v.id = substr(f.path, 10, 36) AND f.path LIKE 'versions/%' AND ${gone}`
  const rows = db
    .query(
      `SELECT v.sha256 FROM versions v JOIN models m ON m.id = v.model_id ${filter}
      UNION SELECT v.original_sha256 FROM versions v JOIN models m ON m.id = v.model_id ${filter}
      UNION SELECT f.sha256 FROM files f ${which === 'kept' ? `WHERE NOT EXISTS (${lost})` : ''}`,
    )
    .values() as string[][]
  // Versions without ONNX have none.
  return rows.flat().filter((digest) => digest !== '')
}

/** Streams a file into the archive; a digest that differs ends the backup, it would be worthless. */
async function addFile(tar: Pack, name: string, path: string, digest: string): Promise<void> {
  const { size } = statSync(path)
  const hasher = new Bun.CryptoHasher('sha256')
  const hashed = new Transform({
    transform: (chunk: Uint8Array, _encoding, done) => {
      hasher.update(chunk)
      done(null, chunk)
    },
  })
  const entry = tar.entry({ name, size, mode: 0o600 })
  await pipeline(createReadStream(path), hashed, entry)
  if (hasher.digest('hex') !== digest) throw new Error(`artifact ${digest} is damaged`)
}

function addText(tar: Pack, name: string, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    tar.entry({ name, mode: 0o600 }, text, (error) => (error ? reject(error) : resolve()))
  })
}

const digestOf = (text: string): string => new Bun.CryptoHasher('sha256').update(text).digest('hex')

/** Keys, first token and audit head by their name in the archive. */
function secretsOf(data: string, head: string | null): Record<string, string> {
  const keys = readdirSync(join(data, 'keys')).filter((name) => name.endsWith('.json'))
  const texts = Object.fromEntries(
    keys.map((name) => [`keys/${name}`, readFileSync(join(data, 'keys', name), 'utf8')]),
  )
  const token = join(data, 'admin.token')
  if (existsSync(token)) texts['admin.token'] = readFileSync(token, 'utf8')
  if (head !== null) texts['audit.head'] = head
  return texts
}

async function fill(tar: Pack, deps: BackupDeps, copy: string, head: string | null): Promise<void> {
  const secrets = secretsOf(deps.data, head)
  const database = await digestFile(copy)
  const digests = Object.entries(secrets).map(([name, text]) => [name, digestOf(text)])
  const manifest: Manifest = {
    format: backupFormat,
    schema: schemaVersion,
    version: deps.version,
    created_at: new Date().toISOString(),
    digests: Object.fromEntries([...digests, ['relais.db', database]]),
  }
  await addText(tar, 'manifest.json', JSON.stringify(manifest))
  for (const [name, text] of Object.entries(secrets)) await addText(tar, name, text)
  await addFile(tar, 'relais.db', copy, database)
  const db = new Database(copy, { readonly: true })
  const kept = new Set(digestsIn(db, 'kept'))
  const all = digestsIn(db, 'all')
  db.close()
  for (const digest of all) {
    const path = deps.storage.path(digest)
    if (existsSync(path)) await addFile(tar, `blobs/${digest}`, path, digest)
    else if (kept.has(digest)) throw new Error(`artifact ${digest} is missing`)
  }
  tar.finalize()
}

/** Pins what the copy refers to, so that no sweep frees it before it is in the archive. */
function pinAll(blobs: BlobKeeper, copy: string): () => void {
  const db = new Database(copy, { readonly: true })
  const releases = digestsIn(db, 'all').map((digest) => blobs.pin(digest))
  db.close()
  return () => {
    for (const release of releases) release()
  }
}

/**
 * The bytes of a backup. Holds every row and artifact acknowledged before the call: the database is
 * copied first, and artifacts are never changed, only added. Throws in the middle when an artifact
 * is damaged or missing.
 */
export async function* backup(
  deps: BackupDeps,
  takeSnapshot: (from: string, to: string) => Promise<void>,
): AsyncGenerator<Uint8Array> {
  const headPath = join(deps.data, 'audit.head')
  // The head before the rows: one that is ahead of them would look like a cut-off chain.
  const head = existsSync(headPath) ? readFileSync(headPath, 'utf8') : null
  const copy = deps.storage.scratch('.db')
  let release = (): void => undefined
  try {
    await takeSnapshot(join(deps.data, 'relais.db'), copy)
    release = pinAll(deps.blobs, copy)
    const tar = pack()
    const filled = fill(tar, deps, copy, head).catch((error: unknown) => {
      tar.destroy(error as Error)
      throw error
    })
    // The reader below meets the error first; this only keeps it from counting as unhandled.
    filled.catch(() => undefined)
    for await (const chunk of tar) yield chunk as Uint8Array
    await filled
  } finally {
    release()
    rmSync(copy, { force: true })
  }
}
