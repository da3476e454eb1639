// Desired against loaded: brings engines in line with the registry, and finds a request's version.
import { Fault, toFault } from '../core/fault.ts'
import { serialQueue } from '../core/queue.ts'
import type { Db } from '../db/db.ts'
import type { VersionRow } from '../db/tables.ts'
import { findModel } from '../registry/registry.ts'
import { isSound, stageNamed, versionRow } from '../registry/stages.ts'
import { resolveVersion } from '../registry/versions.ts'
import type { Storage } from '../storage/storage.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { Deployment, isHeavy, memoryOf } from './deployment.ts'
import { type Desired, desiredOf, type DesiredStage, modelNames } from './desired.ts'
import { Budget, Lanes } from './lanes.ts'
import { publishRoute, unpublish } from './publish.ts'
import type { Route, ServedStage } from './route.ts'
import type { ChildHome } from './spawn.ts'

export interface DeploymentsOptions {
  db: Db
  storage: Storage
  home: ChildHome
  memory: number
  threads: number
  runTimeout: number
  loadTimeout: number
  grace: number
  /** Milliseconds a request may be expected to wait for its engine. */
  longestWait: number
  log: Log
  metrics: Metrics
  metricNames: { accuracy: readonly string[]; f1: readonly string[] }
  /** Marks a version in the registry; called when blame has been proven. */
  onQuarantine: (deployment: Deployment, reason: string) => Promise<void>
  /** In safe mode: the version of a stage that served before the failed starts. */
  lastGood: (model: string, stage: string) => number | undefined
}

const safeModeReason = 'safe mode: the last version that is known to work'

const keyOf = (row: VersionRow, lane: string): string => `${row.id}@${lane}`

export class Deployments {
  started = false
  private closing = false
  private readonly options: DeploymentsOptions
  private readonly lanes: Lanes
  private readonly budget: Budget
  private readonly inOrder = serialQueue()
  private readonly routes = new Map<string, Route>()
  /** All loaded or loading deployments by version and lane. */
  private readonly loaded = new Map<
    string,
    { deployment: Deployment; ready: Promise<string | null> }
  >()
  private readonly onDemand = new Map<string, Deployment>()
  /** Versions that are loaded for a move or a request under way, and by how many of them. */
  private readonly pinned = new Map<string, number>()

  constructor(options: DeploymentsOptions) {
    this.options = options
    this.budget = new Budget(options.memory)
    const { home, memory, runTimeout, loadTimeout, log, metrics } = options
    this.lanes = new Lanes({
      home,
      memory,
      runTimeout,
      loadTimeout,
      log,
      metrics,
      quarantine: (deployment, reason) => void this.quarantine(deployment, reason),
      find: (handle) =>
        [...this.loaded.values()].find((l) => l.deployment.handle === handle)?.deployment,
    })
  }

  /** Loads everything that should be served; call once. Models that fail leave a note, no more. */
  async start(): Promise<void> {
    for (const name of await modelNames(this.options.db.read)) {
      if (this.closing) return
      await this.reconcile(name)
    }
    this.started = !this.closing
  }

  /** Closes the gap between registry and engines for one model. */
  reconcile(name: string): Promise<void> {
    return this.inOrder(() => this.bring(name))
  }

  /**
   * Loads a version for a stage while `work` moves it there; nothing is routed to it before the
   * registry says so. `work` gets the reason when it could not be loaded, else null.
   */
  async beside<T>(
    at: { model: string; row: VersionRow; production: boolean },
    work: (why: string | null) => Promise<T>,
  ): Promise<T> {
    const unpin = this.pin(at.row)
    try {
      const { why } = await this.ensure(at.model, at.row, at.production)
      return await work(why)
    } finally {
      unpin()
      await this.reconcile(at.model)
    }
  }

  route(model: string): Route | undefined {
    return this.routes.get(model)
  }

  get all(): Iterable<Route> {
    return this.routes.values()
  }

  get engines(): { key: string; pid: number; memory: number }[] {
    return this.lanes.running
  }

  /** The deployment that serves a stage now, and a hold on it. Memory only: the hot path. */
  production(model: string): Deployment {
    if (!this.started) throw new Fault('service.starting', 'The models are being loaded.')
    const route = this.routes.get(model)
    const serving = route?.stages.Production.serving
    if (serving) return serving
    if (!route) throw new Fault('model.not-found', `No model is named ${JSON.stringify(model)}.`)
    throw this.absent(route, 'Production')
  }

