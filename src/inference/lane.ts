// A lane: one engine process after another, the versions it holds, and the frames in flight.
import { Fault } from '../core/fault.ts'
import { type Batch, type Batcher, type PredictRequest, settle } from './batcher.ts'
import type { LoadAnswer, LoadOrder } from './engine.ts'
import { type Frame, jsonFrame, kinds, readJson } from './frames.ts'
import { Pace } from './pace.ts'
import { type EndCause, EngineProcess } from './process.ts'
import type { ChildHome, ChildLimits } from './spawn.ts'

const watchEvery = 25
const longestPause = 5_000

export interface LaneOptions {
  key: string
  home: ChildHome
  /** Of its engines. */
  limits: ChildLimits
  /** Milliseconds for one run, and for one load. */
  runTimeout: number
  loadTimeout: number
  /** Frames in flight; 1 makes blame exact. */
  width?: number
  /** Longest pause in milliseconds before an engine that keeps dying is replaced. */
  longestPause?: number
  /** Requests that were in flight at a blamed death; `head`: those of the frame being run. */
  onCasualties: (cause: 'crash' | 'hang', head: Batch | null, others: Batch[]) => void
  /** A version whose load killed or hung the engine. */
  onLoadDeath: (handle: number, cause: EndCause) => void
  /** `cpu`: the seconds that the engine took. */
  onEnd: (key: string, end: { cause: EndCause; cpu: number }) => void
}

type Flight =
  | { kind: 'run'; batch: Batch; since: number }
  | { kind: 'load'; order: LoadOrder; since: number }
  | { kind: 'unload'; since: number }

const closedAnswer: LoadAnswer = { ok: false, reason: 'its engine was closed meanwhile' }

interface Refusal {
  message: string
  memory: boolean
  missing: boolean
}

interface Resident {
  order: LoadOrder
  state: 'waiting' | 'loading' | 'ready'
  settled: PromiseWithResolvers<LoadAnswer>
}

export class Lane {
  readonly key: string
  private readonly options: LaneOptions
  private engine: EngineProcess | null = null
  private up = false
  private closed = false
  private nextId = 1
  private readonly flights = new Map<number, Flight>()
  private readonly residents = new Map<number, Resident>()
  /** Batchers with something waiting, in turn. */
  private turns: Batcher[] = []
  private quickDeaths = 0
  private pumping = false
  private readonly watch: ReturnType<typeof setInterval>
  private lastAnswer = 0
  private readonly pace: Pace

  constructor(options: LaneOptions) {
    this.options = options
    this.key = options.key
    this.pace = new Pace(options.width)
    this.watch = setInterval(() => this.lookForHang(), watchEvery)
    this.watch.unref()
    this.start()
  }

  get pid(): number | undefined {
    return this.engine?.pid
  }

  get residentCount(): number {
    return this.residents.size
  }

  get waiting(): number {
    return this.turns.reduce((sum, batcher) => sum + batcher.waiting, 0)
  }

  memory(): number {
    return this.engine?.memory() ?? 0
  }

  /** CPU seconds of its engine so far. */
  cpu(): number {
    return this.engine?.cpu() ?? 0
  }

  /** Loads a version and keeps it loaded, also in the engines that follow. */
  hold(order: LoadOrder): Promise<LoadAnswer> {
    const known = this.residents.get(order.handle)
    if (known) return known.settled.promise
    if (this.closed) return Promise.resolve(closedAnswer)
    const settled = Promise.withResolvers<LoadAnswer>()
    const resident: Resident = { order, state: 'waiting', settled }
    this.residents.set(order.handle, resident)
    this.loadWaiting()
    return settled.promise
  }

  /** Lets go of a version; the lane goes on. */
  drop(handle: number): void {
    const resident = this.residents.get(handle)
    if (!resident) return
    this.residents.delete(handle)
    resident.settled.resolve({ ok: false, reason: 'it was unloaded meanwhile' })
    if (resident.state === 'ready') this.send({ kind: 'unload', since: 0 }, { handle })
  }

