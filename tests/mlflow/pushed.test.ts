// Versions that came by the native API, loaded by the `mlflow` package: files, MLmodel, predictions.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { statSync } from 'node:fs'
import { join } from 'node:path'

import { file, serveIris } from '../support/load.ts'
import { newest } from '../support/mlflow.ts'
import { casesIn, pythonWith, runCases } from '../support/python.ts'
import { examples, type Relais, startRelais } from '../support/relais.ts'
import { root } from '../support/sources.ts'

const script = join(import.meta.dir, 'pushed.py')
const elements = ['float16', 'float32', 'float64', 'int8', 'int64', 'uint64', 'bool', 'string']
let relais: Relais
let results: Map<string, string>
beforeAll(async () => {
  const python = await pythonWith(newest)
  relais = await startRelais()
  await serveIris(relais)
  await relais.push('multi', file('multi'))
  for (const element of elements) await relais.push(element, file(`identity-${element}`))
  results = await runCases(python, script, {
    PYTHONPATH: join(root, 'tests/clients'),
    RELAIS_URL: relais.url,
    RELAIS_TOKEN: relais.admin,
    MLFLOW_TRACKING_URI: relais.url,
    MLFLOW_TRACKING_TOKEN: relais.admin,
    MLFLOW_DISABLE_TELEMETRY: 'true',
    IRIS_SIZE: String(statSync(join(examples, 'iris/model.onnx')).size),
  })
}, 600_000)
afterAll(() => relais?.close())

for (const name of casesIn(script)) {
  test(name.replace('test_', '').replaceAll('_', ' '), () => {
    expect(results.get(name)).toBe('')
  })
}
