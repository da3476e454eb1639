// Versions below which known vulnerabilities lie: a lower one must not come back with a lock file.
import { expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const least: Record<string, string> = {
  elysia: '1.4.29',
  'drizzle-orm': '0.45.2',
  jose: '6.0.0',
  'swagger-ui-dist': '5.0.0',
  protobufjs: '7.5.0',
}

test.each(Object.entries(least))('%s is at least %s', (name, version) => {
  const path = join(import.meta.dir, '../node_modules', name, 'package.json')
  const found = (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version
  expect(Bun.semver.order(found, version)).toBeGreaterThanOrEqual(0)
})

test('SQLite is past the WAL-reset race of 3.51.2', async () => {
  const { Database } = await import('bun:sqlite')
  const [row] = new Database(':memory:').query('SELECT sqlite_version()').values() as string[][]
  expect(Bun.semver.order(row![0]!, '3.51.3')).toBeGreaterThanOrEqual(0)
})
