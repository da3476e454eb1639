// Rows per second of `relais score` against a script with pandas and ONNX Runtime, in one run, and
// how much memory the job takes. With --check it exits 1 below the marks.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { pssOf } from '../tests/support/binary.ts'
import { median } from '../tests/support/figures.ts'
import { pythonWith } from '../tests/support/python.ts'
import { cancer as model } from './models.ts'
import { binary, buildBinary, type Measured, startRelais } from './relais.ts'
import { spread } from './rounds.ts'

const rounds = 3
const rows = 1_000_000
/** The job whose memory is looked at is so many times as long: the first seconds go to warming up. */
const longer = 4
/** The script's time divided by ours, and megabytes that memory may grow by. */
const mark = 5
const memoryMark = 64
/** Milliseconds; looking at the memory of a process holds it up for some of them. */
const sampleEvery = 400
const check = process.argv.includes('--check')

const example = join(import.meta.dir, '../examples/models/breast-cancer')
const folder = mkdtempSync(join(tmpdir(), 'relais-score-'))
const file = (name: string): string => join(folder, name)

/** Rows like those the model was made for, six digits each, the same in every run. */
async function makeRows(path: string, count: number): Promise<void> {
  const reference = JSON.parse(readFileSync(join(example, 'reference.json'), 'utf8')) as {
    columns: string[]
    rows: number[][]
  }
  const writer = Bun.file(path).writer({ highWaterMark: 1 << 20 })
  void writer.write(`${reference.columns.join(',')}\n`)
  let state = 1
  const random = (): number => (state = (Math.imul(state, 1103515245) + 12345) >>> 1) / 2 ** 31
  for (let row = 0; row < count; row += 1) {
    const known = reference.rows[Math.floor(random() * reference.rows.length)] as number[]
    const cells = known.map((value) => Number((value * (0.95 + 0.05 * random())).toPrecision(6)))
    void writer.write(`${cells.join(',')}\n`)
    if (row % 10_000 === 0) await writer.flush()
  }
  await writer.end()
}

/** The rows of one file several times over. */
async function repeatRows(from: string, to: string, times: number): Promise<void> {
  const bytes = readFileSync(from)
  const first = bytes.indexOf(10) + 1
  const writer = Bun.file(to).writer({ highWaterMark: 1 << 20 })
  void writer.write(bytes.subarray(0, first))
  for (let time = 0; time < times; time += 1) {
    void writer.write(bytes.subarray(first))
    await writer.flush()
  }
  await writer.end()
}

interface Timed {
  seconds: number
  /** Megabytes at a tenth of the time, and the most after it. */
  early: number
  peak: number
}

/** Runs a command to its end; `beside` is a process whose memory counts, too. */
async function timed(
  command: string[],
  env: Record<string, string>,
  beside?: number,
): Promise<Timed> {
  const began = performance.now()
  const child = Bun.spawn(command, { env, stdout: 'ignore', stderr: 'pipe' })
  const said = new Response(child.stderr).text()
  const sizes: number[] = []
  const watch = setInterval(() => {
    try {
      if (beside !== undefined) sizes.push(pssOf(beside) + pssOf(child.pid))
    } catch {
      // A process ended while it was looked at.
    }
  }, sampleEvery)
  const code = await child.exited
  const seconds = (performance.now() - began) / 1000
  clearInterval(watch)
  if (code !== 0) throw new Error(`${command.join(' ')}: ${await said}`)
  const tenth = Math.ceil(sizes.length / 10)
  const early = sizes[tenth - 1] ?? Number.NaN
  return { seconds, early, peak: Math.max(...sizes.slice(tenth - 1)) }
}