  /** Puts a request's batcher in the queue for the engine. */
  submit(batcher: Batcher, request: PredictRequest): void {
    if (this.closed)
      throw new Fault('engine.lost', 'The version was unloaded meanwhile; try again.')
    batcher.push(request)
    // One that was emptied by force is still there.
    if (batcher.waiting === 1 && !this.turns.includes(batcher)) this.turns.push(batcher)
    this.pumpSoon()
  }

  /** Replaces the engine by a fresh one, with the versions held now. Requests in flight run again. */
  recycle(): void {
    this.engine?.kill('stopped')
  }

  close(): void {
    this.closed = true
    clearInterval(this.watch)
    this.engine?.kill('stopped')
    for (const { settled } of this.residents.values()) settled.resolve(closedAnswer)
    const gone = new Fault('service.draining', 'The server is shutting down.')
    for (const batcher of this.turns) for (const request of batcher.takeAll()) request.reject(gone)
    this.turns = []
  }

  private start(): void {
    if (this.closed) return
    this.up = false
    this.engine = new EngineProcess(this.options.home, this.options.limits, {
      frame: (frame) => this.receive(frame),
      ended: (cause, lifetime) => this.ended(cause, lifetime),
    })
  }

  /** After the requests that have arrived already: what came together travels together. */
  private pumpSoon(): void {
    if (this.pumping) return
    this.pumping = true
    setImmediate(() => {
      this.pumping = false
      this.pump()
    })
  }

  private receive(frame: Frame): void {
    const now = performance.now()
    const before = this.lastAnswer
    this.lastAnswer = now
    if (frame.id === 0) {
      this.up = true
      this.loadWaiting()
      this.pump()
      return
    }
    const flight = this.flights.get(frame.id)
    this.flights.delete(frame.id)
    if (flight?.kind === 'run') {
      const { requests } = flight.batch
      this.pace.ran(now, now - Math.max(before, flight.since), requests.length + this.waiting)
      this.answered(flight.batch, frame)
    } else if (flight?.kind === 'load')
      this.loaded(flight.order, readJson<LoadAnswer>(frame.payload))
    this.pump()
  }

  private answered(batch: Batch, frame: Frame): void {
    if (frame.kind === kinds.tensors) {
      settle(batch, frame)
      return
    }
    const { message, memory, missing } = readJson<Refusal>(frame.payload)
    if (missing) {
      const gone = new Fault('model.unavailable', 'The version was unloaded meanwhile; try again.')
      for (const request of batch.requests) request.reject(gone)
      return
    }
    if (memory) {
      // After a failed allocation the next run fails too; only a fresh process helps.
      const lost = new Fault('engine.memory', 'The model ran out of memory on this input.')
      for (const request of batch.requests) request.reject(lost)
      this.recycle()
      return
    }
    const [only] = batch.requests
    if (batch.requests.length === 1) only?.reject(new Fault('inference.failed', message))
    // One bad row fails one caller: the members of a failed batch run again, each alone.
    else for (const request of batch.requests) this.sendAlone(batch.batcher, request)
  }

  private sendAlone(batcher: Batcher, request: PredictRequest): void {
    const frame = batcher.single(request)
    const sent = performance.now()
    this.sendRun({ batcher, sent, requests: [request], rows: request.rows, frame })
  }

  private sendRun(batch: Batch): void {
    const id = this.nextId
    this.nextId += 1
    this.flights.set(id, { kind: 'run', batch, since: batch.sent })
    this.engine?.send(batch.frame(id))
  }

  private loaded(order: LoadOrder, answer: LoadAnswer): void {
    const resident = this.residents.get(order.handle)
    if (!resident) {
      if (answer.ok) this.send({ kind: 'unload', since: 0 }, { handle: order.handle })
      return
    }
    if (answer.ok) resident.state = 'ready'
    else this.residents.delete(order.handle)
    resident.settled.resolve(answer)
  }

