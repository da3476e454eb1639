// What the documentation shows of a live model runs as it stands there, through every protocol.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'

import { examples, type Relais, startRelais, testModels } from './support/relais.ts'

let relais: Relais
const files = readdirSync(testModels).filter((name) => /^(identity-|multi|scalar)/.test(name))
const trained = readdirSync(examples)
const models = [...trained, ...files.map((name) => name.replace('.onnx', ''))]

beforeAll(async () => {
  relais = await startRelais()
  for (const name of trained) await relais.pushExample(name, name)
  for (const name of files) {
    await relais.push(name.replace('.onnx', ''), join(testModels, name))
  }
  for (const name of models) {
    expect([name, (await relais.promote(name, 1, 'Production')).status]).toEqual([name, 200])
  }
}, 120_000)

afterAll(() => relais.close())

describe('examples in the documentation', () => {
  for (const model of models) {
    test(`${model}: each runs`, async () => {
      const { paths } = (await relais.call('GET', '/docs/json')).body
      const entries = Object.entries<any>(paths).filter(([path]) =>
        new RegExp(`^/v[12]/models/${model}[:/]`).test(path),
      )
      expect(entries.map(([path]) => path).sort()).toEqual([
        `/v1/models/${model}/invocations`,
        `/v1/models/${model}:predict`,
        `/v1/models/${model}:score`,
        // float16 has no form in the JSON of V2.
        ...(model === 'identity-float16' ? [] : [`/v2/models/${model}/infer`]),
      ])
      for (const [path, { post }] of entries) {
        for (const [type, { example }] of Object.entries<any>(post.requestBody.content)) {
          if (example === undefined) continue
          const raw = typeof example === 'string' ? example : JSON.stringify(example)
          const headers = { 'content-type': type }
          const { status, text } = await relais.call('POST', path, { raw, headers })
          expect([path, type, status, status === 200 ? '' : text]).toEqual([path, type, 200, ''])
        }
      }
    })
  }
})
