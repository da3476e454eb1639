// Experiments, runs, metrics and logged models by MLflow's REST API: shapes, rules and limits.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'

import { type Answer, type Relais, startRelais } from './support/relais.ts'

let relais: Relais
beforeAll(async () => {
  relais = await startRelais()
})
afterAll(() => relais.close())

const call = (method: string, path: string, body?: object): Promise<Answer<any>> =>
  relais.call(method, `/api/2.0/mlflow/${path}`, body === undefined ? {} : { body })
const post = (path: string, body: object = {}): Promise<Answer<any>> => call('POST', path, body)
const get = (path: string, query: Record<string, string> = {}): Promise<Answer<any>> =>
  call('GET', `${path}?${new URLSearchParams(query).toString()}`)

/** The answer's body, which must be a success. */
async function good(answer: Promise<Answer<any>>): Promise<any> {
  const { status, body, text } = await answer
  expect([status, status === 200 ? '' : text]).toEqual([200, ''])
  return body
}

const codes: Record<number, string[]> = {
  400: ['INVALID_PARAMETER_VALUE', 'RESOURCE_ALREADY_EXISTS', 'BAD_REQUEST'],
  404: ['RESOURCE_DOES_NOT_EXIST', 'ENDPOINT_NOT_FOUND'],
}

/** A refusal of that status, whose message fits. */
async function bad(answer: Promise<Answer<any>>, status: number, message: RegExp): Promise<void> {
  const { status: got, body } = await answer
  expect([got, body.message]).toEqual([status, expect.stringMatching(message)])
  expect(Object.keys(body)).toEqual(['error_code', 'message'])
  expect(codes[status]).toContain(body.error_code)
}

let names = 0
const newName = (): string => `name ${(names += 1)}`
const newExperiment = async (more: object = {}): Promise<string> =>
  (await good(post('experiments/create', { name: newName(), ...more }))).experiment_id
const newRun = async (more: object = {}): Promise<string> =>
  (await good(post('runs/create', more))).run.info.run_id
const runOf = async (run_id: string): Promise<any> => (await good(get('runs/get', { run_id }))).run
const experimentOf = async (experiment_id: string): Promise<any> =>
  (await good(get('experiments/get', { experiment_id }))).experiment
const metric = (key: string, value: unknown, timestamp: number, step = 0) => ({
  key,
  value,
  timestamp,
  step,
})
const long = (length: number): string => 'a'.repeat(length)

