// Remembers failed starts and the versions that served before them (RULES §32).
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'

import type { Route } from '../inference/route.ts'

/** Model → stage → version. */
type GoodSet = Record<string, Record<string, number>>

interface Stored {
  /** Starts in a row that did not reach a stable state. */
  failures: number
  good: GoodSet
}

const failuresToSafeMode = 3
/** A server that lived this long after its first reconcile has started. */
export const stableAfter = 10_000

/** A record that cannot be read must not be what keeps the server from starting. */
function read(path: string): Stored {
  try {
    const { failures, good } = JSON.parse(readFileSync(path, 'utf8')) as Partial<Stored>
    return { failures: Number(failures ?? 0), good: good ?? {} }
  } catch {
    return { failures: 0, good: {} }
  }
}

export class StartRecord {
  readonly safeMode: boolean
  private readonly path: string
  private stored: Stored
  private readonly chosen: GoodSet

  /** Counts this start as failed until `stable` is called. */
  constructor(path: string) {
    this.path = path
    this.stored = read(path)
    this.safeMode = this.stored.failures >= failuresToSafeMode
    this.chosen = this.safeMode ? structuredClone(this.stored.good) : {}
    this.write({ ...this.stored, failures: this.stored.failures + 1 })
  }

  /** In safe mode: the version to prefer. */
  lastGood(model: string, stage: string): number | undefined {
    return this.chosen[model]?.[stage]
  }

  /** An explicit change of a model ends safe mode for it. */
  forget(model: string): void {
    delete this.chosen[model]
  }

  /** The server runs: forgets the failures and keeps what serves now as the good set. */
  stable(routes: Iterable<Route>): void {
    // Without a prototype: a model may be named __proto__.
    const good = Object.create(null) as GoodSet
    for (const { model, stages } of routes) {
      for (const [stage, { serving }] of Object.entries(stages)) {
        if (serving) good[model] = { ...good[model], [stage]: serving.row.version }
      }
    }
    this.write({ failures: 0, good })
  }

  /** Told to stop before all was loaded, which says nothing against the versions. */
  interrupted(): void {
    this.write({ ...this.stored, failures: Math.max(0, this.stored.failures - 1) })
  }

  private write(stored: Stored): void {
    this.stored = stored
    const temporary = `${this.path}.${process.pid}`
    try {
      writeFileSync(temporary, JSON.stringify(stored), { mode: 0o600, flush: true })
      renameSync(temporary, this.path)
    } catch {
      // On a full disk the server goes on: this record helps a later start, no more.
      rmSync(temporary, { force: true })
    }
  }
}
