// The binary pushes its log to Loki: what arrives, through an outage, a refusal and the end.
import { afterAll, afterEach, expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { cleanUp, promoteExample, serve, type Served, temporary } from '../support/binary.ts'
import { type LokiEntry, startLoki, type TestLoki } from '../support/loki.ts'

let server: Served | null = null
let loki: TestLoki | null = null
afterEach(async () => {
  await server?.stop('SIGKILL')
  await loki?.stop()
  server = loki = null
})
afterAll(cleanUp)

async function start(url: string, flags: string[] = []): Promise<Served> {
  server = await serve({ flags: ['--loki-url', url, '--instance', 'edge-1', ...flags] })
  await promoteExample(server, 'iris')
  return server
}

const body = { instances: [[5.1, 3.5, 1.4, 0.2]] }
async function predict(to: Served, count: number): Promise<void> {
  for (let n = 0; n < count; n += 1) {
    const { status } = await to.call('POST', '/v1/models/iris:predict', body)
    expect(status).toBe(200)
  }
}

async function until(met: () => boolean | Promise<boolean>, seconds = 20): Promise<void> {
  const late = performance.now() + seconds * 1000
  while (!(await met())) {
    if (performance.now() > late) throw new Error('it did not come to that in time')
    await Bun.sleep(50)
  }
}

/** Lines of standard output by their kind. */
const printed = (from: Served, type: string): string[] =>
  from
    .said()
    .out.split('\n')
    .filter((line) => line.includes(`"log_type":"${type}"`))
const pushed = (entries: readonly LokiEntry[], type: string): string[] =>
  entries.filter(({ labels }) => labels['log_type'] === type).map(({ line }) => line)
const predictions = (entries: readonly LokiEntry[]): number =>
  pushed(entries, 'access').filter((line) => line.includes(':predict"')).length
const dropped = async (from: Served): Promise<number> => {
  const text = await (await from.call('GET', '/metrics')).text()
  return Number(/^log_dropped_total\{sink="loki"\} (\d+)$/m.exec(text)?.[1])
}

test('every line arrives as it was printed, with few labels and its ids as metadata', async () => {
  const credentials = join(temporary(), 'loki-auth')
  writeFileSync(credentials, 'user=relais\npassword=secret\ntenant=team-a\n')
  loki = startLoki()
  const from = await start(loki.url, ['--loki-auth-file', credentials])
  await predict(from, 40)
  const { entries } = loki
  await until(() => predictions(entries) === 40)
  await from.stop()
  expect(loki.faults).toEqual([])
  for (const type of ['access', 'app', 'audit']) {
    expect(pushed(entries, type)).toEqual(printed(from, type))
    expect(pushed(entries, type).length).toBeGreaterThan(0)
  }
  expect(new Set(entries.map(({ labels }) => JSON.stringify(labels)))).toEqual(
    new Set(
      ['access', 'app', 'audit'].map((log_type) =>
        JSON.stringify({ service_name: 'relais', instance: 'edge-1', log_type }),
      ),
    ),
  )
  for (const { line, metadata, time } of entries) {
    const { ts, level, trace_id, model, model_version } = JSON.parse(line) as Record<string, string>
    expect(Number(time / 1_000_000n)).toBe(Date.parse(ts as string))
    expect([metadata['level'], metadata['trace_id']]).toEqual([level, trace_id])
    expect([metadata['model'], metadata['model_version']]).toEqual([model, model_version])
  }
  const promoted = entries.find(({ line }) => line.includes('"event":"model.promoted"'))
  expect(promoted?.metadata).toMatchObject({ model: 'iris', model_version: '1', user: 'admin' })
  const [headers] = loki.headers
  expect(headers?.get('authorization')).toBe(`Basic ${btoa('relais:secret')}`)
  expect(headers?.get('x-scope-orgid')).toBe('team-a')
  expect(headers?.get('content-encoding')).toBe('gzip')
}, 60_000)

test('through an outage nothing is lost that fits, and the log says when it began and ended', async () => {
  loki = startLoki()
  const { port, entries, url } = loki
  const from = await start(url)
  await predict(from, 5)
  await until(() => predictions(entries) === 5)
  await loki.stop()
  await predict(from, 300)
  await until(() => from.said().out.includes('"event":"telemetry.undelivered"'))
  loki = startLoki(port)
  const after = loki
  await until(() => predictions(after.entries) === 300)
  await until(() => from.said().out.includes('"event":"telemetry.delivered"'))
  expect([after.faults, await dropped(from)]).toEqual([[], 0])
}, 60_000)

test('what is refused for good is counted, and the next lines arrive', async () => {
  loki = startLoki()
  const { entries } = loki
  const from = await start(loki.url)
  loki.refuse = { status: 400 }
  await predict(from, 10)
  await until(async () => (await dropped(from)) >= 10)
  loki.refuse = null
  const before = predictions(entries)
  await predict(from, 3)
  await until(() => predictions(entries) === before + 3)
  const why = printed(from, 'app').filter((line) => line.includes('telemetry.undelivered'))
  expect(why.map((line) => (JSON.parse(line) as { why: string }).why)).toEqual(['400 refused'])
}, 60_000)

test('the last lines arrive before the end, which a Loki that is gone does not hold up', async () => {
  loki = startLoki()
  const first = await start(loki.url)
  await predict(first, 20)
  expect(await first.stop()).toBe(0)
  expect(predictions(loki.entries)).toBe(20)
  await loki.stop()
  const second = await start(loki.url)
  await predict(second, 20)
  const began = performance.now()
  expect(await second.stop()).toBe(0)
  expect(performance.now() - began).toBeLessThan(8000)
}, 60_000)
