// A server's life: first start, how fast, whose, how large at rest, and how it ends.
import { Database } from 'bun:sqlite'
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { chmodSync, copyFileSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

import {
  cleanUp,
  familyOf,
  promoteExample,
  pssOf,
  relais,
  serve,
  type Served,
  spawnServer,
  temporary,
} from '../support/binary.ts'
import { median } from '../support/figures.ts'
import { freePort } from '../support/port.ts'
import { testModels } from '../support/relais.ts'

/** Serves the demo model from the start of these tests to their end, asked for nothing. */
let idle: Served
let idleSince: number
/** A folder with the demo model in Production. */
let prepared: string

beforeAll(async () => {
  prepared = join(temporary(), 'data')
  const server = await serve({ data: prepared })
  await promoteExample(server, 'breast-cancer')
  await server.stop()
  idle = await serve()
  await promoteExample(idle, 'breast-cancer')
  idleSince = Date.now()
}, 60_000)
afterAll(async () => {
  await idle.stop()
  cleanUp()
})

/** Milliseconds from the start of the process to the first 200 at that path. */
async function startTime(data: string, path: string): Promise<number> {
  const port = freePort()
  const began = performance.now()
  const { child, said } = spawnServer(data, { flags: ['--port', String(port)] })
  for (;;) {
    const status = await fetch(`http://127.0.0.1:${port}${path}`).then(
      (response) => response.status,
      () => 0,
    )
    if (status === 200) break
    if (child.exitCode !== null) throw new Error(said.err)
    await Bun.sleep(2)
  }
  const time = performance.now() - began
  child.kill('SIGTERM')
  expect(await child.exited).toBe(0)
  return time
}

async function medianOf5(measure: () => Promise<number>, what: string): Promise<number> {
  const times: number[] = []
  for (let round = 0; round < 5; round += 1) times.push(await measure())
  const shown = times.map((time) => time.toFixed(0)).join(' ')
  console.log(`${what}: median ${median(times).toFixed(0)} ms of ${shown}`)
  return median(times)
}

test('an empty folder to /health/live 200 in 500 ms', async () => {
  const measure = (): Promise<number> => {
    return startTime(join(temporary(), 'data'), '/health/live')
  }
  expect(await medianOf5(measure, 'empty folder to /health/live')).toBeLessThanOrEqual(500)
}, 60_000)

test('the demo model in Production to /health/ready 200 in 1 s', async () => {
  const measure = () => startTime(prepared, '/health/ready')
  expect(await medianOf5(measure, 'demo model to /health/ready')).toBeLessThanOrEqual(1000)
}, 60_000)

/** Everything below a folder that others could read or write. */
function open(folder: string): string[] {
  return readdirSync(folder, { recursive: true })
    .map(String)
    .filter((name) => (statSync(join(folder, name)).mode & 0o077) !== 0)
}

test('the first start makes a private folder, whatever the umask', async () => {
  const umask = ['/bin/sh', '-c', 'umask 0022; exec "$@"', 'sh']
  const server = await serve({ before: umask })
  await promoteExample(server, 'iris')
  expect(statSync(server.data).mode & 0o777).toBe(0o700)
  expect(statSync(join(server.data, 'admin.token')).mode & 0o777).toBe(0o600)
  expect(statSync(join(server.data, 'relais.db')).mode & 0o777).toBe(0o600)
  expect(open(server.data)).toEqual([])
  expect(server.said().err).toContain(`the first token is in ${server.data}/admin.token`)
  expect(await server.stop()).toBe(0)
})

test('it runs as an ordinary user with an empty environment', () => {
  const status = readFileSync(`/proc/${idle.pid}/status`, 'utf8')
  const [, uid] = /^Uid:\s+(\d+)/m.exec(status) ?? []
  expect(uid).not.toBe('0')
  expect(readFileSync(`/proc/${idle.pid}/environ`, 'utf8')).toBe('')
  expect(statSync(idle.data).uid).toBe(Number(uid))
})

test('its log names the route of every request, public ones too', async () => {
  const routes = ['/health/live', '/health', '/docs', '/docs/json', '/version', '/api/v1/me']
  for (const route of routes) await (await idle.call('GET', route)).arrayBuffer()
  await Bun.sleep(500)
  const { out } = idle.said()
  for (const route of routes) expect(out).toContain(`"route":"${route}"`)
  expect(out).not.toContain('"route":"undefined"')
})

test('a second server on one folder is refused, the first goes on', async () => {
  const { code, out, err } = await relais(['serve', '--data', idle.data, '--port', '0'])
  expect([code, out]).toEqual([1, ''])
  expect(err).toContain(`another server uses ${idle.data}`)
  expect(err).toContain('Stop it first, or pass another --data.')
  expect((await idle.call('GET', '/health/ready')).status).toBe(200)
})

test('a port in use is said, with advice', async () => {
  const port = new URL(idle.url).port
  const data = join(temporary(), 'data')
  const { code, err } = await relais(['serve', '--data', data, '--port', port])
  expect(code).toBe(1)
  expect(err).toContain(`port ${port} is in use`)
  expect(err).toContain('Pass another --port.')
})

test('a newer schema refuses to start', async () => {
  const data = join(temporary(), 'data')
  const server = await serve({ data })
  await server.stop()
  const db = new Database(join(data, 'relais.db'))
  db.run('PRAGMA user_version = 99')
  db.close()
  const { code, err } = await relais(['serve', '--data', data, '--port', '0'])
  expect([code, err.includes('use a newer relais')]).toEqual([1, true])
})

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} lets requests finish and exits 0`, async () => {
    const server = await serve()
    const file = join(temporary(), 'slow.onnx')
    copyFileSync(join(testModels, 'slow.onnx'), file)
    chmodSync(file, 0o644)
    expect((await server.cli(['push', 'slow', file, '--stage', 'Production'])).code).toBe(0)
    const ask = async (): Promise<string> => {
      const body = { inputs: { x: [[1, 2]] } }
      const answer = await server.call('POST', '/v1/models/slow:predict', body)
      const { model_version: version } = (await answer.json()) as { model_version?: string }
      return `${answer.status} version ${version}`
    }
    const began = performance.now()
    expect(await ask()).toBe('200 version 1')
    const usual = performance.now() - began
    const running = Promise.all(Array.from({ length: 8 }, ask))
    await Bun.sleep(usual / 2)
    const exit = server.stop(signal)
    expect(new Set(await running)).toEqual(new Set(['200 version 1']))
    expect(await exit).toBe(0)
  }, 30_000)
}

test('§32 SIGTERM while the models are loaded exits 0 and is no failed start', async () => {
  for (let round = 0; round < 4; round += 1) {
    // `startTime` sends SIGTERM at the first sign of life, before the models are there.
    await startTime(prepared, '/health/live')
    const { failures } = JSON.parse(readFileSync(join(prepared, 'starts.json'), 'utf8'))
    expect(failures).toBe(0)
  }
}, 30_000)

test('SIGTERM without requests ends within 2 s and leaves no process behind', async () => {
  const server = await serve()
  await promoteExample(server, 'iris')
  const family = familyOf(server.pid)
  expect(family.length).toBeGreaterThan(1)
  const began = performance.now()
  expect(await server.stop()).toBe(0)
  expect(performance.now() - began).toBeLessThan(2000)
  const left = family.filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('relais')
    } catch {
      return false
    }
  })
  expect(left).toEqual([])
})

test('60 s after its start the server with the demo model takes at most 250 MB', async () => {
  await Bun.sleep(Math.max(0, idleSince + 60_000 - Date.now()))
  const megabytes = pssOf(idle.pid)
  console.log(`idle, 60 s after start: ${megabytes.toFixed(0)} MiB PSS over all processes`)
  expect(megabytes).toBeLessThanOrEqual(250)
}, 70_000)
