import { Database } from 'bun:sqlite'
// Engines under load, poison, hangs and kills (RULES §5, §6, §7, §32).
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

import { type App, createApp } from '../src/app.ts'
import { loadConfig } from '../src/config.ts'
import { sha256 } from '../src/core/ids.ts'
import { writeMlp } from './models/make-mlp.ts'
import {
  agrees,
  type Answer,
  referenceOf,
  type Relais,
  startRelais,
  testModels,
} from './support/relais.ts'

const file = (name: string): string => join(testModels, `${name}.onnx`)
const iris = referenceOf('iris')
const irisOf: Record<string, typeof iris> = { '1': iris, '2': referenceOf('iris-v2') }
const poison = '{"instances":[{"a":-9223372036854775808,"b":-1}]}'

function post(relais: Relais, name: string, raw: string, token?: string): Promise<Answer<any>> {
  const headers = { 'content-type': 'application/json' }
  const whose = token === undefined ? {} : { token }
  return relais.call('POST', `/v1/models/${name}:predict`, { raw, headers, ...whose })
}

/** Does an answer about some rows of iris equal the reference of the version it names? */
function isRight(answer: Answer<any>, rows: number[]): boolean {
  const reference = irisOf[answer.body.model_version]
  if (!reference) return false
  return rows.every((row, at) => {
    const expected = {
      output_label: reference.outputs['output_label']![row],
      output_probability: reference.outputs['output_probability']![row],
    }
    return agrees(answer.body.predictions[at], expected)
  })
}

interface Loop {
  answers: { status: number; right: boolean; milliseconds: number; answer: Answer<any> }[]
  /** Ends it and waits for the requests that are on their way. */
  end(): Promise<Loop['answers']>
}

/** Ends the clients of a test that failed before it did so. */
const stops = new Set<() => void>()
afterEach(() => {
  for (const stop of stops) stop()
  stops.clear()
})

/** Clients that ask for iris again and again, each waiting for its answer. */
function loop(relais: Relais, clients: number, name = 'iris', tokens: string[] = []): Loop {
  let going = true
  stops.add(() => (going = false))
  const answers: Loop['answers'] = []
  const client = async (who: number): Promise<void> => {
    for (let turn = who; going; turn += 1) {
      const row = turn % iris.rows.length
      const started = performance.now()
      const token = tokens[who % Math.max(1, tokens.length)]
      const body = JSON.stringify({ instances: [iris.rows[row]] })
      const answer = await post(relais, name, body, token)
      const right = answer.status === 200 && isRight(answer, [row])
      answers.push({
        status: answer.status,
        right,
        milliseconds: performance.now() - started,
        answer,
      })
    }
  }
  const running = Array.from({ length: clients }, (_, who) => client(who))
  return {
    answers,
    end: async () => {
      going = false
      await Promise.all(running)
      return answers
    },
  }
}

/** What went wrong in a loop: at most a few samples, so that a failure can be read. */
const failures = (answers: Loop['answers']): unknown[] =>
  answers
    .filter(({ right }) => !right)
    .slice(0, 5)
    .map(({ status, answer }) => [status, answer.text.slice(0, 300)])

async function serve(relais: Relais, name: string, path: string, stage = 'Production') {
  const pushed = await relais.push(name, path)
  expect([name, pushed.status, pushed.body.detail]).toEqual([name, 201, undefined])
  const moved = await relais.promote(name, pushed.body.version, stage)
  expect([name, moved.status, moved.body.detail]).toEqual([name, 200, undefined])
}

async function serveIris(relais: Relais, name = 'iris'): Promise<void> {
  expect((await relais.pushExample(name, 'iris')).status).toBe(201)
  expect((await relais.promote(name, 1, 'Production')).status).toBe(200)
}

async function until(what: () => boolean | Promise<boolean>, milliseconds = 5000): Promise<void> {
  const end = performance.now() + milliseconds
  while (!(await what())) {
    if (performance.now() > end) throw new Error('it did not happen in time')
    await Bun.sleep(10)
  }
}

