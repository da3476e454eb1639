// `bun run bench:soak`: half an hour at 60 % of what the server can do, with a hot swap every minute.
// No request may fail and no process may grow.
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

import { familyOf } from '../tests/support/binary.ts'
import { median } from '../tests/support/figures.ts'
import { demandWrk, load } from './load.ts'
import { example, iris } from './models.ts'
import { openLoop } from './openloop.ts'
import { commandOf, shareOf } from './process.ts'
import { buildBinary, type Measured, startRelais } from './relais.ts'
import { lineOf, most, type Verdict } from './verdict.ts'

const fullMinutes = 30
const share = 0.6
const sampleEvery = 5_000
const swapEvery = 60_000
const mostGrowth = 0.05

interface Sample {
  minute: number
  /** Proportional set size in MiB, summed over the processes of a role; page cache is not in it. */
  memory: Record<string, number>
}

/** Trials live for a moment and count for no role. */
function roleOf(pid: number, main: number): string | null {
  if (pid === main) return 'http'
  return commandOf(pid).includes('__engine') ? 'engines' : null
}

function sample({ pid: main }: Measured, began: number): Sample {
  const memory: Record<string, number> = {}
  for (const pid of familyOf(main)) {
    try {
      const role = roleOf(pid, main)
      if (role !== null) memory[role] = (memory[role] ?? 0) + shareOf(pid)
    } catch {
      // It ended meanwhile.
    }
  }
  return { minute: (performance.now() - began) / 60_000, memory }
}

/**
 * Growth of each role behind minute `settled`: from the minutes that follow to the last ones. Five of
 * them each, since collections of garbage make single minutes differ by more than the mark.
 */
function growths(samples: readonly Sample[], settled: number, minutes: number): Verdict[] {
  const window = Math.min(5, (minutes - settled) / 2)
  const within = (role: string, from: number, to: number): number =>
    median(
      samples
        .filter(({ minute }) => minute >= from && minute < to)
        .map(({ memory }) => memory[role] ?? Number.NaN),
    )
  return ['http', 'engines'].map((role) => {
    const first = within(role, settled, settled + window)
    const last = within(role, minutes - window, minutes + 1)
    const note = `${first.toFixed(1)} MiB to ${last.toFixed(1)} MiB`
    return most(`growth of ${role}`, last / first - 1, mostGrowth, '', { note })
  })
}

async function soak(minutes: number): Promise<{ verdicts: Verdict[]; record: object }> {
  await using relais = await startRelais()
  await relais.serve(iris)
  const { file, schema = '' } = example('iris-v2', 'the other version')
  await relais.cli('push', iris.name, file, '--schema', schema)
  const target = relais.json(iris, 1)
  const best = (await load(target, 64, minutes < fullMinutes ? 5 : 10)).rate
  const rate = Math.round(best * share)
  console.log(`best ${Math.round(best)}/s; ${minutes} minutes at ${rate}/s`)

  const began = performance.now()
  const samples: Sample[] = []
  const sampling = setInterval(() => samples.push(sample(relais, began)), sampleEvery)
  const cutting = setInterval(() => truncateSync(relais.log), 20_000)
  let swaps = 0
  let lost = 0
  const swapping = setInterval(() => {
    // One that began with the last request would end behind the server.
    if (swaps >= minutes - 1) return
    const version = swaps % 2 === 0 ? '2' : '1'
    swaps += 1
    relais
      .cli('promote', iris.name, version, '--to', 'Production')
      .then(() =>
        console.log(
          `minute ${swaps}: version ${version}, ${JSON.stringify(samples.at(-1)?.memory)}`,
        ),
      )
      .catch((error: Error) => {
        lost += 1
        console.log(`swap ${swaps}: ${error.message}`)
      })
  }, swapEvery)
  const report = await openLoop({ ...target, rate, seconds: minutes * 60, connections: 256 })
  for (const timer of [sampling, cutting, swapping]) clearInterval(timer)

  const settled = Math.min(5, minutes / 3)
  const { buckets: _, ...times } = report.ok
  const verdicts = [
    most('failed requests', report.planned - (report.statuses['200'] ?? 0), 0, ''),
    most('failed swaps', lost, 0, ''),
    ...growths(samples, settled, minutes),
  ]
  const record = {
    minutes,
    best_per_second: best,
    rate,
    swaps,
    statuses: report.statuses,
    times,
    generator_lag_p99_ms: report.lag.p99,
    samples,
  }
  return { verdicts, record }
}

const { values } = parseArgs({ options: { minutes: { type: 'string' } } })
demandWrk()
await buildBinary()
const minutes = Number(values.minutes ?? fullMinutes)
const { verdicts, record } = await soak(minutes)
for (const verdict of verdicts) console.log(lineOf(verdict))
if (minutes >= fullMinutes) {
  const folder = join(import.meta.dir, 'results')
  mkdirSync(folder, { recursive: true })
  const text = JSON.stringify({ verdicts, ...record }, null, 2)
  writeFileSync(join(folder, 'soak.json'), `${text}\n`)
} else console.log(JSON.stringify({ ...record, samples: undefined }))
process.exit(verdicts.every(({ passed }) => passed) ? 0 : 1)
