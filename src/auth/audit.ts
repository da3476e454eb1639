// The audit trail: one entry per change in the change's own transaction, chained by hashes.
import { and, desc, eq, gt, lt } from 'drizzle-orm'

import type { Context } from '../core/context.ts'
import { Fault } from '../core/fault.ts'
import { canonical, sha256 } from '../core/ids.ts'
import type { Db, Queries } from '../db/db.ts'
import { placeholders, prepared } from '../db/prepared.ts'
import { audit, type AuditRow, idempotency } from '../db/tables.ts'
import type { Log } from '../telemetry/log.ts'
import type { AuditHead } from './audit-head.ts'
import { auditLine } from './audit-line.ts'

export const firstHash = '0'.repeat(64)
const foldWindow = 60_000
const keepAnswers = 864e5

type Json = Record<string, unknown>

/** What a change did: `object` names what it was done to, `details` what an auditor needs to know. */
export interface Change<T> {
  result: T
  object: string
  details: Json
}

export interface Intent {
  /** Dotted verb: `version.stage`, `model.delete`. */
  action: string
  /** What identifies the request for Idempotency-Key; a key used with another input is refused. */
  input: unknown
}

export interface Audit {
  /**
   * Runs a change and its audit entry in one transaction. With an Idempotency-Key in the context, a
   * repeated call gets the first answer and changes nothing; another input under the key is 409.
   */
  change<T extends object>(
    ctx: Context,
    intent: Intent,
    work: (tx: Queries) => Promise<Change<T>>,
  ): Promise<T>
  /** The stored answer of an earlier call under the same key, if any. */
  replay<T extends object>(ctx: Context, intent: Intent): Promise<T | undefined>
  /** Records a refused change; repeats within a minute by one principal fold into one entry. */
  denied(ctx: Context, action: string, object: string): Promise<void>
  /** Newest first. */
  list(before: number | undefined, limit: number): Promise<AuditRow[]>
  /** Called after every entry with action and outcome. */
  onEntry(listener: (action: string, outcome: string) => void): void
  /** Writes folded denials now. */
  settle(): Promise<void>
  close(): Promise<void>
}

/** The hash of an entry covers all its columns and the hash before it. */
export function hashOf(row: Omit<AuditRow, 'hash'>): string {
  const { prevHash, ...rest } = row
  return sha256(prevHash + canonical(rest))
}

interface Entry {
  action: string
  object: string
  outcome: 'done' | 'denied'
  count: number
  details: Json
}

const lastEntry = prepared((q) =>
  q.select().from(audit).orderBy(desc(audit.seq)).limit(1).prepare(),
)

const insertEntry = prepared((q) => q.insert(audit).values(placeholders(audit)).prepare())

async function append(tx: Queries, ctx: Context, entry: Entry): Promise<AuditRow> {
  const [last] = await lastEntry(tx).execute()
  const row = {
    seq: (last?.seq ?? 0) + 1,
    at: Date.now(),
    actor: ctx.principal.sub,
    role: ctx.principal.role,
    requestId: ctx.requestId,
    ip: ctx.ip,
    prevHash: last?.hash ?? firstHash,
    ...entry,
  }
  const full = { ...row, hash: hashOf(row) }
  await insertEntry(tx).execute(full)
  return full
}

const fingerprintOf = (intent: Intent): string =>
  sha256(canonical({ action: intent.action, input: intent.input }))

async function storedAnswer(q: Queries, ctx: Context, intent: Intent): Promise<Json | undefined> {
  const key = ctx.idempotencyKey
  if (key === undefined) return undefined
  const [row] = await q
    .select()
    .from(idempotency)
    .where(and(eq(idempotency.sub, ctx.principal.sub), eq(idempotency.key, key)))
  if (!row) return undefined
  if (row.fingerprint !== fingerprintOf(intent)) {
    throw new Fault(
      'idempotency.mismatch',
      `Use a new Idempotency-Key; '${key}' belongs to another request.`,
    )
  }
  return row.result
}

async function keepAnswer(
  tx: Queries,
  ctx: Context,
  intent: Intent,
  result: object,
): Promise<void> {
  if (ctx.idempotencyKey === undefined) return
  await tx.delete(idempotency).where(lt(idempotency.at, Date.now() - keepAnswers))
  await tx.insert(idempotency).values({
    sub: ctx.principal.sub,
    key: ctx.idempotencyKey,
    fingerprint: fingerprintOf(intent),
    result: result as Json,
    at: Date.now(),
  })
}

