// perf_analyzer, Triton's load generator: it reads metadata, configuration and statistics, sends
// tensors in binary and JSON, and compares the server's counts with its own.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'

import { file, serve, serveIris } from '../support/load.ts'
import { pythonWith } from '../support/python.ts'
import { type Relais, startRelais } from '../support/relais.ts'

const requests = 200
let relais: Relais
let folder: string
beforeAll(async () => {
  folder = dirname(await pythonWith(join(import.meta.dir, 'perf/requirements.txt')))
  relais = await startRelais()
  await serveIris(relais)
  await serve(relais, 'unbatched', file('spin'))
  await serve(relais, 'string', file('identity-string'))
}, 600_000)
afterAll(() => relais?.close())

/** Runs it and returns what it says. */
async function perfAnalyzer(...args: string[]): Promise<{ code: number; out: string }> {
  const packages = join(folder, '../lib')
  const [version = ''] = readdirSync(packages)
  const cuda = join(packages, version, 'site-packages/nvidia/cuda_runtime/lib')
  const at = relais.url.replace('http://', '')
  const common = ['-u', at, '-i', 'http', '-H', `Authorization: Bearer ${relais.admin}`]
  const load = ['--request-count', String(requests), '--input-data', 'zero']
  const child = Bun.spawn([join(folder, 'perf_analyzer'), ...common, ...load, ...args], {
    env: { LD_LIBRARY_PATH: cuda },
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()])
  return { code: await child.exited, out: out + err }
}

const table: [model: string, args: string[]][] = [
  ['iris', ['-b', '1']],
  ['iris', ['-b', '8', '--concurrency-range', '4']],
  ['iris', ['-x', '1', '--async']],
  ['iris', ['--input-tensor-format', 'json', '--output-tensor-format', 'json']],
  ['unbatched', []],
  ['string', ['--string-length', '16']],
]
for (const [model, args] of table) {
  test(`perf_analyzer -m ${model} ${args.join(' ')}`, async () => {
    const { code, out } = await perfAnalyzer('-m', model, ...args)
    expect([code, out]).toEqual([0, expect.stringMatching(/Throughput: [1-9]/)])
    const served = Number(/Server:[^]*?Inference count: (\d+)/.exec(out)?.[1] ?? 0)
    const batch = Number(args[args.indexOf('-b') + 1]) || 1
    expect(served).toBeGreaterThanOrEqual((requests * batch) / 2)
    expect(out).not.toMatch(/[1-9]\d* failed|error/i)
  }, 60_000)
}

test('perf_analyzer is told of a model that is not there', async () => {
  const { code, out } = await perfAnalyzer('-m', 'nobody')
  expect(code).not.toBe(0)
  expect(out).toInclude('No model is named')
}, 60_000)