const versionOf = async (relais: Relais, name: string, version: number): Promise<any> =>
  (await relais.call('GET', `/api/v1/models/${name}/versions/${version}`)).body

const pidsOf = (relais: Relais): number[] => relais.app.deployments.engines.map(({ pid }) => pid)

describe('requests that travel together', () => {
  let relais: Relais
  beforeAll(async () => {
    relais = await startRelais()
    await serveIris(relais)
    await serve(relais, 'wide', file('identity-int64'))
    await serve(relais, 'words', file('identity-string'))
    await serve(relais, 'div', file('div'))
  }, 20_000)
  afterAll(() => relais.close())

  test('500 at once get what each would get alone', async () => {
    const tokens = await Promise.all(
      Array.from({ length: 8 }, (_, at) => relais.token('predictor', { sub: `p${at}` })),
    )
    const answers = await Promise.all(
      Array.from({ length: 500 }, async (_, at) => {
        const rows = Array.from({ length: 1 + (at % 3) }, (_row, i) => (at * 7 + i) % 45)
        const body = JSON.stringify({ instances: rows.map((row) => iris.rows[row]) })
        return { rows, answer: await post(relais, 'iris', body, tokens[at % 8]) }
      }),
    )
    const wrong = answers.filter(({ rows, answer }) => !isRight(answer, rows))
    expect(wrong).toEqual([])
    const { text } = await relais.call('GET', '/metrics')
    const count = Number(/prediction_batch_size_count\{model="iris"\} (\d+)/.exec(text)?.[1])
    // They did travel together, or this proves nothing.
    expect(count).toBeLessThan(400)
  })

  test('integers and strings of 300 callers are not mixed up', async () => {
    await Promise.all(
      Array.from({ length: 300 }, async (_, at) => {
        const number = `${9007199254740993n + BigInt(at) * 2n}`
        const wide = await post(relais, 'wide', `{"instances":[[${number},${at}]]}`)
        expect(wide.text).toStartWith(`{"predictions":[[${number},${at}]],`)
        const words = await post(relais, 'words', `{"instances":[["w${at}","ü${at}"]]}`)
        expect(words.body.predictions).toEqual([[`w${at}`, `ü${at}`]])
      }),
    )
  })

  test('one bad row in a batch fails one caller only', async () => {
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, at) =>
        post(relais, 'div', `{"instances":[{"a":${at * 3},"b":${at % 50 === 7 ? 0 : 3}}]}`),
      ),
    )
    for (const [at, { status, body }] of answers.entries()) {
      if (at % 50 === 7) expect([status, body.code]).toEqual([422, 'inference.failed'])
      else expect([status, body.predictions]).toEqual([200, [at]])
    }
  })
})

