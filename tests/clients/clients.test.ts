// Clients of other servers, from PyPI, against this one: tritonclient (both kinds) and KServe's.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'

import { file, serve, serveIris, until } from '../support/load.ts'
import { casesIn, pythonWith, runCases } from '../support/python.ts'
import { type Relais, startRelais } from '../support/relais.ts'

/** What the environment of Python may take to come from its registry, once. */
const patience = 600_000
const words =
  'bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 string'
const elements = words.split(' ')

let relais: Relais
let python: string
beforeAll(async () => {
  python = await pythonWith(join(import.meta.dir, 'requirements.txt'))
  relais = await startRelais()
  await serveIris(relais)
  for (const element of elements) await serve(relais, element, file(`identity-${element}`))
  await serve(relais, 'counted', file('identity-float32'))
  await serve(relais, 'multi', file('multi'))
  await serve(relais, 'staged', file('identity-float32'), 'Staging')
  for (let count = 0; count < 3; count += 1) await relais.push('fleet', file('identity-float32'))
  await relais.promote('fleet', 1, 'Production')
  await relais.promote('fleet', 2, 'Staging')
  await relais.call('PUT', '/api/v1/models/fleet/aliases/blue', { body: { version: 3 } })
  const third = async (): Promise<boolean> =>
    (await relais.call('GET', '/v2/models/fleet/versions/3/ready')).status === 200
  await until(third)
}, patience)
afterAll(() => relais?.close())

for (const suite of ['triton', 'triton_aio', 'kserve_rest']) {
  const script = join(import.meta.dir, `${suite}.py`)
  describe(suite, () => {
    let results: Map<string, string>
    beforeAll(async () => {
      const env = { RELAIS_URL: relais.url, RELAIS_TOKEN: relais.admin }
      results = await runCases(python, script, env)
    }, 120_000)
    const names = casesIn(script)
    test('there are cases', () => {
      expect(names.length).toBeGreaterThan(3)
    })
    for (const name of names) {
      test(name.replace('test_', '').replaceAll('_', ' '), () => {
        expect(results.get(name)).toBe('')
      })
    }
  })
}
