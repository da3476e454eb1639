// SQLite: one connection that writes behind a serial queue, one that only reads.
import { Database } from 'bun:sqlite'
import { chmodSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'

import { drizzle } from 'drizzle-orm/bun-sqlite'

import type { Db, DbObserver } from './db.ts'
import { GroupCommit } from './group.ts'
import { migrate } from './migrate.ts'
import { isBusy, observeReads } from './observe.ts'

function prepare(db: Database): void {
  // The timeout first: even switching the journal mode can meet another process.
  db.run('PRAGMA busy_timeout = 5000')
  db.run('PRAGMA foreign_keys = ON')
  db.run('PRAGMA mmap_size = 0')
}

const mostStatements = 500

/**
 * Lets the compiled form of a statement be used again: compiling takes longer than most statements. The
 * least recently used goes first, since searches can have any number of forms.
 */
function keepStatements(db: Database): void {
  const compile = db.prepare.bind(db)
  const known = new Map<string, ReturnType<typeof compile>>()
  db.prepare = ((sql: string) => {
    const statement = known.get(sql) ?? compile(sql)
    known.delete(sql)
    known.set(sql, statement)
    if (known.size > mostStatements) known.delete(known.keys().next().value as string)
    return statement
  }) as typeof db.prepare
}

/**
 * Opens and migrates the database at `path`. `onFatal` hears of I/O errors: after one, nothing this
 * process believes about the file can be trusted, and only a restart helps.
 */
export function openSqlite(
  path: string,
  onFatal: (error: unknown) => void,
  observer?: DbObserver,
): Db {
  const writer = new Database(path, { create: true })
  chmodSync(path, 0o600)
  prepare(writer)
  writer.run('PRAGMA journal_mode = WAL')
  // Anything less than FULL loses acknowledged writes at a power cut.
  writer.run('PRAGMA synchronous = FULL')
  migrate(writer, join(dirname(path), 'backups'))
  const reader = new Database(path, { readonly: true })
  prepare(reader)
  if (observer) observeReads(reader, observer)
  for (const db of [writer, reader]) keepStatements(db)
  const tx = drizzle({ client: writer })
  const fail = (error: unknown): void => {
    const { code } = Object(unwrapped(error)) as { code?: unknown }
    if (isBusy(unwrapped(error))) observer?.busy()
    if (String(code).startsWith('SQLITE_IOERR')) onFatal(error)
  }
  const group = new GroupCommit(writer, fail, observer?.write)

  return {
    read: drizzle({ client: reader }),
    tx: async (work) => {
      try {
        return await group.run(() => work(tx))
      } catch (error) {
        throw unwrapped(error)
      }
    },
    ping: () => {
      reader.query('SELECT 1').get()
    },
    size: () => statSync(path).size,
    walSize: () => statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0,
    close: () => {
      reader.close()
      try {
        writer.run('PRAGMA wal_checkpoint(TRUNCATE)')
      } catch {
        // On a full disk the log stays beside the database and is read at the next start.
      }
      writer.close()
    },
  }
}

/** drizzle wraps driver errors; callers want the driver's code. */
function unwrapped(error: unknown): unknown {
  const cause = (error as { cause?: unknown } | null)?.cause
  return (cause as { code?: unknown } | undefined)?.code === undefined ||
    (error as { code?: unknown }).code !== undefined
    ? error
    : cause
}
