// `bun run test:mlflow`: every suite beside MLflow's own servers. Arguments: a folder for JUnit reports, one
// per suite.
import { newest } from '../support/mlflow.ts'
import { pythonWith } from '../support/python.ts'
import { runSuites } from '../support/suites.ts'

const [reports] = process.argv.slice(2)

// Made here: two suites would make it at the same time.
await pythonWith(newest)

// Some hooks start servers in Python and convert models.
const options = { folder: import.meta.dir, atOnce: 2, timeout: 600_000, reports }
const passed = await runSuites({ ...options, first: ['differential.test.ts'] })
process.exit(passed ? 0 : 1)
