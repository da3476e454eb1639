// Counters, gauges and histograms as plain numbers that prom-client reads when somebody scrapes.
// prom-client hashes labels on every write (0.5 to 1 µs); a series resolved once costs 10 ns.

/** A value for each label of a metric. */
export type Labels<L extends string = string> = Readonly<Record<L, string>>

/** What a family is made of. */
export interface Described<L extends string = string> {
  name: string
  help: string
  labels: readonly L[]
}

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

abstract class Family<L extends string, S> {
  readonly name: string
  readonly help: string
  readonly aggregator = 'sum'
  private readonly labelNames: readonly L[]
  private readonly series = new Map<string, { labels: Labels<L>; series: S }>()

  constructor({ name, help, labels }: Described<L>) {
    this.name = name
    this.help = help
    this.labelNames = labels
  }

  protected abstract make(): S
  protected abstract samples(labels: Labels<L>, series: S): Sample[]
  abstract readonly type: 'counter' | 'gauge' | 'histogram'

  /** The series with these labels, made at zero when new. Keep it; do not look it up per event. */
  of(labels: Labels<L>): S {
    const key = this.keyOf(labels)
    const found = this.series.get(key)
    if (found) return found.series
    const series = this.make()
    const own = Object.fromEntries(this.labelNames.map((name) => [name, labels[name]]))
    this.series.set(key, { labels: own as Labels<L>, series })
    return series
  }

  has(labels: Labels<L>): boolean {
    return this.series.has(this.keyOf(labels))
  }

  /** How many series there are. */
  get size(): number {
    return this.series.size
  }

  /** Drops every series whose labels include all of `match`. */
  remove(match: Partial<Labels<L>>): void {
    const wanted = Object.entries<string | undefined>(match)
    for (const [key, { labels }] of this.series) {
      if (wanted.every(([name, value]) => labels[name as L] === value)) this.series.delete(key)
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

  /** One key whatever the order in which the labels are given. */
  private keyOf(labels: Labels<L>): string {
    let key = ''
    for (const name of this.labelNames) key += `${labels[name]}\u0000`
    return key
  }
}

/** A value that is counted up, or set. */
class NumberSeries {
  value = 0
}

abstract class NumberFamily<L extends string, S extends NumberSeries> extends Family<L, S> {
  protected samples(labels: Labels<L>, { value }: S): Sample[] {
    return [{ value, labels }]
  }
}

export class CounterSeries extends NumberSeries {
  add(amount: number): void {
    this.value += amount
  }

  /** Takes over a count that is kept elsewhere; it never goes back. */
  reach(total: number): void {
    if (total > this.value) this.value = total
  }
}

export class CounterFamily<L extends string = string> extends NumberFamily<L, CounterSeries> {
  readonly type = 'counter'

  /** Counts a rare event; what happens per request keeps its series. */
  inc(labels: Labels<L>, amount = 1): void {
    this.of(labels).add(amount)
  }

  protected make(): CounterSeries {
    return new CounterSeries()
  }
}

export class GaugeFamily<L extends string = string> extends NumberFamily<L, NumberSeries> {
  readonly type = 'gauge'

  set(labels: Labels<L>, value: number): void {
    this.of(labels).value = value
  }

  protected make(): NumberSeries {
    return new NumberSeries()
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

export class HistogramFamily<L extends string = string> extends Family<L, HistogramSeries> {
  readonly type = 'histogram'
  private readonly bounds: readonly number[]

  constructor(described: Described<L>, bounds: readonly number[]) {
    super(described)
    this.bounds = bounds
  }
  protected make(): HistogramSeries {
    return new HistogramSeries(this.bounds)
  }
  protected samples(labels: Labels<L>, series: HistogramSeries): Sample[] {
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
