// A multilayer perceptron of 150 MB, made here: pushed, and registered as MLflow's clients do, to the
// right answer.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

import { mlpReference, writeMlp } from './models/make-mlp.ts'
import { externalized } from './support/externalize.ts'
import { mlflowOf, mlModel, putFiles } from './support/mlflow-api.ts'
import { agrees, type Relais, startRelais } from './support/relais.ts'

const size = { inputs: 784, hidden: [5760, 5760], outputs: 10 }
const rowOf = (start: number): number[] =>
  Array.from({ length: size.inputs }, (_, at) => Math.sin(start + at * 0.37))

let relais: Relais
let file: string
beforeAll(async () => {
  relais = await startRelais()
  file = join(relais.data, 'mlp.onnx')
  await writeMlp(file, size)
})
afterAll(() => relais.close())

test('150 MB: tried, loaded in an engine of its own, and right', async () => {
  expect(statSync(file).size).toBeGreaterThan(150_000_000)
  const pushed = await relais.push('mlp', file)
  expect([pushed.status, pushed.body.servability]).toEqual([201, 'servable'])
  expect((await relais.promote('mlp', 1, 'Production')).status).toBe(200)
  const rows = [rowOf(0), rowOf(1), rowOf(2)]
  const answer = await relais.predict('mlp', rows)
  expect(answer.status).toBe(200)
  const expected = rows.map((row) => mlpReference(size, row))
  expect(agrees(answer.body.predictions, expected)).toBe(true)
  // Another row gives another answer, so agreement is no accident.
  expect(agrees(answer.body.predictions[0], expected[1])).toBe(false)
  const [engine] = relais.app.deployments.engines
  expect(engine?.key).toEndWith('-live')
}, 60_000)

test('§24 150 MB with its tensors in a file beside it, registered by MLflow’s door', async () => {
  const { model, data } = externalized(readFileSync(file), 'model.onnx.data')
  expect(model.length).toBeLessThan(10_000)
  expect(data.length).toBeGreaterThan(150_000_000)
  const files = { MLmodel: mlModel(), 'model.onnx': model, 'model.onnx.data': data }
  await putFiles(relais, '0/beside', files)
  const call = mlflowOf(relais)
  await call('POST', 'registered-models/create', { name: 'beside' })
  const source = 'mlflow-artifacts:/0/beside'
  const { body } = await call('POST', 'model-versions/create', { name: 'beside', source })
  expect(body.model_version).toMatchObject({ status: 'READY', version: '1' })
  expect((await relais.promote('beside', 1, 'Production')).status).toBe(200)
  const answer = await relais.predict('beside', [rowOf(0)])
  expect(agrees(answer.body.predictions, [mlpReference(size, rowOf(0))])).toBe(true)
}, 60_000)
