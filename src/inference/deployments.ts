// Desired against loaded: brings engines in line with the registry, and finds a request's version.
import { Fault } from '../core/fault.ts'
import { serialQueue } from '../core/queue.ts'
import type { Db } from '../db/db.ts'
import type { VersionRow } from '../db/tables.ts'
import { findModel } from '../registry/registry.ts'
import { isSound, stageNamed, versionRow } from '../registry/stages.ts'
import { resolveVersion } from '../registry/versions.ts'
import type { Storage } from '../storage/storage.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Deployment } from './deployment.ts'
import { type Desired, desiredOf, type DesiredStage, modelNames } from './desired.ts'
import { type HeldState, Holdings } from './holdings.ts'
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

type Unserved = Pick<VersionRow, 'id' | 'quarantinedAt' | 'quarantineReason'>

const safeModeReason = 'safe mode: the last version that is known to work'
/** Why a version serves nothing after the model repository's call. */
const unloaded = 'unloaded'
const unloadedText = 'The version was unloaded; load it before it is asked for again.'

/** Throws the reason why a version can never serve as it is. */
export function demandServable(row: VersionRow): void {
  if (row.servability !== 'servable') {
    const code = row.servability === 'failed' ? 'version.failed' : 'version.not-servable'
    throw new Fault(code, row.reason ?? 'The version cannot be served.')
  }
  if (row.quarantinedAt !== null) {
    throw new Fault('version.quarantined', row.quarantineReason ?? 'The version was put aside.')
  }
}

export class Deployments {
  started = false
  private closing = false
  private readonly options: DeploymentsOptions
  private readonly inOrder = serialQueue()
  /** Reconciliations that wait for their turn. */
  private readonly reconciling = new Map<string, Promise<void>>()
  private readonly routes = new Map<string, Route>()
  private readonly holdings: Holdings
  /** Version id → the version as it was when somebody unloaded it, and stays out until it moves. */
  private readonly keptOut = new Map<string, VersionRow>()

