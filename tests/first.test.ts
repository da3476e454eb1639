// The first day: push, promote, predict, roll back, against scikit-learn's own answers.
import { afterAll, beforeAll, expect, test } from 'bun:test'

import { agrees, referenceOf, type Relais, startRelais } from './support/relais.ts'

let relais: Relais
beforeAll(async () => {
  relais = await startRelais()
})
afterAll(() => relais.close())

for (const name of ['iris', 'breast-cancer', 'diabetes', 'customers']) {
  test(`${name} answers as scikit-learn does`, async () => {
    const reference = referenceOf(name)
    expect((await relais.pushExample(name, name)).status).toBe(201)
    expect((await relais.promote(name, 1, 'Production')).status).toBe(200)
    const answer = await relais.predict(name, reference.rows)
    expect(answer.status).toBe(200)
    const names = Object.keys(reference.outputs)
    const expected = reference.rows.map((_, row) =>
      names.length === 1
        ? [reference.outputs[names[0]!]![row]] // a row of a [N, 1] output, as TensorFlow Serving slices it
        : Object.fromEntries(names.map((output) => [output, reference.outputs[output]![row]])),
    )
    const wrong = expected.filter((value, row) => !agrees(answer.body.predictions[row], value))
    expect(wrong).toEqual([])
    expect(answer.body.model_version).toBe('1')
  })
}
