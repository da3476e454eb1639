// Which engine a version goes to, and the budget of memory they share.
import { Fault } from '../core/fault.ts'
import type { VersionRow } from '../db/tables.ts'
import { laneNames } from '../telemetry/catalogue.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { Blame, type WardKey, wardKeys } from './blame.ts'
import { type Deployment, isHeavy } from './deployment.ts'
import { Lane } from './lane.ts'
import type { EndCause } from './process.ts'
import { background, type ChildHome } from './spawn.ts'

export interface LanesOptions {
  home: ChildHome
  /** Bytes for all loaded versions together, and the cap of each engine. */
  memory: number
  runTimeout: number
  loadTimeout: number
  log: Log
  metrics: Metrics
  quarantine: (deployment: Deployment, reason: string) => void
  /** The copies that jobs used are gone. */
  onBulkClosed: () => void
  /** The deployment of a handle, for blame at a load. */
  find: (handle: number) => Deployment | undefined
}

/** A ward costs memory, and so does the lane of jobs: it ends when nobody needed it for so long. */
const wardRest = 120_000
/** Where jobs over many rows run, so that they hold up no request that somebody waits for. */
const bulkKey = 'bulk'
const isWard = (key: string): boolean => wardKeys.includes(key as WardKey)
/** A ward replaces its engine soon: the dying in it is expected. */
const wardPause = 250
/** Unloading does not give all memory back, so a shared engine is replaced after so many. */
const unloadsBeforeFresh = 64

/** What metrics call a lane: those of single heavy versions are `own` together. */
const shownName = (key: string): string => (key.startsWith('version-') ? 'own' : key)

export class Lanes {
  readonly blame: Blame
  private readonly options: LanesOptions
  private readonly lanes = new Map<string, Lane>()
  private readonly unloads = new Map<string, number>()
  /** CPU seconds of engines that have ended, by the shown name of their lane. */
  private readonly cpuOfEnded = new Map<string, number>()
  /** When a job last asked for its lane. */
  private bulkUsed = 0
  private readonly tidy: ReturnType<typeof setInterval>

  constructor(options: LanesOptions) {
    this.options = options
    this.blame = new Blame({
      open: (key) => this.open(key),
      present: (key) => this.lanes.get(key),
      quarantine: options.quarantine,
    })
    options.metrics.onScrape(() => this.observe())
    this.tidy = setInterval(() => this.closeIdle(), wardRest / 4)
    this.tidy.unref()
  }

  /**
   * Light Production versions share one engine, all other light ones another, so that what is only
   * tried out cannot harm Production; a heavy one has its own.
   */
  keyFor(row: VersionRow, production: boolean): string {
    if (isHeavy(row)) return `version-${row.id}${production ? '-live' : ''}`
    return production ? 'live' : 'side'
  }

  /** The lane for a job over many rows, with the version loaded or loading: its own, or one that jobs share. */
  bulk(deployment: Deployment): Lane {
    if (isHeavy(deployment.row)) return deployment.lane
    this.bulkUsed = performance.now()
    const lane = this.open(bulkKey)
    // Frames are worked on in order, so runs may follow the load at once.
    void lane.hold(deployment.order)
    return lane
  }

  /** Unloads a version; a lane of its own ends with it. */
  letGo(deployment: Deployment): void {
    const { lane, handle } = deployment
    this.blame.forget(deployment)
    this.lanes.get(bulkKey)?.drop(handle)
    lane.drop(handle)
    if (this.closeEmpty(lane)) return
    const count = (this.unloads.get(lane.key) ?? 0) + 1
    this.unloads.set(lane.key, count % unloadsBeforeFresh)
    if (count === unloadsBeforeFresh) lane.recycle()
  }

  /** Ends a lane that holds nothing any more, unless it is the one that Production shares. */
  closeEmpty(lane: Lane): boolean {
    if (lane.residentCount > 0 || lane.key === 'live') return false
    if (this.lanes.get(lane.key) === lane) this.lanes.delete(lane.key)
    lane.close()
    return true
  }

