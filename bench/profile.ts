// Where the HTTP process spends its time: the server from source under load, with Bun's profiler.
// Usage: bun bench/profile.ts MODEL ROWS json|binary CONNECTIONS SECONDS
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'

import { demandWrk, load } from './load.ts'
import { makeModels, models } from './models.ts'
import { buildBinary, startRelais } from './relais.ts'
import { costOf, watch } from './watch.ts'

const [name = 'iris', rows = '1', form = 'json', connections = '64', seconds = '10'] =
  process.argv.slice(2)
const model = models.find((candidate) => candidate.name === name)
if (!model) throw new Error(`models are ${models.map((known) => known.name).join(', ')}`)

demandWrk()
await buildBinary()
await makeModels()
const root = join(import.meta.dir, '..')
const folder = join(root, 'dist/bench/profile')
mkdirSync(folder, { recursive: true })
const profiler = ['--cpu-prof', '--cpu-prof-md', `--cpu-prof-dir=${folder}`]
{
  await using relais = await startRelais([process.execPath, ...profiler, join(root, 'src/main.ts')])
  await relais.serve(model)
  const target =
    form === 'binary' ? relais.binary(model, Number(rows)) : relais.json(model, Number(rows))
  const work = () => load(target, Number(connections), Number(seconds))
  await work()
  const seen = await watch(relais, model, relais.heaviestEngine(), work)
  console.log(seen.result)
  console.log(costOf(seen, seen.result.cpu))
}
console.log(`profiles in ${folder}`)
process.exit()