describe('experiments:', () => {
  test('Default is there, and both prefixes and both ways to ask lead to it', async () => {
    const experiment = await experimentOf('0')
    const { creation_time, last_update_time, ...rest } = experiment
    expect(rest).toEqual({
      experiment_id: '0',
      name: 'Default',
      artifact_location: 'mlflow-artifacts:/0',
      lifecycle_stage: 'active',
    })
    expect([typeof creation_time, typeof last_update_time]).toEqual(['number', 'number'])
    const byName = await good(get('experiments/get-by-name', { experiment_name: 'Default' }))
    expect(byName).toEqual({ experiment })
    const path = '/ajax-api/2.0/mlflow/experiments/get?experiment_id=0'
    expect((await relais.call('GET', path)).body).toEqual({ experiment })
  })

  test('create, tag, rename, delete and restore', async () => {
    const tags = [{ key: 'b', value: '2' }, { key: 'a' }]
    const experiment_id = await newExperiment({ tags })
    const location = `mlflow-artifacts:/${experiment_id}`
    const made = await experimentOf(experiment_id)
    expect(made).toMatchObject({ artifact_location: location, lifecycle_stage: 'active' })
    expect(made.tags).toEqual([
      { key: 'a', value: '' },
      { key: 'b', value: '2' },
    ])
    const name = newName()
    expect(await good(post('experiments/update', { experiment_id, new_name: name }))).toEqual({})
    await good(post('experiments/set-experiment-tag', { experiment_id, key: 'b', value: '3' }))
    await good(post('experiments/delete-experiment-tag', { experiment_id, key: 'a' }))
    expect(await experimentOf(experiment_id)).toMatchObject({
      name,
      tags: [{ key: 'b', value: '3' }],
    })

    const [first, second] = [await newRun({ experiment_id }), await newRun({ experiment_id })]
    await good(post('runs/delete', { run_id: second }))
    expect(await good(post('experiments/delete', { experiment_id }))).toEqual({})
    const byName = await good(get('experiments/get-by-name', { experiment_name: name }))
    expect(byName.experiment.lifecycle_stage).toBe('deleted')
    expect((await runOf(first)).info.lifecycle_stage).toBe('deleted')
    for (const [path, more] of [
      ['experiments/update', { new_name: newName() }],
      ['experiments/set-experiment-tag', { key: 'k', value: 'v' }],
      ['experiments/delete-experiment-tag', { key: 'b' }],
      ['runs/create', {}],
      ['logged-models', {}],
    ] as const) {
      await bad(post(path, { experiment_id, ...more }), 400, /must be in the 'active' state/)
    }
    await bad(post('experiments/delete', { experiment_id }), 404, /No Experiment with id=/)
    await bad(post('experiments/create', { name }), 400, /already exists and is deleted/)

    expect(await good(post('experiments/restore', { experiment_id }))).toEqual({})
    expect((await experimentOf(experiment_id)).lifecycle_stage).toBe('active')
    // Like MLflow, which forgets that one run was deleted singly.
    for (const id of [first, second]) expect((await runOf(id)).info.lifecycle_stage).toBe('active')
    await bad(post('experiments/restore', { experiment_id }), 404, /No Experiment with id=/)
  })

  test('a location is a folder of this server', async () => {
    const artifact_location = 'mlflow-artifacts:/team/x/'
    const experiment_id = await newExperiment({ artifact_location })
    expect((await experimentOf(experiment_id)).artifact_location).toBe(artifact_location)
    const run_id = await newRun({ experiment_id })
    expect((await runOf(run_id)).info.artifact_uri).toBe(
      `mlflow-artifacts:/team/x/${run_id}/artifacts`,
    )
    for (const location of [
      's3://bucket/x',
      'file:///tmp/x',
      '/tmp/x',
      'relative',
      'runs:/1/x',
      'http://host/x',
      'dbfs:/x',
      'mlflow-artifacts:',
      'mlflow-artifacts:x',
      'mlflow-artifacts:/x?y=1',
      'mlflow-artifacts:/x#y',
      'mlflow-artifacts:/a/../b',
      'mlflow-artifacts:/..',
      'mlflow-artifacts:/versions',
      'mlflow-artifacts:/versions/1',
      'mlflow-artifacts://host/versions/1',
      'mlflow-artifacts:////versions',
      String.raw`mlflow-artifacts:/a\b`,
      `mlflow-artifacts:/${long(2048)}`,
    ]) {
      const body = { name: newName(), artifact_location: location }
      await bad(post('experiments/create', body), 400, /artifact_location/)
    }
  })

  const refusals: [string, string, object, number, RegExp][] = [
    ['POST', 'create', {}, 400, /Missing value for required parameter 'name'/],
    ['POST', 'create', { name: '' }, 400, /Missing value for required parameter 'name'/],
    ['POST', 'create', { name: 5 }, 400, /Invalid value 5 for parameter 'name' supplied/],
    ['POST', 'create', { name: 'Default' }, 400, /Experiment\(name=Default\) already exists/],
    ['POST', 'create', { name: long(501) }, 400, /exceeds the maximum length of 500/],
    [
      'POST',
      'create',
      { name: 'x', tags: [{ value: 'v' }] },
      400,
      /Missing value.*'tags\[0\]\.key'/,
    ],
    ['POST', 'create', { name: 'x', tags: [{ key: 'a//b' }] }, 400, /Invalid value "a\/\/b"/],
    ['POST', 'create', { name: 'x', tags: [{ key: 'a' }, { key: 'a' }] }, 400, /Duplicate tag/],
    ['GET', 'get', {}, 400, /Missing value for required parameter 'experiment_id'/],
    ['GET', 'get', { experiment_id: 'abc' }, 400, /Invalid experiment ID 'abc'/],
    ['GET', 'get', { experiment_id: '-1' }, 400, /Invalid experiment ID/],
    ['GET', 'get', { experiment_id: '9'.repeat(30) }, 400, /Invalid experiment ID/],
    ['GET', 'get', { experiment_id: '9999' }, 404, /No Experiment with id=9999 exists/],
    ['GET', 'get-by-name', { experiment_name: 'none' }, 404, /Could not find experiment/],
    ['POST', 'update', { experiment_id: '0' }, 400, /Missing value.*'new_name'/],
    ['POST', 'update', { experiment_id: '9999', new_name: 'x' }, 404, /No Experiment/],
    ['POST', 'update', { experiment_id: '0', new_name: 'taken' }, 400, /already exists/],
    ['POST', 'delete', { experiment_id: '9999' }, 404, /No Experiment/],
    ['POST', 'restore', { experiment_id: '0' }, 404, /No Experiment/],
    ['POST', 'set-experiment-tag', { experiment_id: '0', key: 'a?' }, 400, /Invalid value "a\?"/],
    [
      'POST',
      'set-experiment-tag',
      { experiment_id: '0', key: 'a', value: long(20_001) },
      400,
      /maximum length of 20000/,
    ],
    ['POST', 'delete-experiment-tag', { experiment_id: '0', key: 'a' }, 404, /No tag with name: a/],
  ]
  for (const [method, verb, body, status, message] of refusals) {
    const shown = JSON.stringify(body).slice(0, 60)
    test(`${verb} ${shown} is ${status}`, async () => {
      await post('experiments/create', { name: 'taken' })
      const path = `experiments/${verb}`
      await bad(method === 'GET' ? get(path, body as never) : post(path, body), status, message)
    })
  }

  test('a name can be given anew to its own experiment', async () => {
    const name = newName()
    const { experiment_id } = await good(post('experiments/create', { name }))
    await good(post('experiments/update', { experiment_id, new_name: name }))
  })
})