describe('§6 poison', () => {
  let relais: Relais
  let others: string[]
  beforeAll(async () => {
    relais = await startRelais()
    await serveIris(relais)
    await serve(relais, 'div', file('div'))
    await serve(relais, 'div', file('div'))
    const subs = ['anna', 'ben', 'cleo']
    others = await Promise.all(subs.map((sub) => relais.token('predictor', { sub })))
  }, 20_000)
  afterAll(() => relais.close())

  /** Good callers of the poisoned model, `clients` of them at once. */
  function divide(clients: number): { end(): Promise<[number, string][]> } {
    let going = true
    stops.add(() => (going = false))
    const bad: [number, string][] = []
    const client = async (who: number): Promise<void> => {
      for (let n = who; going; n += 1) {
        const body = `{"instances":[{"a":${n * 2},"b":2}]}`
        const answer = await post(relais, 'div', body, others[who % others.length])
        if (answer.status !== 200 || answer.body.predictions[0] !== n) {
          bad.push([answer.status, answer.text.slice(0, 300)])
        }
      }
    }
    const running = Array.from({ length: clients }, (_, who) => client(who))
    return {
      end: async () => {
        going = false
        await Promise.all(running)
        return bad.slice(0, 5)
      },
    }
  }

  test('fails its sender with 500, nobody else, however often it comes', async () => {
    const pid = process.pid
    const mallory = await relais.token('predictor', { sub: 'mallory' })
    const neighbours = loop(relais, 4)
    const users = divide(120)
    for (let round = 0; round < 3; round += 1) {
      const { status, body } = await post(relais, 'div', poison, mallory)
      expect([round, status, body.code]).toEqual([round, 500, 'inference.poison-request'])
      expect(body.detail).not.toMatch(/SIG|signal|pid/i)
    }
    expect(await users.end()).toEqual([])
    const answers = await neighbours.end()
    expect(failures(answers)).toEqual([])
    expect(answers.length).toBeGreaterThan(100)
    expect(process.pid).toBe(pid)
    const version = await versionOf(relais, 'div', 2)
    expect([version.stage, version.quarantine ?? null]).toEqual(['Production', null])
    const good = await post(relais, 'div', '{"instances":[{"a":8,"b":2}]}', mallory)
    expect([good.status, good.body.model_version]).toEqual([200, '2'])
  }, 20_000)

  test('a flood of poison by one principal neither ends the server nor starves others', async () => {
    const flooder = await relais.token('predictor', { sub: 'flooder' })
    const users = divide(8)
    const flood = await Promise.all(
      Array.from({ length: 300 }, () => post(relais, 'div', poison, flooder)),
    )
    for (const { status, headers } of flood) {
      expect([500, 503, 504]).toContain(status)
      if (status === 503) expect(headers.get('retry-after')).not.toBeNull()
    }
    expect(await users.end()).toEqual([])
    expect((await versionOf(relais, 'div', 2)).quarantine ?? null).toBeNull()
  }, 20_000)

  test('a flood for a model that takes one request per frame does not keep Production down', async () => {
    await serve(relais, 'resize', file('resize'))
    const x = [[[[1, 2]]]]
    const body = (scales: number[]): string => JSON.stringify({ inputs: { x, scales } })
    const fine = await post(relais, 'resize', body([1, 1, 1, 2]))
    expect([fine.status, fine.body.outputs]).toEqual([200, expect.any(Array)])
    const flooder = await relais.token('predictor', { sub: 'resizer' })
    const neighbours = loop(relais, 2)
    const poisoned = body(Array(20_000).fill(1))
    const flood = await Promise.all(
      Array.from({ length: 40 }, () => post(relais, 'resize', poisoned, flooder)),
    )
    for (const { status } of flood) expect([500, 503, 504]).toContain(status)
    const answers = await neighbours.end()
    expect(failures(answers)).toEqual([])
    expect(Math.max(...answers.map(({ milliseconds }) => milliseconds))).toBeLessThan(1000)
  }, 20_000)

  test('§5: three principals within a minute put it aside; v1 serves, no stage moves', async () => {
    for (const sub of ['one', 'two', 'three']) {
      const token = await relais.token('predictor', { sub })
      await post(relais, 'div', poison, token)
    }
    const ask = () => post(relais, 'div', '{"instances":[{"a":8,"b":2}]}')
    await until(async () => (await ask()).body.model_version === '1')
    const answer = await ask()
    expect([answer.status, answer.body.predictions]).toEqual([200, [4]])
    const version = await versionOf(relais, 'div', 2)
    expect(version.stage).toBe('Production')
    expect(JSON.stringify(version)).toMatch(/crashed for 3 callers/)
    const health = await relais.call('GET', '/health/ready')
    expect(health.status).toBe(200)
    expect(health.body.status).toBe('degraded')
    expect(health.body.notes).toContainEqual(
      expect.objectContaining({ model: 'div', stage: 'Production', stage_version: 2, serving: 1 }),
    )
    const { text } = await relais.call('GET', '/metrics')
    expect(text).toMatch(/model_fallback\{model="div",stage="Production"\} 1/)
    const audit = await relais.call('GET', '/api/v1/audit?limit=50')
    const entries = (audit.body.entries ?? audit.body.items ?? []) as any[]
    const entry = entries.find((one) => one.action === 'version.quarantine')
    expect(JSON.stringify(entry)).toMatch(/"system"/)
    const asked = await relais.predict('div', [{ a: 8, b: 2 }], { at: 'versions/2' })
    expect([asked.status, asked.body.code]).toEqual([409, 'version.quarantined'])
  })

  test('§5: a restart keeps it aside; clearing the quarantine brings it back', async () => {
    await relais.restart()
    const ask = () => post(relais, 'div', '{"instances":[{"a":8,"b":2}]}')
    expect((await ask()).body.model_version).toBe('1')
    const cleared = await relais.call('DELETE', '/api/v1/models/div/versions/2/quarantine')
    expect(cleared.status).toBe(200)
    expect((await ask()).body.model_version).toBe('2')
  })
})

