// Requests for one loaded version that wait for their engine; those that may travel together do.
import { Fault } from '../core/fault.ts'
import type { Tensor } from '../onnx/tensor.ts'
import type { Run } from '../telemetry/spans.ts'
import {
  type Frame,
  type Kind,
  kinds,
  readTensors,
  type RunTimes,
  tensorFrame,
  timesOf,
} from './frames.ts'

/** Outputs of a run; a request's own rows start at `from`. */
export interface Answer extends Run {
  outputs: Omit<Tensor, 'name'>[]
  from: number
}

export interface PredictRequest {
  tensors: Tensor[]
  rows: number
  /** Who asked; blame counts once per principal. */
  principal: string
  /** Milliseconds on the monotonic clock. */
  arrived: number
  deadline: number
  /** How often it was sent again after an engine ended through nobody's fault. */
  attempts: number
  /** Deaths of an engine at which it was present. */
  deaths: number
  resolve: (answer: Answer) => void
  reject: (fault: Fault) => void
}

/** Rows and requests that one frame carries at most: a bigger run gains nothing and delays others. */
export const mostRows = 1024
const mostMerged = 256
/** A slow model gets fewer rows a frame, so that one takes about so many milliseconds. */
const frameMillis = 200
const fewestRows = 64
export const mostWaiting = 2048
/** What the runs so far count for against the newest, in the time a row is taken to need. */
const memory = 0.9
/** No estimate refuses anybody before the oldest has really waited this share of the longest wait. */
const evidence = 0.25

/** Whoever the requests are for; told of each run that ended well, before its answers are. */
export interface Owner {
  settled(batch: Batch, times: RunTimes, outputs: readonly Omit<Tensor, 'name'>[]): void
}

export interface Batch {
  batcher: Batcher
  /** When it was handed to the engine, on the monotonic clock. */
  sent: number
  requests: PredictRequest[]
  rows: number
  frame: (id: number) => Uint8Array[]
}

/** Every input has one entry per row: only then may the request share a frame. */
function isTable({ tensors, rows }: PredictRequest): boolean {
  for (const tensor of tensors) if (tensor.dims[0] !== rows) return false
  return true
}

/** Requests merge only when all dimensions but the first are equal. */
function shapeKey(request: PredictRequest): string {
  let key = ''
  for (const { dims } of request.tensors) {
    for (let axis = 1; axis < dims.length; axis += 1) key += `${dims[axis]},`
    key += ';'
  }
  return key
}

const tooLate = (): Fault =>
  new Fault('inference.deadline', 'The request waited too long for its engine.')

/** How a version's requests may be put together, and how long they may be expected to wait. */
export interface BatcherOptions {
  /** The trial proved that rows travel together unharmed. */
  mergeable: boolean
  /** All dimensions but the first are fixed. */
  fixedShape: boolean
  /** Milliseconds. */
  longestWait: number
}

export class Batcher {
  readonly handle: number
  readonly owner: Owner
  private readonly options: BatcherOptions
  private queue: PredictRequest[] = []
  private head = 0
  private rowsWaiting = 0
  /** Runs so far, the older the less: their rows, and their milliseconds in the engine. */
  private runRows = 0
  private runMillis = 0

  constructor(handle: number, owner: Owner, options: BatcherOptions) {
    this.handle = handle
    this.owner = owner
    this.options = options
  }

  get waiting(): number {
    return this.queue.length - this.head
  }

  /**
   * Throws `engine.busy` when what waits will take too long: a caller who is told so at once can go
   * elsewhere. `now`: milliseconds on the monotonic clock.
   */
  demandRoom(now: number): void {
    const { longestWait } = this.options
    if (this.rowsWaiting * this.rowMillis <= longestWait) return
    const oldest = this.queue[this.head]?.arrived ?? now
    if (now - oldest > longestWait * evidence) throw this.busy()
  }

  push(request: PredictRequest): void {
    if (this.waiting >= mostWaiting) throw this.busy()
    this.queue.push(request)
    this.rowsWaiting += request.rows
  }

  /** Takes note of what a run has taken. */
  learn(rows: number, { input, infer, output }: RunTimes): void {
    this.runRows = this.runRows * memory + rows
    this.runMillis = this.runMillis * memory + (input + infer + output) / 1000
  }

  /** Milliseconds of the engine that a row takes. */
  private get rowMillis(): number {
    return this.runRows === 0 ? 0 : this.runMillis / this.runRows
  }

  private busy(): Fault {
    const retryAfter = Math.max(1, Math.ceil((this.rowsWaiting * this.rowMillis) / 1000))
    return new Fault('engine.busy', `${this.waiting} requests wait for this model already.`, {
      retryAfter,
    })
  }

