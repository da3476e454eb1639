// What is loaded and when: budget, lanes, hot swaps, start and stop (RULES §5, §7, §32).
import { Database } from 'bun:sqlite'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

import { type App, createApp } from '../src/app.ts'
import { loadConfig } from '../src/config.ts'
import { sha256 } from '../src/core/ids.ts'
import { writeMlp } from './models/make-mlp.ts'
import {
  failures,
  file,
  iris,
  isRight,
  loop,
  pidsOf,
  post,
  serve,
  serveIris,
  stopLoops,
  until,
} from './support/load.ts'
import { type Relais, startRelais } from './support/relais.ts'

afterEach(stopLoops)

describe('§7 the budget of memory', () => {
  test('versions on demand: least recently used goes first, Production stays', async () => {
    const relais = await startRelais({ 'engine-memory': '160MB' })
    try {
      await serveIris(relais)
      for (let version = 2; version <= 14; version += 1) {
        expect((await relais.pushExample('iris', 'iris')).status).toBe(201)
      }
      await relais.call('PUT', '/api/v1/models/iris/aliases/kept', { body: { version: 2 } })
      const instances = [iris.rows[0]]
      const body = JSON.stringify({ instances })
      const clients = loop(relais, 2)
      const statuses: number[] = []
      for (let version = 3; version <= 14; version += 1) {
        const answer = await relais.predict('iris', instances, { at: `versions/${version}` })
        statuses.push(answer.status)
        if (answer.status === 200) expect(answer.body.model_version).toBe(String(version))
        else expect(answer.headers.get('retry-after')).not.toBeNull()
      }
      expect(statuses).toEqual(Array(12).fill(200))
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

  test('what is asked for takes the place, and the engine, of the only other version in it', async () => {
    const probe = await startRelais()
    const { body: pushed } = await probe.pushExample('iris', 'iris')
    await probe.close()
    const one = Math.max(8 << 20, Number(pushed.trial?.memory_bytes ?? 0))
    const relais = await startRelais({ 'engine-memory': `${Math.ceil((2.5 * one) / 1024)}KB` })
    try {
      await serveIris(relais)
      for (let version = 2; version <= 4; version += 1) await relais.pushExample('iris', 'iris')
      for (const version of [2, 3, 4, 2]) {
        const at = `versions/${version}`
        const { status, body } = await relais.predict('iris', [iris.rows[0]], { at })
        expect([version, status, body.model_version]).toEqual([version, 200, String(version)])
      }
      // The registry's queue still moves.
      expect((await relais.promote('iris', 4, 'Production')).status).toBe(200)
      expect((await relais.predict('iris', [iris.rows[0]])).body.model_version).toBe('4')
    } finally {
      await relais.close()
    }
  }, 20_000)

  test('a version that was loaded on demand is gone once it is deleted', async () => {
    const relais = await startRelais()
    try {
      await serveIris(relais)
      expect((await relais.pushExample('iris', 'iris')).status).toBe(201)
      const ask = () => relais.predict('iris', [iris.rows[0]], { at: 'versions/2' })
      expect((await ask()).status).toBe(200)
      expect((await relais.call('DELETE', '/api/v1/models/iris/versions/2')).status).toBe(200)
      await until(async () => (await ask()).status === 404)
      await relais.call('POST', '/api/v1/models/iris/versions/2/restore')
      expect((await ask()).status).toBe(200)
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
    const hammer = Array.from({ length: 8 }, async () => {
      while (going) {
        const { status } = await relais.predict('slow', [[1, 2]])
        expect(status).toBe(200)
        heavy += 1
      }
    })
    const clients = loop(relais, 2)
    await Bun.sleep(1500)
    going = false
    const answers = await clients.end()
    await Promise.all(hammer)
    expect(failures(answers)).toEqual([])
    expect(heavy).toBeGreaterThan(10)
    const times = answers.map(({ milliseconds }) => milliseconds).sort((a, b) => a - b)
    // One run of the heavy model takes 50 ms: behind it, none would be faster.
    expect(times[Math.floor(times.length * 0.99)]).toBeLessThan(40)
    expect(answers.length).toBeGreaterThan(100)
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
