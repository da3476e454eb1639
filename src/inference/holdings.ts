// Versions that engines hold: loaded once per lane, kept while wanted, let go after their last request.
import { toFault } from '../core/fault.ts'
import type { VersionRow } from '../db/tables.ts'
import type { Storage } from '../storage/storage.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { Deployment, isHeavy, memoryOf } from './deployment.ts'
import type { Lane } from './lane.ts'
import { Budget, Lanes, type LanesOptions } from './lanes.ts'
import { showVersion } from './publish.ts'

export interface HoldingsOptions extends Omit<LanesOptions, 'find' | 'onBulkClosed'> {
  storage: Storage
  metrics: Metrics
  /** Version metrics that are shown as accuracy and F1 (RULES §21). */
  metricNames: { accuracy: readonly string[]; f1: readonly string[] }
  /** Threads of a heavy version. */
  threads: number
  /** Milliseconds a request may be expected to wait for its engine. */
  longestWait: number
  /** Does a stage or an alias hold it? What neither holds may make room for others. */
  isRouted: (deployment: Deployment) => boolean
}

interface Held {
  deployment: Deployment
  /** Null once it is loaded, or why it could not be. */
  ready: Promise<string | null>
  loading: boolean
}

/** As the Open Inference Protocol names the states of a version. */
export type HeldState = 'LOADING' | 'READY' | 'UNLOADING'

/** With the name: a renamed model is loaded anew before its old name lets go. */
const keyOf = (model: string, row: VersionRow, lane: string): string => `${model}/${row.id}@${lane}`
const askedKey = (model: string, version: string): string => `${model}/${version}`

export class Holdings {
  readonly lanes: Lanes
  private readonly options: HoldingsOptions
  private readonly budget: Budget
  /** All loaded or loading deployments by version and lane. */
  private readonly held = new Map<string, Held>()
  /** Loaded beside the stages (on demand, for an alias), by version. */
  private readonly asked = new Map<string, Deployment>()
  /** Versions that are loaded for a move or a request under way, and by how many of them. */
  private readonly pinned = new Map<string, number>()
  /** Versions of which the lane of jobs has a copy. */
  private readonly copied = new Set<Deployment>()

  constructor(options: HoldingsOptions) {
    this.options = options
    this.budget = new Budget(options.memory)
    this.lanes = new Lanes({
      ...options,
      onBulkClosed: () => this.forgetCopies(),
      find: (handle) =>
        [...this.held.values()].find((h) => h.deployment.handle === handle)?.deployment,
    })
  }

  /** The deployment of a version that was asked for beside the stages. */
  askedFor(model: string, version: string): Deployment | undefined {
    return this.asked.get(askedKey(model, version))
  }

  /** What a model has loaded beside its stages. */
  askedOf(model: string): Deployment[] {
    return [...this.asked.values()].filter((deployment) => deployment.model === model)
  }

  ask(deployment: Deployment): void {
    this.asked.set(askedKey(deployment.model, deployment.version), deployment)
  }

  /** It is let go with the next `retire`. */
  forget(model: string, { version }: VersionRow): void {
    this.asked.delete(askedKey(model, String(version)))
  }

  /** Version id → its state, for every version that is in memory. */
  get states(): Map<string, HeldState> {
    const states = new Map<string, HeldState>()
    for (const { deployment, loading } of this.held.values()) {
      const { id } = deployment.row
      // A swap may hold a version twice; the better of the two counts.
      if (states.get(id) === 'READY') continue
      states.set(id, loading ? 'LOADING' : deployment.retiring ? 'UNLOADING' : 'READY')
    }
    return states
  }

  /** Keeps a version loaded that no route knows yet. Returns the release. */
  pin({ id }: VersionRow): () => void {
    this.pinned.set(id, (this.pinned.get(id) ?? 0) + 1)
    return () => {
      const left = (this.pinned.get(id) ?? 1) - 1
      if (left > 0) this.pinned.set(id, left)
      else this.pinned.delete(id)
    }
  }

