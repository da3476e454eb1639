// Runs the suites of a folder, each in a process of its own, several at a time.
import { readdirSync } from 'node:fs'
import { basename, join } from 'node:path'

export interface SuitesOptions {
  folder: string
  /** Suites at the same time: most wait for other programs more than they work. */
  atOnce: number
  /** Milliseconds for one hook or test. */
  timeout: number
  /** Folder for JUnit reports, `FOLDER-SUITE.xml` each; none without it. */
  reports: string | undefined
  /** Suites that go first, the longest ones, or one of them would run alone at the end. */
  first?: readonly string[]
}

async function run(suite: string, options: SuitesOptions): Promise<boolean> {
  const { folder, timeout, reports } = options
  const began = performance.now()
  const name = `${basename(folder)}-${suite}.xml`
  const report =
    reports === undefined ? [] : ['--reporter=junit', `--reporter-outfile=${join(reports, name)}`]
  const child = Bun.spawn(
    [process.execPath, 'test', join(folder, suite), `--timeout=${timeout}`, ...report],
    { stdout: 'pipe', stderr: 'pipe' },
  )
  const [out, words, code] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ])
  const seconds = ((performance.now() - began) / 1000).toFixed(0)
  console.log(`${out}${words}\n-- ${suite}: ${code === 0 ? 'passed' : 'failed'}, ${seconds} s\n`)
  return code === 0
}

/** True when every suite passed. Each says what it has to say when it has ended. */
export async function runSuites(options: SuitesOptions): Promise<boolean> {
  const { folder, atOnce, first = [] } = options
  const suites = readdirSync(folder).filter((name) => name.endsWith('.test.ts'))
  const waiting = suites.toSorted((a, b) => first.indexOf(b) - first.indexOf(a))
  let passed = true
  const worker = async (): Promise<void> => {
    for (let suite = waiting.shift(); suite !== undefined; suite = waiting.shift()) {
      if (!(await run(suite, options))) passed = false
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  return passed
}
