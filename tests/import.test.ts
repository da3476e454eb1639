// The endpoints of imports: old ids and times, the same again, something else under the same id, refusals.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { readArgs } from '../src/cli/command.ts'
import { importMlflow } from '../src/cli/import.ts'
import { mlflowOf, mlModel, putFiles } from './support/mlflow-api.ts'
import { type Relais, startRelais, testModels } from './support/relais.ts'

let relais: Relais
let mlflow: ReturnType<typeof mlflowOf>
beforeAll(async () => {
  relais = await startRelais()
  mlflow = mlflowOf(relais)
})
afterAll(() => relais.close())

const take = (what: string, body: unknown, token = relais.admin) =>
  relais.call('POST', `/api/v1/import/${what}`, { body, token })

const entries = async (): Promise<any[]> =>
  (await relais.call('GET', '/api/v1/audit?limit=100')).body['entries']

const experiment = {
  experiment_id: '77',
  name: 'old',
  artifact_location: 's3://somewhere/77',
  lifecycle_stage: 'active',
  creation_time: 1000,
  last_update_time: 2000,
  tags: [{ key: 'a', value: 'b' }],
  of_a_later_version: true,
}
const id = '0123456789abcdef0123456789abcdef'
const run = {
  info: {
    run_id: id,
    run_name: 'calm',
    experiment_id: '77',
    user_id: 'ann',
    status: 'FINISHED',
    start_time: 5,
    end_time: 6,
  },
  data: {
    params: [{ key: 'lr', value: '1' }],
    tags: [{ key: 'mlflow.source.git.commit', value: 'c0' }],
  },
  inputs: {
    dataset_inputs: [{ dataset: { name: 'd', digest: '1', source_type: 't', source: 's' } }],
  },
  outputs: { model_outputs: [{ model_id: 'm-1', step: 3 }] },
}
const metric = { key: 'acc', value: 0.5, timestamp: 9, step: 1 }
const logged = {
  info: {
    model_id: 'm-1',
    experiment_id: '77',
    name: 'clf',
    creation_timestamp_ms: 7,
    last_updated_timestamp_ms: 8,
    status: 'LOGGED_MODEL_READY',
    source_run_id: id,
  },
  data: { metrics: [{ ...metric, run_id: id, dataset_name: 'd', dataset_digest: '1' }] },
}
const model = {
  name: 'iris',
  creation_timestamp: 10,
  last_updated_timestamp: 11,
  description: 'of flowers',
  tags: [{ key: 'team', value: 'a' }],
}
const folder = `77/models/m-1/artifacts`
const version = {
  name: 'iris',
  version: 3,
  creation_timestamp: 12,
  last_updated_timestamp: 13,
  current_stage: 'Production',
  source: 's3://somewhere/77/models/m-1',
  run_id: id,
  model_id: 'm-1',
  aliases: ['champion', 'Staging', 'latest'],
  folder: `mlflow-artifacts:/${folder}`,
}

