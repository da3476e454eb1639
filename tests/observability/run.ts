// `bun run test:observability`: metrics, pictures, rules and alerts with a real Prometheus and Alertmanager,
// two suites at a time. Arguments: a folder for JUnit reports, one per suite.
import { binary, cleanUp } from '../support/binary.ts'
import { monitoringTools } from '../support/prometheus.ts'
import { runSuites } from '../support/suites.ts'

const [reports] = process.argv.slice(2)

// Installed and built here: two suites would do it at the same time.
const { prometheus, alertmanager } = monitoringTools()
for (const program of [prometheus, alertmanager]) {
  const { stdout, stderr } = Bun.spawnSync([program, '--version'])
  console.log((stdout.toString() || stderr.toString()).split('\n', 1)[0])
}
binary()
cleanUp()

const options = { folder: import.meta.dir, atOnce: 2, timeout: 120_000, reports }
const first = ['alerts.test.ts', 'rules.test.ts']
process.exit((await runSuites({ ...options, first })) ? 0 : 1)