  /** The deployment of a version number, stage or alias; loads it when it is not held. */
  async find(model: string, reference: string): Promise<Deployment> {
    const stage = stageNamed(reference)
    if (stage === 'Production') return this.production(model)
    if (!this.started) throw new Fault('service.starting', 'The models are being loaded.')
    const route = this.routes.get(model)
    if (!route) throw new Fault('model.not-found', `No model is named ${JSON.stringify(model)}.`)
    if (stage === 'Staging') {
      if (route.stages.Staging.serving) return route.stages.Staging.serving
      throw this.absent(route, 'Staging')
    }
    const version = /^\d{1,9}$/.test(reference) ? Number(reference) : route.aliases.get(reference)
    if (version === undefined && !stage) {
      throw new Fault('version.not-found', `${model} has no version ${reference}.`)
    }
    const wanted = version === undefined ? reference : String(version)
    return this.held(route, wanted) ?? this.demand(route, wanted)
  }

  async close(): Promise<void> {
    this.closing = true
    await this.inOrder(() => Promise.resolve())
    this.lanes.close()
  }

  private held(route: Route, version: string): Deployment | undefined {
    for (const { serving } of Object.values(route.stages)) {
      if (serving?.version === version) return serving
    }
    const found = this.onDemand.get(`${route.modelId}/${version}`)
    if (found) found.lastUsed = performance.now()
    return found
  }

  private async demand(route: Route, reference: string): Promise<Deployment> {
    const { db } = this.options
    const row = await resolveVersion(db.read, await findModel(db.read, route.model), reference)
    if (row.servability !== 'servable') {
      const code = row.servability === 'failed' ? 'version.failed' : 'version.not-servable'
      throw new Fault(code, row.reason ?? 'The version cannot be served.')
    }
    if (row.quarantinedAt !== null) {
      throw new Fault('version.quarantined', row.quarantineReason ?? 'The version was put aside.')
    }
    const unpin = this.pin(row)
    try {
      const { deployment, why } = await this.ensure(route.model, row, false)
      if (why !== null) throw new Fault('model.unavailable', why)
      this.onDemand.set(`${route.modelId}/${row.version}`, deployment)
      return deployment
    } finally {
      unpin()
    }
  }

  /** Keeps a version loaded that no route knows yet. Returns the release. */
  private pin({ id }: VersionRow): () => void {
    this.pinned.set(id, (this.pinned.get(id) ?? 0) + 1)
    return () => {
      const left = (this.pinned.get(id) ?? 1) - 1
      if (left > 0) this.pinned.set(id, left)
      else this.pinned.delete(id)
    }
  }

  private absent(route: Route, stage: DesiredStage['stage']): Fault {
    const { live, why } = route.stages[stage]
    if (live === null) {
      return new Fault(
        'stage.empty',
        `${route.model} has no version in ${stage}; promote one first.`,
      )
    }
    return new Fault('model.unavailable', why === '' ? 'The version is not loaded.' : why)
  }

  private async bring(name: string): Promise<void> {
    const { db, grace, lastGood } = this.options
    const desired = await desiredOf(db.read, name, grace, (stage) => lastGood(name, stage))
    if (!desired) {
      const gone = this.routes.get(name)
      this.routes.delete(name)
      if (gone) await this.forgetAsked(gone.modelId, () => false)
      if (gone) this.retire(gone.modelId, new Set())
      unpublish(this.options.metrics, name)
      return
    }
    const route = await this.build(desired)
    const before = this.routes.get(name)
    this.routes.set(name, route)
    publishRoute(this.options, route, before)
    await this.forgetAsked(desired.model.id, isSound)
    const kept = await this.keepAliases(desired, route)
    this.retire(desired.model.id, kept)
  }

  private async build(desired: Desired): Promise<Route> {
    const { model } = desired
    const stages = {} as Route['stages']
    for (const wanted of desired.stages) {
      stages[wanted.stage] = await this.fill(model.name, wanted)
      if (wanted.graceUntil !== null) this.lookAgain(model.name, wanted.graceUntil - Date.now())
    }
    const aliases = new Map(desired.aliases.map(({ alias, row }) => [alias, row.version]))
    return { model: model.name, modelId: model.id, stages, aliases }
  }

  /** The first candidate of a stage that loads, and why it is not the live version. */
  private async fill(model: string, wanted: DesiredStage): Promise<ServedStage> {
    const { stage, live, candidates } = wanted
    const number = live?.version ?? null
    const reasons = live?.quarantinedAt ? [live.quarantineReason ?? 'quarantined'] : []
    for (const row of candidates) {
      const { deployment, why } = await this.attempt(model, row, stage === 'Production')
      if (why !== null) reasons.push(why)
      else if (row.version === number || live === null) {
        return { live: number, serving: deployment, why: '' }
      } else return { live: number, serving: deployment, why: reasons[0] ?? safeModeReason }
    }
    return { live: number, serving: null, why: reasons[0] ?? '' }
  }