/** Largest difference between scores of the two results. */
function difference(ours: string, theirs: string): number {
  const parse = (path: string): string[][] =>
    readFileSync(path, 'utf8')
      .slice(0, 1 << 20)
      .split('\n')
      .slice(1, -1)
      .map((line) => line.split(','))
  const [a, b] = [parse(ours), parse(theirs)]
  const count = Math.min(a.length, b.length)
  const gaps = a.slice(0, count).map(([label, ...scores], at) => {
    const gap = (score: string, place: number): number =>
      Math.abs(Number(score) - Number(b[at]?.[place + 1]))
    // Two versions of ONNX Runtime may break a tie in two ways.
    const isTie = Math.abs(Number(scores[0]) - Number(scores[1])) < 1e-5
    return label === b[at]?.[0] || isTie ? Math.max(...scores.map(gap)) : Infinity
  })
  return Math.max(...gaps)
}

async function compare(relais: Measured): Promise<boolean> {
  const interpreter = await pythonWith(join(import.meta.dir, 'peers/score-requirements.txt'))
  await makeRows(file('rows.csv'), rows)
  await repeatRows(file('rows.csv'), file('long.csv'), longer)
  const env = { RELAIS_URL: relais.url, RELAIS_TOKEN: relais.token }
  const score = (input: string): Promise<Timed> => {
    const words = ['score', model.name, '--input', file(input), '--output', file('ours.csv')]
    return timed([binary, ...words], env, relais.pid)
  }
  const script = [interpreter, join(import.meta.dir, 'peers/score_pandas.py'), file('rows.csv')]
  const peer = (): Promise<Timed> =>
    timed([...script, join(example, 'model.onnx'), file('theirs.csv')], {})
  const short = await score('rows.csv')
  const long = await score('long.csv')
  const [ours, theirs]: Timed[][] = [[], []]
  for (let round = 1; round <= rounds; round += 1) {
    const [script, own] = [await peer(), await score('rows.csv')]
    theirs?.push(script)
    ours?.push(own)
    console.log(
      `round ${round}: pandas ${script.seconds.toFixed(2)} s, relais ${own.seconds.toFixed(2)} s`,
    )
  }
  const times = (list: Timed[] = []): number[] => list.map(({ seconds }) => seconds)
  const [base, own] = [median(times(theirs)), median(times(ours))]
  const growth = long.peak - long.early
  const gap = difference(file('ours.csv'), file('theirs.csv'))
  const record = {
    rows,
    pandas_seconds: times(theirs),
    relais_seconds: times(ours),
    ratio: base / own,
    rows_per_second: Math.round(rows / own),
    memory_rows: rows * longer,
    memory_growth_mb: Math.round(growth),
    memory_peak_mb: Math.round(long.peak),
    memory_peak_mb_of_fewer_rows: Math.round(short.peak),
    largest_difference: gap,
  }
  const spreads = [spread(times(theirs)), spread(times(ours))].map(
    (s) => `${(s * 100).toFixed(0)} %`,
  )
  console.log(
    `pandas ${base.toFixed(2)} s, spread ${spreads[0]}; relais ${own.toFixed(2)} s, spread ${spreads[1]}`,
  )
  console.log(`ratio  ${record.ratio.toFixed(2)} (mark ${mark}), ${record.rows_per_second} rows/s`)
  console.log(
    `with ${rows * longer} rows memory grows by ${growth.toFixed(0)} MB after the first tenth ` +
      `(mark ${memoryMark}), peak ${long.peak.toFixed(0)} MB, with ${rows} ${short.peak.toFixed(0)} MB`,
  )
  console.log(`largest difference of a score ${gap}`)
  mkdirSync(join(import.meta.dir, 'results'), { recursive: true })
  const path = join(import.meta.dir, 'results/score.json')
  writeFileSync(path, `${JSON.stringify(record, null, 2)}\n`)
  // What is committed is formatted like all the rest.
  Bun.spawnSync([process.execPath, 'fmt', path])
  const flat = growth < memoryMark && long.peak - short.peak < memoryMark
  return record.ratio >= mark && flat && gap <= 1e-5
}

await buildBinary()
await using relais = await startRelais()
await relais.serve(model)
const passed = await compare(relais)
rmSync(folder, { recursive: true, force: true })
if (check && !passed) process.exitCode = 1
