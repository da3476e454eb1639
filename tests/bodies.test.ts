// How much of a body each door takes, and answers that are still on their way at shutdown.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { connect } from 'node:net'

import { referenceOf, type Relais, startRelais } from './support/relais.ts'

let relais: Relais
const { columns, rows } = referenceOf('iris')
const row = `${rows[0]?.join(',')}\n`
const headers = (): Record<string, string> => ({
  authorization: `Bearer ${relais.admin}`,
  'content-type': 'text/csv',
})

beforeAll(async () => {
  relais = await startRelais({ 'max-body': '64KB', 'max-model': '1MB', 'default-model': 'iris' })
  await relais.pushExample('iris', 'iris')
  await relais.promote('iris', 1, 'Production')
}, 60_000)
afterAll(() => relais.close())

/** Sends zeros as fast as they are taken, until an answer comes. Resolves with its status. */
function flood(path: string, type: string, length: number | null): Promise<number> {
  const { hostname, port } = new URL(relais.url)
  const zeros = Buffer.alloc(1 << 16)
  const chunk =
    length === null ? Buffer.concat([Buffer.from('10000\r\n'), zeros, Buffer.from('\r\n')]) : zeros
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname)
    let sent = 0
    const write = (): void => {
      while (!socket.destroyed && socket.write(chunk)) {
        sent += chunk.length
        if (sent > 128 << 20) reject(new Error('taken without end'))
      }
    }
    socket.on('connect', () => {
      const framing = length === null ? 'transfer-encoding: chunked' : `content-length: ${length}`
      const head = [`POST ${path} HTTP/1.1`, 'host: relais', `content-type: ${type}`, framing]
      socket.write(`${[...head, `authorization: Bearer ${relais.admin}`].join('\r\n')}\r\n\r\n`)
      write()
    })
    socket.on('drain', write)
    socket.on('error', () => undefined)
    socket.on('data', (bytes) => {
      resolve(Number(/^HTTP\/1\.1 (\d+)/.exec(bytes.toString('latin1'))?.[1]))
      socket.destroy()
    })
  })
}

describe('only rows to score have no end', () => {
  test('a body larger than the largest upload is scored', async () => {
    const count = 300_000
    const body = `${columns.join(',')}\n${row.repeat(count)}`
    expect(body.length).toBeGreaterThan(4 << 20)
    const answer = await relais.call('POST', '/v1/models/iris:score', {
      raw: body,
      headers: headers(),
    })
    expect([answer.status, answer.text.split('\n').length]).toEqual([200, count + 2])
  })

  const json = 'application/json'
  const doors: [string, string, number][] = [
    ['/v1/models/iris:predict', json, 413],
    ['/v2/models/iris/infer', json, 413],
    ['/invocations', json, 413],
    ['/invocations', 'text/csv', 413],
    ['/v1/models/iris:score', 'text/csv', 413],
    ['/api/v1/models', json, 413],
    ['/api/v1/models/iris/versions', 'application/octet-stream', 413],
    ['/api/v1/models/iris/versions', 'multipart/form-data; boundary=x', 413],
    ['/api/v1/models/iris/versions', json, 413],
    ['/health/ready', json, 405],
    ['/nowhere', json, 413],
  ]
  test.each(doors)('%s %s', async (path, type, status) => {
    expect(await flood(path, type, null)).toBe(status)
    expect(await flood(path, type, 1e12)).toBe(status)
  })
})

test('an answer that has begun leaves whole at shutdown', async () => {
  const gate = Promise.withResolvers<void>()
  const parts = [`${columns.join(',')}\n`, row.repeat(5_000), row.repeat(50_000)]
  const body = new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      const part = parts.shift()
      if (part === undefined) controller.close()
      else {
        if (parts.length === 0) await gate.promise
        controller.enqueue(Buffer.from(part))
      }
    },
  })
  const response = await fetch(`${relais.url}/v1/models/iris:score`, {
    method: 'POST',
    headers: headers(),
    body,
  })
  const stopped = relais.restart()
  await Bun.sleep(200)
  gate.resolve()
  expect((await response.text()).split('\n').length).toBe(55_002)
  await stopped
})
