// Statements that are kept compiled: what they read is new each time, and nothing is held in between.
import { Database } from 'bun:sqlite'
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { eq, gt, sql } from 'drizzle-orm'

import type { Db } from './db.ts'
import { openSqlite } from './sqlite.ts'
import { experiments } from './tables.ts'

const folder = mkdtempSync(join(tmpdir(), 'relais-sqlite-'))
const path = join(folder, 'relais.db')
let db: Db

beforeAll(() => {
  db = openSqlite(path, (error) => {
    throw error
  })
})
afterAll(() => {
  db.close()
  rmSync(folder, { recursive: true, force: true })
})

const add = (name: string): Promise<unknown> =>
  db.tx(async (tx) => {
    const times = { createdAt: 1, updatedAt: 1 }
    await tx.insert(experiments).values({ name, artifactLocation: '', createdBy: 'x', ...times })
  })
const names = async (): Promise<string[]> =>
  (await db.read.select().from(experiments).where(gt(experiments.id, 0))).map(({ name }) => name)

test('the same query sees what was written since, with other values each time', async () => {
  for (const name of ['a', 'b', 'c']) {
    await add(name)
    expect((await names()).at(-1)).toBe(name)
    const [row] = await db.read
      .select()
      .from(experiments)
      .where(eq(experiments.name, name))
      .limit(1)
    expect(row?.name).toBe(name)
  }
})

test('more forms than are kept do each other no harm', async () => {
  for (let form = 0; form < 1200; form += 1) {
    const rows = await db.read
      .select({ n: sql<number>`${sql.raw(String(form % 700))}` })
      .from(experiments)
      .limit(1)
    expect(rows).toEqual([{ n: form % 700 }])
  }
  expect(await names()).toEqual(['a', 'b', 'c'])
})

test('a query that stopped early holds no snapshot: the log can be emptied', async () => {
  await db.read.select().from(experiments).limit(1)
  db.read.select().from(experiments).get()
  await add('d')
  const other = new Database(path)
  const [{ busy }] = other.query('PRAGMA wal_checkpoint(TRUNCATE)').all() as [{ busy: number }]
  other.close()
  expect(busy).toBe(0)
})

test('reads and commits are timed, and whoever is kept out is counted', async () => {
  const told = { reads: [] as number[], writes: [] as number[], busy: 0 }
  const own = join(folder, 'observed.db')
  const observed = openSqlite(own, () => undefined, {
    read: (seconds) => void told.reads.push(seconds),
    write: (seconds) => void told.writes.push(seconds),
    busy: () => (told.busy += 1),
  })
  const insert = (name: string): Promise<unknown> =>
    observed.tx(async (tx) => {
      const times = { createdAt: 1, updatedAt: 1 }
      await tx.insert(experiments).values({ name, artifactLocation: '', createdBy: 'x', ...times })
    })
  const before = told.reads.length
  await insert('a')
  for (let at = 0; at < 3; at += 1) await observed.read.select().from(experiments)
  expect(told.reads.length - before).toBe(3)
  expect(told.writes.length).toBe(1)
  for (const seconds of [...told.reads, ...told.writes]) expect(seconds).toBeWithin(0, 5)
  expect(observed.walSize()).toBeGreaterThan(0)

  const other = new Database(own)
  other.run('BEGIN IMMEDIATE')
  // It waits for as long as the busy timeout says.
  const refused = await insert('b').catch((error: Error) => error.message)
  expect(refused).toContain('locked')
  other.run('ROLLBACK')
  other.close()
  expect(told.busy).toBe(1)
  await insert('c')
  expect(told.writes.length).toBe(2)
  observed.close()
}, 30_000)