describe('runs:', () => {
  test('a new run has the shape that clients read', async () => {
    const tags = [{ key: 'any?key', value: 'v' }, { key: 'empty' }]
    const given = { experiment_id: '0', user_id: 'ann', run_name: 'r', start_time: '12', tags }
    const { run } = await good(post('runs/create', given))
    const { run_id } = run.info
    expect(run_id).toMatch(/^[0-9a-f]{32}$/)
    expect(run).toEqual({
      info: {
        run_id,
        run_uuid: run_id,
        run_name: 'r',
        experiment_id: '0',
        user_id: 'ann',
        status: 'RUNNING',
        start_time: 12,
        artifact_uri: `mlflow-artifacts:/0/${run_id}/artifacts`,
        lifecycle_stage: 'active',
      },
      data: {
        tags: [
          { key: 'any?key', value: 'v' },
          { key: 'empty', value: '' },
          { key: 'mlflow.runName', value: 'r' },
        ],
      },
      inputs: {},
      outputs: {},
    })
    expect(await runOf(run_id)).toEqual(run)
  })

  test('a name is found, in the tag too, and the two may not differ', async () => {
    const nameOf = async (more: object) => {
      const { info, data } = (await good(post('runs/create', more))).run
      expect(data.tags).toContainEqual({ key: 'mlflow.runName', value: info.run_name })
      return info.run_name
    }
    const tagged = { tags: [{ key: 'mlflow.runName', value: 't' }] }
    expect(await nameOf({})).toMatch(/^[a-z]+-[a-z]+-\d{1,3}$/)
    expect(await nameOf({ run_name: '' })).toMatch(/^[a-z]+-[a-z]+-\d{1,3}$/)
    expect(await nameOf(tagged)).toBe('t')
    expect(await nameOf({ run_name: 't', ...tagged })).toBe('t')
    await bad(post('runs/create', { run_name: 'u', ...tagged }), 400, /'u'.*'t'/)
  })

  test('its name follows update and tag, and the tag follows the name', async () => {
    const run_id = await newRun()
    const expectName = async (name: string) => {
      const { info, data } = await runOf(run_id)
      const tag = data.tags.find(({ key }: any) => key === 'mlflow.runName')
      expect([info.run_name, tag.value]).toEqual([name, name])
    }
    await good(post('runs/update', { run_id, run_name: 'one' }))
    await expectName('one')
    await good(post('runs/set-tag', { run_id, key: 'mlflow.runName', value: 'two' }))
    await expectName('two')
    await good(post('runs/set-tag', { run_id, key: 'mlflow.runName', value: '' }))
    await good(post('runs/update', { run_id, run_name: '' }))
    await expectName('two')
    const tags = [{ key: 'mlflow.runName', value: 'three' }]
    await good(post('runs/log-batch', { run_id, tags }))
    await expectName('three')
  })

  test('update changes what is sent', async () => {
    const run_id = await newRun({ start_time: 1 })
    const ended = { run_id, status: 'FINISHED', end_time: 99 }
    const { run_info } = await good(post('runs/update', ended))
    expect(run_info).toMatchObject({ run_id, status: 'FINISHED', start_time: 1, end_time: 99 })
    expect((await runOf(run_id)).info).toEqual(run_info)
    const failed = (await good(post('runs/update', { run_id, status: 4 }))).run_info
    expect(failed).toEqual({ ...run_info, status: 'FAILED' })
  })

  test('a deleted run is shown, takes nothing more, and comes back', async () => {
    const run_id = await newRun()
    for (let round = 0; round < 2; round += 1) {
      expect(await good(post('runs/delete', { run_id }))).toEqual({})
    }
    expect((await runOf(run_id)).info.lifecycle_stage).toBe('deleted')
    const writes: [string, object][] = [
      ['update', { status: 'FINISHED' }],
      ['log-metric', metric('m', 1, 1)],
      ['log-parameter', { key: 'p', value: '1' }],
      ['set-tag', { key: 't', value: '1' }],
      ['delete-tag', { key: 'mlflow.runName' }],
      ['log-batch', {}],
      ['log-inputs', {}],
      ['outputs', { models: [] }],
    ]
    for (const [verb, body] of writes) {
      await bad(post(`runs/${verb}`, { run_id, ...body }), 400, /must be in the 'active' state/)
    }
    for (let round = 0; round < 2; round += 1) await good(post('runs/restore', { run_id }))
    for (const [verb, body] of writes) await good(post(`runs/${verb}`, { run_id, ...body }))
  })

  const refusals: [string, object, number, RegExp][] = [
    ['create', { experiment_id: '9999' }, 404, /No Experiment with id=9999/],
    ['create', { start_time: '12x' }, 400, /Invalid value '12x' for parameter 'start_time'/],
    ['create', { tags: [{ key: 't' }, { key: 't' }] }, 400, /Duplicate tag/],
    ['create', { tags: [{ key: long(251) }] }, 400, /maximum length of 250/],
    ['update', {}, 400, /Missing value for required parameter 'run_id'/],
    ['update', { run_id: 'none' }, 404, /Run with id=none not found/],
    ['update', { run_id: 'none', status: 'BANANA' }, 400, /Invalid value 'BANANA'/],
    ['delete', { run_id: 'none' }, 404, /Run with id=none not found/],
    ['restore', { run_id: 'none' }, 404, /Run with id=none not found/],
    ['delete-tag', { run_id: 'none', key: 'k' }, 404, /Run with id=none not found/],
    ['log-batch', { run_id: 'none' }, 404, /Run with id=none not found/],
    ['log-inputs', { run_id: 'none' }, 404, /Run with id=none not found/],
    ['outputs', { run_id: 'none' }, 400, /Missing value for required parameter 'models'/],
    ['outputs', { run_id: 'none', models: [] }, 404, /Run with id=none not found/],
    ['log-model', { run_id: 'none', model_json: '{' }, 400, /Malformed model info/],
    ['log-model', { run_id: 'none', model_json: '{}' }, 400, /missing mandatory fields/],
  ]
  for (const [verb, body, status, message] of refusals) {
    test(`${verb} ${JSON.stringify(body).slice(0, 60)} is ${status}`, async () => {
      await bad(post(`runs/${verb}`, body), status, message)
    })
  }
  test('get without or with an unknown run', async () => {
    await bad(get('runs/get'), 400, /Missing value for required parameter 'run_id'/)
    await bad(get('runs/get', { run_id: 'none' }), 404, /Run with id=none not found/)
  })
})

