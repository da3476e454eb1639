// Runs the SLA test of requirement A4 with Locust from PyPI against a fresh server.
// Usage: bun bench/sla/run.ts [SECONDS]
import { join } from 'node:path'

import { pythonWith } from '../../tests/support/python.ts'
import { iris } from '../models.ts'
import { buildBinary, startRelais } from '../relais.ts'

const seconds = Number(process.argv[2] ?? 20)
const locust = join(await pythonWith(join(import.meta.dir, 'requirements.txt')), '../locust')
await buildBinary()
{
  await using relais = await startRelais()
  await relais.serve(iris)
  const script = ['-f', join(import.meta.dir, 'locustfile.py'), '--host', relais.url]
  const load = ['--headless', '--only-summary', '-u', '50', '-r', '50', '-t', `${seconds}s`]
  const child = Bun.spawn([locust, ...script, ...load], {
    env: { PATH: process.env.PATH, RELAIS_TOKEN: relais.token },
    stdout: 'inherit',
    stderr: 'inherit',
  })
  process.exitCode = await child.exited
}
process.exit()
