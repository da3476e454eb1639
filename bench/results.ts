// bench/results.json: what was measured, on what, when.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { join } from 'node:path'

import type { Row } from './table.ts'
import type { Verdict } from './verdict.ts'

const path = join(import.meta.dir, 'results.json')

export interface Machine {
  cpu: string
  cores: number
  memory_gib: number
  kernel: string
  bun: string
}

export interface Results {
  machine: Machine
  /** Days on which each part was measured. */
  measured: { marks?: string; table?: string }
  marks: Verdict[]
  table: Row[]
}

const machineHere = (): Machine => ({
  cpu: cpus()[0]?.model ?? 'unknown',
  cores: navigator.hardwareConcurrency,
  memory_gib: Math.round(totalmem() / 2 ** 30),
  kernel: release(),
  bun: Bun.version,
})

/** Replaces the marks that were run, or the table, and fills the README's tables from the file. */
export function keep(part: Partial<Pick<Results, 'marks' | 'table'>>): void {
  const before: Partial<Results> = existsSync(path)
    ? (JSON.parse(readFileSync(path, 'utf8')) as Results)
    : {}
  const today = new Date().toISOString().slice(0, 10)
  const days = Object.fromEntries(Object.keys(part).map((name) => [name, today]))
  const run = new Set(part.marks?.map(({ mark }) => mark))
  const kept = (before.marks ?? []).filter(({ mark }) => !run.has(mark))
  const results: Results = {
    machine: machineHere(),
    measured: { ...before.measured, ...days },
    marks: [...kept, ...(part.marks ?? [])],
    table: part.table ?? before.table ?? [],
  }
  writeFileSync(path, `${JSON.stringify(results, null, 2)}\n`)
  Bun.spawnSync([process.execPath, join(import.meta.dir, '../src/build/readme.ts')])
}
