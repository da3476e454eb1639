// Processes that are measured, and what the kernel says of them.
import { readFileSync } from 'node:fs'

export interface Running {
  pid: number
  stop(): Promise<void>
}

const groups = new Set<number>()
process.on('exit', () => {
  for (const group of groups) end(group, 'SIGKILL')
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1))

function end(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal)
  } catch {
    // It has ended already.
  }
}

export interface StartOptions {
  env?: Record<string, string>
  /** File descriptor for standard output; else it is thrown away. */
  output?: number
  /** Called with the first line of standard output instead. */
  said?: (line: string) => void
}

/** Starts a program with all that it starts itself in one group, so that nothing stays behind. */
export function start(command: string[], options: StartOptions = {}): Running {
  const child = Bun.spawn(command, {
    env: options.env ?? process.env,
    stdin: 'ignore',
    stdout: options.said ? 'pipe' : (options.output ?? 'ignore'),
    stderr: 'ignore',
    detached: true,
  })
  groups.add(child.pid)
  const { said } = options
  if (said) {
    void (async () => {
      const { value } = await (child.stdout as ReadableStream<Uint8Array>).getReader().read()
      said(new TextDecoder().decode(value).trim())
    })()
  }
  return {
    pid: child.pid,
    stop: async () => {
      child.kill('SIGTERM')
      const late = setTimeout(() => end(child.pid, 'SIGKILL'), 10_000)
      await child.exited
      clearTimeout(late)
      end(child.pid, 'SIGKILL')
      groups.delete(child.pid)
    },
  }
}

/** Polls until an address answers with 200. */
export async function untilReady(ask: () => Promise<Response>, seconds: number): Promise<void> {
  const limit = performance.now() + seconds * 1000
  for (;;) {
    const answer = await ask().catch(() => null)
    if (answer?.ok) return
    if (performance.now() > limit) {
      const text = (await answer?.text()) ?? 'no answer'
      throw new Error(`not ready after ${seconds} s: ${text.slice(0, 300)}`)
    }
    await Bun.sleep(25)
  }
}

/** Linux counts CPU time in hundredths of a second on every platform that Relais runs on. */
const ticksPerSecond = 100

/** CPU seconds that a process has used, its children excluded. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}

const megabytes = (text: string, name: string): number =>
  Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? Number.NaN) / 1024

/** Resident memory of one process in MiB. */
export const residentOf = (pid: number): number =>
  megabytes(readFileSync(`/proc/${pid}/status`, 'utf8'), 'VmRSS')

/** Proportional set size of one process in MiB: its own pages and its share of those in common. */
export const shareOf = (pid: number): number =>
  megabytes(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'), 'Pss')

export const commandOf = (pid: number): string =>
  readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()
