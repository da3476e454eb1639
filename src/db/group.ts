// Group commit: transactions that wait at the same time share one COMMIT, and so one sync of the disk.
import type { Database } from 'bun:sqlite'

/** So many at most share a commit, so that the first one's caller need not wait for ever. */
const most = 64

interface Job {
  work: () => Promise<unknown>
  resolve: (result: never) => void
  reject: (error: unknown) => void
}

/** A full turn of the event loop: requests that have arrived are read meanwhile. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/**
 * Runs transactions one after the other, each in a savepoint of a shared transaction: one that throws
 * is rolled back alone. Nobody hears of an outcome before the COMMIT; if that fails, all have failed.
 */
export class GroupCommit {
  private readonly waiting: Job[] = []
  private isWorking = false
  private readonly db: Database
  private readonly onError: (error: unknown) => void
  private readonly onCommit: (seconds: number) => void

  /**
   * `onError` hears of everything that makes a transaction or a group fail, `onCommit` how long a group
   * took from its begin.
   */
  constructor(
    db: Database,
    onError: (error: unknown) => void,
    onCommit: (seconds: number) => void = () => undefined,
  ) {
    this.db = db
    this.onError = onError
    this.onCommit = onCommit
  }

  run<T>(work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ work, resolve, reject })
      if (!this.isWorking) void this.drain()
    })
  }

  private async drain(): Promise<void> {
    this.isWorking = true
    while (this.waiting.length > 0) await this.commitGroup()
    this.isWorking = false
  }

  private async commitGroup(): Promise<void> {
    const { db } = this
    const members: Job[] = []
    const outcomes: (() => void)[] = []
    const started = performance.now()
    try {
      for (let job = this.waiting.shift(); job; job = await this.next(members.length)) {
        members.push(job)
        if (members.length === 1) db.query('BEGIN IMMEDIATE').run()
        outcomes.push(await this.attempt(job))
      }
      db.query('COMMIT').run()
      this.onCommit((performance.now() - started) / 1000)
    } catch (error) {
      this.onError(error)
      for (const { reject } of members) reject(error)
      if (db.inTransaction) db.query('ROLLBACK').run()
      return
    }
    for (const tell of outcomes) tell()
  }

  /** The next member: one that waits, or that comes within a turn of the event loop. */
  private async next(members: number): Promise<Job | undefined> {
    if (members === most) return undefined
    if (this.waiting.length === 0) await turn()
    return this.waiting.shift()
  }

  /** Returns how to tell the outcome; throws only when SQLite has given up the whole transaction. */
  private async attempt({ work, resolve, reject }: Job): Promise<() => void> {
    const { db } = this
    db.query('SAVEPOINT member').run()
    try {
      const result = await work()
      db.query('RELEASE member').run()
      return () => resolve(result as never)
    } catch (error) {
      // After a full disk or an I/O error nothing is left to go back to.
      if (!db.inTransaction) throw error
      this.onError(error)
      db.query('ROLLBACK TO member').run()
      db.query('RELEASE member').run()
      return () => reject(error)
    }
  }
}