describe('params and tags:', () => {
  test('a parameter is written once; the same value again is fine', async () => {
    const run_id = await newRun()
    const log = (key: string, value?: string) => post('runs/log-parameter', { run_id, key, value })
    const batch = (...params: object[]) => post('runs/log-batch', { run_id, params })
    await good(log('p', '1'))
    await good(log('p', '1'))
    await good(log('empty'))
    await bad(log('p', '2'), 400, /Changing param values is not allowed.*'p'.*'1'.*'2'/)
    // A batch is taken as a whole or not at all.
    const mixed = batch({ key: 'q', value: '1' }, { key: 'p', value: '2' })
    await bad(mixed, 400, /Changing param values is not allowed/)
    await good(batch({ key: 'q', value: '3' }, { key: 'p', value: '1' }))
    expect((await runOf(run_id)).data.params).toEqual([
      { key: 'empty', value: '' },
      { key: 'p', value: '1' },
      { key: 'q', value: '3' },
    ])
    const twice = batch({ key: 'w', value: '1' }, { key: 'w', value: '1' })
    await bad(twice, 400, /Duplicate parameter keys.*'w'/)
  })

  test('a tag may change and go; the last in a batch wins', async () => {
    const run_id = await newRun({ run_name: 'n' })
    await good(post('runs/set-tag', { run_id, key: 'a/b c:d.é', value: '1' }))
    await good(post('runs/set-tag', { run_id, key: 'a/b c:d.é', value: '2' }))
    const tags = [
      { key: 't', value: '1' },
      { key: 't', value: '2' },
    ]
    await good(post('runs/log-batch', { run_id, tags }))
    expect((await runOf(run_id)).data.tags).toEqual([
      { key: 'a/b c:d.é', value: '2' },
      { key: 'mlflow.runName', value: 'n' },
      { key: 't', value: '2' },
    ])
    expect(await good(post('runs/delete-tag', { run_id, key: 't' }))).toEqual({})
    await bad(post('runs/delete-tag', { run_id, key: 't' }), 404, /No tag with name: t/)
  })

  test('values are cut at their limits, in characters', async () => {
    const run_id = await newRun()
    const face = '🙂'
    await good(
      post('runs/log-batch', {
        run_id,
        params: [{ key: 'p', value: face.repeat(6001) }],
        tags: [{ key: 't', value: face.repeat(8001) }],
      }),
    )
    await good(post('runs/log-parameter', { run_id, key: long(250), value: long(6000) }))
    const { params, tags } = (await runOf(run_id)).data
    expect(params.map(({ value }: any) => Array.from(value).length)).toEqual([6000, 6000])
    expect(params[1].value).toBe(face.repeat(6000))
    expect(tags.find(({ key }: any) => key === 't').value).toBe(face.repeat(8000))
  })

  const keys = [
    'a?b',
    'a//b',
    '/a',
    'a/',
    '..',
    '..a',
    '../a',
    './a',
    'a/../b',
    '.',
    'a\nb',
    long(251),
  ]
  for (const key of keys) {
    test(`the key ${JSON.stringify(key).slice(0, 20)} is refused`, async () => {
      const run_id = await newRun()
      const name = key.length > 250 ? /maximum length of 250/ : /Invalid value .* for parameter/
      await bad(post('runs/log-metric', { run_id, ...metric(key, 1, 1) }), 400, name)
      await bad(post('runs/log-parameter', { run_id, key, value: '1' }), 400, name)
      await bad(post('runs/set-tag', { run_id, key, value: '1' }), 400, name)
      const batch = { run_id, metrics: [metric('fine', 1, 1), metric(key, 1, 1)] }
      await bad(post('runs/log-batch', batch), 400, name)
      expect((await runOf(run_id)).data.metrics).toBeUndefined()
    })
  }

  const many = (count: number) => Array.from({ length: count }, (_, at) => `k${at}`)
  const metrics = (count: number) => many(count).map((key) => metric(key, 1, 1))
  const pairs = (count: number) => many(count).map((key) => ({ key, value: '1' }))
  const batches: [string, object, RegExp | null][] = [
    ['1000 metrics', { metrics: metrics(1000) }, null],
    ['1001 metrics', { metrics: metrics(1001) }, /at most 1000 metrics/],
    ['101 params', { params: pairs(101) }, /at most 100 params/],
    ['101 tags', { tags: pairs(101) }, /at most 100 tags/],
    ['all of them', { metrics: metrics(800), params: pairs(100), tags: pairs(100) }, null],
    ['too many', { metrics: metrics(801), params: pairs(100), tags: pairs(100) }, /at most 1000 m/],
    ['a megabyte', { tags: [{ key: 't', value: long(1_000_000) }] }, /at most 1000000 bytes/],
    ['no list', { metrics: { key: 'c' } }, /Invalid value .* for parameter 'metrics'/],
  ]
  for (const [what, batch, message] of batches) {
    test(`a batch of ${what} is ${message === null ? 'taken' : 'refused'}`, async () => {
      const answer = post('runs/log-batch', { run_id: await newRun(), ...batch })
      if (message === null) expect(await good(answer)).toEqual({})
      else await bad(answer, 400, message)
    })
  }
})

