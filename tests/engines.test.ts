// Engines under load, poison, hangs and kills (RULES §5, §6).
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'

import {
  failures,
  file,
  iris,
  isRight,
  loop,
  onStop,
  pidsOf,
  post,
  serve,
  serveIris,
  stopLoops,
  until,
  versionOf,
} from './support/load.ts'
import { type Relais, startRelais } from './support/relais.ts'

const poison = '{"instances":[{"a":-9223372036854775808,"b":-1}]}'

afterEach(stopLoops)

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
    onStop(() => (going = false))
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
      Array.from({ length: 100 }, () => post(relais, 'div', poison, flooder)),
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
      Array.from({ length: 16 }, () => post(relais, 'resize', poisoned, flooder)),
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
    expect(text).toInclude('engine_restarts_total{cause="crash"} 0\n')
  } finally {
    await relais.close()
  }
}, 20_000)
