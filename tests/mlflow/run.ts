// `bun run test:mlflow`: every suite beside MLflow's own servers, two at a time, since each waits for the
// other side more than it works. Arguments: a folder for JUnit reports, one per suite.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'

import { newest } from '../support/mlflow.ts'
import { pythonWith } from '../support/python.ts'

const atOnce = 2
/** Milliseconds for one hook or test: some start servers in Python and convert models. */
const timeout = 600_000
const [reports] = process.argv.slice(2)

// Made here: two suites would make it at the same time.
await pythonWith(newest)

async function run(suite: string): Promise<boolean> {
  const began = performance.now()
  const report =
    reports === undefined
      ? []
      : ['--reporter=junit', `--reporter-outfile=${join(reports, `mlflow-${suite}.xml`)}`]
  const child = Bun.spawn(
    [process.execPath, 'test', join(import.meta.dir, suite), `--timeout=${timeout}`, ...report],
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

const waiting = readdirSync(import.meta.dir).filter((name) => name.endsWith('.test.ts'))
let passed = true
const worker = async (): Promise<void> => {
  for (let suite = waiting.shift(); suite !== undefined; suite = waiting.shift()) {
    if (!(await run(suite))) passed = false
  }
}
await Promise.all(Array.from({ length: atOnce }, worker))
process.exit(passed ? 0 : 1)
