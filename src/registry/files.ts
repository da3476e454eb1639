// Files that MLflow clients see: a tree of paths, each naming a blob by its digest.
import { and, eq, gte, inArray, lt, or, type SQL, sql } from 'drizzle-orm'

import { chunksOf } from '../core/chunks.ts'
import { Fault } from '../core/fault.ts'
import type { Queries } from '../db/db.ts'
import { prepared } from '../db/prepared.ts'
import { type FileRow, files, type versions } from '../db/tables.ts'

const longestPath = 1000
const deepestPath = 64
const longestShown = 100
/** Rows per statement; five columns each stay far below the limits on bound values. */
const batch = 500
/** Rows per look into a folder: few are read in vain of a large one below, few looks for small ones. */
const page = 50

export interface FolderEntry {
  name: string
  isDir: boolean
  /** Bytes; null for a folder. */
  size: number | null
}

export interface NewFile {
  path: string
  sha256: string
  size: number
  createdBy: string
}

/** Where a registered version keeps its files; clients never write there. */
export const folderOfVersion = (versionId: string): string => `versions/${versionId}`

/** SQL: does the version with the id in that column have files? One probe of the primary key. */
export const hasFiles = (id: typeof versions.id): SQL =>
  sql`exists (select 1 from ${files} where ${files.path} >= 'versions/' || ${id} || '/'
    and ${files.path} < 'versions/' || ${id} || '0')`

/** `mlflow-artifacts:/a/b` and `mlflow-artifacts://host/a/b` → `a/b`; null for any other scheme. */
export function pathOfUri(uri: string): string | null {
  const path = /^mlflow-artifacts:(?:\/\/[^/]*)?\/(.*)$/s.exec(uri)?.[1]
  return path === undefined ? null : path.replace(/^\/+|\/+$/g, '')
}

/** ASCII percent-decoded until nothing changes: what some later reader could take it for. */
function fullyDecoded(path: string): string {
  const next = path.replaceAll(/%[0-7][\da-f]/gi, (code) =>
    String.fromCharCode(Number.parseInt(code.slice(1), 16)),
  )
  return next === path ? path : fullyDecoded(next)
}

const isSafe = (path: string): boolean =>
  path.isWellFormed() &&
  !/[#\\\p{Cc}]/u.test(path) &&
  !/^[a-z][a-z0-9+.-]*:/i.test(path) &&
  path.split('/').every((segment) => segment !== '' && segment !== '.' && segment !== '..')

/**
 * Returns the path if it is a plain relative one: no `.`, `..` or empty segment, `#`, backslash,
 * control character, drive letter or scheme, however often it is percent-decoded; at most 1,000
 * characters and 64 segments. Throws `request.invalid`.
 */
export function demandPath(path: string): string {
  const fits = path.length <= longestPath && path.split('/').length <= deepestPath
  if (fits && isSafe(path) && isSafe(fullyDecoded(path))) return path
  throw pathFault(path)
}

/** `what` is wrong: the text begins as MLflow's does. */
function pathFault(path: string, what = ''): Fault {
  const message = `Invalid path: ${JSON.stringify(path.slice(0, longestShown))}${what}`
  const errors = [{ pointer: '/path', code: 'schema', message }]
  return new Fault('request.invalid', message, { errors })
}

/**
 * Everything below a folder, from a place in it on: one range of the primary key, since `0` follows
 * `/` in a bytewise collation. Of two lower bounds SQLite would search by one and scan by the other.
 */
const below = (folder: string, from = `${folder}/`): SQL | undefined =>
  and(gte(files.path, from), lt(files.path, `${folder}0`))

/** The file of that path. */
export async function findFile(q: Queries, path: string): Promise<FileRow | undefined> {
  const [row] = await q.select().from(files).where(eq(files.path, path))
  return row
}

const subtree = prepared((q) =>
  q
    .select()
    .from(files)
    .where(and(gte(files.path, sql.placeholder('from')), lt(files.path, sql.placeholder('to'))))
    .orderBy(files.path)
    .prepare(),
)

/** The whole subtree below a folder (not a file of that very path), by path. */
export async function filesBelow(q: Queries, folder: string): Promise<FileRow[]> {
  return subtree(q).execute({ from: `${folder}/`, to: `${folder}0` })
}

/** What a folder holds directly, by name; empty when there is no such folder. */
export async function listFolder(q: Queries, folder: string): Promise<FolderEntry[]> {
  const prefix = folder === '' ? '' : `${folder}/`
  const entries = new Map<string, FolderEntry>()
  let from = prefix
  for (;;) {
    const rows = await q
      .select({ path: files.path, size: files.size })
      .from(files)
      .where(folder === '' ? gte(files.path, from) : below(folder, from))
      .orderBy(files.path)
      .limit(page)
    for (const { path, size } of rows) {
      const [name = '', ...rest] = path.slice(prefix.length).split('/')
      const isDir = rest.length > 0
      entries.set(name, { name, isDir, size: isDir ? null : size })
      // On past the file, or past the folder whatever it holds; no name has control characters.
      from = `${prefix}${name}${isDir ? '0' : '\u0001'}`
    }
    if (rows.length < page) break
  }
  return [...entries.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

/** `a/b/c` → `a`, `a/b`. */
function foldersAbove(path: string): string[] {
  const segments = path.split('/')
  return segments.slice(1).map((_, at) => segments.slice(0, at + 1).join('/'))
}

/** A name is a file or a folder; throws `request.invalid` for one that would be both. */
export async function demandPlace(tx: Queries, path: string): Promise<void> {
  const above = foldersAbove(path)
  const place = above.length === 0 ? undefined : inArray(files.path, above)
  const [file] = place ? await tx.select().from(files).where(place).limit(1) : []
  if (file) throw pathFault(file.path, ' is a file.')
  const [inside] = await tx.select().from(files).where(below(path)).limit(1)
  if (inside) throw pathFault(path, ' is a folder.')
}

/** Inserts or replaces a file. Its blob must be in storage and pinned until the commit. */
export async function writeFile(tx: Queries, file: NewFile): Promise<void> {
  await demandPlace(tx, file.path)
  const row = { ...file, createdAt: Date.now() }
  await tx.insert(files).values(row).onConflictDoUpdate({ target: files.path, set: row })
}

/** Gives the files below `from` second paths below `to`, where nothing may be yet. Returns how many. */
export async function copyTree(
  tx: Queries,
  from: string,
  to: string,
  createdBy: string,
): Promise<number> {
  const createdAt = Date.now()
  const rows = (await filesBelow(tx, from)).map(({ path, sha256, size }) => {
    return { path: `${to}${path.slice(from.length)}`, sha256, size, createdBy, createdAt }
  })
  for (const some of chunksOf(rows, batch)) await tx.insert(files).values(some)
  return rows.length
}

/** Removes a file, or a folder with all it holds. Returns how many files. */
export async function removeTree(tx: Queries, path: string): Promise<number> {
  const gone = await tx
    .delete(files)
    .where(or(eq(files.path, path), below(path)))
    .returning({ path: files.path })
  return gone.length
}