describe('metrics:', () => {
  const log = (run_id: string, ...metrics: object[]) =>
    good(post('runs/log-batch', { run_id, metrics }))
  const latest = async (run_id: string, key: string) =>
    (await runOf(run_id)).data.metrics.find((m: any) => m.key === key)
  const history = async (run_id: string, key: string, more: Record<string, string> = {}) =>
    good(get('metrics/get-history', { run_id, metric_key: key, ...more }))

  test('the latest has the greatest step, then time, then value', async () => {
    const run_id = await newRun()
    const rows: [object, object][] = [
      [metric('m', 5, 10, 1), metric('m', 5, 10, 1)],
      [metric('m', 9, 99, 0), metric('m', 5, 10, 1)],
      [metric('m', 1, 11, 1), metric('m', 1, 11, 1)],
      [metric('m', 0, 11, 1), metric('m', 1, 11, 1)],
      [metric('m', 2, 11, 1), metric('m', 2, 11, 1)],
      [metric('m', -7, 1, 2), metric('m', -7, 1, 2)],
    ]
    for (const [logged, expected] of rows) {
      await log(run_id, logged)
      expect(await latest(run_id, 'm')).toEqual(expected)
    }
    const inOne = await newRun()
    await log(inOne, ...rows.map(([logged]) => logged).reverse())
    expect(await latest(inOne, 'm')).toEqual(metric('m', -7, 1, 2))
  })

  test('NaN and infinity are kept as MLflow keeps them', async () => {
    const run_id = await newRun()
    const values: [string, unknown, unknown][] = [
      ['nan', 'NaN', 'NaN'],
      ['inf', 'Infinity', Number.MAX_VALUE],
      ['minus', '-Infinity', -Number.MAX_VALUE],
      ['text', '1.25', 1.25],
      ['zero', -0, 0],
      ['tiny', 5e-324, 5e-324],
    ]
    for (const [key, value] of values) {
      await good(post('runs/log-metric', { run_id, ...metric(key, value, 1) }))
    }
    for (const [key, , expected] of values) {
      expect(await latest(run_id, key)).toEqual(metric(key, expected, 1))
    }
  })

  test('the history holds every value once, by time', async () => {
    const run_id = await newRun()
    const rows = [metric('m', 1, 1, 3), metric('m', 2, 1, 3), metric('m', 'NaN', 2, 1)]
    await log(run_id, ...rows.toReversed(), ...rows)
    await log(run_id, ...rows)
    expect(await history(run_id, 'm')).toEqual({ metrics: rows })
    expect(await history(run_id, 'none')).toEqual({})
    expect(await history('none', 'm')).toEqual({})
  })

  test('pages of the history join without a gap, also while values come in', async () => {
    const run_id = await newRun()
    const rows = Array.from({ length: 25 }, (_, at) => metric('m', at % 3, at >> 3, at % 5))
    await log(run_id, ...rows)
    const all = (await history(run_id, 'm')).metrics
    expect(all).toHaveLength(25)
    for (const size of [1, 7, 24, 25, 26]) {
      const found: object[] = []
      let token: string | undefined
      do {
        const more = token === undefined ? {} : { page_token: token }
        const page = await history(run_id, 'm', { max_results: String(size), ...more })
        expect(page.metrics.length).toBeLessThanOrEqual(size)
        found.push(...page.metrics)
        token = page.next_page_token
        await log(run_id, metric('other', found.length, size))
      } while (token !== undefined)
      expect(found).toEqual(all)
    }
    const ask = (more: Record<string, string>) =>
      get('metrics/get-history', { run_id, metric_key: 'm', ...more })
    await bad(ask({ max_results: '0' }), 400, /'max_results'/)
    for (const page_token of ['xx', 'bnVsbA', btoa('[1,2,3]'), btoa('[1,2,3,"a"]')]) {
      await bad(ask({ page_token }), 400, /page token/)
    }
    await bad(get('metrics/get-history', { run_id }), 400, /'metric_key'/)
    await bad(get('metrics/get-history-bulk-interval', { metric_key: 'm' }), 400, /'run_ids'/)
  })

  test('intervals thin a history out, ends included', async () => {
    const [a, b] = [await newRun(), await newRun()].sort() as [string, string]
    const rows = Array.from({ length: 101 }, (_, at) => metric('m', at * 2, 1, at))
    await log(a, ...rows)
    await log(b, metric('m', 'NaN', 1, 7))
    const ask = async (more: Record<string, string>) => {
      const query = new URLSearchParams([
        ['run_ids', b],
        ['run_ids', a],
        ['metric_key', 'm'],
      ])
      for (const [name, value] of Object.entries(more)) query.set(name, value)
      const { metrics } = await good(
        call('GET', `metrics/get-history-bulk-interval?${query.toString()}`),
      )
      return metrics
    }
    const last = { ...metric('m', 'NaN', 1, 7), run_id: b }
    expect(await ask({})).toEqual([...rows.map((row) => ({ ...row, run_id: a })), last])
    const steps = async (more: Record<string, string>) =>
      (await ask(more)).filter((row: any) => row.run_id === a).map((row: any) => row.step)
    expect(await steps({ max_results: '5' })).toEqual([0, 25, 50, 75, 100])
    expect(await steps({ max_results: '1' })).toEqual([100])
    expect(await steps({ start_step: '10', end_step: '12' })).toEqual([10, 11, 12])
    const one = { run_ids: a, metric_key: 'm' }
    for (const [more, message] of [
      [{ start_step: '1' }, /both/],
      [{ start_step: '2', end_step: '1' }, /end_step/],
      [{ max_results: '2501' }, /between 1 and 2500/],
    ] as [Record<string, string>, RegExp][]) {
      await bad(get('metrics/get-history-bulk-interval', { ...one, ...more }), 400, message)
    }
  })

  const refusals: [object, RegExp][] = [
    [{ value: 1, timestamp: 1 }, /Missing value for required parameter '(metrics\[0\]\.)?key'/],
    [{ key: 'm', timestamp: 1 }, /Missing value for required parameter '(metrics\[0\]\.)?value'/],
    [{ key: 'm', value: 1 }, /Missing value for required parameter '(metrics\[0\]\.)?timestamp'/],
    [
      { key: 'm', value: 'x', timestamp: 1 },
      /Invalid value 'x' for parameter '(metrics\[0\]\.)?value'/,
    ],
    [
      { key: 'm', value: '', timestamp: 1 },
      /Invalid value '' for parameter '(metrics\[0\]\.)?value'/,
    ],
    [
      { key: 'm', value: true, timestamp: 1 },
      /Invalid value true for parameter '(metrics\[0\]\.)?value'/,
    ],
    [{ key: 'm', value: 1, timestamp: -1 }, /Invalid value -1 for parameter .*timestamp/],
    [
      { key: 'm', value: 1, timestamp: 1.5 },
      /Invalid value 1.5 for parameter '(metrics\[0\]\.)?timestamp'/,
    ],
    [{ ...metric('m', 1, 1), model_id: 'm-none' }, /Logged model with ID 'm-none' not found/],
  ]
  for (const [body, message] of refusals) {
    test(`${JSON.stringify(body)} is refused`, async () => {
      const run_id = await newRun()
      await bad(post('runs/log-metric', { run_id, ...body }), 400, message)
      await bad(post('runs/log-batch', { run_id, metrics: [body] }), 400, message)
    })
  }
})