describe('what is taken over', () => {
  test('an experiment keeps its id where that is free, its times and its tags', async () => {
    const taken = { created: true, experiment_id: '77' }
    expect((await take('experiments', experiment)).body).toEqual(taken)
    const { body } = await mlflow('GET', 'experiments/get', { experiment_id: '77' })
    expect(body.experiment).toEqual({
      experiment_id: '77',
      name: 'old',
      artifact_location: 'mlflow-artifacts:/77',
      lifecycle_stage: 'active',
      creation_time: 1000,
      last_update_time: 2000,
      tags: [{ key: 'a', value: 'b' }],
    })
    expect((await take('experiments', experiment)).body).toEqual({ ...taken, created: false })
  })

  test('another one with a taken id, or a long one, gets a new id', async () => {
    for (const [name, experiment_id] of [
      ['taken', '77'],
      ['long', '123456789012345678'],
    ]) {
      const { body } = await take('experiments', { ...experiment, name, experiment_id })
      expect(body.created).toBe(true)
      expect(Number(body['experiment_id'])).toBeLessThan(100)
      expect(body['experiment_id']).not.toBe('77')
    }
  })

  test('Default takes the place of ours, once', async () => {
    const theirs = { ...experiment, experiment_id: '0', name: 'Default', tags: [] }
    expect((await take('experiments', theirs)).body).toEqual({ created: true, experiment_id: '0' })
    expect((await take('experiments', theirs)).body['created']).toBe(false)
    const { body } = await mlflow('GET', 'experiments/get', { experiment_id: '0' })
    expect([body.experiment.creation_time, body.experiment.artifact_location]).toEqual([
      1000,
      'mlflow-artifacts:/0',
    ])
  })

  test('a run, with what it logged, and its metrics in parts', async () => {
    const taken = { created: true, artifact_uri: `mlflow-artifacts:/77/${id}/artifacts` }
    expect((await take('runs', run)).body).toEqual(taken)
    expect((await take('runs', run)).body).toEqual({ ...taken, created: false })
    const metrics = [metric, { ...metric, step: 2, value: 'NaN' }, { ...metric, value: 'Infinity' }]
    for (const part of [metrics.slice(0, 2), metrics]) {
      const { status, body } = await take('metrics', { run_id: id, metrics: part })
      expect([status, body]).toEqual([200, {}])
    }
    const { body } = await mlflow('GET', 'runs/get', { run_id: id })
    expect(body.run.info).toMatchObject({ ...run.info, lifecycle_stage: 'active' })
    expect(body.run.data.metrics).toEqual([{ ...metric, step: 2, value: 'NaN' }])
    expect(body.run.outputs).toEqual(run.outputs)
    const history = await mlflow('GET', 'metrics/get-history', { run_id: id, metric_key: 'acc' })
    expect(history.body.metrics.length).toBe(3)
  })

  test('a deleted run and a deleted experiment stay deleted', async () => {
    const gone = { ...run, info: { ...run.info, run_id: 'gone', lifecycle_stage: 'deleted' } }
    await take('runs', gone)
    expect((await take('metrics', { run_id: 'gone', metrics: [metric] })).status).toBe(200)
    const { body } = await mlflow('GET', 'runs/get', { run_id: 'gone' })
    expect([body.run.info.lifecycle_stage, body.run.data.metrics]).toEqual(['deleted', [metric]])
    await take('experiments', { ...experiment, name: 'gone', lifecycle_stage: 'deleted' })
    const found = await mlflow('GET', 'experiments/get-by-name', { experiment_name: 'gone' })
    expect(found.body.experiment.lifecycle_stage).toBe('deleted')
  })

  test('a logged model', async () => {
    const taken = { created: true, artifact_uri: `mlflow-artifacts:/${folder}` }
    expect((await take('logged-models', logged)).body).toEqual(taken)
    expect((await take('logged-models', logged)).body).toEqual({ ...taken, created: false })
    const { body } = await mlflow('GET', 'logged-models/m-1')
    expect(body.model.info).toMatchObject(logged.info)
    expect(body.model.data.metrics).toMatchObject(logged.data.metrics)
  })

  test('a model and a version, which is served, with one entry of the audit trail each', async () => {
    expect((await take('models', model)).body).toEqual({ created: true })
    expect((await take('models', model)).body).toEqual({ created: false })
    const bytes = readFileSync(join(testModels, 'identity-float32.onnx'))
    await putFiles(relais, folder, { MLmodel: mlModel(), 'model.onnx': bytes })
    const taken = {
      created: true,
      stage: 'Production',
      servability: 'servable',
      reason: null,
      refused_aliases: [
        { alias: 'Staging', why: expect.stringContaining('names a stage') },
        { alias: 'latest', why: expect.stringContaining('names a stage') },
      ],
    }
    expect((await take('versions', version)).body).toEqual(taken)
    expect((await relais.predict('iris', [[1, 2]])).body.predictions).toEqual([[1, 2]])
    expect((await take('versions', version)).body).toEqual({ ...taken, created: false })
    const { body } = await mlflow('GET', 'model-versions/get', { name: 'iris', version: '3' })
    expect(body.model_version).toMatchObject({
      version: '3',
      creation_timestamp: 12,
      last_updated_timestamp: 13,
      current_stage: 'Production',
      source: version.source,
      run_id: id,
      aliases: ['champion'],
    })
    const native = await relais.call('GET', '/api/v1/models/iris/versions/3')
    expect(native.body).toMatchObject({
      git_commit: 'c0',
      params: { lr: '1' },
      created_by: 'admin',
    })
    const of = (await entries()).filter(({ action }) => /^(model|version)\.import$/.test(action))
    expect(of.map(({ action, object, actor }) => [action, object, actor])).toEqual([
      ['version.import', 'model/iris/version/3', 'admin'],
      ['model.import', 'model/iris', 'admin'],
    ])
    const registered = await mlflow('GET', 'registered-models/get', { name: 'iris' })
    expect(registered.body.registered_model).toMatchObject(model)
  })

  test('the next version has the next number, and an earlier one may still come', async () => {
    const pushed = await relais.push('iris', join(testModels, 'identity-float32.onnx'))
    expect(pushed.body['version']).toBe(4)
    const early = {
      ...version,
      version: 1,
      current_stage: 'Archived',
      aliases: [],
      folder: undefined,
    }
    const { body } = await take('versions', early)
    expect(body).toMatchObject({ created: true, stage: 'Archived', servability: 'not-servable' })
    expect(
      (await relais.push('iris', join(testModels, 'identity-float32.onnx'))).body['version'],
    ).toBe(5)
  })

  test('§8 a version that fails its trial is in no stage that is served', async () => {
    const crash = readFileSync(join(testModels, 'crash-load-split.onnx'))
    await putFiles(relais, '77/crash', { MLmodel: mlModel(), 'model.onnx': crash })
    const body = {
      ...version,
      version: 7,
      folder: 'mlflow-artifacts:/77/crash',
      aliases: ['broken'],
    }
    const taken = await take('versions', body)
    expect(taken.body).toMatchObject({ created: true, stage: 'None', servability: 'failed' })
    expect((await relais.predict('iris', [[1, 2]])).status).toBe(200)
  })

  test('one that holds no model is kept with its stage, and not served', async () => {
    const bytes = readFileSync(join(testModels, 'not-onnx.bin'))
    await putFiles(relais, '77/bad', { MLmodel: mlModel(), 'model.onnx': bytes })
    const body = { ...version, version: 8, folder: 'mlflow-artifacts:/77/bad', aliases: [] }
    const taken = await take('versions', body)
    expect(taken.body).toMatchObject({ stage: 'Production', servability: 'not-servable' })
    const live = await relais.call('GET', '/api/v1/models/iris')
    expect(live.body['stages'].Production.live_version).toBe(3)
  })

  test('files brought for a version alone go with it', async () => {
    const bytes = readFileSync(join(testModels, 'identity-float32.onnx'))
    await putFiles(relais, 'imported/0123456789abcdef/9', {
      MLmodel: mlModel(),
      'model.onnx': bytes,
    })
    const body = {
      ...version,
      version: 9,
      folder: 'mlflow-artifacts:/imported/0123456789abcdef/9',
      aliases: [],
    }
    expect((await take('versions', body)).body['servability']).toBe('servable')
    const left = await relais.call('GET', '/api/2.0/mlflow-artifacts/artifacts?path=imported')
    expect(left.body).toEqual({})
  })
})

