// Large uploads against the memory of the server's own process.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { chmodSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'

import { writeMlp } from '../models/make-mlp.ts'
import {
  cleanUp,
  peakOf,
  promoteExample,
  resetPeak,
  serve,
  type Served,
  temporary,
} from '../support/binary.ts'

let server: Served
const folder = temporary()
beforeAll(async () => {
  server = await serve()
  await promoteExample(server, 'breast-cancer')
})
afterAll(async () => {
  await server.stop()
  cleanUp()
})

/** Peak memory of the server's own process above what it held before, in MiB. */
async function growth(work: () => Promise<void>): Promise<number> {
  await resetPeak(server.pid)
  const before = peakOf(server.pid)
  await work()
  return peakOf(server.pid) - before
}

/**
 * Sends an upload without a token as fast as the socket takes it, and goes on after the answer until
 * everything is sent or the server closes. Resolves with the status.
 */
function anonymousUpload(size: number): Promise<number> {
  const { hostname, port } = new URL(server.url)
  const chunk = Buffer.alloc(1 << 16)
  return new Promise((resolve, reject) => {
    let sent = 0
    let answer = ''
    const socket = connect(Number(port), hostname)
    const finish = (): void => {
      const [, status] = /^HTTP\/1\.1 (\d+)/.exec(answer) ?? []
      if (status !== undefined) resolve(Number(status))
      else reject(new Error('closed without an answer'))
    }
    const write = (): void => {
      while (sent < size && !socket.destroyed) {
        sent += chunk.length
        if (!socket.write(chunk)) return
      }
      if (sent >= size) socket.end()
    }
    socket.on('connect', () => {
      socket.write(
        `POST /api/v1/models/iris/versions HTTP/1.1\r\nhost: relais\r\n` +
          `content-type: application/octet-stream\r\ncontent-length: ${size}\r\n\r\n`,
      )
      write()
    })
    socket.on('drain', write)
    socket.on('data', (bytes) => void (answer += bytes.toString('latin1')))
    // A server that closes while we send may reset the connection.
    socket.on('error', () => undefined)
    socket.on('close', finish)
  })
}

test('§14: 100 anonymous uploads of 100 MB get 401 and memory grows by less than 20 MB', async () => {
  await anonymousUpload(100 << 20)
  const grown = await growth(async () => {
    const answers = await Promise.all(Array.from({ length: 100 }, () => anonymousUpload(100 << 20)))
    expect(new Set(answers)).toEqual(new Set([401]))
  })
  console.log(`100 anonymous uploads of 100 MB: ${grown.toFixed(1)} MiB more at the peak`)
  expect(grown).toBeLessThan(20)
  expect((await server.call('GET', '/health/ready')).status).toBe(200)
}, 60_000)

test('upload and intake of 1 GB grow the HTTP process by less than 100 MB', async () => {
  const file = join(folder, 'large.onnx')
  const began = performance.now()
  await writeMlp(file, { inputs: 32, hidden: [15_600, 15_600], outputs: 10 })
  chmodSync(file, 0o644)
  const size = statSync(file).size
  expect(size).toBeGreaterThan(0.9 * 1024 ** 3)
  const written = performance.now()
  const grown = await growth(async () => {
    const { code, out, err } = await server.cli(['push', 'large', file, '--json'])
    expect([code, err]).toEqual([0, ''])
    expect(JSON.parse(out)).toMatchObject({ version: 1, servability: 'servable' })
  })
  const seconds = [written - began, performance.now() - written].map((ms) => (ms / 1000).toFixed(1))
  console.log(
    `${(size / 1048576).toFixed(0)} MiB: written in ${seconds[0]} s, pushed in ${seconds[1]} s, ` +
      `${grown.toFixed(1)} MiB more at the peak`,
  )
  expect(grown).toBeLessThan(100)
}, 180_000)

test('artifacts of 300 MB go in and out and grow the HTTP process by less than 100 MB', async () => {
  const size = 300 << 20
  const url = `${server.url}/api/2.0/mlflow-artifacts/artifacts/1/run/artifacts/large.bin`
  const headers = { authorization: `Bearer ${server.admin}` }
  const chunk = crypto.getRandomValues(Buffer.alloc(1 << 16))
  const sent = new Bun.CryptoHasher('sha256')
  let left = size
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      if (left === 0) return controller.close()
      chunk.writeUInt32LE(left)
      sent.update(chunk)
      controller.enqueue(Buffer.from(chunk))
      left -= chunk.length
    },
  })
  const stored = await growth(async () => {
    const answer = await fetch(url, { method: 'PUT', headers, body })
    expect([answer.status, await answer.text()]).toEqual([200, '{}'])
  })
  const got = new Bun.CryptoHasher('sha256')
  const fetched = await growth(async () => {
    const answer = await fetch(url, { headers })
    expect(answer.headers.get('content-length')).toBe(String(size))
    for await (const piece of answer.body ?? []) got.update(piece)
  })
  expect(got.digest('hex')).toBe(sent.digest('hex'))
  console.log(
    `${size >> 20} MiB: ${stored.toFixed(1)} MiB more while stored, ${fetched.toFixed(1)} while fetched`,
  )
  expect(Math.max(stored, fetched)).toBeLessThan(100)
}, 120_000)