/** Denials that wait to be folded into one entry. */
class Denials {
  private readonly open = new Map<
    string,
    { ctx: Context; since: number; counts: Map<string, number> }
  >()

  /** True for the first denial of a principal in the window; it gets an entry of its own. */
  first(ctx: Context, action: string): boolean {
    const found = this.open.get(ctx.principal.sub)
    if (!found) {
      this.open.set(ctx.principal.sub, { ctx, since: Date.now(), counts: new Map() })
      return true
    }
    found.counts.set(action, (found.counts.get(action) ?? 0) + 1)
    return false
  }

  /** Takes out the windows that have ended (or all). */
  take(all: boolean): { ctx: Context; counts: Map<string, number> }[] {
    const ended = [...this.open].filter(([, w]) => all || Date.now() - w.since >= foldWindow)
    for (const [sub] of ended) this.open.delete(sub)
    return ended.map(([, window]) => window).filter((window) => window.counts.size > 0)
  }
}

class AuditTrail implements Audit {
  private readonly denials = new Denials()
  private readonly listeners: ((action: string, outcome: string) => void)[] = []
  private readonly timer: ReturnType<typeof setInterval>
  private readonly db: Db
  private readonly head: AuditHead
  private readonly log: Log

  constructor(db: Db, head: AuditHead, log: Log) {
    this.db = db
    this.head = head
    this.log = log
    this.timer = setInterval(() => {
      this.fold(false).catch((error: unknown) => log.write('error', 'audit.failed', { error }))
    }, 5_000)
    this.timer.unref()
  }

  async change<T extends object>(
    ctx: Context,
    intent: Intent,
    work: (tx: Queries) => Promise<Change<T>>,
  ): Promise<T> {
    let row: AuditRow | undefined
    const result = await this.db.tx(async (tx) => {
      const stored = await storedAnswer(tx, ctx, intent)
      if (stored) return stored as T
      const { object, details, result: made } = await work(tx)
      const { action } = intent
      row = await append(tx, ctx, { action, object, details, outcome: 'done', count: 1 })
      await keepAnswer(tx, ctx, intent, made)
      return made
    })
    if (row) await this.announce(row, ctx)
    return result
  }

  async replay<T extends object>(ctx: Context, intent: Intent): Promise<T | undefined> {
    return (await storedAnswer(this.db.read, ctx, intent)) as T | undefined
  }

  async denied(ctx: Context, action: string, object: string): Promise<void> {
    if (!this.denials.first(ctx, action)) return
    await this.refuse(ctx, { action, object, count: 1, details: {} })
  }

  async list(before: number | undefined, limit: number): Promise<AuditRow[]> {
    await this.fold(true)
    const older = before === undefined ? gt(audit.seq, 0) : lt(audit.seq, before)
    return this.db.read.select().from(audit).where(older).orderBy(desc(audit.seq)).limit(limit)
  }

  onEntry(listener: (action: string, outcome: string) => void): void {
    this.listeners.push(listener)
  }

  settle(): Promise<void> {
    return this.fold(true)
  }

  async close(): Promise<void> {
    clearInterval(this.timer)
    await this.fold(true)
  }

  private async announce(row: AuditRow, ctx: Context): Promise<void> {
    await this.head.advance(row)
    for (const listener of this.listeners) listener(row.action, row.outcome)
    const { event, ...members } = auditLine(row, ctx)
    this.log.write('info', event, members)
  }

  private async refuse(ctx: Context, entry: Omit<Entry, 'outcome'>): Promise<void> {
    const full = { ...entry, outcome: 'denied' } as const
    await this.announce(await this.db.tx((tx) => append(tx, ctx, full)), ctx)
  }

  private async fold(all: boolean): Promise<void> {
    for (const { ctx, counts } of this.denials.take(all)) {
      const count = [...counts.values()].reduce((sum, n) => sum + n, 0)
      const details = { folded: Object.fromEntries(counts) }
      await this.refuse(ctx, { action: 'access.denied', object: '*', count, details })
    }
  }
}

export const createAudit = (db: Db, head: AuditHead, log: Log): Audit =>
  new AuditTrail(db, head, log)
