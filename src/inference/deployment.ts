// A deployment: one model version held by a lane, with all that a prediction needs of it.
import { toFault } from '../core/fault.ts'
import type { VersionRow } from '../db/tables.ts'
import type { Signature } from '../onnx/model.ts'
import type { FeatureSchema } from '../onnx/signature.ts'
import type { Tensor } from '../onnx/tensor.ts'
import { Validator } from '../onnx/validate.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { Encoder } from './answer.ts'
import { type Answer, type Batch, Batcher, type Owner, type PredictRequest } from './batcher.ts'
import type { Output } from './classes.ts'
import type { LoadAnswer, LoadOrder } from './engine.ts'
import type { RunTimes } from './frames.ts'
import type { Lane } from './lane.ts'
import { Statistics } from './statistics.ts'
import type { TrialReport } from './trial.ts'
import { VersionSeries } from './version-series.ts'

/** Heavier models get an engine of their own: they would make light ones wait. */
const heavyMillis = 5
const heavyBytes = 64 << 20
const assumedBytes = 8 << 20

let handles = 0

export interface DeploymentParts {
  lane: Lane
  /** Where a request that was present at a death runs again, alone. */
  runAlone: (deployment: Deployment, request: PredictRequest) => void
  /** Where jobs over many rows run. */
  bulk: (deployment: Deployment) => Lane
  metrics: Metrics
  path: string
  threads: number
  /** Milliseconds a request may be expected to wait for its engine. */
  longestWait: number
}

type Ask = Pick<PredictRequest, 'tensors' | 'rows' | 'principal'> & { timeout: number }

/** Bytes of memory a version is expected to take in an engine. */
export function memoryOf(row: VersionRow): number {
  const report = row.trial as TrialReport | null
  return Math.max(assumedBytes, report?.memory_bytes ?? row.size * 2)
}

export function isHeavy(row: VersionRow): boolean {
  const report = row.trial as TrialReport | null
  return (report?.run_ms ?? 0) > heavyMillis || memoryOf(row) > heavyBytes
}

export class Deployment {
  readonly model: string
  readonly row: VersionRow
  readonly version: string
  readonly handle: number
  readonly lane: Lane
  readonly signature: Signature
  readonly schema: FeatureSchema
  readonly validator: Validator
  readonly encoder: Encoder
  readonly memory: number
  /** Did the trial prove that rows give the same answers alone and together? */
  readonly batchable: boolean
  readonly series: VersionSeries
  readonly statistics = new Statistics()
  /** End of every V1 answer: `,"model_name":…,"model_version":…}`. */
  readonly tail: string
  /** Its part of an access log line. */
  readonly logged: string
  /** Requests that hold it: a swap must not pull it away. */
  holds = 0
  /** Set while it waits for its last request before it is unloaded. */
  retiring = false
  lastUsed = performance.now()
  loadSeconds = 0
  private readonly batcher: Batcher
  /** What jobs have waiting: each of their batches is a frame of its own. */
  private readonly bulkBatcher: Batcher
  private readonly parts: DeploymentParts
  private idle: (() => void) | null = null

  constructor(model: string, row: VersionRow, parts: DeploymentParts) {
    handles += 1
    this.handle = handles
    this.model = model
    this.row = row
    this.version = String(row.version)
    this.lane = parts.lane
    this.parts = parts
    this.signature = row.signature as unknown as Signature
    this.schema = row.schema as unknown as FeatureSchema
    this.validator = new Validator(this.signature, this.schema)
    this.encoder = new Encoder(this.signature)
    this.memory = memoryOf(row)
    this.series = new VersionSeries(parts.metrics, this, this)
    this.logged = `,"model":${JSON.stringify(model)},"model_version":"${this.version}"`
    this.tail = `,"model_name":${JSON.stringify(model)},"model_version":"${this.version}"}`
    this.batchable = (row.trial as TrialReport | null)?.batchable === true
    const fixedShape = this.signature.inputs.every(
      (slot) => slot.shape !== null && slot.shape.slice(1).every((dim) => typeof dim === 'number'),
    )
    const { longestWait } = parts
    const merge = { mergeable: this.batchable, fixedShape }
    this.batcher = new Batcher(this.handle, this, { ...merge, longestWait })
    const apart = { mergeable: false, fixedShape, longestWait: Infinity }
    // Batches of a job wait for each other, and no caller does: their waits are nobody's.
    const job: Owner = { settled: (batch, times, outputs) => this.ran(batch, times, outputs) }
    this.bulkBatcher = new Batcher(this.handle, job, apart)
  }