/** The command in this process, from a server that speaks MLflow's API: Relais itself does. */
async function command(source: Relais, ...words: string[]) {
  const said = { out: '', notes: '' }
  const output = {
    line: (text: string) => void (said.out += `${text}\n`),
    note: (text: string) => void (said.notes += `${text}\n`),
    progress: () => {},
  }
  const argv = ['--from', source.url, '--url', relais.url, ...words]
  const env = { MLFLOW_TRACKING_TOKEN: source.admin, RELAIS_TOKEN: relais.admin }
  const code = await importMlflow.run(readArgs(importMlflow, argv), output, env)
  return { code, ...said }
}

describe('relais import mlflow, from another Relais', () => {
  let source: Relais
  let runId = ''
  const counts = (out: string, kind: string): number[] => {
    const { created, present } = JSON.parse(out)[kind]
    return [created, present]
  }
  const kinds = ['experiments', 'runs', 'registered_models', 'versions', 'files']

  beforeAll(async () => {
    source = await startRelais()
    const call = mlflowOf(source)
    const { body } = await call('POST', 'experiments/create', { name: 'there' })
    const made = await call('POST', 'runs/create', { experiment_id: body.experiment_id })
    runId = made.body.run.info.run_id
    await call('POST', 'runs/log-metric', { run_id: runId, ...metric })
    const uri = made.body.run.info.artifact_uri.replace('mlflow-artifacts:/', '')
    await putFiles(source, uri, { 'a/b.txt': 'here', empty: '' })
    const identity = join(testModels, 'identity-float32.onnx')
    for (let at = 0; at < 2; at += 1) await source.push("it's", identity, { tags: { at: `${at}` } })
    await source.promote("it's", 2, 'Production')
    await source.call('DELETE', "/api/v1/models/it's/versions/1")
    await source.call('PUT', "/api/v1/models/it's/aliases/champion", { body: { version: 2 } })
  }, 30_000)
  afterAll(() => source.close())

  test('is counted first', async () => {
    const before = await entries()
    const { code, out } = await command(source, '--dry-run')
    expect([code, await entries()]).toEqual([0, before])
    expect(out).toMatch(/WOULD COME +HERE\nexperiments +1 +1\n.*\nruns +1 +0\n/s)
  })

  test('comes whole, is served, and comes once', async () => {
    const first = await command(source, '--json')
    expect([first.code, JSON.parse(first.out).problems]).toEqual([0, []])
    const news = [
      [1, 1],
      [1, 0],
      [1, 0],
      [1, 0],
      [4, 0],
    ]
    expect(kinds.map((kind) => counts(first.out, kind))).toEqual(news)
    expect((await relais.predict("it's", [[1, 2]])).body.predictions).toEqual([[1, 2]])
    const { body } = await relais.call('GET', "/api/v1/models/it's/versions")
    expect(body['versions']).toMatchObject([
      { version: 2, aliases: ['champion'], tags: { at: '1' } },
    ])
    const file = await relais.call('GET', `/get-artifact?run_id=${runId}&path=a/b.txt`)
    expect(file.text).toBe('here')
    const again = await command(source, '--json', '--verify')
    expect(kinds.map((kind) => counts(again.out, kind)[0])).toEqual([0, 0, 0, 0, 0])
  })

  test('a file that is another one in spite of its size is found by --verify alone', async () => {
    const { body } = await mlflow('GET', 'runs/get', { run_id: runId })
    const uri = body.run.info.artifact_uri.replace('mlflow-artifacts:/', '')
    await putFiles(relais, uri, { 'a/b.txt': 'HERE' })
    expect(counts((await command(source, '--json')).out, 'files')[0]).toBe(0)
    expect(counts((await command(source, '--json', '--verify')).out, 'files')[0]).toBe(1)
    const file = await relais.call('GET', `/get-artifact?run_id=${runId}&path=a/b.txt`)
    expect(file.text).toBe('here')
  })

  test('what cannot be taken is listed, the rest comes', async () => {
    await source.push('iris', join(testModels, 'identity-float32.onnx'))
    await source.push('last', join(testModels, 'identity-float32.onnx'))
    const { code, out } = await command(source)
    expect(code).toBe(1)
    expect(out).toContain('FAILED registered model iris: import.conflict: ')
    expect((await relais.call('GET', '/api/v1/models/last/versions/1')).status).toBe(200)
  })
})

