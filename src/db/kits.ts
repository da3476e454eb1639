// Column makers per database, so that `tables.ts` is written once.
import {
  index,
  integer,
  primaryKey,
  real,
  sqliteTable,
  text,
  uniqueIndex,
} from 'drizzle-orm/sqlite-core'

/** SQLite: times are milliseconds since the epoch, JSON columns hold objects or arrays as text. */
export const sqliteKit = {
  table: sqliteTable,
  text: (name: string) => text(name),
  int: (name: string) => integer(name),
  /** An integer primary key that the database counts up itself. */
  serial: (name: string) => integer(name).primaryKey({ autoIncrement: true }),
  real: (name: string) => real(name),
  bool: (name: string) => integer(name, { mode: 'boolean' }),
  time: (name: string) => integer(name),
  json: <T extends object>(name: string) => text(name, { mode: 'json' }).$type<T>(),
  primaryKey,
  uniqueIndex,
  index,
}

export type Kit = typeof sqliteKit