describe('hangs', () => {
  let relais: Relais
  const forever = '{"inputs":{"n":[1099511627776]}}'
  beforeAll(async () => {
    relais = await startRelais({ 'predict-timeout': '500ms' })
    await serveIris(relais)
    await serve(relais, 'spin', file('spin'))
  }, 20_000)
  afterAll(() => relais.close())

  test('504 within deadline + 250 ms, the next answer of another model within 1 s', async () => {
    const slow = await relais.token('predictor', { sub: 'slow' })
    expect((await post(relais, 'spin', '{"inputs":{"n":[3]}}', slow)).body.outputs).toEqual([3])
    const before = new Set(pidsOf(relais))
    const started = performance.now()
    const { status, body } = await post(relais, 'spin', forever, slow)
    const took = performance.now() - started
    expect([status, body.code]).toEqual([504, 'inference.deadline'])
    expect(took).toBeLessThan(750)
    const next = performance.now()
    const answer = await post(relais, 'iris', JSON.stringify({ instances: [iris.rows[0]] }))
    expect(performance.now() - next).toBeLessThan(1000)
    expect(isRight(answer, [0])).toBe(true)
    // The hung process is gone, not left to burn a core.
    const after = new Set(pidsOf(relais))
    expect([...before].some((pid) => !after.has(pid))).toBe(true)
  })

  test('who hung it once runs apart: others do not even wait', async () => {
    const slow = await relais.token('predictor', { sub: 'slow' })
    const neighbours = loop(relais, 2)
    await Bun.sleep(100)
    const started = performance.now()
    const { status } = await post(relais, 'spin', forever, slow)
    expect(status).toBe(504)
    // The isolated engine has to start first.
    expect(performance.now() - started).toBeLessThan(1500)
    const answers = await neighbours.end()
    expect(failures(answers)).toEqual([])
    expect(Math.max(...answers.map(({ milliseconds }) => milliseconds))).toBeLessThan(400)
    const fine = await post(relais, 'spin', '{"inputs":{"n":[5]}}', slow)
    expect([fine.status, fine.body.outputs]).toEqual([200, [5]])
  })

  test('callers that waited behind a hang are answered', async () => {
    const other = await relais.token('predictor', { sub: 'other' })
    const [hung, ...good] = await Promise.all([
      post(relais, 'spin', forever, other),
      ...Array.from({ length: 10 }, (_, at) =>
        post(relais, 'iris', JSON.stringify({ instances: [iris.rows[at]] })),
      ),
    ])
    expect(hung.status).toBe(504)
    expect(good.map((answer, at) => answer.status === 200 && isRight(answer, [at]))).toEqual(
      Array(10).fill(true),
    )
  })
})

