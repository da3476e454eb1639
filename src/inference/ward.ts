// A ward: one lane with one frame in flight, where requests run alone and harm nobody by dying.
import { Fault, toFault } from '../core/fault.ts'
import { Batcher, type PredictRequest } from './batcher.ts'
import type { Deployment } from './deployment.ts'
import type { Lane } from './lane.ts'

/** Versions that stay loaded in a ward. */
const mostResident = 4

export interface WardOptions {
  /** Its lane, made when first needed. */
  open: () => Lane
  /** Its lane, if there is one. */
  present: () => Lane | undefined
  /** Requests of one principal for one version that may wait. */
  most: number
  /** Milliseconds a request has, waiting included. */
  patience: number
}

interface Residency {
  deployment: Deployment
  /** One queue per principal, so that nobody waits behind another's poison. */
  queues: Map<string, Batcher>
}

export class Ward {
  /** When it was last needed. */
  lastUsed = 0
  private readonly options: WardOptions
  private readonly residencies = new Map<number, Residency>()

  constructor(options: WardOptions) {
    this.options = options
  }

  /** Runs a request by itself. */
  admit(deployment: Deployment, request: PredictRequest): void {
    const { open, most, patience } = this.options
    this.lastUsed = performance.now()
    const queue = this.queueOf(deployment, request.principal)
    if (queue.waiting >= most) {
      const why = 'Too many of your requests to this model wait to run apart; try again later.'
      request.reject(new Fault('engine.busy', why, { retryAfter: 5 }))
      return
    }
    request.deadline = this.lastUsed + patience
    const lane = open()
    // Frames are worked on in order, so the run may follow the load at once.
    void lane.hold(deployment.order)
    try {
      lane.submit(queue, request)
    } catch (error) {
      request.reject(toFault(error))
    }
  }

  /** Takes back what a principal has waiting for a version. */
  withdraw(deployment: Deployment, principal: string): PredictRequest[] {
    return this.residencies.get(deployment.handle)?.queues.get(principal)?.takeAll() ?? []
  }

  /** Forgets a version that is gone. */
  forget(deployment: Deployment): void {
    if (!this.residencies.delete(deployment.handle)) return
    this.options.present()?.drop(deployment.handle)
  }

  forgetAll(): void {
    for (const { deployment } of this.residencies.values()) this.forget(deployment)
  }

  private queueOf(deployment: Deployment, principal: string): Batcher {
    const { handle } = deployment
    const residency = this.residencies.get(handle) ?? this.accommodate(deployment)
    const known = residency.queues.get(principal)
    if (known) return known
    const queue = new Batcher(handle, deployment, {
      mergeable: false,
      fixedShape: true,
      longestWait: Infinity,
    })
    residency.queues.set(principal, queue)
    return queue
  }

  private accommodate(deployment: Deployment): Residency {
    for (const { deployment: other, queues } of this.residencies.values()) {
      if (this.residencies.size < mostResident) break
      if ([...queues.values()].every((queue) => queue.waiting === 0)) this.forget(other)
    }
    const made = { deployment, queues: new Map<string, Batcher>() }
    this.residencies.set(deployment.handle, made)
    return made
  }
}