  /** Like `ensure`, with a lack of memory as one more reason. */
  private async attempt(
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

  /** §7: versions under an alias stay loaded too. Returns the deployments of the model to keep. */
  private async keepAliases(desired: Desired, route: Route): Promise<Set<Deployment>> {
    const kept = new Set(Object.values(route.stages).flatMap(({ serving }) => serving ?? []))
    for (const { row } of desired.aliases) {
      if (!isSound(row)) continue
      if ([...kept].some((deployment) => deployment.row.id === row.id)) continue
      const { deployment } = await this.attempt(desired.model.name, row, false)
      if (deployment === null) continue
      kept.add(deployment)
      this.onDemand.set(`${desired.model.id}/${row.version}`, deployment)
    }
    return kept
  }

  private lookAgain(model: string, after: number): void {
    setTimeout(() => void this.reconcile(model), Math.max(0, after) + 10).unref()
  }

  /** Loads a version into its lane unless it is there. Failures are remembered only by the caller. */
  private async ensure(
    model: string,
    row: VersionRow,
    production: boolean,
  ): Promise<{ deployment: Deployment; why: string | null }> {
    const lane = this.lanes.laneFor(row, production)
    const key = keyOf(row, lane.key)
    const known = this.loaded.get(key)
    if (known) {
      known.deployment.retiring = false
      return { deployment: known.deployment, why: await known.ready }
    }
    const { storage, metrics, threads, longestWait } = this.options
    this.budget.reserve(
      memoryOf(row),
      () => this.leastUsed(),
      (victim) => this.unload(victim),
    )
    const deployment = new Deployment(model, row, {
      lane,
      metrics,
      path: storage.path(row.sha256),
      threads: isHeavy(row) ? threads : 1,
      longestWait,
      runAlone: (who, request) => this.lanes.blame.runAlone(who, request),
    })
    const ready = deployment.load().then((answer) => {
      if (answer.ok) return null
      this.loaded.delete(key)
      this.budget.free(deployment.memory)
      return answer.reason ?? 'the version could not be loaded'
    })
    this.loaded.set(key, { deployment, ready })
    return { deployment, why: await ready }
  }

  /** Loaded on demand, used by nobody now, longest ago. What a stage or an alias holds is not. */
  private leastUsed(): Deployment | undefined {
    const held = new Set<Deployment | null | undefined>()
    for (const { modelId, stages, aliases } of this.routes.values()) {
      for (const { serving } of Object.values(stages)) held.add(serving)
      for (const version of aliases.values()) held.add(this.onDemand.get(`${modelId}/${version}`))
    }
    return [...this.onDemand.values()]
      .filter((deployment) => deployment.holds === 0 && !held.has(deployment))
      .sort((a, b) => a.lastUsed - b.lastUsed)[0]
  }

  /** What was loaded on demand and has been deleted or put aside since is not found any more. */
  private async forgetAsked(modelId: string, keep: (row: VersionRow) => boolean): Promise<void> {
    for (const [key, { row }] of this.onDemand) {
      if (row.modelId !== modelId) continue
      const now = await versionRow(this.options.db.read, modelId, row.version)
      if (now?.id !== row.id || !keep(now)) this.onDemand.delete(key)
    }
  }

  /** Lets go of what the model had loaded and no longer needs, after its last request. */
  private retire(modelId: string, kept: ReadonlySet<Deployment>): void {
    for (const { deployment } of this.loaded.values()) {
      if (deployment.row.modelId !== modelId || kept.has(deployment)) continue
      if (this.pinned.has(deployment.row.id)) continue
      const asked = this.onDemand.get(`${modelId}/${deployment.version}`) === deployment
      if (asked) continue
      deployment.retiring = true
      void deployment.drained().then(() => {
        // It may have been wanted again while its last requests ran.
        if (deployment.retiring) this.unload(deployment)
      })
    }
  }

  private unload(deployment: Deployment): void {
    const key = keyOf(deployment.row, deployment.lane.key)
    if (this.loaded.get(key)?.deployment !== deployment) return
    this.loaded.delete(key)
    const asked = `${deployment.row.modelId}/${deployment.version}`
    if (this.onDemand.get(asked) === deployment) this.onDemand.delete(asked)
    this.budget.free(deployment.memory)
    this.lanes.letGo(deployment)
  }

  private async quarantine(deployment: Deployment, reason: string): Promise<void> {
    const { log, onQuarantine } = this.options
    log.write('error', 'version.quarantined', {
      model: deployment.model,
      model_version: deployment.version,
      reason,
    })
    try {
      await onQuarantine(deployment, reason)
      await this.reconcile(deployment.model)
    } catch (error) {
      log.write('error', 'version.quarantine-failed', { error })
    }
  }
}
