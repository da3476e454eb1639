// Group commit: one COMMIT for those that come together, and each rolled back alone.
import { Database } from 'bun:sqlite'
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { GroupCommit } from './group.ts'

let folder: string
let writer: Database
let reader: Database
let errors: unknown[]
let group: GroupCommit

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'relais-group-'))
  const path = join(folder, 'db')
  writer = new Database(path, { create: true })
  writer.run('PRAGMA journal_mode = WAL')
  writer.run('CREATE TABLE t (n INTEGER PRIMARY KEY)')
  reader = new Database(path, { readonly: true })
  errors = []
  group = new GroupCommit(writer, (error) => errors.push(error))
})
afterEach(() => {
  writer.close()
  reader.close()
  rmSync(folder, { recursive: true })
})

const rows = (): number[] =>
  (reader.query('SELECT n FROM t ORDER BY n').values() as number[][]).flat()
const range = (count: number): number[] => Array.from({ length: count }, (_, at) => at)

/** Adds a row and then fails, if asked. */
const add = (n: number, fails = false): Promise<number> =>
  group.run(async () => {
    writer.run('INSERT INTO t VALUES (?)', [n])
    await Promise.resolve()
    if (fails) throw new Error(`no ${n}`)
    return n
  })

/** Commits in the write-ahead log: frames that carry the size of the database. */
function commits(): number {
  const log = readFileSync(join(folder, 'db-wal'))
  const frame = 24 + log.readUInt32BE(8)
  let count = 0
  for (let at = 32; at < log.length; at += frame) if (log.readUInt32BE(at + 4) > 0) count += 1
  return count
}

test('many at once share commits, at most 64 each, and get their own results', async () => {
  const before = commits()
  expect(await Promise.all(range(100).map((n) => add(n)))).toEqual(range(100))
  expect(rows()).toEqual(range(100))
  expect(commits() - before).toBe(2)
})

test('one that comes within a turn of the event loop shares the commit', async () => {
  const before = commits()
  const later = new Promise<number>((resolve) => setImmediate(() => resolve(add(2))))
  await Promise.all([add(1), later])
  expect(commits() - before).toBe(1)
})

test('who waits is told after the commit, not before', async () => {
  const seen = await Promise.all(
    range(10).map(async (n) => {
      await add(n).catch(() => undefined)
      return rows().length
    }),
  )
  expect(seen).toEqual(range(10).map(() => 10))
  const failing = add(11, true).catch(() => rows())
  await Promise.all([add(10), failing])
  expect(await failing).toContain(10)
})

test('one that fails is rolled back alone', async () => {
  const outcomes = await Promise.allSettled([
    add(1),
    add(2, true),
    add(3),
    add(1),
    add(4, true),
    add(5),
  ])
  expect(outcomes.map(({ status }) => status === 'fulfilled')).toEqual([
    true,
    false,
    true,
    false,
    false,
    true,
  ])
  expect(rows()).toEqual([1, 3, 5])
  expect(errors).toHaveLength(3)
})

test('all fail when the transaction is lost, and those after them succeed', async () => {
  const lose = (): Promise<void> =>
    group.run(async () => {
      await Promise.resolve()
      // What SQLite does by itself on a full disk.
      writer.run('ROLLBACK')
      throw new Error('disk full')
    })
  const outcomes = await Promise.allSettled([add(1), lose(), add(2)])
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled'])
  expect((outcomes[0] as PromiseRejectedResult).reason).toMatchObject({ message: 'disk full' })
  expect(rows()).toEqual([2])
  expect(await add(3)).toBe(3)
})

test('all fail when the commit does', async () => {
  writer.run('PRAGMA foreign_keys = ON')
  writer.run('CREATE TABLE child (n REFERENCES t (n) DEFERRABLE INITIALLY DEFERRED)')
  const orphan = group.run(async () => {
    writer.run('INSERT INTO child VALUES (99)')
    await Promise.resolve()
  })
  const outcomes = await Promise.allSettled([add(1), orphan, add(2)])
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
  expect(rows()).toEqual([])
  expect(await add(3)).toBe(3)
  expect(rows()).toEqual([3])
})

test('a locked database fails who asks now, and the next one works', async () => {
  writer.run('PRAGMA busy_timeout = 0')
  const other = new Database(join(folder, 'db'))
  other.run('BEGIN IMMEDIATE')
  expect(await add(1).catch(String)).toContain('locked')
  other.run('ROLLBACK')
  other.close()
  expect(await add(2)).toBe(2)
  expect(rows()).toEqual([2])
})
