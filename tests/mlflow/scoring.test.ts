// MLflow's own scoring server and Relais, side by side: the same payloads, status and body compared.
// What differs must be a line of scoring-differences.md, and every line there must still differ.
// With UPDATE_ANSWERS=1 it also records what Relais answers, for tests/invocations.test.ts (then `bun fmt tests`).
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { newest } from '../support/mlflow.ts'
import { pythonWith } from '../support/python.ts'
import { agrees, type Relais, startRelais } from '../support/relais.ts'
import { serveModels, writeModels } from './models.ts'
import { comparable, groups, score } from './payloads.ts'

const folder = mkdtempSync(join(tmpdir(), 'relais-mlflow-'))
let relais: Relais
let mlflow: { url: string; stop: () => void }

/** `- name (400 → 200): reason` */
const lines = readFileSync(join(import.meta.dir, 'scoring-differences.md'), 'utf8').matchAll(
  /^- (.+) \((\d+ → \d+)\): .{10,}$/gm,
)
const differences = new Map([...lines].map(([, name = '', statuses = '']) => [name, statuses]))

async function startMlflow(): Promise<typeof mlflow> {
  const bin = await pythonWith(newest)
  const child = Bun.spawn([bin, join(import.meta.dir, 'server.py'), folder], {
    stdout: 'pipe',
    stderr: 'inherit',
    env: { PATH: process.env['PATH'] ?? '', HOME: folder, MLFLOW_DISABLE_TELEMETRY: 'true' },
  })
  let said = ''
  for await (const chunk of child.stdout) {
    said += new TextDecoder().decode(chunk)
    if (said.includes('\n')) break
  }
  const { port } = JSON.parse(said) as { port: number }
  return { url: `http://127.0.0.1:${port}`, stop: () => child.kill() }
}

beforeAll(async () => {
  writeModels(folder)
  mlflow = await startMlflow()
  relais = await startRelais()
  await serveModels(relais, folder)
}, 600_000)
afterAll(async () => {
  mlflow?.stop()
  await relais?.close()
  rmSync(folder, { recursive: true, force: true })
})

const payloads = Object.values(groups).flat()
const answers: Record<string, unknown> = {}
let same = 0

for (const [group, members] of Object.entries(groups)) {
  describe(group, () => {
    for (const payload of members) {
      test(payload.name, async () => {
        const { name, model } = payload
        const [theirs, ours] = await Promise.all([
          score(`${mlflow.url}/${model}/invocations`, payload),
          score(`${relais.url}/v1/models/${model}/invocations`, payload, relais.admin),
        ])
        const [expected, actual] = [comparable(theirs), comparable(ours)]
        answers[name] = actual
        const known = differences.get(name)
        if (agrees(actual, expected)) {
          same += 1
          expect(known, 'is listed as a difference and is none').toBeUndefined()
        } else if (known === undefined) expect(actual).toEqual(expected)
        else expect(`${theirs.status} → ${ours.status}`).toBe(known)
      })
    }
  })
}

test('each difference belongs to a payload, and there are at least 60 payloads', () => {
  const names = new Set(payloads.map(({ name }) => name))
  expect(names.size).toBe(payloads.length)
  expect([...differences.keys()].filter((name) => !names.has(name))).toEqual([])
  expect(payloads.length).toBeGreaterThanOrEqual(60)
  expect(same + differences.size).toBe(payloads.length)
  console.log(
    `${payloads.length} payloads compared with MLflow: ${same} the same, ${differences.size} as listed`,
  )
  if (process.env['UPDATE_ANSWERS'] !== '1') return
  writeFileSync(join(import.meta.dir, 'answers.json'), `${JSON.stringify(answers, null, 1)}\n`)
})