test('§6: kill -9 of engines under load: right answers or 503, never blame', async () => {
  const relais = await startRelais()
  try {
    await serveIris(relais)
    const clients = loop(relais, 16)
    await Bun.sleep(200)
    let longest = 0
    let kills = 0
    for (let round = 0; round < 6; round += 1) {
      for (const pid of pidsOf(relais)) {
        process.kill(pid, 'SIGKILL')
        kills += 1
      }
      const killed = performance.now()
      const seen = clients.answers.length
      await until(() => clients.answers.slice(seen).some(({ status }) => status === 200))
      longest = Math.max(longest, performance.now() - killed)
      await Bun.sleep(300)
    }
    const answers = await clients.end()
    const odd = answers.filter(
      ({ status, right, answer }) =>
        !right && !(status === 503 && answer.headers.get('retry-after') !== null),
    )
    expect(failures(odd)).toEqual([])
    expect(answers.filter(({ right }) => right).length).toBeGreaterThan(500)
    expect(longest).toBeLessThan(1000)
    expect((await versionOf(relais, 'iris', 1)).quarantine ?? null).toBeNull()
    const { text } = await relais.call('GET', '/metrics')
    const killed = /^engine_restarts_total\{cause="killed"\} (\d+)$/m.exec(text)?.[1]
    expect([kills > 2, Number(killed)]).toEqual([true, kills])
    expect(text).not.toInclude('cause="crash"')
  } finally {
    await relais.close()
  }
}, 20_000)

describe('§7 the budget of memory', () => {
  test('versions on demand: least recently used goes first, Production stays', async () => {
    const relais = await startRelais({ 'engine-memory': '160MB' })
    try {
      await serveIris(relais)
      for (let version = 2; version <= 24; version += 1) {
        expect((await relais.pushExample('iris', 'iris')).status).toBe(201)
      }
      await relais.call('PUT', '/api/v1/models/iris/aliases/kept', { body: { version: 2 } })
      const instances = [iris.rows[0]]
      const body = JSON.stringify({ instances })
      const clients = loop(relais, 2)
      const statuses: number[] = []
      for (let version = 3; version <= 24; version += 1) {
        const answer = await relais.predict('iris', instances, { at: `versions/${version}` })
        statuses.push(answer.status)
        if (answer.status === 200) expect(answer.body.model_version).toBe(String(version))
        else expect(answer.headers.get('retry-after')).not.toBeNull()
      }
      expect(statuses).toEqual(Array(22).fill(200))
      expect(failures(await clients.end())).toEqual([])
      // The engines themselves stay bounded, not only the count.
      const side = relais.app.deployments.engines.filter(({ key }) => key === 'side')
      expect(side.length).toBe(1)
      // §7: what an alias holds is not evicted for what is only asked for.
      const held = performance.now()
      const kept = await relais.predict('iris', instances, { at: 'labels/kept' })
      expect([kept.status, kept.body.model_version]).toEqual([200, '2'])
      expect(performance.now() - held).toBeLessThan(25)
      expect((await post(relais, 'iris', body)).body.model_version).toBe('1')
    } finally {
      await relais.close()
    }
  }, 30_000)

  test('over budget: 503 with Retry-After, and the Production version is not evicted', async () => {
    const relais = await startRelais({ 'engine-memory': '200MB' })
    const path = join(relais.data, 'mlp.onnx')
    try {
      await writeMlp(path, { inputs: 256, hidden: [4096, 4096], outputs: 10 })
      await serve(relais, 'big', path)
      const row = [Array(256).fill(0.5)]
      const first = await relais.predict('big', row)
      expect(first.status).toBe(200)
      const [live] = relais.app.deployments.engines.filter(({ key }) => key.endsWith('-live'))
      await writeMlp(path, { inputs: 256, hidden: [4096, 4096], outputs: 10, seed: 2 })
      expect((await relais.push('big', path)).status).toBe(201)
      const refused = await relais.predict('big', row, { at: 'versions/2' })
      expect([refused.status, refused.body.code]).toEqual([503, 'engine.memory'])
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
      const again = await relais.predict('big', row)
      expect(again.body.predictions).toEqual(first.body.predictions)
      expect(pidsOf(relais)).toContain(live?.pid as number)
    } finally {
      await relais.close()
    }
  }, 30_000)
})