  get waiting(): number {
    return this.batcher.waiting
  }

  get order(): LoadOrder {
    const { handle, row, parts, signature } = this
    return {
      handle,
      path: parts.path,
      sha256: row.sha256,
      threads: parts.threads,
      inputs: signature.inputs.map((slot) => slot.name),
      outputs: signature.outputs.map((slot) => slot.name),
    }
  }

  /** Loads it into its lane. */
  async load(): Promise<LoadAnswer> {
    const started = performance.now()
    const answer = await this.lane.hold(this.order)
    this.loadSeconds = (performance.now() - started) / 1000
    return answer
  }

  /** Throws `engine.busy` when a request that came now would wait too long; costs nothing to ask. */
  demandRoom(): void {
    if (this.batcher.waiting > 0) this.batcher.demandRoom(performance.now())
  }

  /** Runs one request. Rejects with faults that may be shown. `rows`: entries along dimension 0. */
  run(tensors: Tensor[], rows: number, principal: string, timeout: number): Promise<Answer> {
    return this.ask(this.batcher, { tensors, rows, principal, timeout })
  }

  /** The same for one batch of a job over many rows, which holds up no request. */
  runBulk(tensors: Tensor[], rows: number, principal: string, timeout: number): Promise<Answer> {
    return this.ask(this.bulkBatcher, { tensors, rows, principal, timeout })
  }

  private ask(batcher: Batcher, { tensors, rows, principal, timeout }: Ask): Promise<Answer> {
    const arrived = performance.now()
    this.lastUsed = arrived
    return new Promise<Answer>((resolve, reject) => {
      const request = {
        tensors,
        rows,
        principal,
        arrived,
        deadline: arrived + timeout,
        attempts: 0,
        deaths: 0,
        resolve,
        reject,
      }
      if (suspects.has(principal, this.row.id)) this.parts.runAlone(this, request)
      else if (batcher === this.batcher) this.lane.submit(batcher, request)
      else this.parts.bulk(this).submit(batcher, request)
    })
  }

  /** Sends what a principal has waiting where it harms nobody. */
  divert(principal: string): void {
    for (const batcher of [this.batcher, this.bulkBatcher]) {
      for (const request of batcher.takeFrom(principal)) this.parts.runAlone(this, request)
    }
  }

  /** Counts a run that ended well, and its requests. */
  settled(batch: Batch, times: RunTimes, outputs: readonly Output[]): void {
    this.ran(batch, times, outputs)
    for (const { arrived } of batch.requests)
      this.series.wait.observe((batch.sent - arrived) / 1000)
  }

  private ran({ requests, rows, sent }: Batch, times: RunTimes, outputs: readonly Output[]): void {
    const { series, statistics } = this
    const now = performance.now()
    series.ran({ requests: requests.length, rows, seconds: times.infer / 1e6, outputs })
    statistics.ran(rows, times)
    this.batcher.learn(rows, times)
    for (const { arrived } of requests) statistics.succeeded(now - arrived, sent - arrived, times)
  }

  /** Counts a failed request by its fault and returns what was thrown. */
  failed(error: unknown, since: number): unknown {
    this.statistics.failed(performance.now() - since)
    this.series.failed(toFault(error))
    return error
  }

  release(): void {
    this.holds -= 1
    if (this.holds === 0 && this.idle) this.idle()
  }

  /** Resolves when no request holds it any more. */
  drained(): Promise<void> {
    return new Promise((resolve) => {
      this.idle = resolve
      if (this.holds === 0) resolve()
    })
  }
}

/** Principals whose requests killed a version lately: theirs run apart, so that others are served. */
class Suspects {
  private readonly until = new Map<string, number>()

  has(principal: string, versionId: string): boolean {
    if (this.until.size === 0) return false
    const key = `${principal}\n${versionId}`
    const until = this.until.get(key)
    if (until === undefined) return false
    if (until > performance.now()) return true
    this.until.delete(key)
    return false
  }

  add(principal: string, versionId: string, forMillis: number): void {
    this.until.set(`${principal}\n${versionId}`, performance.now() + forMillis)
  }
}

export const suspects = new Suspects()
