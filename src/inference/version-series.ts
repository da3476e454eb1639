// The series of one version, resolved when it is loaded, so that a prediction only adds numbers.
import { type Fault, type Flaw } from '../core/fault.ts'
import type { Signature } from '../onnx/model.ts'
import type { FeatureSchema } from '../onnx/signature.ts'
import { checks, errorReasons } from '../telemetry/catalogue.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { CounterSeries, HistogramSeries } from '../telemetry/series.ts'
import { ClassMetrics, type Output } from './classes.ts'

type Check = (typeof checks)[number]
type Reason = (typeof errorReasons)[number]

/** Codes of flaws that are not called as their check is; any other is one of the shape. */
const checkOf: ReadonlyMap<string, Check> = new Map<string, Check>([
  ...checks.map((check): [string, Check] => [check, check]),
  ['string', 'type'],
  ['min', 'range'],
  ['max', 'range'],
  ['allowed', 'set'],
])

function reasonOf({ code, status }: Fault): Reason {
  if (code === 'inference.failed') return 'runtime'
  if (status === 504) return 'timeout'
  if (status === 503) return 'overload'
  return status < 500 ? 'schema' : 'runtime'
}

/** A run of the model, as far as it is counted. */
interface Run {
  requests: number
  rows: number
  /** Seconds within ONNX Runtime. */
  seconds: number
  outputs: readonly Output[]
}

export class VersionSeries {
  /** Seconds that a request waited. */
  readonly wait: HistogramSeries
  private readonly ok: CounterSeries
  private readonly error: CounterSeries
  private readonly rejected: CounterSeries
  private readonly batch: HistogramSeries
  private readonly inference: HistogramSeries
  private readonly reasons: Readonly<Record<Reason, CounterSeries>>
  private readonly checks: ReadonlyMap<Check, CounterSeries>
  private readonly classes: ClassMetrics | null

  constructor(
    metrics: Metrics,
    at: { model: string; version: string },
    described: { signature: Signature; schema: FeatureSchema },
  ) {
    const { signature, schema } = described
    const labels = { model: at.model, model_version: at.version }
    const outcome = (name: string) => metrics.predictions.of({ ...labels, outcome: name })
    this.ok = outcome('ok')
    this.error = outcome('error')
    this.rejected = outcome('rejected')
    this.batch = metrics.batchSize.of({ model: at.model })
    this.inference = metrics.inferenceDuration.of(labels)
    this.wait = metrics.queueWait.of({})
    this.reasons = Object.fromEntries(
      errorReasons.map((reason) => [reason, metrics.predictionErrors.of({ ...labels, reason })]),
    ) as Record<Reason, CounterSeries>
    this.checks = new Map(
      checks.map((check) => [check, metrics.dataCheckFailures.of({ ...labels, check })]),
    )
    this.classes = ClassMetrics.isFor(schema)
      ? new ClassMetrics(signature, schema, {
          ofClass: (name) => metrics.predictedClasses.of({ ...labels, class: name }),
          score: () => metrics.predictionScore.of(labels),
        })
      : null
  }

  ran({ requests, rows, seconds, outputs }: Run): void {
    this.ok.add(requests)
    this.inference.observe(seconds)
    this.batch.observe(rows)
    this.classes?.count(outputs, rows)
  }

  failed(fault: Fault): void {
    ;(fault.status < 500 ? this.rejected : this.error).add(1)
    this.reasons[reasonOf(fault)].add(1)
    if (fault.code !== 'input.invalid') return
    // Doors whose clients read no list of places say what was wrong as a whole.
    this.flawed(fault.errors ?? [{ code: String(fault.members?.check) }])
  }

  /** Counts what was wrong with an input. */
  flawed(flaws: readonly Pick<Flaw, 'code'>[]): void {
    for (const { code } of flaws) this.checks.get(checkOf.get(code) ?? 'shape')?.add(1)
  }
}
