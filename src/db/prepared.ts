// Queries of hot paths: built and compiled once per connection, then run with other values.
import { getTableColumns, type Placeholder, sql } from 'drizzle-orm'
import type { SQLiteTable } from 'drizzle-orm/sqlite-core'

import type { Queries } from './db.ts'

/** `build` makes the query with `sql.placeholder`s and prepares it. */
export function prepared<T>(build: (q: Queries) => T): (q: Queries) => T {
  const made = new WeakMap<Queries, T>()
  return (q) => {
    const known = made.get(q)
    if (known !== undefined) return known
    const fresh = build(q)
    made.set(q, fresh)
    return fresh
  }
}

/** The values of a prepared insert: for each column a placeholder of its name. */
export function placeholders<T extends SQLiteTable>(
  table: T,
): Record<keyof T['_']['columns'], Placeholder> {
  const names = Object.keys(getTableColumns(table))
  const all = names.map((name) => [name, sql.placeholder(name)])
  return Object.fromEntries(all) as Record<keyof T['_']['columns'], Placeholder>
}
