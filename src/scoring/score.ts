// The work of a score job: bytes in, batches to the engine, results out, all three at the same time.
import { setImmediate as soon, setTimeout as pause } from 'node:timers/promises'

import { Fault, type FaultCode, toFault } from '../core/fault.ts'
import type { Answer } from '../inference/batcher.ts'
import { type Deployment, isHeavy } from '../inference/deployment.ts'
import type { TrialReport } from '../inference/trial.ts'
import type { Tensor } from '../onnx/tensor.ts'
import type { BadRow, Batch, RowFlaw, RowReader } from './batch.ts'
import type { ResultWriter, Scored } from './result.ts'
import { Sink } from './sink.ts'

/** Batches at the engine: while one runs, the next waits there and the one after is being read. */
const inFlight = 2
/** What a batch may take of the engine that jobs share, and of a heavy model's, which requests use, too. */
const lightMillis = 4
const heavyMillis = 50
const mostRows = 4096
const firstRows = 64
const leastTelling = 32
/** Cells that are read or written at once: nothing else is answered meanwhile. */
const mostCells = 1 << 16

/** Passing troubles of an engine: a job waits where a single request would be sent away. */
const passing: ReadonlySet<FaultCode> = new Set([
  'engine.busy',
  'engine.lost',
  'inference.deadline',
])
const retries = 5
const retryPause = 500

export interface ScoreJob {
  deployment: Deployment
  reader: RowReader
  writer: ResultWriter
  /** The next bytes, or null at the end. */
  read: () => Promise<Uint8Array | null>
  principal: string
  /** Milliseconds that one batch may take. */
  timeout: number
  skip: boolean
}

/** What comes out: text of the result, and rows that are not in it. */
export type Scoring =
  { kind: 'data'; bytes: Uint8Array; rows: number } | { kind: 'bad'; bad: BadRow }

/** Rows of a batch with their answer, or one row that the model refused. */
type Piece = { from: number; rows: number } & ({ answer: Answer } | { errors: RowFlaw[] })

/** Rows from `from` on, `rows` of them. */
function slice(tensors: readonly Tensor[], from: number, rows: number): Tensor[] {
  return tensors.map(({ name, type, dims, data }) => {
    const width = data.length / (dims[0] ?? 1)
    const part = data.slice(from * width, (from + rows) * width)
    return { name, type, dims: [rows, ...dims.slice(1)], data: part }
  })
}

/** Runs rows; where the model refuses them, halves until the row is alone that it refuses. */
async function run(
  job: ScoreJob,
  tensors: Tensor[],
  place: { from: number; rows: number },
): Promise<Piece[]> {
  const { from, rows } = place
  if (rows === 0) return []
  const { deployment, principal, timeout } = job
  for (let tries = 0; ; tries += 1) {
    try {
      const answer = await deployment.runBulk(tensors, rows, principal, timeout)
      if (deployment.encoder.fitsRows(answer)) return [{ from, rows, answer }]
      throw new Fault('model.unsupported', 'The model does not answer row by row.')
    } catch (error) {
      const { code, message } = toFault(error)
      if (code === 'inference.failed') {
        if (rows === 1) return [{ from, rows, errors: [{ code, message }] }]
        break
      }
      if (!passing.has(code) || tries >= retries) throw error
      await pause(retryPause)
    }
  }
  const half = rows >> 1
  const first = await run(job, slice(tensors, 0, half), { from, rows: half })
  const rest = { from: from + half, rows: rows - half }
  return [...first, ...(await run(job, slice(tensors, half, rest.rows), rest))]
}

/** How many rows travel together: as many as the engine runs in the time it may give to one batch. */
class BatchSize {
  private readonly deployment: Deployment
  private readonly most: number
  private readonly millis: number
  rows: number

  constructor(deployment: Deployment) {
    const { row, schema, validator } = deployment
    this.deployment = deployment
    const columns = Math.max(schema.columns.length, validator.signature.outputs.length)
    const trial = row.trial as TrialReport | null
    const together = trial?.batchable === true && schema.form === 'columns'
    this.most = together ? Math.max(1, Math.min(mostRows, Math.floor(mostCells / columns))) : 1
    this.millis = isHeavy(row) ? heavyMillis : lightMillis
    this.rows = Math.min(firstRows, this.fitting(trial?.run_ms ?? 0))
    this.learn()
  }

  /** Learns from the largest runs so far, whoever's they were: small ones are mostly overhead. */
  learn(): void {
    let rows = 0
    for (const size of this.deployment.statistics.batches.keys()) rows = Math.max(rows, size)
    const infer = this.deployment.statistics.batches.get(rows)?.infer
    if (infer === undefined || rows < Math.min(leastTelling, this.rows)) return
    this.rows = this.fitting(infer.ns / infer.count / rows / 1e6)
  }

  /** Rows of so many milliseconds each that fit: a power of two, so that noise changes nothing. */
  private fitting(perRow: number): number {
    return Math.max(1, Math.min(this.most, 2 ** Math.floor(Math.log2(this.millis / perRow))))
  }
}

