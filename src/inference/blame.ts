// Blame (RULES §6): who runs again alone, who is refused, and when a version is put aside.
import { Fault } from '../core/fault.ts'
import type { Batch, PredictRequest } from './batcher.ts'
import { mostWaiting } from './batcher.ts'
import { type Deployment, suspects } from './deployment.ts'
import type { Lane } from './lane.ts'
import { Ward } from './ward.ts'

const window = 60_000
const deathsToQuarantine = 3

/** `isolation`: those that were present at a death. `suspects`: principals proven to have caused one. */
export const wardKeys = ['isolation', 'suspects'] as const
export type WardKey = (typeof wardKeys)[number]

export interface BlameOptions {
  /** The lane of a ward, with one frame in flight; made when first needed. */
  open: (key: WardKey) => Lane
  present: (key: WardKey) => Lane | undefined
  quarantine: (deployment: Deployment, reason: string) => void
}

const poison = (): Fault =>
  new Fault('inference.poison-request', 'The model died of this request twice; do not repeat it.')

const late = (): Fault => new Fault('inference.deadline', 'The model did not answer in time.')

export class Blame {
  readonly wards: Record<WardKey, Ward>
  private readonly options: BlameOptions
  /** Version id → principal → when a request of theirs was proven to kill it. */
  private readonly deaths = new Map<string, Map<string, number>>()

  constructor(options: BlameOptions) {
    this.options = options
    const ward = (key: WardKey, most: number, patience: number): Ward =>
      new Ward({
        open: () => options.open(key),
        present: () => options.present(key),
        most,
        patience,
      })
    // Apart from each other: nobody who was merely present waits behind a proven poisoner.
    this.wards = {
      isolation: ward('isolation', mostWaiting, 60_000),
      suspects: ward('suspects', 8, 10_000),
    }
  }

  /** Requests that were in flight when the engine of a shared lane died. */
  casualties(cause: 'crash' | 'hang', head: Batch | null, others: readonly Batch[]): void {
    for (const batch of head ? [head, ...others] : others) {
      const deployment = batch.batcher.owner as Deployment
      for (const request of batch.requests) {
        request.deaths += 1
        // A request that ran alone into the deadline has had its time; nobody else can be at fault.
        if (cause === 'hang' && batch === head && batch.requests.length === 1) {
          this.convict(deployment, request, 'hang')
          request.reject(late())
        } else this.runAlone(deployment, request)
      }
    }
  }

  /** Runs a request by itself, where its death harms nobody. */
  runAlone(deployment: Deployment, request: PredictRequest): void {
    const known = suspects.has(request.principal, deployment.row.id)
    this.wards[known ? 'suspects' : 'isolation'].admit(deployment, request)
  }

  /** What was in flight in a ward ran alone, so it alone is to blame. */
  isolated(cause: 'crash' | 'hang', head: Batch | null): void {
    if (!head) return
    const deployment = head.batcher.owner as Deployment
    for (const request of head.requests) {
      request.deaths += 1
      const again = request.deaths > 1
      if (!again && cause === 'crash') {
        this.runAlone(deployment, request)
        continue
      }
      this.convict(deployment, request, cause)
      request.reject(again ? poison() : late())
    }
  }

  /** Forgets a version that is gone. */
  forget(deployment: Deployment): void {
    for (const key of wardKeys) this.wards[key].forget(deployment)
  }

  /** Each principal counts once; three of them within a minute put the version aside. */
  private convict(deployment: Deployment, request: PredictRequest, cause: string): void {
    const now = performance.now()
    const { principal } = request
    const { id } = deployment.row
    suspects.add(principal, id, window)
    const waiting = this.wards.isolation.withdraw(deployment, principal)
    for (const other of waiting) this.runAlone(deployment, other)
    deployment.divert(principal)
    const dead = this.deaths.get(id) ?? new Map<string, number>()
    dead.set(principal, now)
    this.deaths.set(id, dead)
    for (const [who, when] of dead) if (now - when > window) dead.delete(who)
    if (dead.size < deathsToQuarantine) return
    this.deaths.delete(id)
    const how = cause === 'hang' ? 'hung' : 'crashed'
    this.options.quarantine(deployment, `${how} for ${dead.size} callers within a minute`)
  }
}