  private loadWaiting(): void {
    if (!this.up) return
    for (const resident of this.residents.values()) {
      if (resident.state !== 'waiting') continue
      resident.state = 'loading'
      this.send({ kind: 'load', order: resident.order, since: 0 }, resident.order)
    }
  }

  private send(flight: Flight, value: unknown): void {
    if (!this.up) return
    const id = this.nextId
    this.nextId += 1
    this.flights.set(id, { ...flight, since: performance.now() })
    this.engine?.send(jsonFrame({ id, kind: kinds[flight.kind] }, value))
  }

  private pump(): void {
    const isFull = this.turns[0]?.isFull ?? false
    if (this.flights.size === 0 && this.pace.lingers(performance.now(), this.waiting, isFull)) {
      this.pumpSoon()
      return
    }
    while (this.up && this.turns.length > 0) {
      const batcher = this.turns[0] as Batcher
      if (this.flights.size >= this.pace.width(batcher.isFull)) return
      this.turns.shift()
      if (this.residents.get(batcher.handle)?.state === 'waiting') this.loadWaiting()
      const batch = batcher.take(performance.now())
      if (batcher.waiting > 0) this.turns.push(batcher)
      if (batch) this.sendRun(batch)
    }
  }

  /** The engine works in order, so the oldest flight is the one it is busy with. */
  private lookForHang(): void {
    const now = performance.now()
    for (const batcher of this.turns) batcher.expire(now)
    const [oldest] = this.flights.values()
    if (!oldest || !this.up) return
    const limit = oldest.kind === 'load' ? this.options.loadTimeout : this.options.runTimeout
    const since = Math.max(oldest.since, this.lastAnswer)
    if (now - since > limit) this.engine?.kill('hang')
  }

  private ended(cause: EndCause, lifetime: number): void {
    const cpu = this.cpu()
    this.up = false
    this.engine = null
    const flights = [...this.flights.values()]
    this.flights.clear()
    for (const resident of this.residents.values()) resident.state = 'waiting'
    this.options.onEnd(this.key, { cause, cpu })
    if (cause === 'crash' || cause === 'hang') this.blame(cause, flights)
    else this.again(flights)
    this.quickDeaths = lifetime < 1_000 ? this.quickDeaths + 1 : 0
    const most = this.options.longestPause ?? longestPause
    const pause = this.quickDeaths < 2 ? 0 : Math.min(most, 25 * 2 ** this.quickDeaths)
    if (!this.closed) setTimeout(() => this.start(), pause)
  }

  /** Nobody's fault: what was in flight goes back to the queue, once. */
  private again(flights: readonly Flight[]): void {
    const lost = new Fault('engine.lost', 'The engine was replaced while it worked; try again.')
    for (const flight of flights) {
      if (flight.kind !== 'run') continue
      const { batcher, requests } = flight.batch
      for (const request of requests) {
        request.attempts += 1
        if (request.attempts > 1 || this.closed) request.reject(lost)
        else this.requeue(batcher, request)
      }
    }
  }

  private requeue(batcher: Batcher, request: PredictRequest): void {
    try {
      this.submit(batcher, request)
    } catch (error) {
      request.reject(error as Fault)
    }
  }

  private blame(cause: 'crash' | 'hang', flights: readonly Flight[]): void {
    const [first] = flights
    for (const flight of flights) {
      if (flight.kind !== 'load') continue
      // Only the load that was being worked on is to blame; one behind it never began.
      if (flight !== first) continue
      const { handle } = flight.order
      this.residents.get(handle)?.settled.resolve({ ok: false, reason: `${cause} while loading` })
      this.residents.delete(handle)
      this.options.onLoadDeath(handle, cause)
    }
    const runs = flights.filter((flight) => flight.kind === 'run').map((flight) => flight.batch)
    const head = first?.kind === 'run' ? first.batch : null
    if (runs.length > 0)
      this.options.onCasualties(
        cause,
        head,
        runs.filter((run) => run !== head),
      )
  }
}
