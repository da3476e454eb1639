// The database as migrated equals tables.ts; folders, schemas and settings that are refused.
import { Database } from 'bun:sqlite'
import { afterAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { getTableConfig } from 'drizzle-orm/sqlite-core'

import { AlreadyRunningError, createApp } from '../src/app.ts'
import { ConfigError, envName, loadConfig, settings } from '../src/config.ts'
import { migrate, NewerSchemaError, schemaVersion } from '../src/db/migrate.ts'
import { openSqlite } from '../src/db/sqlite.ts'
import { tables } from '../src/db/tables.ts'
import { startRelais } from './support/relais.ts'
import { root } from './support/sources.ts'

const folders: string[] = []
const folder = (): string => {
  const made = mkdtempSync(join(tmpdir(), 'relais-tables-'))
  folders.push(made)
  return made
}
afterAll(() => {
  for (const made of folders) rmSync(made, { recursive: true, force: true })
})

const scripts = readdirSync(join(root, 'migrations/sqlite'))
  .filter((name) => name.endsWith('.sql'))
  .sort()
  .map((name) => readFileSync(join(root, 'migrations/sqlite', name), 'utf8'))

/** A database as a binary left it that knew only the first `count` migrations. */
function older(path: string, count: number): Database {
  const db = new Database(path, { create: true })
  for (const script of scripts.slice(0, count)) {
    for (const statement of script.split('--> statement-breakpoint')) db.run(statement)
  }
  db.run(`PRAGMA user_version = ${count}`)
  return db
}

const versionOf = (db: Database): number =>
  (db.query('PRAGMA user_version').get() as { user_version: number }).user_version

describe('the migrated database equals tables.ts:', () => {
  const db = new Database(':memory:')
  migrate(db, '/nowhere')
  afterAll(() => db.close())
  const names = Object.values(tables).map((table) => getTableConfig(table).name)

  test('table by table', () => {
    const sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    const found = (db.query(sql).values() as string[][]).flat()
    expect(found.sort()).toEqual([...names].sort())
  })
  for (const table of Object.values(tables)) {
    const config = getTableConfig(table)
    test(`${config.name}: columns, keys and indices`, () => {
      const expected = config.columns.map((column) => ({
        name: column.name,
        type: column.getSQLType().toUpperCase(),
        notnull: column.notNull ? 1 : 0,
      }))
      const rows = db.query(`PRAGMA table_info(${config.name})`).all() as any[]
      expect(
        rows.map(({ name, type, notnull }) => ({ name, type: type.toUpperCase(), notnull })),
      ).toEqual(expected)
      expect(rows.every((row) => row.dflt_value === null)).toBe(true)

      const compound = config.primaryKeys[0]?.columns.map((column) => column.name)
      const single = config.columns.filter((column) => column.primary).map(({ name }) => name)
      const keyed = rows.filter((row) => row.pk > 0).sort((a, b) => a.pk - b.pk)
      expect(keyed.map((row) => row.name)).toEqual(compound ?? single)

      const indices = (db.query(`PRAGMA index_list(${config.name})`).all() as any[])
        .filter((index) => index.origin === 'c')
        .map((index) => ({
          name: index.name,
          unique: index.unique === 1,
          partial: index.partial === 1,
          columns: (db.query(`PRAGMA index_info(${index.name})`).all() as any[]).map((i) => i.name),
        }))
        .sort((a, b) => (a.name < b.name ? -1 : 1))
      const wanted = config.indexes
        .map(({ config: index }) => ({
          name: index.name,
          unique: index.unique,
          partial: index.where !== undefined,
          columns: index.columns.map((column) => (column as { name: string }).name),
        }))
        .sort((a, b) => (a.name < b.name ? -1 : 1))
      expect(indices).toEqual(wanted)

      const references = db.query(`PRAGMA foreign_key_list(${config.name})`).all() as any[]
      expect(references.map((row) => [row.from, row.table, row.to])).toEqual(
        config.foreignKeys.map((key) => {
          const { columns, foreignTable, foreignColumns } = key.reference()
          return [columns[0]!.name, getTableConfig(foreignTable).name, foreignColumns[0]!.name]
        }),
      )
    })
  }
})

describe('§30 migration:', () => {
  test('every script is applied by the binary', () => {
    expect(scripts.length).toBe(schemaVersion)
  })
  test('an older schema is copied first, and again when an earlier copy lies there', () => {
    const data = folder()
    const path = join(data, 'relais.db')
    const insert = "INSERT INTO stages VALUES (?, 'Production', 1)"
    const old = older(path, 1)
    old.run(insert, ['first'])
    old.close()
    openSqlite(path, () => undefined).close()
    const backup = join(data, 'backups', `before-schema-${schemaVersion}.db`)
    const held = (): string[] => {
      const db = new Database(backup, { readonly: true })
      const found = db.query('SELECT model_id FROM stages').values() as string[][]
      expect(versionOf(db)).toBe(1)
      db.close()
      return found.flat()
    }
    expect(held()).toEqual(['first'])
    const now = new Database(path)
    expect(versionOf(now)).toBe(schemaVersion)
    expect(now.query('SELECT model_id FROM stages').values()).toEqual([['first']])
    now.close()

    rmSync(path)
    const again = older(path, 1)
    again.run(insert, ['second'])
    again.close()
    openSqlite(path, () => undefined).close()
    expect(held()).toEqual(['second'])
  })
  test('a fresh or present schema is not copied', () => {
    const data = folder()
    for (let round = 0; round < 2; round += 1) {
      openSqlite(join(data, 'relais.db'), () => undefined).close()
      expect(readdirSync(data)).not.toContain('backups')
    }
  })
  test('one that fails leaves the old schema', () => {
    const data = folder()
    const path = join(data, 'relais.db')
    const old = older(path, 1)
    // The second migration makes triggers of these names.
    old.run('CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT 1; END')
    old.close()
    expect(() => openSqlite(path, () => undefined)).toThrow()
    const db = new Database(path)
    expect(versionOf(db)).toBe(1)
    const triggers = db.query("SELECT name FROM sqlite_master WHERE type = 'trigger'").values()
    expect(triggers).toEqual([['audit_no_delete']])
    db.close()
  })
  test('a newer schema refuses to start, and the folder is free afterwards', async () => {
    const data = folder()
    const db = older(join(data, 'relais.db'), schemaVersion)
    db.run(`PRAGMA user_version = ${schemaVersion + 1}`)
    const config = loadConfig({ data, port: '0', 'log-level': 'error' }, {})
    for (let round = 0; round < 2; round += 1) {
      const failure = await createApp(config, () => undefined).catch((error: unknown) => error)
      expect(failure).toBeInstanceOf(NewerSchemaError)
    }
    expect(versionOf(db)).toBe(schemaVersion + 1)
    db.run(`PRAGMA user_version = ${schemaVersion}`)
    db.close()
    await (await createApp(config, () => undefined)).stop()
  })
})

test('§29 a second server on one folder is refused, the first goes on', async () => {
  const relais = await startRelais()
  try {
    const config = loadConfig({ data: relais.data, port: '0' }, {})
    const failure = await createApp(config, () => undefined).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(AlreadyRunningError)
    const child = Bun.spawn(
      ['bun', join(root, 'src/main.ts'), 'serve', '--data', relais.data, '--port', '0'],
      { stdout: 'pipe', stderr: 'pipe' },
    )
    const [errors, code] = await Promise.all([child.stderr.text(), child.exited])
    expect([code, errors]).toEqual([1, expect.stringContaining(relais.data)])
    expect((await relais.call('GET', '/api/v1/models')).status).toBe(200)
    await relais.restart()
  } finally {
    await relais.close()
  }
})

describe('settings:', () => {
  const refused: [Record<string, string>, Record<string, string>, RegExp][] = [
    [{}, { RELAIS_PROT: '80' }, /RELAIS_PROT/],
    [{}, { RELAIS_: 'x' }, /RELAIS_/],
    [{}, { RELAIS_PORT: 'http' }, /port/],
    [{}, { RELAIS_PORT: '-1' }, /port/],
    [{}, { RELAIS_PORT: '65536' }, /port/],
    [{}, { RELAIS_PORT: '' }, /port/],
    [{}, { RELAIS_LOG_LEVEL: 'loud' }, /log-level/],
    [{}, { RELAIS_PREDICT_TIMEOUT: '10' }, /predict-timeout/],
    [{}, { RELAIS_PREDICT_TIMEOUT: '' }, /predict-timeout/],
    [{}, { RELAIS_PREDICT_TIMEOUT: '-5s' }, /predict-timeout/],
    [{}, { RELAIS_MAX_MODEL: '2 GB' }, /max-model/],
    [{}, { RELAIS_MAX_BODY: 'much' }, /max-body/],
    [{}, { RELAIS_STRICT_READY: 'yes' }, /strict-ready/],
    [{}, { RELAIS_METRICS_LISTEN: '9100' }, /metrics-listen/],
    [{ port: 'x' }, {}, /port/],
    [{ retention: '7 days' }, {}, /retention/],
  ]
  for (const [flags, env, message] of refused) {
    test(`refused: ${JSON.stringify({ ...flags, ...env })}`, () => {
      expect(() => loadConfig(flags, env)).toThrow(ConfigError)
      expect(() => loadConfig(flags, env)).toThrow(message)
    })
  }
  test('defaults are read, flags win over the environment, client variables pass', () => {
    const plain = loadConfig({}, { RELAIS_URL: 'http://x', RELAIS_TOKEN: 't', PATH: '/bin' })
    expect(Object.keys(plain).sort()).toEqual([...Object.keys(settings), 'otel'].sort())
    expect([plain.port, plain['max-model'], plain['stage-grace']]).toEqual([8080, 2 ** 31, 30_000])
    expect(plain['protected-aliases']).toEqual(['champion', 'live', 'stable', 'prod*'])
    expect(plain['engine-memory']).toBeGreaterThan(1e8)
    const env = { RELAIS_PORT: '81', RELAIS_RETENTION: '1.5h', RELAIS_MAX_BODY: '64kb' }
    const both = loadConfig({ port: '82' }, env)
    expect([both.port, both.retention, both['max-body']]).toEqual([82, 5_400_000, 65_536])
    expect(envName('stage-grace')).toBe('RELAIS_STAGE_GRACE')
  })
})