describe('lineage:', () => {
  const dataset = (name: string, more: object = {}) => ({
    name,
    digest: 'd',
    source_type: 'local',
    source: '{}',
    ...more,
  })

  test('datasets and models read and made are shown on the run, once each', async () => {
    const experiment_id = await newExperiment()
    const run_id = await newRun({ experiment_id })
    const tags = [{ key: 'mlflow.data.context', value: 'train' }]
    const first = { tags, dataset: dataset('a', { schema: 's', profile: 'p' }) }
    await good(
      post('runs/log-inputs', {
        run_id,
        datasets: [first, { dataset: dataset('b') }],
        models: [{ model_id: 'm-1' }],
      }),
    )
    // A dataset stays as it was first described, and so do its tags.
    const again = { tags: [{ key: 'k', value: 'v' }], dataset: dataset('a', { source: 'other' }) }
    await good(post('runs/log-inputs', { run_id, datasets: [again] }))
    const models = [
      { model_id: 'm-2', step: 3 },
      { model_id: 'm-1', step: 1 },
    ]
    expect(await good(post('runs/outputs', { run_id, models }))).toEqual({})
    await good(post('runs/outputs', { run_id, models: [{ model_id: 'm-2', step: 4 }] }))
    const { inputs, outputs } = await runOf(run_id)
    expect(inputs).toEqual({
      dataset_inputs: [first, { dataset: dataset('b') }],
      model_inputs: [{ model_id: 'm-1' }],
    })
    expect(outputs.model_outputs).toEqual([
      { model_id: 'm-1', step: 1 },
      { model_id: 'm-2', step: 4 },
    ])
    const other = await newRun({ experiment_id })
    await good(post('runs/log-inputs', { run_id: other, datasets: [again] }))
    expect((await runOf(other)).inputs.dataset_inputs).toEqual([{ ...first, tags: again.tags }])
  })

  const refusals: [object, RegExp][] = [
    [{}, /Missing value for required parameter 'datasets\[0\]\.dataset'/],
    [
      { dataset: { ...dataset('n'), digest: '' } },
      /Missing value for required parameter 'datasets\[0\]\.dataset\.digest'/,
    ],
    [{ dataset: dataset(long(501)) }, /'name' exceeds the maximum length of 500/],
    [{ dataset: dataset('n', { digest: long(37) }) }, /'digest' exceeds/],
    [{ dataset: dataset('n', { source: long(65_536) }) }, /'source' exceeds/],
    [{ dataset: dataset('n', { schema: long(1_048_576) }) }, /'schema' exceeds/],
    [{ dataset: dataset('n'), tags: [{ key: long(256) }] }, /'key' exceeds/],
    [{ dataset: dataset('n'), tags: [{ key: 'k', value: long(501) }] }, /'value' exceeds/],
  ]
  for (const [at, [input, message]] of refusals.entries()) {
    test(`a dataset is refused: ${at + 1} ${message.source}`, async () => {
      const run_id = await newRun()
      await bad(post('runs/log-inputs', { run_id, datasets: [input] }), 400, message)
      expect((await runOf(run_id)).inputs).toEqual({})
    })
  }

  test('older clients’ log-model appends to the history in a tag', async () => {
    const run_id = await newRun()
    const model = { run_id, artifact_path: 'a', utc_time_created: 'now', model_uuid: 'u' }
    const flavors = { f: { x: 1, config: 2 } }
    const model_json = JSON.stringify({ ...model, flavors, other: 1 })
    for (let round = 0; round < 2; round += 1) {
      expect(await good(post('runs/log-model', { run_id, model_json }))).toEqual({})
    }
    const { tags } = (await runOf(run_id)).data
    const { value } = tags.find(({ key }: any) => key === 'mlflow.log-model.history')
    const entry = { ...model, flavors: { f: { x: 1 } } }
    expect(JSON.parse(value)).toEqual([entry, entry])
  })
})

