// A multilayer perceptron of 150 MB, made here: through push and promotion to the right answer.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { statSync } from 'node:fs'
import { join } from 'node:path'

import { mlpReference, writeMlp } from './models/make-mlp.ts'
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
