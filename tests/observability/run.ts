// `bun run test:observability`: metrics, pictures, rules and alerts with a real Prometheus and Alertmanager,
// two suites at a time. Arguments: a folder for JUnit reports, one per suite.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'

import { binary, cleanUp } from '../support/binary.ts'
import { monitoringTools } from '../support/prometheus.ts'

const atOnce = 2
/** Milliseconds for one hook or test. */
const timeout = 120_000
const [reports] = process.argv.slice(2)

// Installed and built here: two suites would do it at the same time.
const { prometheus, alertmanager } = monitoringTools()
for (const program of [prometheus, alertmanager]) {
  const { stdout, stderr } = Bun.spawnSync([program, '--version'])
  console.log((stdout.toString() || stderr.toString()).split('\n', 1)[0])
}
binary()
cleanUp()

async function run(suite: string): Promise<boolean> {
  const began = performance.now()
  const report =
    reports === undefined
      ? []
      : ['--reporter=junit', `--reporter-outfile=${join(reports, `observability-${suite}.xml`)}`]
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

/** These go first, or one of them runs alone at the end. */
const longest = ['alerts.test.ts', 'rules.test.ts']
const suites = readdirSync(import.meta.dir).filter((name) => name.endsWith('.test.ts'))
const waiting = suites.toSorted((a, b) => longest.indexOf(b) - longest.indexOf(a))
let passed = true
const worker = async (): Promise<void> => {
  for (let suite = waiting.shift(); suite !== undefined; suite = waiting.shift()) {
    if (!(await run(suite))) passed = false
  }
}
await Promise.all(Array.from({ length: atOnce }, worker))
process.exit(passed ? 0 : 1)