describe('logged models:', () => {
  const create = async (more: object = {}): Promise<any> =>
    (await good(post('logged-models', { experiment_id: '0', ...more }))).model
  const modelOf = async (id: string, query = ''): Promise<any> =>
    (await good(call('GET', `logged-models/${id}${query}`))).model

  test('create, tag, measure, finish, delete', async () => {
    const model = await create({
      name: 'lm',
      model_type: 't',
      source_run_id: 'r',
      params: [{ key: 'p', value: '1' }],
      tags: [{ key: 't', value: '1' }],
    })
    const { model_id, creation_timestamp_ms } = model.info
    expect(model_id).toMatch(/^m-[0-9a-f]{32}$/)
    expect(model).toEqual({
      info: {
        model_id,
        experiment_id: '0',
        name: 'lm',
        creation_timestamp_ms,
        last_updated_timestamp_ms: creation_timestamp_ms,
        artifact_uri: `mlflow-artifacts:/0/models/${model_id}/artifacts`,
        status: 'LOGGED_MODEL_PENDING',
        model_type: 't',
        source_run_id: 'r',
        tags: [{ key: 't', value: '1' }],
      },
      data: { params: [{ key: 'p', value: '1' }] },
    })
    expect(await modelOf(model_id)).toEqual(model)

    const at = `logged-models/${model_id}`
    const tags = [
      { key: 'x/y', value: '1' },
      { key: 'x/y', value: '2' },
    ]
    const tagged = (await good(call('PATCH', `${at}/tags`, { tags }))).model
    expect(tagged.info.tags).toContainEqual({ key: 'x/y', value: '2' })
    expect(await good(call('DELETE', `${at}/tags/x%2Fy`))).toEqual({})
    await bad(call('DELETE', `${at}/tags/x%2Fy`), 404, /No tag with key 'x\/y'/)
    const param = (value: string) =>
      post(`${at}/params`, { model_id, params: [{ key: 'q', value }] })
    for (const value of ['1', '1']) expect(await good(param(value))).toEqual({})
    await bad(param('2'), 400, /Changing param values is not allowed/)

    const run_id = await newRun()
    const measured = { model_id, dataset_name: 'd', dataset_digest: 'g' }
    await good(post('runs/log-metric', { run_id, ...metric('m', 1.5, 10), ...measured }))
    const plain = { ...metric('n', 'NaN', 1, 2), model_id }
    await good(post('runs/log-batch', { run_id, metrics: [plain, plain, metric('o', 1, 1)] }))
    const { data } = await modelOf(model_id)
    expect(data.params.map(({ key }: any) => key)).toEqual(['p', 'q'])
    expect(data.metrics).toEqual([
      { ...metric('m', 1.5, 10), ...measured, run_id },
      { ...plain, run_id },
    ])
    expect((await runOf(run_id)).data.metrics).toHaveLength(3)

    const status = 'LOGGED_MODEL_READY'
    const ready = (await good(call('PATCH', at, { model_id, status }))).model
    expect([ready.info.status, ready.data]).toEqual([status, data])
    const failed = (await good(call('PATCH', at, { model_id, status: 3 }))).model
    expect(failed.info.status).toBe('LOGGED_MODEL_UPLOAD_FAILED')

    for (let round = 0; round < 2; round += 1) expect(await good(call('DELETE', at))).toEqual({})
    await bad(call('GET', at), 404, /Logged model with ID '.*' not found/)
    await bad(call('GET', `${at}?allow_deleted=false`), 404, /not found/)
    expect((await modelOf(model_id, '?allow_deleted=true')).info.model_id).toBe(model_id)
  })

  test('without a name it gets one', async () => {
    expect((await create()).info.name).toMatch(/^[a-z]+-[a-z]+-\d{1,3}$/)
  })

  const none = 'logged-models/m-none'
  const refusals: [string, string, object, number, RegExp][] = [
    ['POST', 'logged-models', {}, 400, /Missing value for required parameter 'experiment_id'/],
    ['POST', 'logged-models', { experiment_id: '9999' }, 404, /No Experiment with id=9999/],
    ...['a/b', 'a:b', 'a.b', 'a%b', 'a"b', "a'b"].map(
      (name): [string, string, object, number, RegExp] => [
        'POST',
        'logged-models',
        { experiment_id: '0', name },
        400,
        /Invalid model name/,
      ],
    ),
    [
      'POST',
      'logged-models',
      { experiment_id: '0', params: [{ key: 'a' }, { key: 'a' }] },
      400,
      /Duplicate parameter/,
    ],
    ['POST', 'logged-models', { experiment_id: '0', tags: [{ key: long(256) }] }, 400, /maximum/],
    ['GET', none, {}, 404, /Logged model with ID 'm-none' not found/],
    ['PATCH', none, { status: 'LOGGED_MODEL_READY' }, 404, /'m-none' not found/],
    ['PATCH', none, {}, 400, /Missing value for required parameter 'status'/],
    ['PATCH', none, { status: 'READY' }, 400, /Invalid value 'READY' for parameter 'status'/],
    ['DELETE', none, {}, 404, /'m-none' not found/],
    ['PATCH', `${none}/tags`, { tags: [] }, 404, /'m-none' not found/],
    ['DELETE', `${none}/tags/k`, {}, 404, /'m-none' not found/],
    ['POST', `${none}/params`, { params: [] }, 404, /'m-none' not found/],
  ]
  for (const [method, path, body, status, message] of refusals) {
    test(`${method} ${path} ${JSON.stringify(body).slice(0, 50)} is ${status}`, async () => {
      await bad(call(method, path, method === 'GET' ? undefined : body), status, message)
    })
  }
})

