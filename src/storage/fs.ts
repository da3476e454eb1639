// Blobs as files: temporary file, fsync, rename, fsync of the folder. Bun.write would not fsync.
import { accessSync, constants, createReadStream, existsSync, mkdirSync, rmSync } from 'node:fs'
import { chmod, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { newId } from '../core/ids.ts'
import type { Storage, Upload } from './storage.ts'

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/** SHA-256 of a file, as hex, read in pieces. */
export async function digestFile(path: string): Promise<string> {
  const hasher = new Bun.CryptoHasher('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    hasher.update(chunk as Uint8Array)
  }
  return hasher.digest('hex')
}

async function beginUpload(path: string): Promise<Upload> {
  const file = await open(path, 'wx', 0o600)
  const hasher = new Bun.CryptoHasher('sha256')
  let size = 0
  let closed = false
  const close = async (): Promise<void> => {
    if (closed) return
    closed = true
    await file.close()
  }
  return {
    path,
    write: async (chunk) => {
      hasher.update(chunk)
      size += chunk.byteLength
      await file.writeFile(chunk)
    },
    finish: async () => {
      await file.sync()
      await close()
      return { sha256: hasher.digest('hex'), size }
    },
    discard: async () => {
      await close()
      await rm(path, { force: true })
    },
  }
}

/** Opens (and creates) storage under `folder`; leftovers of interrupted uploads are removed. */
export function openFileStorage(folder: string): Storage {
  const blobs = join(folder, 'blobs')
  const temporary = join(folder, 'tmp')
  rmSync(temporary, { recursive: true, force: true })
  for (const path of [blobs, temporary]) mkdirSync(path, { recursive: true, mode: 0o700 })
  const pathOf = (sha256: string): string => join(blobs, sha256.slice(0, 2), sha256)
  const scratch = (suffix: string): string => join(temporary, `${newId()}${suffix}`)
  return {
    begin: () => beginUpload(scratch('.upload')),
    scratch,
    path: pathOf,
    exists: (sha256) => existsSync(pathOf(sha256)),
    commit: async (path, sha256) => {
      const target = pathOf(sha256)
      mkdirSync(dirname(target), { recursive: true, mode: 0o700 })
      await chmod(path, 0o400)
      // The same bytes again change nothing, unless what lies there has rotted: then they heal it.
      const sound = existsSync(target) && (await digestFile(target)) === sha256
      if (sound) await rm(path, { force: true })
      else await rename(path, target)
      await syncFolder(dirname(target))
      await syncFolder(blobs)
    },
    verify: async (sha256) => {
      if (!existsSync(pathOf(sha256))) return 'missing'
      return (await digestFile(pathOf(sha256))) === sha256 ? 'ok' : 'corrupt'
    },
    // At once: while it waited for its turn, the same bytes could be committed again, and be lost.
    remove: async (sha256) => rmSync(pathOf(sha256), { force: true }),
    list: async () => {
      const names = await readdir(blobs, { recursive: true, withFileTypes: true })
      return names.filter((entry) => entry.isFile()).map((entry) => entry.name)
    },
    ping: () => accessSync(temporary, constants.W_OK),
    size: async () => {
      const entries = await readdir(blobs, { recursive: true, withFileTypes: true })
      const files = entries.filter((entry) => entry.isFile())
      const sizes = await Promise.all(files.map((f) => stat(join(f.parentPath, f.name))))
      return sizes.reduce((sum, info) => sum + info.size, 0)
    },
  }
}