describe('what is refused', () => {
  const changed: [string, string, unknown][] = [
    ['a run of another beginning', 'runs', { ...run, info: { ...run.info, start_time: 6 } }],
    ['a run of another experiment', 'runs', { ...run, info: { ...run.info, experiment_id: '0' } }],
    [
      'a logged model of another time',
      'logged-models',
      { ...logged, info: { ...logged.info, creation_timestamp_ms: 1 } },
    ],
    ['a model of another time', 'models', { ...model, creation_timestamp: 1 }],
    ['a version of another time', 'versions', { ...version, creation_timestamp: 1 }],
    ['a version that was pushed here', 'versions', { ...version, version: 4 }],
  ]
  test.each(changed)('%s under the same id is 409', async (_, what, body) => {
    const before = (await entries()).length
    const answer = await take(what, body)
    expect([answer.status, answer.body['code']]).toEqual([409, 'import.conflict'])
    expect((await entries()).length).toBe(before)
  })

  const absent: [string, string, unknown, number, string][] = [
    [
      'a run of no experiment',
      'runs',
      { ...run, info: { ...run.info, run_id: 'r', experiment_id: '999' } },
      404,
      'experiment.not-found',
    ],
    [
      'metrics of no run',
      'metrics',
      { run_id: 'nowhere', metrics: [metric] },
      404,
      'run.not-found',
    ],
    ['a version of no model', 'versions', { ...version, name: 'nobody' }, 404, 'model.not-found'],
    ['a name that is a path', 'models', { ...model, name: 'a/b' }, 422, 'name.invalid'],
    [
      'files elsewhere',
      'versions',
      { ...version, version: 20, folder: 's3://x/y' },
      422,
      'source.invalid',
    ],
    [
      'files outside',
      'versions',
      { ...version, version: 20, folder: 'mlflow-artifacts:/../x' },
      422,
      'request.invalid',
    ],
    [
      'a run id that is a path',
      'runs',
      { ...run, info: { ...run.info, run_id: '../x' } },
      422,
      'request.invalid',
    ],
    [
      'an unknown status',
      'runs',
      { ...run, info: { ...run.info, status: 'DONE' } },
      422,
      'request.invalid',
    ],
    ['a time before 1970', 'models', { ...model, creation_timestamp: -1 }, 422, 'request.invalid'],
    ['an unknown stage', 'versions', { ...version, current_stage: 'Prod' }, 422, 'request.invalid'],
    ['a version 0', 'versions', { ...version, version: 0 }, 422, 'request.invalid'],
    [
      'a metric that is a word',
      'metrics',
      { run_id: id, metrics: [{ ...metric, value: 'x' }] },
      422,
      'request.invalid',
    ],
    [
      'too many metrics',
      'metrics',
      { run_id: id, metrics: Array.from({ length: 1001 }, () => metric) },
      422,
      'request.invalid',
    ],
    ['a list', 'experiments', [], 422, 'request.invalid'],
    ['an experiment without a name', 'experiments', { experiment_id: '1' }, 422, 'request.invalid'],
  ]
  test.each(absent)('%s', async (_, what, body, status, code) => {
    const answer = await take(what, body)
    expect([answer.status, answer.body['code']]).toEqual([status, code])
  })

  test('everything for whoever is no admin of all models', async () => {
    const bodies = {
      experiments: experiment,
      runs: run,
      metrics: { run_id: id, metrics: [] },
      'logged-models': logged,
      models: model,
      versions: version,
    }
    const tokens = [
      await relais.token('ml-lead'),
      await relais.token('ci'),
      await relais.token('data-scientist'),
      await relais.token('auditor'),
      await relais.token('admin', { sub: 'narrow', models: ['iris'] }),
    ]
    for (const [what, body] of Object.entries(bodies)) {
      for (const token of tokens)
        expect([what, (await take(what, body, token)).status]).toEqual([what, 403])
      expect(
        (await relais.call('POST', `/api/v1/import/${what}`, { body, token: null })).status,
      ).toBe(401)
    }
  })
})