test('a heavy model in a lane of its own does not slow a light one', async () => {
  const relais = await startRelais({ 'engine-threads': '1' })
  try {
    await serveIris(relais)
    await serve(relais, 'slow', file('slow'))
    expect(relais.app.deployments.engines.length).toBe(2)
    let going = true
    let heavy = 0
    const hammer = Array.from({ length: 16 }, async () => {
      while (going) {
        const { status } = await relais.predict('slow', [[1, 2]])
        expect(status).toBe(200)
        heavy += 1
      }
    })
    const clients = loop(relais, 2)
    await Bun.sleep(2500)
    going = false
    const answers = await clients.end()
    await Promise.all(hammer)
    expect(failures(answers)).toEqual([])
    expect(heavy).toBeGreaterThan(20)
    const times = answers.map(({ milliseconds }) => milliseconds).sort((a, b) => a - b)
    // One run of the heavy model takes 50 ms: behind it, none would be faster.
    expect(times[Math.floor(times.length * 0.99)]).toBeLessThan(40)
    expect(answers.length).toBeGreaterThan(200)
  } finally {
    await relais.close()
  }
}, 15_000)

test('20 promotions and rollbacks under 16 clients: every answer right for the version it names', async () => {
  const relais = await startRelais()
  try {
    await serveIris(relais)
    await relais.pushExample('iris', 'iris-v2')
    const clients = loop(relais, 16)
    const seen = new Set<string>()
    for (let cycle = 0; cycle < 10; cycle += 1) {
      for (const wanted of ['2', '1']) {
        const moved =
          wanted === '2'
            ? await relais.promote('iris', 2, 'Production')
            : await relais.call('POST', '/api/v1/models/iris/rollback', { body: {} })
        expect([cycle, wanted, moved.status, String(moved.body.live_version)]).toEqual([
          cycle,
          wanted,
          200,
          wanted,
        ])
        // From the answer to the move on, only the new version serves.
        const { body } = await post(relais, 'iris', JSON.stringify({ instances: [iris.rows[0]] }))
        expect(body.model_version).toBe(wanted)
        seen.add(body.model_version)
      }
    }
    const answers = await clients.end()
    expect(failures(answers)).toEqual([])
    expect(answers.length).toBeGreaterThan(1000)
    expect(seen.size).toBe(2)
    const engines = relais.app.deployments.engines.map(({ key }) => key)
    expect(engines).toEqual(['live'])
  } finally {
    await relais.close()
  }
}, 30_000)

