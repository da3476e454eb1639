// Brings a database to the newest schema, after a copy of it, or refuses one that is newer.
import type { Database } from 'bun:sqlite'
import { mkdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'

import start from '../../migrations/sqlite/0000_start.sql' with { type: 'text' }
import auditAppendOnly from '../../migrations/sqlite/0001_audit_append_only.sql' with { type: 'text' }
import tracking from '../../migrations/sqlite/0002_tracking.sql' with { type: 'text' }
import defaultExperiment from '../../migrations/sqlite/0003_default_experiment.sql' with { type: 'text' }
import search from '../../migrations/sqlite/0004_search.sql' with { type: 'text' }
import tagTriggers from '../../migrations/sqlite/0005_tag_triggers.sql' with { type: 'text' }
import datasetOrder from '../../migrations/sqlite/0006_dataset_order.sql' with { type: 'text' }
import latestVersions from '../../migrations/sqlite/0007_latest_versions.sql' with { type: 'text' }

/** In order; a released one is never edited. `PRAGMA user_version` counts those applied. */
const migrations: readonly string[] = [
  start,
  auditAppendOnly,
  tracking,
  defaultExperiment,
  search,
  tagTriggers,
  datasetOrder,
  latestVersions,
]

export const schemaVersion = migrations.length

export class NewerSchemaError extends Error {}

function versionOf(db: Database): number {
  return (db.query('PRAGMA user_version').get() as { user_version: number }).user_version
}

/** Refuses a database written by a newer binary. */
export function demandKnownSchema(found: number): void {
  if (found > schemaVersion) {
    throw new NewerSchemaError(
      `the database has schema ${found}, this binary knows ${schemaVersion}; use a newer relais`,
    )
  }
}

/** Applies what is missing in one transaction. `backups` is the folder for the copy made before. */
export function migrate(db: Database, backups: string): void {
  const from = versionOf(db)
  demandKnownSchema(from)
  if (from === schemaVersion) return
  if (from > 0) {
    mkdirSync(backups, { recursive: true, mode: 0o700 })
    const copy = join(backups, `before-schema-${schemaVersion}.db`)
    // A copy of an earlier attempt may be half or older than the data: it is made anew.
    rmSync(`${copy}.part`, { force: true })
    db.run('VACUUM INTO ?', [`${copy}.part`])
    renameSync(`${copy}.part`, copy)
  }
  db.run('BEGIN IMMEDIATE')
  try {
    for (const migration of migrations.slice(from)) {
      for (const statement of migration.split('--> statement-breakpoint')) db.run(statement)
    }
    db.run(`PRAGMA user_version = ${schemaVersion}`)
    db.run('COMMIT')
  } catch (error) {
    db.run('ROLLBACK')
    throw error
  }
}