/** Results and bad rows of a batch in the order of the input. */
function inOrder(batch: Batch, pieces: readonly Piece[]): (Scored | BadRow)[] {
  const list: (Scored | BadRow)[] = []
  let next = 0
  /** Puts in the bad rows that stand before good row `good`; returns where the one after them stands. */
  const skipTo = (good: number): number => {
    for (; ; next += 1) {
      const flawed = batch.bad[next]
      if (flawed === undefined || flawed.after > good) return flawed?.after ?? batch.rows
      list.push(flawed)
    }
  }
  for (const piece of pieces) {
    const end = piece.from + piece.rows
    for (let at = piece.from; at < end;) {
      const until = Math.min(end, skipTo(at))
      if ('errors' in piece)
        list.push({ row: numberOf(batch, at), after: at, errors: piece.errors })
      else
        list.push({
          answer: piece.answer,
          kept: batch.kept,
          first: piece.from,
          from: at,
          to: until,
        })
      at = until
    }
  }
  skipTo(batch.rows)
  return list
}

/** Text of a batch, and its bad rows in their places. */
function* written(
  job: ScoreJob,
  sink: Sink,
  list: readonly (Scored | BadRow)[],
): Generator<Scoring> {
  let rows = 0
  for (const one of list) {
    if ('answer' in one) {
      job.writer.rows(sink, one)
      rows += one.to - one.from
      continue
    }
    if (sink.length > 0) yield { kind: 'data', bytes: sink.take(), rows }
    rows = 0
    yield { kind: 'bad', bad: one }
  }
  if (sink.length > 0) yield { kind: 'data', bytes: sink.take(), rows }
}

/** Number of the data row that became good row `at` of a batch. */
function numberOf({ bad: flawed, rows, next }: Batch, at: number): number {
  const before = flawed.filter(({ after }) => after <= at).length
  return next - rows - flawed.length + at + before
}

/**
 * Scores rows as they come. Throws faults of the stream as a whole; where rows are not skipped, also
 * `input.invalid` for the first bad one, behind the results of those before it.
 */
export async function* score(job: ScoreJob): AsyncGenerator<Scoring> {
  const sink = new Sink()
  let delivered = false
  job.writer.head(sink)
  for await (const list of answered(job)) {
    // Nothing has left yet: the job can still be refused as a whole.
    const flawed = job.skip || delivered ? undefined : list.find((one) => 'errors' in one)
    if (flawed) throw stopped(flawed)
    for (const out of written(job, sink, list)) {
      if (out.kind === 'bad') {
        if (!job.skip) throw stopped(out.bad)
        job.deployment.series.flawed(out.bad.errors)
      }
      yield out
      delivered = true
    }
  }
  if (sink.length > 0) yield { kind: 'data', bytes: sink.take(), rows: 0 }
}

/** What came of each batch, in order. */
async function* answered(job: ScoreJob): AsyncGenerator<(Scored | BadRow)[]> {
  const size = new BatchSize(job.deployment)
  const flights: Flight[] = []
  const input = new Input(job)
  try {
    for (;;) {
      const batch = flights.length > inFlight ? null : job.reader.take(size.rows)
      if (batch) {
        flights.push(launch(job, batch))
        // Whoever else asks the server is heard between two batches.
        await soon()
        continue
      }
      const [oldest] = flights
      if (flights.length <= inFlight && (await input.more(oldest))) continue
      if (!oldest) return
      const pieces = await oldest.pieces
      flights.shift()
      oldest.batch.release?.()
      size.learn()
      yield inOrder(oldest.batch, pieces)
    }
  } finally {
    // Who ends early still has batches at the engine, and the version must not go before them.
    await Promise.allSettled(flights.map(({ pieces }) => pieces))
  }
}

interface Flight {
  batch: Batch
  pieces: Promise<Piece[]>
}

function launch(job: ScoreJob, batch: Batch): Flight {
  const pieces = run(job, batch.tensors, { from: 0, rows: batch.rows })
  // When nobody waits for it any more, a failure is nobody's.
  pieces.catch(() => undefined)
  return { batch, pieces }
}

/** Bytes on their way to the reader. */
class Input {
  private readonly job: ScoreJob
  private arriving: Promise<Uint8Array | null> | null = null
  private ended = false

  constructor(job: ScoreJob) {
    this.job = job
  }

  /** True when the reader got more; false at the end, or when a batch was ready first. */
  async more(oldest: Flight | undefined): Promise<boolean> {
    if (this.ended) return false
    if (this.arriving === null) {
      this.arriving = this.job.read()
      // It may fail while a batch is waited for; whoever asks next hears of it.
      this.arriving.catch(() => undefined)
    }
    if (oldest) {
      const came = this.arriving.then(() => true)
      if (!(await Promise.race([came, oldest.pieces.then(() => false)]))) return false
    }
    const chunk = await this.arriving
    this.arriving = null
    this.ended = chunk === null
    if (chunk) this.job.reader.push(chunk)
    else this.job.reader.finish()
    return true
  }
}

function stopped({ row, errors }: BadRow): Fault {
  return new Fault('input.invalid', `Row ${row} does not fit; nothing behind it was scored.`, {
    errors: errors.map(({ column, code, message }) => {
      return { pointer: `/rows/${row}${column === undefined ? '' : `/${column}`}`, code, message }
    }),
    members: { row },
  })
}