  /** Loads a version into its lane unless it is there. Failures are remembered only by the caller. */
  async ensure(
    model: string,
    row: VersionRow,
    production: boolean,
  ): Promise<{ deployment: Deployment; why: string | null }> {
    const laneKey = this.lanes.keyFor(row, production)
    const key = keyOf(model, row, laneKey)
    const known = this.held.get(key)
    if (known) {
      known.deployment.retiring = false
      return { deployment: known.deployment, why: await known.ready }
    }
    const { storage, metrics, threads, longestWait } = this.options
    this.reserve(memoryOf(row))
    // Only now: what had to go may have taken the lane with it.
    const lane = this.lanes.open(laneKey)
    const deployment = new Deployment(model, row, {
      lane,
      metrics,
      path: storage.path(row.sha256),
      threads: isHeavy(row) ? threads : 1,
      longestWait,
      runAlone: (who, request) => this.lanes.blame.runAlone(who, request),
      bulk: (who) => this.bulkLane(who),
    })
    const ready = deployment.load().then((answer) => {
      held.loading = false
      if (answer.ok) {
        showVersion(this.options, deployment)
        return null
      }
      this.held.delete(key)
      this.forgetSeries(deployment)
      this.budget.free(deployment.memory)
      this.lanes.closeEmpty(lane)
      return answer.reason ?? 'the version could not be loaded'
    })
    const held: Held = { deployment, ready, loading: true }
    this.held.set(key, held)
    return { deployment, why: await ready }
  }

  private reserve(bytes: number): void {
    this.budget.reserve(
      bytes,
      () => this.leastUsed(),
      (victim) => this.unload(victim),
    )
  }

  /** The lane for a job over many rows; a copy of the version there takes memory of its own. */
  private bulkLane(deployment: Deployment): Lane {
    if (!isHeavy(deployment.row) && !this.copied.has(deployment)) {
      this.reserve(deployment.memory)
      this.copied.add(deployment)
    }
    return this.lanes.bulk(deployment)
  }

  private forgetCopies(): void {
    for (const { memory } of this.copied) this.budget.free(memory)
    this.copied.clear()
  }

  /** Like `ensure`, with a lack of memory as one more reason. */
  async attempt(
    model: string,
    row: VersionRow,
    production: boolean,
  ): Promise<{ deployment: Deployment; why: null } | { deployment: null; why: string }> {
    try {
      const { deployment, why } = await this.ensure(model, row, production)
      return why === null ? { deployment, why } : { deployment: null, why }
    } catch (error) {
      return { deployment: null, why: toFault(error).message }
    }
  }

  /** Lets go of what the model had loaded and no longer needs, after its last request. */
  retire(model: string, kept: ReadonlySet<Deployment>): void {
    for (const { deployment } of this.held.values()) {
      const { row, version } = deployment
      if (deployment.model !== model || kept.has(deployment) || this.pinned.has(row.id)) continue
      if (this.asked.get(askedKey(model, version)) === deployment) continue
      deployment.retiring = true
      void deployment.drained().then(() => {
        // It may have been wanted again while its last requests ran.
        if (deployment.retiring) this.unload(deployment)
      })
    }
  }

  /** Loaded on demand, used by nobody now, longest ago. */
  private leastUsed(): Deployment | undefined {
    return [...this.asked.values()]
      .filter(({ holds, row }) => holds === 0 && !this.pinned.has(row.id))
      .filter((deployment) => !this.options.isRouted(deployment))
      .sort((a, b) => a.lastUsed - b.lastUsed)[0]
  }

  /** A version has series as long as some engine holds it. */
  private forgetSeries({ model, version }: Deployment): void {
    const { metrics } = this.options
    const left = [...this.held.values()].filter(({ deployment }) => deployment.model === model)
    if (left.some(({ deployment }) => deployment.version === version)) return
    metrics.forgetVersion(model, version)
    if (left.length === 0) metrics.batchSize.remove({ model })
  }

  private unload(deployment: Deployment): void {
    const { model, row, version, lane } = deployment
    const key = keyOf(model, row, lane.key)
    if (this.held.get(key)?.deployment !== deployment) return
    this.held.delete(key)
    this.forgetSeries(deployment)
    const asked = askedKey(model, version)
    if (this.asked.get(asked) === deployment) this.asked.delete(asked)
    this.budget.free(deployment.memory)
    if (this.copied.delete(deployment)) this.budget.free(deployment.memory)
    this.lanes.letGo(deployment)
  }
}
