// Open-loop load: requests leave at a constant rate whatever the server does, and their time counts
// from the moment at which they should have left. Runs as a process of its own.
import { readFileSync } from 'node:fs'

import { Histogram } from './histogram.ts'
import type { Target } from './load.ts'
import { type Answer, Wire } from './wire.ts'

export interface OpenLoad extends Target {
  /** Requests per second. */
  rate: number
  seconds: number
  /** Most connections; a request that finds none free waits, and its time runs. Default 256. */
  connections?: number
  /** Milliseconds to wait for answers after the last request was due. Default 15,000. */
  patience?: number
}

export interface Times {
  count: number
  p50: number
  p95: number
  p99: number
  max: number
  buckets: [number, number][]
}

export interface OpenReport {
  planned: number
  /** Answers by status. */
  statuses: Record<string, number>
  /** Answers with 200 that came while requests were being sent, per second. */
  okPerSecond: number
  ok: Times
  /** 429 and 503. */
  rejected: Times
  /** Rejections without Retry-After. */
  withoutRetryAfter: number
  /** Connections that broke under a request. */
  broken: number
  /** Requests without an answer at the end. */
  unanswered: number
  /** How late the generator itself was. */
  lag: Times
  /** Requests that found every connection busy. */
  waited: number
  connections: number
  /** CPU of the generator, in cores. */
  cpu: number
}

const timesOf = (histogram: Histogram): Times => ({
  count: histogram.count,
  p50: histogram.percentile(50),
  p95: histogram.percentile(95),
  p99: histogram.percentile(99),
  max: histogram.max,
  buckets: histogram.buckets,
})

class Generator {
  private readonly idle: Wire[] = []
  private readonly backlog: number[] = []
  private open = 0
  private flying = 0
  private waited = 0
  private broken = 0
  private inTime = 0
  private withoutRetryAfter = 0
  private end = 0
  private readonly statuses: Record<string, number> = {}
  private readonly ok = new Histogram()
  private readonly rejected = new Histogram()
  private readonly lag = new Histogram()
  private readonly bytes: Uint8Array
  private readonly options: Required<OpenLoad>

  constructor(options: OpenLoad) {
    this.options = { connections: 256, patience: 15_000, ...options }
    const body = readFileSync(options.body)
    const { host, pathname } = new URL(options.url)
    const headers = Object.entries({ host, ...options.headers, 'content-length': body.length })
    const head = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')
    this.bytes = Buffer.concat([Buffer.from(`POST ${pathname} HTTP/1.1\r\n${head}\r\n`), body])
  }

  async run(): Promise<OpenReport> {
    const { rate, seconds, connections, patience } = this.options
    const warm = Math.min(connections, 64)
    await Promise.all(Array.from({ length: warm }, () => this.connect()))
    const planned = Math.round(rate * seconds)
    const before = process.cpuUsage()
    const began = performance.now() + 5
    this.end = began + seconds * 1000
    for (let sent = 0; sent < planned;) {
      const now = performance.now()
      for (; sent < planned && began + (sent * 1000) / rate <= now; sent += 1) {
        const due = began + (sent * 1000) / rate
        this.lag.add(performance.now() - due)
        this.dispatch(due)
      }
      await Bun.sleep(1)
    }
    while (
      (this.flying > 0 || this.backlog.length > 0) &&
      performance.now() < this.end + patience
    ) {
      await Bun.sleep(5)
    }
    const { user, system } = process.cpuUsage(before)
    return {
      planned,
      statuses: this.statuses,
      okPerSecond: this.inTime / seconds,
      ok: timesOf(this.ok),
      rejected: timesOf(this.rejected),
      withoutRetryAfter: this.withoutRetryAfter,
      broken: this.broken,
      unanswered: this.flying + this.backlog.length,
      lag: timesOf(this.lag),
      waited: this.waited,
      connections: this.open,
      cpu: (user + system) / 1000 / (performance.now() - began),
    }
  }

  private dispatch(due: number): void {
    const wire = this.idle.pop()
    if (wire) {
      this.flying += 1
      wire.send(this.bytes, due)
      return
    }
    this.backlog.push(due)
    if (this.open < this.options.connections) void this.connect()
    else this.waited += 1
  }

  private async connect(): Promise<void> {
    this.open += 1
    const wire = await Wire.open(this.options.url, {
      answered: (due, answer) => this.answered(due, answer),
      free: (own) => this.free(own),
      closed: (own, due) => this.closed(own, due),
    })
    if (wire) this.free(wire)
    else this.open -= 1
  }

  private free(wire: Wire): void {
    const due = this.backlog.shift()
    if (due === undefined) {
      this.idle.push(wire)
      return
    }
    this.flying += 1
    wire.send(this.bytes, due)
  }

  private closed(wire: Wire, due: number | null): void {
    this.open -= 1
    if (due === null) {
      const at = this.idle.indexOf(wire)
      if (at >= 0) this.idle.splice(at, 1)
      return
    }
    this.flying -= 1
    this.broken += 1
  }

  private answered(due: number, { status, retryAfter }: Answer): void {
    const now = performance.now()
    this.flying -= 1
    this.statuses[status] = (this.statuses[status] ?? 0) + 1
    if (status === 200) {
      this.ok.add(now - due)
      if (now <= this.end) this.inTime += 1
    } else if (status === 429 || status === 503) {
      this.rejected.add(now - due)
      if (!retryAfter) this.withoutRetryAfter += 1
    }
  }
}

/** Runs the load in a process of its own and returns its report. */
export async function openLoop(options: OpenLoad): Promise<OpenReport> {
  const child = Bun.spawn([process.execPath, import.meta.path, JSON.stringify(options)], {
    stdout: 'pipe',
    stderr: 'inherit',
  })
  const text = await new Response(child.stdout).text()
  if ((await child.exited) !== 0) throw new Error(`the generator failed: ${text}`)
  return JSON.parse(text) as OpenReport
}

if (import.meta.main) {
  const options = process.argv[2]
  if (options === undefined) {
    const example = '{"url":"http://…","body":"FILE","headers":{},"rate":1000,"seconds":10}'
    throw new Error(`usage: bun bench/openloop.ts '${example}'`)
  }
  console.log(JSON.stringify(await new Generator(JSON.parse(options) as OpenLoad).run()))
  process.exit(0)
}
