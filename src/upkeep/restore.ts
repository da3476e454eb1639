// Unpacks a backup into an empty folder, checking every artifact's digest.
import { Database } from 'bun:sqlite'
import { createReadStream, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { extract } from 'tar-stream'

import { demandKnownSchema } from '../db/migrate.ts'
import { backupFormat, digestsIn, type Manifest } from './backup.ts'

export class RestoreError extends Error {}

export interface Restored {
  artifacts: number
  models: number
  versions: number
  created_at: string
}

const digestName = /^blobs\/([0-9a-f]{64})$/
const keyName = /^keys\/[0-9a-f]{16}\.json$/
const plainNames: ReadonlySet<string> = new Set(['admin.token', 'audit.head', 'relais.db'])

/** Where an entry goes; names that a backup of ours cannot have are refused. */
function targetOf(name: string): string {
  const digest = digestName.exec(name)?.[1]
  if (digest) return `blobs/${digest.slice(0, 2)}/${digest}`
  if (keyName.test(name) || plainNames.has(name)) return name
  throw new RestoreError(`the archive holds ${JSON.stringify(name)}, which no backup contains`)
}

async function writeEntry(path: string, content: AsyncIterable<Uint8Array>): Promise<string> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const hasher = new Bun.CryptoHasher('sha256')
  const file = await open(path, 'wx', 0o600)
  try {
    for await (const chunk of content) {
      hasher.update(chunk)
      await file.writeFile(chunk)
    }
    await file.sync()
  } finally {
    await file.close()
  }
  return hasher.digest('hex')
}

async function readText(content: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = []
  for await (const chunk of content) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

function checkManifest(text: string): Manifest {
  const manifest = JSON.parse(text) as Manifest
  if (manifest.format !== backupFormat) throw new RestoreError('the backup has another format')
  demandKnownSchema(manifest.schema)
  return manifest
}

/** Throws when an entry is not what the archive was made with. */
function checkEntry(name: string, digest: string, manifest: Manifest): void {
  const artifact = digestName.exec(name)?.[1]
  if (digest === (artifact ?? manifest.digests[name])) return
  throw new RestoreError(artifact ? `artifact ${artifact} is damaged` : `${name} is damaged`)
}

async function unpack(file: string, data: string): Promise<Manifest> {
  const tar = extract()
  const source = createReadStream(file)
  source.on('error', (error) => tar.destroy(error))
  source.pipe(tar)
  let manifest: Manifest | null = null
  const seen = new Set<string>()
  for await (const entry of tar) {
    const { name, type } = entry.header
    if (type !== 'file') throw new RestoreError(`the archive holds a ${type}, no backup does`)
    const content = entry as unknown as AsyncIterable<Uint8Array>
    if (name === 'manifest.json') {
      manifest = checkManifest(await readText(content))
      continue
    }
    if (manifest === null) throw new RestoreError('the file is no backup made by relais')
    checkEntry(name, await writeEntry(join(data, targetOf(name)), content), manifest)
    seen.add(name)
  }
  if (manifest === null) throw new RestoreError('the file is no backup made by relais')
  const absent = Object.keys(manifest.digests).filter((name) => !seen.has(name))
  if (absent.length > 0) throw new RestoreError(`the archive lacks ${absent.join(', ')}`)
  return manifest
}

function count(data: string, manifest: Manifest): Restored {
  const db = new Database(join(data, 'relais.db'))
  const [check] = db.query('PRAGMA integrity_check').values() as string[][]
  if (check?.[0] !== 'ok') throw new RestoreError('the database in the backup is damaged')
  const number = (sql: string): number =>
    Number((db.query(sql).values() as number[][])[0]?.[0] ?? 0)
  const digests = digestsIn(db, 'kept')
  const missing = digests.filter((digest) => !existsSync(join(data, targetOf(`blobs/${digest}`))))
  const restored = {
    artifacts: digests.length - missing.length,
    models: number('SELECT count(*) FROM models WHERE deleted_at IS NULL'),
    versions: number('SELECT count(*) FROM versions WHERE deleted_at IS NULL'),
    created_at: manifest.created_at,
  }
  db.close()
  if (missing.length > 0) throw new RestoreError(`the archive lacks ${missing.length} artifacts`)
  return restored
}

/**
 * Restores a backup into `data`, which must not exist or be empty. Throws RestoreError or
 * NewerSchemaError and leaves the folder empty when anything is wrong.
 */
export async function restore(file: string, data: string): Promise<Restored> {
  if (existsSync(data) && readdirSync(data).length > 0) {
    throw new RestoreError(`${data} is not empty; restore into a new folder`)
  }
  mkdirSync(data, { recursive: true, mode: 0o700 })
  try {
    return count(data, await unpack(file, data))
  } catch (error) {
    for (const name of readdirSync(data)) rmSync(join(data, name), { recursive: true, force: true })
    throw error
  }
}
