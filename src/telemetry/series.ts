// Counters and histograms for the hot path: plain numbers that prom-client reads when scraped.
// prom-client hashes labels on every write (0.5 to 1 µs); a series resolved once costs 10 ns.

export type Labels = Record<string, string>

/** What prom-client's registry asks of a metric. */
interface Sample {
  value: number
  labels: Record<string, string | number>
  metricName?: string
}

interface Exposed {
  name: string
  help: string
  type: string
  values: Sample[]
  aggregator: 'sum'
}

abstract class Family<S> {
  readonly name: string
  readonly help: string
  readonly aggregator = 'sum'
  private readonly series = new Map<string, { labels: Labels; series: S }>()

  constructor(name: string, help: string) {
    this.name = name
    this.help = help
  }

  protected abstract make(): S
  protected abstract samples(labels: Labels, series: S): Sample[]
  abstract readonly type: 'counter' | 'histogram'

  /** The series with these labels, made at zero when new. Keep it; do not look it up per event. */
  of(labels: Labels): S {
    const key = JSON.stringify(labels)
    const found = this.series.get(key)
    if (found) return found.series
    const series = this.make()
    this.series.set(key, { labels, series })
    return series
  }

  /** Drops every series whose labels include all of `match`. */
  remove(match: Labels): void {
    for (const [key, { labels }] of this.series) {
      if (Object.entries(match).every(([name, value]) => labels[name] === value)) {
        this.series.delete(key)
      }
    }
  }

  get(): Promise<Exposed> {
    const values = [...this.series.values()].flatMap((s) => this.samples(s.labels, s.series))
    const { name, help, type, aggregator } = this
    return Promise.resolve({ name, help, type, values, aggregator })
  }

  reset(): void {
    this.series.clear()
  }
}

export class CounterSeries {
  value = 0
  add(amount: number): void {
    this.value += amount
  }
}

export class CounterFamily extends Family<CounterSeries> {
  readonly type = 'counter'
  protected make(): CounterSeries {
    return new CounterSeries()
  }
  protected samples(labels: Labels, series: CounterSeries): Sample[] {
    return [{ value: series.value, labels }]
  }
}

export class HistogramSeries {
  readonly counts: Float64Array
  sum = 0
  private readonly bounds: readonly number[]

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = new Float64Array(bounds.length + 1)
  }

  /** Counts one value, in the unit of the bounds. */
  observe(value: number): void {
    let at = 0
    while (at < this.bounds.length && value > (this.bounds[at] as number)) at += 1
    this.counts[at] = (this.counts[at] as number) + 1
    this.sum += value
  }
}

export class HistogramFamily extends Family<HistogramSeries> {
  readonly type = 'histogram'
  private readonly bounds: readonly number[]

  constructor(name: string, help: string, bounds: readonly number[]) {
    super(name, help)
    this.bounds = bounds
  }
  protected make(): HistogramSeries {
    return new HistogramSeries(this.bounds)
  }
  protected samples(labels: Labels, series: HistogramSeries): Sample[] {
    let running = 0
    const samples: Sample[] = []
    for (let at = 0; at <= this.bounds.length; at += 1) {
      running += series.counts[at] ?? 0
      const le = this.bounds[at] ?? '+Inf'
      samples.push({ metricName: `${this.name}_bucket`, value: running, labels: { ...labels, le } })
    }
    samples.push({ metricName: `${this.name}_sum`, value: series.sum, labels })
    samples.push({ metricName: `${this.name}_count`, value: running, labels })
    return samples
  }
}