describe('start and stop', () => {
  let relais: Relais
  let data: string
  beforeAll(async () => {
    relais = await startRelais()
    data = join(relais.data, '..', `${relais.data.split('/').pop()}-copy`)
    await serveIris(relais)
    await relais.pushExample('iris', 'iris-v2')
    await serve(relais, 'slow', file('slow'))
    await relais.promote('iris', 2, 'Staging')
  }, 20_000)
  afterAll(async () => {
    await relais.close()
    rmSync(data, { recursive: true, force: true })
  })

  test('a restart serves what was served', async () => {
    await relais.restart()
    const instances = [iris.rows[0]]
    const live = await relais.predict('iris', instances)
    const staging = await relais.predict('iris', instances, { at: 'labels/Staging' })
    expect([isRight(live, [0]), live.body.model_version]).toEqual([true, '1'])
    expect([isRight(staging, [0]), staging.body.model_version]).toEqual([true, '2'])
  })

  test('stopping answers what is in flight', async () => {
    const asked = Array.from({ length: 6 }, () => relais.predict('slow', [[1, 2]]))
    await Bun.sleep(30)
    await relais.restart()
    const answers = await Promise.all(asked)
    expect(answers.map(({ status, body }) => [status, body.predictions])).toEqual(
      Array(6).fill([200, [[1, 2]]]),
    )
  })

  /** Another server on a copy of the folder, not started yet. */
  async function second(): Promise<{ app: App; url: string; headers: Record<string, string> }> {
    const token = readFileSync(join(data, 'admin.token'), 'utf8').trim()
    const free = Bun.serve({ port: 0, fetch: () => new Response() })
    const port = String(free.port)
    await free.stop(true)
    const flags = { data, port, 'log-level': 'error', 'stage-grace': '0s' }
    const app = await createApp(loadConfig(flags, {}), (error) => {
      throw error
    })
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
    return { app, url: `http://127.0.0.1:${port}`, headers }
  }

  const body = JSON.stringify({ instances: [iris.rows[0]] })
  async function copy(): Promise<void> {
    // Nothing writes now, so database and log can be copied as they are.
    await relais.restart()
    rmSync(data, { recursive: true, force: true })
    cpSync(relais.data, data, { recursive: true })
  }

  test('503 with Retry-After until the models are loaded, alive all along', async () => {
    await copy()
    const { app, url, headers } = await second()
    try {
      const starting = app.start()
      const [early, ready, alive] = await Promise.all([
        fetch(`${url}/v1/models/iris:predict`, { method: 'POST', headers, body }),
        fetch(`${url}/health/ready`),
        fetch(`${url}/health/live`),
      ])
      expect([early.status, early.headers.get('retry-after') !== null]).toEqual([503, true])
      expect([ready.status, alive.status]).toEqual([503, 200])
      await starting
      const late = await fetch(`${url}/v1/models/iris:predict`, { method: 'POST', headers, body })
      expect(late.status).toBe(200)
      expect((await fetch(`${url}/health/ready`)).status).toBe(200)
    } finally {
      await app.stop()
    }
  })

  const predict = async (url: string, headers: Record<string, string>): Promise<any> =>
    (await fetch(`${url}/v1/models/iris:predict`, { method: 'POST', headers, body })).json()

  test('§32: after three failed starts it serves the last good versions and says so', async () => {
    const first = await second()
    await first.app.start()
    await fetch(`${first.url}/api/v1/models/iris/versions/2/stage`, {
      method: 'POST',
      headers: first.headers,
      body: '{"stage":"Production"}',
    })
    expect((await predict(first.url, first.headers)).model_version).toBe('2')
    await first.app.stop()
    const good = { iris: { Production: 1 } }
    writeFileSync(join(data, 'starts.json'), JSON.stringify({ failures: 3, good }))
    const { app, url, headers } = await second()
    try {
      await app.start()
      expect((await predict(url, headers)).model_version).toBe('1')
      const health: any = await (await fetch(`${url}/health/ready`, { headers })).json()
      expect(health.safe_mode).toBe(true)
      expect(health.notes).toContainEqual(
        expect.objectContaining({ model: 'iris', stage_version: 2, serving: 1 }),
      )
      await fetch(`${url}/api/v1/models/iris/versions/2/stage`, {
        method: 'POST',
        headers,
        body: '{"stage":"Production"}',
      })
      expect((await predict(url, headers)).model_version).toBe('2')
    } finally {
      await app.stop()
    }
    expect(JSON.parse(readFileSync(join(data, 'starts.json'), 'utf8')).failures).toBe(0)
  })

  test('§32: a damaged starts.json does not keep the server from starting', async () => {
    writeFileSync(join(data, 'starts.json'), '{"failures": 1, "go')
    const { app, url, headers } = await second()
    await app.start()
    expect((await predict(url, headers)).model_version).toBe('2')
    await app.stop()
  })

  test('§5, §6: a version that kills engines while it is loaded is put aside at start-up', async () => {
    // The trial would have caught it at upload, so the bytes are exchanged behind the server's back.
    const bytes = readFileSync(file('crash-load-layernorm'))
    const digest = sha256(bytes)
    const blob = join(data, 'blobs', digest.slice(0, 2), digest)
    mkdirSync(dirname(blob), { recursive: true })
    writeFileSync(blob, bytes)
    const db = new Database(join(data, 'relais.db'))
    db.run(
      `update versions set sha256 = ? where version = 2
       and model_id = (select id from models where name = 'iris')`,
      [digest],
    )
    db.close()
    const { app, url, headers } = await second()
    try {
      await app.start()
      await until(async () => (await predict(url, headers)).model_version === '1')
      const shown = await fetch(`${url}/api/v1/models/iris/versions/2`, { headers })
      const version: any = await shown.json()
      expect(version.stage).toBe('Production')
      expect(JSON.stringify(version)).toMatch(/crash while it was loaded/)
    } finally {
      await app.stop()
    }
  })
})