  get running(): { key: string; pid: number; memory: number }[] {
    return [...this.lanes.values()].flatMap((lane) =>
      lane.pid === undefined ? [] : [{ key: lane.key, pid: lane.pid, memory: lane.memory() }],
    )
  }

  close(): void {
    clearInterval(this.tidy)
    for (const lane of this.lanes.values()) lane.close()
  }

  private closeIdle(): void {
    const bulk = this.lanes.get(bulkKey)
    if (bulk && performance.now() - this.bulkUsed > wardRest) {
      this.lanes.delete(bulkKey)
      bulk.close()
      this.options.onBulkClosed()
    }
    for (const key of wardKeys) {
      const lane = this.lanes.get(key)
      const ward = this.blame.wards[key]
      if (!lane || performance.now() - ward.lastUsed < wardRest) continue
      ward.forgetAll()
      this.lanes.delete(key)
      lane.close()
    }
  }

  /** The lane of a key, started when it is not there. */
  open(key: string): Lane {
    const known = this.lanes.get(key)
    if (known) return known
    const { home, memory, runTimeout, loadTimeout } = this.options
    const alone = isWard(key)
    const lane = new Lane({
      key,
      home,
      limits: { memory, niceness: alone || key === 'live' ? 0 : background },
      runTimeout,
      loadTimeout,
      ...(alone ? { width: 1, longestPause: wardPause } : {}),
      onCasualties: (cause, head, others) => {
        if (alone) this.blame.isolated(cause, head)
        else this.blame.casualties(cause, head, others)
      },
      onLoadDeath: (handle, cause) => this.loadDeath(handle, cause),
      onEnd: (laneKey, end) => this.ended(laneKey, end),
    })
    this.lanes.set(key, lane)
    return lane
  }

  /** §6: any blamed death at warm-up puts the version aside. */
  private loadDeath(handle: number, cause: EndCause): void {
    const deployment = this.options.find(handle)
    if (deployment) this.options.quarantine(deployment, `${cause} while it was loaded`)
  }

  private ended(key: string, { cause, cpu }: { cause: EndCause; cpu: number }): void {
    const lane = shownName(key)
    this.cpuOfEnded.set(lane, (this.cpuOfEnded.get(lane) ?? 0) + cpu)
    if (cause === 'stopped') return
    this.options.metrics.engineRestarts.inc({ cause })
    this.options.log.write('warn', 'engine.ended', { lane: key, cause })
  }

  private observe(): void {
    const { metrics } = this.options
    const lanes = [...this.lanes.values()]
    const sum = (of: readonly Lane[], what: (lane: Lane) => number): number =>
      of.reduce((total, lane) => total + what(lane), 0)
    metrics.engines.set({}, lanes.filter(({ pid }) => pid !== undefined).length)
    metrics.queueDepth.set(
      {},
      sum(lanes, (lane) => lane.waiting),
    )
    for (const lane of laneNames) {
      const own = lanes.filter(({ key }) => shownName(key) === lane)
      metrics.engineMemory.set(
        { lane },
        sum(own, (one) => one.memory()),
      )
      metrics.engineQueue.set(
        { lane },
        sum(own, (one) => one.waiting),
      )
      const cpu = sum(own, (one) => one.cpu()) + (this.cpuOfEnded.get(lane) ?? 0)
      metrics.engineCpu.of({ lane }).reach(cpu)
    }
  }
}

/** What is loaded, against the budget. */
export class Budget {
  private readonly most: number
  private used = 0

  constructor(most: number) {
    this.most = most
  }

  /** Reserves memory, letting go of `idle` ones (least recently used first) while that helps. */
  reserve(bytes: number, idle: () => Deployment | undefined, evict: (d: Deployment) => void): void {
    while (this.used + bytes > this.most) {
      const victim = idle()
      if (!victim) {
        const need = `${Math.ceil(bytes / 1048576)} MB`
        throw new Fault('engine.memory', `The version needs ${need}; raise engine-memory.`, {
          retryAfter: 5,
        })
      }
      evict(victim)
    }
    this.used += bytes
  }

  free(bytes: number): void {
    this.used -= bytes
  }
}