describe('audit:', () => {
  test('§16 changes of runs and experiments are entries, what runs log is not', async () => {
    const entries = async () => {
      const { body } = await relais.call('GET', '/api/v1/audit?limit=100')
      return body.entries as { seq: number; action: string; object: string; actor: string }[]
    }
    const token = await relais.token('data-scientist', { sub: 'ann' })
    const before = (await entries())[0]!.seq
    const ask = (path: string, body: object) =>
      relais.call('POST', `/api/2.0/mlflow/${path}`, { token, body })
    const made = await ask('experiments/create', { name: newName() })
    const { experiment_id } = made.body
    const created = await ask('runs/create', { experiment_id, user_id: 'someone else' })
    const { run_id } = (created.body as any).run.info
    await ask('runs/log-batch', {
      run_id,
      metrics: [metric('m', 1, 1)],
      params: [{ key: 'p', value: '1' }],
      tags: [{ key: 't', value: '1' }],
    })
    await ask('experiments/set-experiment-tag', { experiment_id, key: 'k', value: 'v' })
    await ask('runs/update', { run_id, status: 'FINISHED' })
    await ask('runs/delete', { run_id })
    await ask('runs/restore', { run_id })
    await ask('experiments/update', { experiment_id, new_name: newName() })
    await ask('experiments/delete', { experiment_id })
    await ask('experiments/restore', { experiment_id })
    const experiment = `experiment/${experiment_id}`
    const run = `run/${run_id}`
    expect(
      (await entries())
        .filter(({ seq }) => seq > before)
        .reverse()
        .map(({ action, object, actor }) => [action, object, actor]),
    ).toEqual([
      ['experiment.create', experiment, 'ann'],
      ['run.create', run, 'ann'],
      ['run.update', run, 'ann'],
      ['run.delete', run, 'ann'],
      ['run.restore', run, 'ann'],
      ['experiment.update', experiment, 'ann'],
      ['experiment.delete', experiment, 'ann'],
      ['experiment.restore', experiment, 'ann'],
    ])
    expect((await runOf(run_id)).info.user_id).toBe('someone else')
  })

  test('a refused change leaves no trace but the denial', async () => {
    const token = await relais.token('viewer', { sub: 'eve' })
    const body = { name: newName() }
    const path = '/api/2.0/mlflow/experiments/create'
    const { status, body: answer } = await relais.call('POST', path, { token, body })
    expect([status, answer.error_code]).toEqual([403, 'PERMISSION_DENIED'])
    await bad(get('experiments/get-by-name', { experiment_name: body.name }), 404, /Could not/)
    const { body: trail } = await relais.call<any>('GET', '/api/v1/audit?limit=1')
    expect(trail.entries[0]).toMatchObject({
      action: 'experiment.create',
      outcome: 'denied',
      actor: 'eve',
    })
  })
})

test('what was written by many at once is there after a restart', async () => {
  const runs = await Promise.all(Array.from({ length: 8 }, () => newRun()))
  await Promise.all(
    runs.flatMap((run_id) =>
      Array.from({ length: 10 }, async (_, step) => {
        await good(post('runs/log-metric', { run_id, ...metric('m', step, 1, step) }))
        await good(post('runs/log-parameter', { run_id, key: `p${step}`, value: '1' }))
      }),
    ),
  )
  const before = await Promise.all(runs.map(runOf))
  await relais.restart()
  expect(await Promise.all(runs.map(runOf))).toEqual(before)
  for (const { data } of before) {
    expect([data.params.length, data.metrics]).toEqual([10, [metric('m', 9, 1, 9)]])
  }
})

test('of many at once who want the same, one gets it', async () => {
  const name = newName()
  const run_id = await newRun()
  const all = await Promise.all(
    Array.from({ length: 12 }, async (_, at) => [
      (await post('experiments/create', { name })).status,
      (await post('runs/log-parameter', { run_id, key: 'p', value: `${at}` })).status,
    ]),
  )
  for (const side of [0, 1]) {
    const count = (status: number): number => all.filter((pair) => pair[side] === status).length
    expect([count(200), count(400)]).toEqual([1, 11])
  }
  expect((await runOf(run_id)).data.params).toHaveLength(1)
})