  constructor(options: DeploymentsOptions) {
    this.options = options
    this.holdings = new Holdings({
      ...options,
      quarantine: (deployment, reason) => void this.quarantine(deployment, reason),
      isRouted: (deployment) => this.isRouted(deployment),
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
    // One that has not begun will find what was committed by now.
    const waiting = this.reconciling.get(name)
    if (waiting) return waiting
    const work = this.inOrder(() => {
      this.reconciling.delete(name)
      return this.bring(name)
    })
    this.reconciling.set(name, work)
    return work
  }

  /**
   * Loads a version for a stage while `work` moves it there; nothing is routed to it before the
   * registry says so. `work` gets the reason when it could not be loaded, else null.
   */
  async beside<T>(
    at: { model: string; row: VersionRow; production: boolean },
    work: (why: string | null) => Promise<T>,
  ): Promise<T> {
    const unpin = this.holdings.pin(at.row)
    try {
      const { why } = await this.holdings.ensure(at.model, at.row, at.production)
      const result = await work(why)
      this.keptOut.delete(at.row.id)
      return result
    } finally {
      unpin()
      await this.reconcile(at.model)
    }
  }

  /** Loads a version, also one that was unloaded. Throws what keeps it from being loaded. */
  async load(model: string, row: VersionRow): Promise<void> {
    this.keptOut.delete(row.id)
    await this.reconcile(model)
    await this.find(model, String(row.version))
  }

  /** Throws `version.live` for what serves Production, which must go on serving (RULES §28). */
  demandUnloadable(model: string, row: VersionRow): void {
    const production = this.routes.get(model)?.stages.Production
    if (production?.live === row.version || production?.serving?.row.id === row.id) {
      throw new Fault('version.live', `Version ${row.version} serves Production.`)
    }
  }

  /**
   * Lets go of a version after its last request. What the Staging stage or an alias would bring back
   * stays out until `load`, a move to another stage, or a restart. Throws `version.live`.
   */
  async unload(model: string, row: VersionRow): Promise<void> {
    this.demandUnloadable(model, row)
    const route = this.routes.get(model)
    const Staging = route?.stages.Staging
    const isHeld = Staging?.live === row.version || Staging?.serving?.row.id === row.id
    const isNamed = [...(route?.aliases.values() ?? [])].includes(row.version)
    if (isHeld || isNamed) this.keptOut.set(row.id, row)
    this.holdings.forget(model, row)
    await this.reconcile(model)
  }

  /** What a model serves now, once per version, ascending: its stages' first. */
  serving(route: Route): Deployment[] {
    const staged = Object.values(route.stages).flatMap(({ serving }) => serving ?? [])
    const found = new Map<string, Deployment>()
    for (const deployment of [...staged, ...this.holdings.askedOf(route.model)]) {
      if (!found.has(deployment.version)) found.set(deployment.version, deployment)
    }
    return [...found.values()].sort((a, b) => a.row.version - b.row.version)
  }

  /** State of a version in memory, and why it is in none. */
  get states(): (row: Unserved) => { state: HeldState | 'UNAVAILABLE'; reason: string } {
    const held = this.holdings.states
    return (row) => {
      const state = held.get(row.id)
      if (state !== undefined) return { state, reason: '' }
      if (row.quarantinedAt !== null) {
        return { state: 'UNAVAILABLE', reason: row.quarantineReason ?? 'quarantined' }
      }
      const reason = this.keptOut.has(row.id) ? unloaded : 'not loaded; a request loads it'
      return { state: 'UNAVAILABLE', reason }
    }
  }

  route(model: string): Route | undefined {
    return this.routes.get(model)
  }

  get all(): Iterable<Route> {
    return this.routes.values()
  }

  get engines(): { key: string; pid: number; memory: number }[] {
    return this.holdings.lanes.running
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
    this.holdings.lanes.close()
  }

  private held(route: Route, version: string): Deployment | undefined {
    for (const { serving } of Object.values(route.stages)) {
      if (serving?.version === version) return serving
    }
    const found = this.holdings.askedFor(route.model, version)
    if (found) found.lastUsed = performance.now()
    return found
  }

  private async demand(route: Route, reference: string): Promise<Deployment> {
    const { db } = this.options
    const row = await resolveVersion(db.read, await findModel(db.read, route.model), reference)
    demandServable(row)
    if (this.keptOut.has(row.id)) throw new Fault('model.unavailable', unloadedText)
    const unpin = this.holdings.pin(row)
    try {
      const { deployment, why } = await this.holdings.ensure(route.model, row, false)
      if (why !== null) throw new Fault('model.unavailable', why)
      this.holdings.ask(deployment)
      return deployment
    } finally {
      unpin()
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
    const text = why === unloaded ? unloadedText : why
    return new Fault('model.unavailable', text === '' ? 'The version is not loaded.' : text)
  }

  private async bring(name: string): Promise<void> {
    const { db, grace, lastGood } = this.options
    const desired = await desiredOf(db.read, name, grace, (stage) => lastGood(name, stage))
    if (!desired) {
      const gone = this.routes.get(name)
      this.routes.delete(name)
      await this.forgetAsked(name, () => false)
      this.holdings.retire(name, new Set())
      if (gone) unpublish(this.options.metrics, gone)
      return
    }
    await this.forgetKeptOut(desired.model.id)
    const route = await this.build(desired)
    const before = this.routes.get(name)
    this.routes.set(name, route)
    publishRoute(this.options, route, before)
    await this.forgetAsked(name, isSound)
    const kept = await this.keepAliases(desired, route)
    this.holdings.retire(name, kept)
  }

  private async build(desired: Desired): Promise<Route> {
    const { model } = desired
    const stages = {} as Route['stages']
    for (const wanted of desired.stages) {
      stages[wanted.stage] = await this.stage(model.name, wanted)
      if (wanted.graceUntil !== null) this.lookAgain(model.name, wanted.graceUntil - Date.now())
    }
    const aliases = new Map(desired.aliases.map(({ alias, row }) => [alias, row.version]))
    return { model: model.name, stages, aliases }
  }

  /** What serves a stage. Nothing stands in for what was unloaded from Staging. */
  private stage(model: string, wanted: DesiredStage): Promise<ServedStage> {
    if (wanted.stage === 'Production') return this.fill(model, wanted)
    const { live, since } = wanted
    const candidates = wanted.candidates.filter(({ id }) => !this.keptOut.has(id))
    if (candidates[0] === wanted.candidates[0]) return this.fill(model, { ...wanted, candidates })
    return Promise.resolve({ live: live?.version ?? null, since, serving: null, why: unloaded })
  }

  /** The first candidate of a stage that loads, and why it is not the live version. */
  private async fill(model: string, wanted: DesiredStage): Promise<ServedStage> {
    const { stage, live, since, candidates } = wanted
    const number = live?.version ?? null
    const reasons = live?.quarantinedAt ? [live.quarantineReason ?? 'quarantined'] : []
    for (const row of candidates) {
      const { deployment, why } = await this.holdings.attempt(model, row, stage === 'Production')
      if (why !== null) reasons.push(why)
      else if (row.version === number || live === null) {
        return { live: number, since, serving: deployment, why: '' }
      } else return { live: number, since, serving: deployment, why: reasons[0] ?? safeModeReason }
    }
    return { live: number, since, serving: null, why: reasons[0] ?? '' }
  }

  /** §7: versions under an alias stay loaded too. Returns the deployments of the model to keep. */
  private async keepAliases(desired: Desired, route: Route): Promise<Set<Deployment>> {
    const kept = new Set(Object.values(route.stages).flatMap(({ serving }) => serving ?? []))
    for (const { row } of desired.aliases) {
      if (!isSound(row) || this.keptOut.has(row.id)) continue
      if ([...kept].some((deployment) => deployment.row.id === row.id)) continue
      const { deployment } = await this.holdings.attempt(desired.model.name, row, false)
      if (deployment === null) continue
      kept.add(deployment)
      this.holdings.ask(deployment)
    }
    return kept
  }

  private lookAgain(model: string, after: number): void {
    setTimeout(() => void this.reconcile(model), Math.max(0, after) + 10).unref()
  }

  /** What was loaded on demand and has been deleted or put aside since is not found any more. */
  private async forgetAsked(name: string, keep: (row: VersionRow) => boolean): Promise<void> {
    for (const { row } of this.holdings.askedOf(name)) {
      const now = await versionRow(this.options.db.read, row.modelId, row.version)
      if (now?.id !== row.id || !keep(now)) this.holdings.forget(name, row)
    }
  }

  /** What was unloaded may load again once it is in another stage or gone. */
  private async forgetKeptOut(modelId: string): Promise<void> {
    for (const [id, was] of this.keptOut) {
      if (was.modelId !== modelId) continue
      const now = await versionRow(this.options.db.read, modelId, was.version)
      if (now?.id !== id || now.deletedAt !== null || now.stage !== was.stage) {
        this.keptOut.delete(id)
      }
    }
  }

  /** Does a stage or an alias of its model hold it? */
  private isRouted(deployment: Deployment): boolean {
    const route = this.routes.get(deployment.model)
    if (!route) return false
    return (
      Object.values(route.stages).some(({ serving }) => serving === deployment) ||
      [...route.aliases.values()].includes(deployment.row.version)
    )
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
