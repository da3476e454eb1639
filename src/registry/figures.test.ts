import { afterAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { openSqlite } from '../db/sqlite.ts'
import type { Storage } from '../storage/storage.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { showFigures } from './figures.ts'

const folder = mkdtempSync(join(tmpdir(), 'relais-figures-'))
afterAll(() => rmSync(folder, { recursive: true }))

test('a count that failed is made again, and one that went well is not', async () => {
  const db = openSqlite(join(folder, 'relais.db'), () => undefined)
  let looks = 0
  const failsOnce = new Proxy(db.read, {
    get: (q, name) => {
      if (name === 'select' && (looks += 1) === 1) throw new Error('database is locked')
      return Reflect.get(q, name) as unknown
    },
  })
  const storage = { size: () => Promise.resolve(7) } as unknown as Storage
  const metrics = createMetrics({ p50: 0.05, p95: 0.15, p99: 0.3 })
  showFigures(failsOnce, storage, metrics)
  for (const after of [1, 2, 2]) {
    await metrics.expose()
    expect(looks).toBe(after)
    await Bun.sleep(1100)
  }
  db.close()
})
