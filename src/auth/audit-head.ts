// The signed end of the audit chain, kept outside the database, and the check of the whole chain.
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'

import { asc, desc, eq, gt } from 'drizzle-orm'

import { gathered } from '../core/queue.ts'
import type { Db } from '../db/db.ts'
import { audit, type AuditRow, tokens } from '../db/tables.ts'
import type { Log } from '../telemetry/log.ts'
import { firstHash, hashOf } from './audit.ts'
import type { Keys } from './keys.ts'

interface Head {
  seq: number
  hash: string
  kid: string
  signature: string
}

export interface Verdict {
  valid: boolean
  entries: number
  /** Entries after the signed head: those a crash left behind, normally none. */
  unsigned: number
  /** First entry that is wrong, and how. */
  problem?: string
}

export interface AuditHead {
  /** Signs the entry, or a later one, as the new end of the chain, if the old end is still in place. */
  advance(row: Pick<AuditRow, 'seq' | 'hash'>): Promise<void>
  /** Reads every entry and compares with the signed end. */
  verify(): Promise<Verdict>
  /** Called at start: follows entries a crash left unsigned; keeps evidence when the end differs. */
  resume(): Promise<void>
  /** Logs the head, so that a copy of it exists wherever logs go. */
  logHead(): void
}

const signedText = (seq: number, hash: string): string => `relais-audit-head:${seq}:${hash}`

/** Null when there is none; one that cannot be read is nobody's signature. */
function parseHead(path: string): Head | null {
  if (!existsSync(path)) return null
  try {
    const { seq, hash, kid, signature } = JSON.parse(readFileSync(path, 'utf8')) as Head
    return {
      seq: Number(seq) || 0,
      hash: String(hash),
      kid: String(kid),
      signature: `${signature}`,
    }
  } catch {
    return { seq: 0, hash: '', kid: '', signature: '' }
  }
}

/** Checks the links of the chain; returns the first problem, and the hash of the entry `watch`. */
async function walk(db: Db, watch: number): Promise<Verdict & { watched?: string; last: number }> {
  let previous = firstHash
  let last = 0
  let watched: string | undefined
  for (;;) {
    const page = await db.read
      .select()
      .from(audit)
      .where(gt(audit.seq, last))
      .orderBy(asc(audit.seq))
      .limit(2000)
    for (const row of page) {
      const problem = flawOf(row, last + 1, previous)
      if (problem) return { valid: false, entries: last, unsigned: 0, problem, last }
      previous = row.hash
      last = row.seq
      if (last === watch) watched = row.hash
    }
    if (page.length < 2000) break
  }
  const found = watched === undefined ? {} : { watched }
  return { valid: true, entries: last, unsigned: Math.max(0, last - watch), last, ...found }
}

function flawOf(row: AuditRow, expected: number, previous: string): string | null {
  if (row.seq !== expected) return `entry ${expected} is missing`
  if (row.prevHash !== previous) return `entry ${row.seq} does not follow its predecessor`
  const { hash, ...rest } = row
  return hashOf(rest) === hash ? null : `entry ${row.seq} was edited`
}

export function openAuditHead(path: string, db: Db, keys: Keys, log: Log): AuditHead {
  const broken = `${path}.broken`
  const write = (row: Pick<AuditRow, 'seq' | 'hash'>): void => {
    const head: Head = { ...keys.sign(signedText(row.seq, row.hash)), seq: row.seq, hash: row.hash }
    const temporary = `${path}.${process.pid}`
    writeFileSync(temporary, JSON.stringify(head), { mode: 0o600 })
    renameSync(temporary, path)
  }
  const authentic = (head: Head): boolean =>
    keys.verify(signedText(head.seq, head.hash), head.kid, head.signature)

  /**
   * Is the entry that was signed last still there, unchanged? If not, signing on would destroy the
   * evidence, so the old head is put aside and `verify` names it from then on.
   */
  const keepEvidence = async (head: Head | null): Promise<void> => {
    const seq = head?.seq ?? 0
    const [row] = await db.read.select().from(audit).where(eq(audit.seq, seq))
    const hash = seq === 0 ? firstHash : row?.hash
    if (head && hash === head.hash && authentic(head)) return
    if (!existsSync(broken)) {
      if (head) renameSync(path, broken)
      else writeFileSync(broken, 'the signed head was missing\n', { mode: 0o600 })
    }
    log.write('error', 'audit.head-mismatch', { seq })
  }
  // Entries that were committed together share one signature, that of the last.
  const advance = gathered(async (rows: Pick<AuditRow, 'seq' | 'hash'>[]) => {
    const head = parseHead(path)
    await keepEvidence(head)
    const last = rows.reduce((a, b) => (a.seq > b.seq ? a : b))
    // Another process may have signed a later entry meanwhile.
    if (last.seq > (head?.seq ?? 0)) write(last)
  })

  const verify = async (): Promise<Verdict> => {
    const head = parseHead(path)
    const { watched, last, ...verdict } = await walk(db, head?.seq ?? 0)
    const wrong = (problem: string): Verdict => ({ ...verdict, valid: false, problem })
    if (!verdict.valid) return verdict
    if (existsSync(broken)) return wrong(`the chain did not match its signed head; see ${broken}`)
    if (!head) return wrong('the signed head is missing')
    if (!authentic(head)) return wrong('the signature of the head is not ours')
    if (last < head.seq) return wrong(`entries ${last + 1} to ${head.seq} are missing`)
    return (head.seq === 0 ? firstHash : watched) === head.hash
      ? verdict
      : wrong(`entry ${head.seq} is not the one that was signed`)
  }

  return {
    advance,
    verify,
    resume: async () => {
      const [last] = await db.read.select().from(audit).orderBy(desc(audit.seq)).limit(1)
      const [token] = await db.read.select().from(tokens).limit(1)
      // A head is there before the first entry is, so that a missing one is never an accident.
      if (!last && !token && !existsSync(path)) write({ seq: 0, hash: firstHash })
      const head = parseHead(path)
      await keepEvidence(head)
      if (last && last.seq > (head?.seq ?? 0)) write(last)
    },
    logHead: () => {
      const head = parseHead(path)
      if (head) log.write('info', 'audit.head', { ...head, log_type: 'audit' })
    },
  }
}
