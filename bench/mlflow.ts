// `bun run bench:mlflow`: Relais against MLflow's own server as a registry. Runs and versions written,
// then pages of searches among 100,000 versions. With --check it exits 1 where a mark is missed.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { compareSearches } from './mlflow/search.ts'
import { fillMlflow, fillRelais, modelCount, runCount, versionsEach } from './mlflow/seed.ts'
import { type Server, startOurs, startTheirs } from './mlflow/server.ts'
import { compareWrites } from './mlflow/writes.ts'
import { buildBinary } from './relais.ts'

/** Throughput as a multiple of MLflow's, and the 95th percentile as a share of its own. */
const leastThroughput = 10
const mostP95 = 0.1

await buildBinary()
/** Both servers anew, so that what was written is not among what is searched. */
async function withServers<T>(work: (relais: Server, mlflow: Server) => Promise<T>): Promise<T> {
  await using relais = await startOurs()
  await using mlflow = await startTheirs()
  return await work(relais, mlflow)
}

const writes = await withServers(compareWrites)
const search = await withServers((relais, mlflow) => {
  console.log(`seeding ${modelCount * versionsEach} versions and ${runCount} runs`)
  fillMlflow(mlflow.database)
  fillRelais(relais.database)
  return compareSearches(relais, mlflow)
})
const [own, other] = search.p95_ms
console.log(
  `pages: p95 ${own.toFixed(1)} against ${other.toFixed(1)} ms (${search.p95_ratio.toFixed(3)})`,
)

const counts = { versions: modelCount * versionsEach, models: modelCount, runs: runCount }
const record = { figures: '[relais, mlflow]', writes, search: { ...counts, ...search } }
const folder = join(import.meta.dir, 'results')
mkdirSync(folder, { recursive: true })
writeFileSync(join(folder, 'mlflow.json'), `${JSON.stringify(record, null, 2)}\n`)

const written = Object.values(writes)
const isMet =
  written.every(({ throughput_ratio: ratio }) => ratio >= leastThroughput) &&
  [...written, search].every(({ p95_ratio: ratio }) => ratio <= mostP95)
console.log(
  `marks (${leastThroughput} × the throughput, ${mostP95} of the p95): ${isMet ? 'met' : 'missed'}`,
)
if (process.argv.includes('--check') && !isMet) process.exitCode = 1
