// What a span is made of, noted where a request ends; otlp.ts turns it into OpenTelemetry's form.
import type { Parent } from './trace.ts'

/** A run of a model within a request. */
export interface Run {
  /** Milliseconds on the monotonic clock when it was handed to the engine. */
  sent: number
  /** Microseconds in the engine: reading input, running, writing output. */
  times: { input: number; infer: number; output: number }
  /** Rows of the request, and of all requests that travelled with it. */
  rows: number
  batchRows: number
}

/** The run alone, without what else came with it. */
export const runOf = ({ sent, times, rows, batchRows }: Run): Run => {
  return { sent, times, rows, batchRows }
}

export interface Served {
  traceId: string
  spanId: string
  parent: Parent | null
  method: string
  route: string
  path: string
  status: number
  requestId: string
  /** Milliseconds on the monotonic clock. */
  started: number
  ended: number
  /** Its own members of the log line, as JSON text that starts with a comma: model, version, fault. */
  logged: string
  run: Run | null
}

/** Takes what was served; recording costs little, and sending happens behind it. */
export interface Spans {
  /** Is a trace recorded? Asked before anything is gathered. */
  samples(parent: Parent | null, traceId: string): boolean
  record(served: Served): void
  readonly dropped: number
  close(): Promise<void>
}
