// How long statements that read take, told to whoever keeps figures.
import type { Database, Statement } from 'bun:sqlite'

import type { DbObserver } from './db.ts'

export const isBusy = (error: unknown): boolean =>
  String((Object(error) as { code?: unknown }).code).startsWith('SQLITE_BUSY')

/** drizzle calls these. */
const ways = ['values', 'all', 'run'] as const

type Call = (...values: unknown[]) => unknown

function observeStatement(statement: Statement, observer: DbObserver): void {
  const calls = statement as unknown as Record<(typeof ways)[number], Call>
  for (const way of ways) {
    const call = calls[way].bind(statement)
    calls[way] = (...values) => {
      const started = performance.now()
      try {
        return call(...values)
      } catch (error) {
        if (isBusy(error)) observer.busy()
        throw error
      } finally {
        observer.read((performance.now() - started) / 1000)
      }
    }
  }
}

/** Has every statement of a connection measured, those that it compiles from now on. */
export function observeReads(db: Database, observer: DbObserver): void {
  const compile = db.prepare.bind(db)
  db.prepare = ((sql: string) => {
    const statement = compile(sql)
    observeStatement(statement, observer)
    return statement
  }) as typeof db.prepare
}
