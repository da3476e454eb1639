// What Triton's statistics extension tells of a loaded version, counted since it was loaded.
// https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_statistics.md
import type { RunTimes } from './frames.ts'

/** How often something happened, and its time in nanoseconds in all. */
export class Tally {
  count = 0
  ns = 0

  add(micros: number): void {
    this.count += 1
    this.ns += Math.round(micros * 1000)
  }
}

/** Times of the runs of one batch size. */
export interface BatchTally {
  input: Tally
  infer: Tally
  output: Tally
}

/** Of sizes beyond so many different ones nothing is told. */
const mostSizes = 256

export class Statistics {
  /** Milliseconds since the epoch; 0 before the first. */
  lastInference = 0
  /** Rows that were run, and runs. */
  inferences = 0
  executions = 0
  readonly success = new Tally()
  readonly fail = new Tally()
  readonly queue = new Tally()
  readonly input = new Tally()
  readonly infer = new Tally()
  readonly output = new Tally()
  /** Rows of a run → its times. */
  readonly batches = new Map<number, BatchTally>()

  /** One run of `rows` rows. */
  ran(rows: number, times: RunTimes): void {
    this.executions += 1
    this.inferences += rows
    this.lastInference = Date.now()
    const tally = this.batches.get(rows) ?? this.begin(rows)
    if (tally === undefined) return
    tally.input.add(times.input)
    tally.infer.add(times.infer)
    tally.output.add(times.output)
  }

  /** One request of a run: milliseconds from its arrival to its answer, and those it waited. */
  succeeded(whole: number, waited: number, times: RunTimes): void {
    this.success.add(whole * 1000)
    this.queue.add(waited * 1000)
    this.input.add(times.input)
    this.infer.add(times.infer)
    this.output.add(times.output)
  }

  failed(millis: number): void {
    this.fail.add(millis * 1000)
  }

  private begin(rows: number): BatchTally | undefined {
    if (this.batches.size >= mostSizes) return undefined
    const tally = { input: new Tally(), infer: new Tally(), output: new Tally() }
    this.batches.set(rows, tally)
    return tally
  }
}
