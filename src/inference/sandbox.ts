// What a child that runs models gives up before it touches one.
import { dlopen, ptr } from 'bun:ffi'
import { readFileSync, writeFileSync } from 'node:fs'

import type { ChildLimits } from './spawn.ts'

const limitData = 2
const limitCore = 4
const parentDeathSignal = 1
const kill = 9
const thisProcess = 0
/** SIGILL, SIGABRT, SIGBUS, SIGFPE, SIGSEGV. */
const faults = [4, 6, 7, 8, 11]

/** Bytes of private memory mapped so far; JavaScriptCore reserves gigabytes that it never uses. */
function mappedBytes(): number {
  const match = /VmData:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))
  return Number(match?.[1] ?? 0) * 1024
}

/**
 * Dies with its parent, leaves no core file, is the first to go when memory runs out, and keeps within
 * its limits. Threads started later inherit the niceness.
 */
export function confine({ memory, niceness }: ChildLimits): void {
  const libc = dlopen('libc.so.6', {
    prctl: { args: ['i32', 'u64', 'u64', 'u64', 'u64'], returns: 'i32' },
    setrlimit: { args: ['i32', 'ptr'], returns: 'i32' },
    setpriority: { args: ['i32', 'u32', 'i32'], returns: 'i32' },
    signal: { args: ['i32', 'u64'], returns: 'u64' },
  })
  // A native fault ends the process at once and tells the server which it was.
  for (const fault of faults) libc.symbols.signal(fault, 0)
  libc.symbols.prctl(parentDeathSignal, kill, 0, 0, 0)
  libc.symbols.setrlimit(limitCore, ptr(new BigUint64Array([0n, 0n])))
  libc.symbols.setpriority(thisProcess, 0, niceness)
  const most = BigInt(mappedBytes() + memory)
  libc.symbols.setrlimit(limitData, ptr(new BigUint64Array([most, most])))
  try {
    writeFileSync('/proc/self/oom_score_adj', '1000')
  } catch {
    // Not every container has it; the limit above still holds.
  }
}
