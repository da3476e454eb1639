// Blame (RULES §6): who runs again alone, who is refused, and when a version is put aside.
import { Fault } from '../core/fault.ts'
import type { Batch, PredictRequest } from './batcher.ts'
import { Batcher } from './batcher.ts'
import { type Deployment, suspects } from './deployment.ts'
import type { Lane } from './lane.ts'

const window = 60_000
const deathsToQuarantine = 3
/** Requests of one principal that may wait to run alone. */
const mostSuspended = 32
/** Versions that stay loaded in the isolation lane. */
const mostResident = 4
/** Time a suspect request has, waiting included. */
const patience = 60_000

export interface BlameOptions {
  /** The lane with one frame in flight. Made when first needed. */
  isolation: () => Lane
  quarantine: (deployment: Deployment, reason: string) => void
}

const poison = (): Fault =>
  new Fault('inference.poison-request', 'The model died of this request twice; do not repeat it.')

interface Residency {
  deployment: Deployment
  /** One queue per principal, so that nobody waits behind another's poison. */
  queues: Map<string, Batcher>
}

export class Blame {
  private readonly options: BlameOptions
  /** Version id → principal → when a request of theirs was proven to kill it. */
  private readonly deaths = new Map<string, Map<string, number>>()
  private readonly residencies = new Map<number, Residency>()
  /** When the isolation lane was last needed. */
  lastUsed = 0

  constructor(options: BlameOptions) {
    this.options = options
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
          request.reject(new Fault('inference.deadline', 'The model did not answer in time.'))
        } else this.runAlone(deployment, request)
      }
    }
  }

  /** Runs a request by itself, where its death harms nobody. */
  runAlone(deployment: Deployment, request: PredictRequest): void {
    this.lastUsed = performance.now()
    const lane = this.options.isolation()
    const queue = this.queueOf(deployment, request.principal, lane)
    if (queue.waiting >= mostSuspended) {
      request.reject(
        new Fault('engine.busy', 'Too many suspicious requests wait; try again later.'),
      )
      return
    }
    request.deadline = performance.now() + patience
    void lane.hold(deployment.order).then((answer) => {
      if (answer.ok) lane.submit(queue, request)
      else request.reject(new Fault('model.unavailable', 'The version could not be loaded.'))
    })
  }

  /** What was in flight in the isolation lane ran alone, so it alone is to blame. */
  isolated(cause: 'crash' | 'hang', head: Batch | null): void {
    if (!head) return
    const deployment = head.batcher.owner as Deployment
    for (const request of head.requests) {
      request.deaths += 1
      if (request.deaths < 2) this.runAlone(deployment, request)
      else {
        this.convict(deployment, request, cause)
        request.reject(poison())
      }
    }
  }

  /** Forgets a version that is gone. */
  forget(deployment: Deployment, lane: Lane | null): void {
    this.residencies.delete(deployment.handle)
    lane?.drop(deployment.handle)
  }

  forgetAll(lane: Lane): void {
    for (const { deployment } of [...this.residencies.values()]) this.forget(deployment, lane)
  }

  private queueOf(deployment: Deployment, principal: string, lane: Lane): Batcher {
    const { handle } = deployment
    const residency = this.residencies.get(handle) ?? this.admit(deployment, lane)
    const known = residency.queues.get(principal)
    if (known) return known
    const queue = new Batcher(handle, deployment, { mergeable: false, fixedShape: true })
    residency.queues.set(principal, queue)
    return queue
  }

  private admit(deployment: Deployment, lane: Lane): Residency {
    for (const { deployment: other, queues } of this.residencies.values()) {
      if (this.residencies.size < mostResident) break
      if ([...queues.values()].every((queue) => queue.waiting === 0)) this.forget(other, lane)
    }
    const made = { deployment, queues: new Map<string, Batcher>() }
    this.residencies.set(deployment.handle, made)
    return made
  }

  /** Each principal counts once; three of them within a minute put the version aside. */
  private convict(deployment: Deployment, request: PredictRequest, cause: string): void {
    const now = performance.now()
    const { id } = deployment.row
    suspects.add(request.principal, id, window)
    const dead = this.deaths.get(id) ?? new Map<string, number>()
    dead.set(request.principal, now)
    this.deaths.set(id, dead)
    for (const [who, when] of dead) if (now - when > window) dead.delete(who)
    if (dead.size < deathsToQuarantine) return
    this.deaths.delete(id)
    const how = cause === 'hang' ? 'hung' : 'crashed'
    this.options.quarantine(deployment, `${how} for ${dead.size} callers within a minute`)
  }
}
