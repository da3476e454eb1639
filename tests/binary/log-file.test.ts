// The log file of the binary: its mode, its lines to the last one, and logrotate's way with it.
import { afterAll, afterEach, expect, test } from 'bun:test'
import { chownSync, readdirSync, readFileSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'

import {
  cleanUp,
  promoteExample,
  relais,
  serve,
  type Served,
  temporary,
} from '../support/binary.ts'

let server: Served | null = null
afterEach(async () => {
  await server?.stop('SIGKILL')
  server = null
})
afterAll(cleanUp)

const body = { instances: [[5.1, 3.5, 1.4, 0.2]] }
const linesOf = (text: string): string[] => text.split('\n').filter((line) => line !== '')

test('is complete at the end, beside standard output; moved away it is made anew; doctor is content', async () => {
  const folder = temporary()
  const path = join(folder, 'relais.jsonl')
  server = await serve({ flags: ['--log-file', path] })
  await promoteExample(server, 'iris')
  for (let n = 0; n < 20; n += 1) await server.call('POST', '/v1/models/iris:predict', body)
  expect(statSync(path).mode & 0o777).toBe(0o640)
  await Bun.sleep(500)
  renameSync(path, `${path}.moved`)
  for (let n = 0; n < 20; n += 1) await server.call('POST', '/v1/models/iris:predict', body)
  expect((await server.cli(['doctor'])).code).toBe(0)
  expect(await server.stop()).toBe(0)
  const kept = [`${path}.moved`, path].map((name) => linesOf(readFileSync(name, 'utf8')))
  expect(kept[1]?.length).toBeGreaterThan(20)
  expect(kept.flat()).toEqual(linesOf(server.said().out))
}, 60_000)

test('is turned over at its size, and none of the lines between is lost', async () => {
  const folder = temporary()
  const path = join(folder, 'relais.jsonl')
  server = await serve({
    flags: ['--log-file', path, '--log-file-size', '64KB', '--log-file-keep', '50'],
  })
  await promoteExample(server, 'iris')
  const { url, admin } = server
  const headers = { authorization: `Bearer ${admin}` }
  const ask = (): Promise<Response> =>
    fetch(`${url}/v1/models/iris:predict`, { method: 'POST', headers, body: JSON.stringify(body) })
  for (let n = 0; n < 100; n += 1) await Promise.all(Array.from({ length: 20 }, ask))
  expect(await server.stop()).toBe(0)
  // A new file begins at a batch, so how many there are depends on how fast the lines came.
  const names = readdirSync(folder)
  expect(names.length).toBeGreaterThan(1)
  const all = names.flatMap((name) => linesOf(readFileSync(join(folder, name), 'utf8')))
  expect(all.toSorted()).toEqual(linesOf(server.said().out).toSorted())
  expect(all.filter((line) => line.includes(':predict"')).length).toBe(2000)
}, 60_000)

test('one that cannot be written is said at start, as a wrong setting', async () => {
  const folder = temporary()
  chownSync(folder, process.getuid?.() ?? 0, process.getgid?.() ?? 0)
  const data = join(temporary(), 'data')
  const flags = ['--data', data, '--port', '0', '--log-file', join(folder, 'none', 'x.jsonl')]
  const { code, err } = await relais(['serve', ...flags])
  expect(code).toBe(2)
  expect(err).toInclude('log-file: ')
  const within = await relais(['serve', '--data', data, '--log-file', join(data, 'x.jsonl')])
  expect([within.code, within.err.includes('not within the data folder')]).toEqual([2, true])
}, 60_000)
