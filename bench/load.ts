// Closed-loop load with wrk, and what it reports.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { scratch } from './models.ts'

/** Where requests go and what they hold. */
export interface Target {
  url: string
  /** File with the body. */
  body: string
  headers: Record<string, string>
}

/** What one round of one contestant came to. */
export interface Round {
  /** Requests, or rows, answered well per second. */
  rate: number
  /** Milliseconds; NaN where they mean nothing. */
  p50: number
  p99: number
  /** Answers that were not 2xx or 3xx, and socket errors. */
  errors: number
}

export interface LoadResult extends Round {
  /** CPU of wrk, in cores. */
  cpu: number
}

/** Milliseconds. */
const longestRest = 2000

let count = 0

/** Fails with advice when wrk is not there. */
export function demandWrk(): void {
  if (Bun.which('wrk') === null) {
    throw new Error('wrk is missing; install it from the system packages (apt-get install wrk)')
  }
}

function scriptFor({ body, headers }: Target): string {
  count += 1
  const path = join(scratch, `post-${count}.lua`)
  const lines = Object.entries(headers).map(([name, value]) => `wrk.headers["${name}"]="${value}"`)
  // Long brackets would lose bytes, so the body is read from its file.
  const read = `local f=assert(io.open("${body}","rb"))\nwrk.body=f:read("*a")\nf:close()`
  writeFileSync(path, ['wrk.method="POST"', read, ...lines, ''].join('\n'))
  return path
}

const milliseconds = (text: string | undefined): number => {
  const match = /^([\d.]+)(us|ms|s|m)$/.exec(text ?? '')
  const units: Record<string, number> = { us: 0.001, ms: 1, s: 1000, m: 60_000 }
  return match ? Number(match[1]) * (units[match[2] ?? ''] ?? Number.NaN) : Number.NaN
}

/** Runs wrk with one thread for `seconds`. */
export async function load(
  target: Target,
  connections: number,
  seconds: number,
): Promise<LoadResult> {
  const flags = [`-c${connections}`, '-t1', `-d${seconds}s`, '--latency', '--timeout', '30s']
  const child = Bun.spawn(['wrk', ...flags, '-s', scriptFor(target), target.url], {
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const [text, complaint] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ])
  if ((await child.exited) !== 0) throw new Error(`wrk failed: ${text} ${complaint}`)
  const bad = Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0)
  const sockets = /connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text)?.slice(1) ?? []
  const answers = Number(/(\d+) requests in/.exec(text)?.[1] ?? 0)
  const rate = Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1] ?? 0)
  const p99 = milliseconds(/99%\s+(\S+)/.exec(text)?.[1])
  // What is still under way on this server ends before the next one is measured.
  await Bun.sleep(Math.min(p99 || 0, longestRest))
  return {
    rate: answers === 0 ? 0 : (rate * (answers - bad)) / answers,
    p50: milliseconds(/50%\s+(\S+)/.exec(text)?.[1]),
    p99,
    errors: bad + sockets.reduce((sum, n) => sum + Number(n), 0),
    cpu: Number(child.resourceUsage()?.cpuTime.total ?? 0) / 1e6 / seconds,
  }
}
