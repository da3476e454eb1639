// The example pipeline, for real: trained by a data scientist, promoted by CI, served, rolled back; and
// models of other kinds as log_model leaves them by default.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { newest, pythonEnv } from '../support/mlflow.ts'
import { pythonWith } from '../support/python.ts'
import { agrees, type Relais, startRelais } from '../support/relais.ts'
import { root } from '../support/sources.ts'

const pipeline = join(root, 'examples/pipeline')
const folder = mkdtempSync(join(tmpdir(), 'relais-pipeline-'))
let relais: Relais
let python: string
let train: string
let ci: string

interface Ended {
  code: number
  out: string
  words: string
}

async function run(script: string[], env: Record<string, string>): Promise<Ended> {
  const child = Bun.spawn([python, ...script], {
    cwd: folder,
    env: { ...pythonEnv(folder), MLFLOW_TRACKING_URI: relais.url, ...env },
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const [out, words, code] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ])
  return { code, out, words }
}

/** The last line: MLflow's client prints addresses before it. */
async function seenBy<T>(script: string, env: Record<string, string>): Promise<T> {
  const { code, out, words } = await run([join(import.meta.dir, script)], env)
  if (code !== 0) throw new Error(`${script} ended with ${code}: ${words.slice(-3000)}`)
  return JSON.parse(out.trimEnd().split('\n').at(-1) ?? '') as T
}

const trained = (...options: string[]): Promise<Ended> =>
  run([join(pipeline, 'pipeline.py'), ...options], { MLFLOW_TRACKING_TOKEN: train })

interface Logged {
  bytes: number
  files: string[]
  rows: number[][]
  outputs: number[][]
}

interface Flavours {
  network: Logged
  large: Logged
  plain: { status: string; message: string; prediction: number[] }
  /** Kind of call → error code. */
  refused: Record<string, string>
}

interface Rollback {
  refused: [string, number, string]
  [step: string]: unknown
}

let first: Ended
let flavours: Flavours

beforeAll(async () => {
  python = await pythonWith(newest)
  relais = await startRelais()
  train = await relais.token('data-scientist')
  ci = await relais.token('ci')
  ;[first, flavours] = await Promise.all([
    trained(),
    // The client prefers a user and a password where they are set.
    seenBy<Flavours>('flavours.py', {
      MLFLOW_TRACKING_USERNAME: 'data-scientist',
      MLFLOW_TRACKING_PASSWORD: train,
    }),
  ])
}, 600_000)
afterAll(async () => {
  await relais?.close()
  rmSync(folder, { recursive: true, force: true })
})

describe('a pipeline run by a data scientist', () => {
  test('ends well and leaves a version in Staging with its run, commit and columns', async () => {
    expect(first.words).not.toContain('Traceback')
    expect(first.out).toContain('wine version 1 is right on')
    expect(first.out).toContain('it is in Staging')
    expect(first.code).toBe(0)
    const { body } = await relais.call('GET', '/api/v1/models/wine/versions/1')
    expect(body).toMatchObject({
      stage: 'Staging',
      status: 'READY',
      servability: 'servable',
      tags: { evaluation: 'passed' },
      params: { C: '1.0', seed: '7' },
      created_by: 'data-scientist',
    })
    const { columns } = body['schema'] as { columns: { name: string; type: string }[] }
    expect(columns).toHaveLength(13)
    expect(columns[0]).toMatchObject({ name: 'alcohol', type: 'float32' })
    expect(columns.at(-1)).toMatchObject({ name: 'proline', type: 'float32' })
  })

  test('is served through V1, V2 and invocations alike', async () => {
    const row = [13.2, 1.8, 2.1, 11.2, 100, 2.7, 2.8, 0.3, 1.3, 4.4, 1.1, 3.4, 1050]
    const { body: version } = await relais.call('GET', '/api/v1/models/wine/versions/1')
    const { columns } = version['schema'] as { columns: { name: string }[] }
    const v1 = await relais.predict('wine', [row], { at: 'labels/Staging' })
    const { label, probabilities } = v1.body.predictions[0]
    expect(label).toBe(0)
    const v2 = await relais.call('POST', '/v2/models/wine/versions/Staging/infer', {
      body: { inputs: [{ name: 'X', datatype: 'FP32', shape: [1, 13], data: row }] },
    })
    const outputs = new Map(
      v2.body['outputs'].map(({ name, data }: { name: string; data: unknown }) => [name, data]),
    )
    expect(outputs.get('label')).toEqual([0])
    expect(agrees(outputs.get('probabilities'), probabilities)).toBe(true)
    const scored = await relais.call('POST', '/v1/models/wine/labels/Staging/invocations', {
      body: { dataframe_split: { columns: columns.map(({ name }) => name), data: [row] } },
    })
    expect(scored.status).toBe(200)
    expect(scored.body['predictions'][0]).toMatchObject({ label: 0 })
  })

  test('below the threshold it ends with 1, says so and moves nothing; without a token, too', async () => {
    const [rejected, nobody] = await Promise.all([
      trained('--min-accuracy', '1.01', '--strength', '0.01'),
      run([join(pipeline, 'pipeline.py')], {}),
    ])
    expect(rejected.words).toContain('rejected: wine version 2 is right on')
    expect(rejected.words).not.toContain('Traceback')
    expect(rejected.code).toBe(1)
    const { body } = await relais.call('GET', '/api/v1/models/wine/versions/2')
    expect(body).toMatchObject({ stage: 'None', tags: { evaluation: 'failed' } })
    expect(nobody).toMatchObject({ code: 1, words: 'MLFLOW_TRACKING_TOKEN is not set\n' })
  }, 120_000)

  test('the step of CI promotes what passed, and nothing else', async () => {
    const promoted = (version: string, token: string): Promise<Ended> =>
      run([join(pipeline, 'promote.py'), 'wine', version], { MLFLOW_TRACKING_TOKEN: token })
    const [refused, denied] = await Promise.all([promoted('2', ci), promoted('1', train)])
    expect(refused).toMatchObject({ code: 1, words: expect.stringContaining('has not passed') })
    expect(denied).toMatchObject({ code: 1, words: expect.stringContaining('PERMISSION_DENIED') })
    const done = await promoted('1', ci)
    expect(done).toMatchObject({ code: 0, out: 'wine version 1 is in Production\n' })
  }, 120_000)
})

