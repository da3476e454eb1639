// What Prometheus' own checker says of /metrics.
import { afterAll, beforeAll, expect, test } from 'bun:test'

import { referenceOf, type Relais, startRelais } from '../support/relais.ts'

let relais: Relais
beforeAll(async () => {
  relais = await startRelais()
  await relais.pushExample('iris', 'iris', { metrics: { accuracy: 0.9, f1: 0.8 } })
  await relais.promote('iris', 1, 'Production')
  await relais.predict('iris', referenceOf('iris').rows)
  await relais.predict('iris', [[1]])
}, 60_000)
afterAll(() => relais.close())

test('promtool finds nothing wrong with names, units, types and help', async () => {
  const { text } = await relais.call('GET', '/metrics')
  const check = Bun.spawn(['promtool', 'check', 'metrics'], {
    stdin: new Blob([text]),
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const said = await Promise.all([
    new Response(check.stdout).text(),
    new Response(check.stderr).text(),
  ])
  expect(said.join('').trim()).toBe('')
  expect(await check.exited).toBe(0)
})

test('the type is one that Prometheus 3 takes', async () => {
  const { headers } = await relais.call('GET', '/metrics')
  expect(headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
})
