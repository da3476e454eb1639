// Times in buckets of 1 %, so that hours of them fit into memory and parts can be added up.

const smallest = 0.001
const growth = Math.log(1.01)

/** Milliseconds of a percentile are the upper end of its bucket: at most 1 % too high. */
export class Histogram {
  private readonly counts = new Map<number, number>()
  count = 0
  max = 0

  constructor(buckets: readonly (readonly [number, number])[] = []) {
    for (const [bucket, count] of buckets) this.put(bucket, count)
  }

  add(milliseconds: number): void {
    const bucket = Math.ceil(Math.log(Math.max(milliseconds, smallest) / smallest) / growth)
    this.put(bucket, 1)
  }

  merge(buckets: readonly (readonly [number, number])[]): this {
    for (const [bucket, count] of buckets) this.put(bucket, count)
    return this
  }

  /** NaN when nothing was added. */
  percentile(percent: number): number {
    let left = (this.count * percent) / 100
    for (const [bucket, count] of [...this.counts].toSorted(([a], [b]) => a - b)) {
      left -= count
      if (left <= 0) return valueOf(bucket)
    }
    return this.count === 0 ? Number.NaN : this.max
  }

  get buckets(): [number, number][] {
    return [...this.counts]
  }

  private put(bucket: number, count: number): void {
    this.counts.set(bucket, (this.counts.get(bucket) ?? 0) + count)
    this.count += count
    this.max = Math.max(this.max, valueOf(bucket))
  }
}

const valueOf = (bucket: number): number => smallest * Math.exp(bucket * growth)
