// Closed-loop load with wrk, and what it reports.
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface LoadResult {
  requestsPerSecond: number
  /** Milliseconds. */
  p50: number
  p99: number
  /** Answers that were not 2xx or 3xx, and socket errors. */
  errors: number
}

export interface LoadTarget {
  url: string
  body: string
  token?: string
}

const scripts = mkdtempSync(join(tmpdir(), 'relais-bench-'))
let count = 0

/** Fails with advice when wrk is not there. */
export function demandWrk(): void {
  if (Bun.which('wrk') === null) {
    throw new Error('wrk is missing; install it from the system packages (apt-get install wrk)')
  }
}

function scriptFor(target: LoadTarget): string {
  count += 1
  const path = join(scripts, `post-${count}.lua`)
  const auth = target.token ? `wrk.headers["Authorization"]="Bearer ${target.token}"\n` : ''
  writeFileSync(
    path,
    `wrk.method="POST"\nwrk.body=[==[${target.body}]==]\n` +
      `wrk.headers["Content-Type"]="application/json"\n${auth}`,
  )
  return path
}

const milliseconds = (text: string): number => {
  const match = /([\d.]+)(us|ms|s)/.exec(text)
  const unit = { us: 0.001, ms: 1, s: 1000 }[match?.[2] ?? 'ms'] ?? 1
  return Number(match?.[1] ?? Number.NaN) * unit
}

/** Runs wrk with one thread for `seconds`. */
export async function load(
  target: LoadTarget,
  connections: number,
  seconds: number,
): Promise<LoadResult> {
  const command = ['wrk', `-c${connections}`, '-t1', `-d${seconds}`, '--latency', '-s']
  const child = Bun.spawn([...command, scriptFor(target), target.url], { stderr: 'pipe' })
  const text = await new Response(child.stdout).text()
  if ((await child.exited) !== 0) throw new Error(`wrk failed: ${text}`)
  const bad = Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0)
  const sockets = /connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text)?.slice(1) ?? []
  return {
    requestsPerSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1] ?? 0),
    p50: milliseconds(/^ +50%\s+(\S+)/m.exec(text)?.[1] ?? ''),
    p99: milliseconds(/^ +99%\s+(\S+)/m.exec(text)?.[1] ?? ''),
    errors: bad + sockets.reduce((sum, n) => sum + Number(n), 0),
  }
}

export const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN

/** Largest distance from the median, as a share of it. */
export const spread = (values: readonly number[]): number =>
  Math.max(...values.map((value) => Math.abs(value - median(values)))) / median(values)
