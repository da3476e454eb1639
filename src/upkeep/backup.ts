// A backup: one tar with the database, the artifacts it refers to, keys and the audit head.
import { Database } from 'bun:sqlite'
import { createReadStream, existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'

import { type Pack, pack } from 'tar-stream'

import { schemaVersion } from '../db/migrate.ts'
import type { BlobKeeper } from '../registry/artifacts.ts'
import type { Storage } from '../storage/storage.ts'

export interface BackupDeps {
  data: string
  storage: Storage
  blobs: BlobKeeper
  version: string
}

export const backupFormat = 1

/** Copies a database with everything committed so far; run it in a child, it blocks. */
export function snapshot(from: string, to: string): void {
  const db = new Database(from)
  db.run('PRAGMA busy_timeout = 5000')
  db.run('VACUUM INTO ?', [to])
  db.close()
}

function digestsIn(database: string): string[] {
  const db = new Database(database, { readonly: true })
  const rows = db.query('SELECT sha256, original_sha256 FROM versions').values() as string[][]
  db.close()
  return [...new Set(rows.flat())]
}

async function addFile(tar: Pack, name: string, path: string): Promise<void> {
  const { size } = statSync(path)
  const entry = tar.entry({ name, size, mode: 0o600 })
  await pipeline(createReadStream(path), entry)
}

function addText(tar: Pack, name: string, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    tar.entry({ name, mode: 0o600 }, text, (error) => (error ? reject(error) : resolve()))
  })
}

async function fill(tar: Pack, deps: BackupDeps, copy: string, head: string | null): Promise<void> {
  const manifest = {
    format: backupFormat,
    schema: schemaVersion,
    version: deps.version,
    created_at: new Date().toISOString(),
  }
  await addText(tar, 'manifest.json', JSON.stringify(manifest))
  const keys = join(deps.data, 'keys')
  for (const name of readdirSync(keys)) {
    await addText(tar, `keys/${name}`, readFileSync(join(keys, name), 'utf8'))
  }
  const token = join(deps.data, 'admin.token')
  if (existsSync(token)) await addText(tar, 'admin.token', readFileSync(token, 'utf8'))
  if (head !== null) await addText(tar, 'audit.head', head)
  await addFile(tar, 'relais.db', copy)
  for (const digest of digestsIn(copy)) {
    const path = deps.storage.path(digest)
    if (existsSync(path)) await addFile(tar, `blobs/${digest}`, path)
  }
  tar.finalize()
}

/**
 * The bytes of a backup. Holds every row and artifact acknowledged before the call: the database is
 * copied first, and artifacts are never changed, only added.
 */
export async function* backup(
  deps: BackupDeps,
  takeSnapshot: (from: string, to: string) => Promise<void>,
): AsyncGenerator<Uint8Array> {
  const headPath = join(deps.data, 'audit.head')
  // The head before the rows: one that is ahead of them would look like a cut-off chain.
  const head = existsSync(headPath) ? readFileSync(headPath, 'utf8') : null
  const copy = deps.storage.scratch('.db')
  const releases: (() => void)[] = []
  try {
    await takeSnapshot(join(deps.data, 'relais.db'), copy)
    for (const digest of digestsIn(copy)) releases.push(deps.blobs.pin(digest))
    const tar = pack()
    const filled = fill(tar, deps, copy, head).catch((error: unknown) =>
      tar.destroy(error as Error),
    )
    for await (const chunk of tar) yield chunk as Uint8Array
    await filled
  } finally {
    for (const release of releases) release()
    rmSync(copy, { force: true })
  }
}
