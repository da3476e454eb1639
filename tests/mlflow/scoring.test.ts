// MLflow's own scoring server and Relais, side by side: the same payloads, status and body compared.
// What differs must be a line of scoring-differences.md, and every line there must still differ.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { python } from '../support/python.ts'
import { agrees, type Relais, startRelais, testModels } from '../support/relais.ts'
import { groups, matrices, type Payload } from './payloads.ts'

interface Answer {
  status: number
  type: string
  body: unknown
}

interface Difference {
  statuses: string
  reason: string
}

const folder = mkdtempSync(join(tmpdir(), 'relais-mlflow-'))
let relais: Relais
let mlflow: { url: string; stop: () => void }

/** `- name (400 → 200): reason` */
const differences = new Map(
  [
    ...readFileSync(join(import.meta.dir, 'scoring-differences.md'), 'utf8').matchAll(
      /^- (.+) \((\d+ → \d+)\): (.{10,})$/gm,
    ),
  ].map(([, name = '', statuses = '', reason = '']): [string, Difference] => [
    name,
    { statuses, reason },
  ]),
)

async function startMlflow(): Promise<typeof mlflow> {
  const bin = await python(join(import.meta.dir, 'requirements.txt'))
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

/** Pushes a model under a name and makes it live. */
async function serve(name: string, file: string, schema?: object): Promise<void> {
  const pushed = await relais.push(name, file, schema ? { schema } : {})
  expect([name, pushed.status, pushed.body.detail]).toEqual([name, 201, undefined])
  expect((await relais.promote(name, 1, 'Production')).status).toBe(200)
}

async function serveAll(): Promise<void> {
  for (const name of ['iris', 'customers', 'diabetes']) {
    expect((await relais.pushExample(name, name)).status).toBe(201)
    expect((await relais.promote(name, 1, 'Production')).status).toBe(200)
  }
  const iris = join(testModels, '../../examples/models/iris/model.onnx')
  await serve('iris-tensor', iris)
  for (const name of ['multi', 'scalar']) await serve(name, join(testModels, `${name}.onnx`))
  for (const name of matrices) {
    await serve(name, join(testModels, `identity-${name}.onnx`))
  }
  for (const name of ['typed', 'single', 'odd', 'image']) {
    await serve(name, join(folder, `${name}.onnx`))
  }
  const schema = { columns: [{ name: 'p' }, { name: 'q' }] }
  await serve('flat', join(testModels, 'identity-float32.onnx'), schema)
  await serve('uneven', join(folder, 'uneven.onnx'), schema)
}

/** Integers that a double would change stay as they are written. */
const parseExactly = (text: string): unknown =>
  (JSON.parse as (text: string, reviver: (...args: any[]) => unknown) => unknown)(
    text,
    (_key, value, { source } = {}) =>
      typeof value === 'number' && /^-?\d{16,}$/.test(source) ? source : value,
  )

async function ask(url: string, payload: Payload, token?: string): Promise<Answer> {
  const { raw, body, type = 'application/json' } = payload
  const headers: Record<string, string> = {}
  if (type !== null) headers['content-type'] = type
  if (token !== undefined) headers.authorization = `Bearer ${token}`
  // Bytes have no type of their own, which text would be given.
  const bytes = new TextEncoder().encode(JSON.stringify(body))
  const sent = typeof raw === 'string' ? new TextEncoder().encode(raw) : (raw ?? bytes)
  const response = await fetch(url, { method: 'POST', headers, body: sent })
  const text = await response.text()
  let parsed: unknown = text
  try {
    parsed = parseExactly(text)
  } catch {
    // Plain text, or NaN, which is no JSON.
  }
  const media = response.headers.get('content-type')?.split(';')[0] ?? ''
  return { status: response.status, type: media, body: parsed }
}

/** Of an error the code counts: texts name Python's types there and places in the input here. */
function comparable({ status, type, body }: Answer): unknown {
  if (status === 200) return { status, type, body }
  if (type === 'text/plain') return { status, type }
  const { error_code, message } = body as { error_code?: string; message?: string }
  return { status, type, error_code, said: (message?.length ?? 0) > 10 }
}

beforeAll(async () => {
  mlflow = await startMlflow()
  relais = await startRelais()
  await serveAll()
}, 600_000)
afterAll(async () => {
  mlflow?.stop()
  await relais?.close()
  rmSync(folder, { recursive: true, force: true })
})

const payloads = Object.values(groups).flat()
let same = 0

for (const [group, members] of Object.entries(groups)) {
  describe(group, () => {
    test.each(members.map((payload) => [payload.name, payload] as const))(
      '%s',
      async (name, payload) => {
        const [theirs, ours] = await Promise.all([
          ask(`${mlflow.url}/${payload.model}/invocations`, payload),
          ask(`${relais.url}/v1/models/${payload.model}/invocations`, payload, relais.admin),
        ])
        const [a, b] = [comparable(theirs), comparable(ours)]
        const known = differences.get(name)
        // Nothing of the inside leaves Relais, whatever MLflow shows.
        expect(JSON.stringify(ours.body)).not.toMatch(/stack|Traceback|\.ts\b/)
        if (agrees(b, a)) {
          same += 1
          expect(`${name}: ${known ? 'is listed as a difference' : 'same'}`).toBe(`${name}: same`)
        } else if (known) expect(`${theirs.status} → ${ours.status}`).toBe(known.statuses)
        else expect(b).toEqual(a)
      },
    )
  })
}

test('the list of differences holds these payloads only', () => {
  const names = new Set(payloads.map(({ name }) => name))
  expect(names.size).toBe(payloads.length)
  expect([...differences.keys()].filter((name) => !names.has(name))).toEqual([])
  console.log(
    `${payloads.length} payloads compared with MLflow: ${same} same, ${differences.size} differ as listed`,
  )
  expect(payloads.length).toBeGreaterThanOrEqual(60)
})
