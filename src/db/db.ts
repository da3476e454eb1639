// What the rest of the program sees of the database.
import type { BunSQLiteDatabase } from 'drizzle-orm/bun-sqlite'

/** Query builder; await every query so that the same code serves an asynchronous driver. */
export type Queries = BunSQLiteDatabase

export interface Db {
  /** A connection that can only read. */
  readonly read: Queries
  /**
   * Runs `work` in one transaction; transactions run one after the other. Whatever it throws rolls
   * all of it back. The promise settles after the commit. No network, storage or engine call belongs
   * inside.
   */
  tx<T>(work: (tx: Queries) => Promise<T>): Promise<T>
  /** Throws when the database does not answer. */
  ping(): void
  /** Bytes of the database file. */
  size(): number
  /** Bytes of the log beside it. */
  walSize(): number
  close(): void
}

/** Hears of what the database does; times are seconds. */
export interface DbObserver {
  /** A statement that read. */
  read: (seconds: number) => void
  /** A transaction from its begin to the end of its commit. */
  write: (seconds: number) => void
  /** A statement that failed because another process held the database. */
  busy: () => void
}