  /** Do as many rows wait as a frame may carry? */
  get isFull(): boolean {
    return this.rowsWaiting >= this.rowsAtMost
  }

  /** Rows that a frame may carry. */
  private get rowsAtMost(): number {
    return Math.max(fewestRows, Math.min(mostRows, frameMillis / this.rowMillis))
  }

  /** The next frame's worth, or null. Requests whose time is up are refused on the way. */
  take(now: number): Batch | null {
    const first = this.shift(now)
    if (first === null) return null
    const requests = [first]
    if (this.options.mergeable && this.waiting > 0 && isTable(first)) this.gather(requests, now)
    const rows = requests.length === 1 ? first.rows : requests.reduce((n, r) => n + r.rows, 0)
    const frame = (id: number): Uint8Array[] => this.encode(id, requests, rows)
    return { batcher: this, sent: now, requests, rows, frame }
  }

  /** Adds those that follow in the queue as long as they may travel with the first. */
  private gather(requests: PredictRequest[], now: number): void {
    const first = requests[0] as PredictRequest
    const { fixedShape } = this.options
    const key = fixedShape ? '' : shapeKey(first)
    const most = this.rowsAtMost
    let { rows } = first
    while (requests.length < mostMerged) {
      const next = this.queue[this.head]
      if (next === undefined || rows + next.rows > most || !isTable(next)) return
      if (!fixedShape && shapeKey(next) !== key) return
      const taken = this.shift(now)
      if (taken === null) return
      requests.push(taken)
      rows += taken.rows
    }
  }

  /** Encodes one request as a frame of its own, past the queue. */
  single(request: PredictRequest): (id: number) => Uint8Array[] {
    return (id) => this.encode(id, [request], request.rows)
  }

  /** Refuses what has waited past its deadline, which is not the same for all. */
  expire(now: number): void {
    let late = 0
    for (let at = this.head; at < this.queue.length; at += 1) {
      if ((this.queue[at] as PredictRequest).deadline <= now) late += 1
    }
    if (late === 0) return
    for (const request of this.takeAll()) {
      if (request.deadline > now) this.push(request)
      else request.reject(tooLate())
    }
  }

  /** Takes out what one principal has waiting. */
  takeFrom(principal: string): PredictRequest[] {
    const [theirs, others]: PredictRequest[][] = [[], []]
    for (const request of this.takeAll()) {
      ;(request.principal === principal ? theirs : others)?.push(request)
    }
    this.queue = others ?? []
    this.rowsWaiting = this.queue.reduce((sum, { rows }) => sum + rows, 0)
    return theirs ?? []
  }

  /** Empties the queue. */
  takeAll(): PredictRequest[] {
    const all = this.queue.slice(this.head)
    this.queue = []
    this.head = 0
    this.rowsWaiting = 0
    return all
  }

  private shift(now: number): PredictRequest | null {
    for (;;) {
      const next = this.queue[this.head]
      if (next === undefined) return null
      this.head += 1
      this.rowsWaiting -= next.rows
      if (this.head > 1024 && this.head * 2 > this.queue.length) {
        this.queue = this.queue.slice(this.head)
        this.head = 0
      }
      if (next.deadline > now) return next
      next.reject(tooLate())
    }
  }

  private encode(id: number, requests: readonly PredictRequest[], rows: number): Uint8Array[] {
    const [first] = requests
    const merged = requests.length > 1
    const tensors = (first?.tensors ?? []).map(({ type, dims }, at) => ({
      type,
      dims: merged ? [rows, ...dims.slice(1)] : dims,
      pieces: requests.map((request) => (request.tensors[at] as Tensor).data),
    }))
    return tensorFrame({ id, kind: kinds.run as Kind, argument: this.handle }, tensors)
  }
}

/** Hands the outputs of a run to its requests. */
export function settle(batch: Batch, frame: Frame): void {
  const outputs = readTensors(frame.payload)
  const { batcher, requests, rows, sent } = batch
  if (requests.length > 1 && outputs.some(({ dims }) => dims[0] !== rows)) {
    // Proven in the trial, and still checked: a model may decide otherwise on other values.
    for (const request of requests) {
      request.reject(new Fault('model.unavailable', 'The model mixed up a batch; try again.'))
    }
    return
  }
  const times = timesOf(frame)
  batcher.owner.settled(batch, times, outputs)
  let from = 0
  for (const request of requests) {
    request.resolve({ outputs, from, rows: request.rows, batchRows: rows, sent, times })
    from += request.rows
  }
}
