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