test("promotion, loading and a rollback by MLflow's client", async () => {
  await relais.promote('wine', 1, 'Staging')
  const seen = await seenBy<Rollback>('rollback.py', { TRAIN_TOKEN: train, CI_TOKEN: ci })
  const [code, status, words] = seen.refused
  expect([code, status]).toEqual(['PERMISSION_DENIED', 403])
  expect(words).toContain('Production')
  expect(seen).toMatchObject({
    first: 'Production',
    'first served': '1',
    second: 'Production',
    'second served': '2',
    'taken down': 'Archived',
    'put back': 'Production',
    'last served': '1',
  })
  expect(agrees(seen['first loaded'], seen['first answers'])).toBe(true)
  expect(agrees(seen['second answers'], seen['first answers'])).toBe(false)
  expect(agrees(seen['last answers'], seen['first answers'])).toBe(true)
}, 120_000)

describe('log_model with default arguments', () => {
  const answered = async (name: string, { rows, outputs }: Logged): Promise<void> => {
    const { status, body } = await relais.predict(name, rows, { at: 'versions/1' })
    expect(status).toBe(200)
    expect(agrees(body.predictions, outputs)).toBe(true)
  }

  test('a network whose tensors lie in files of their own', async () => {
    expect(flavours.network.files.length).toBeGreaterThan(1)
    await answered('network', flavours.network)
  })

  test('a network of 100 MB', async () => {
    expect(flavours.large.bytes).toBeGreaterThan(100_000_000)
    await answered('large', flavours.large)
  }, 60_000)

  test('scikit-learn as it is: ready for the client, not servable, with reason and remedy', async () => {
    const { status, message, prediction } = flavours.plain
    expect(status).toBe('READY')
    expect(prediction).toEqual([1])
    const { body } = await relais.call('GET', '/api/v1/models/plain/versions/1')
    expect(body).toMatchObject({ servability: 'not-servable', reason: message })
    expect(message).toContain('mlflow.onnx.log_model')
    expect(message).toContain('skl2onnx')
  })
})

test('what is not implemented is told at once and by that name', () => {
  expect(flavours.refused).toEqual({
    traces: 'ENDPOINT_NOT_FOUND',
    webhooks: 'ENDPOINT_NOT_FOUND',
    evaluation: 'ENDPOINT_NOT_FOUND',
    workspaces: 'ENDPOINT_NOT_FOUND',
  })
})

test('what the workflow for GitHub Actions runs is there', () => {
  const workflow = readFileSync(join(root, 'examples/ci.yml'), 'utf8')
  const { jobs } = Bun.YAML.parse(workflow) as { jobs: Record<string, { steps: Step[] }> }
  const steps = Object.values(jobs).flatMap((job) => job.steps)
  const scripts = steps.flatMap(
    ({ run: command }) => /^python (\S+)/.exec(command ?? '')?.[1] ?? [],
  )
  expect(scripts).toEqual(['pipeline.py', 'promote.py'])
  for (const { env = {} } of steps) {
    const literal = Object.values(env).filter((value) => !value.startsWith('${{ '))
    expect(literal).toEqual([])
  }
})

interface Step {
  run?: string
  env?: Record<string, string>
}
