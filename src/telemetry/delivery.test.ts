import { afterEach, describe, expect, test } from 'bun:test'
import { gunzipSync } from 'node:zlib'

import { Delivery, type DeliveryOptions } from './delivery.ts'

interface Got {
  items: number[]
  headers: Headers
}

let server: ReturnType<typeof Bun.serve> | null = null
afterEach(async () => {
  await server?.stop(true)
})

/** A receiver that answers as `answer` says for the n-th request. */
function receiver(answer: (n: number) => Response | Promise<Response>): {
  url: string
  got: Got[]
} {
  const got: Got[] = []
  server = Bun.serve({
    port: 0,
    fetch: async (request) => {
      const packed = request.headers.get('content-encoding') === 'gzip'
      const bytes = Buffer.from(await request.arrayBuffer())
      const text = (packed ? gunzipSync(bytes) : bytes).toString('utf8')
      got.push({ items: JSON.parse(text) as number[], headers: request.headers })
      return answer(got.length)
    },
  })
  return { url: server.url.href, got }
}

const noContent = (): Response => new Response(null, { status: 204 })
const refused = (status: number, headers = {}): Response =>
  new Response('no\nthanks', { status, headers })

function delivery(url: string, options: Partial<DeliveryOptions<number>> = {}) {
  const troubles: (string | null)[] = []
  const made = new Delivery<number>({
    url,
    headers: {},
    gzip: false,
    most: 100,
    batch: 10,
    delay: 20,
    timeout: 2000,
    encode: (items) => JSON.stringify(items),
    again: (status) => status === 429 || status >= 500,
    onTrouble: (why) => troubles.push(why),
    ...options,
  })
  return { made, troubles }
}

const until = async (met: () => boolean): Promise<void> => {
  for (let at = 0; at < 600 && !met(); at += 1) await Bun.sleep(10)
  expect(met()).toBe(true)
}
const upTo = (count: number): number[] => Array.from({ length: count }, (_, at) => at)

describe('a delivery', () => {
  test('sends full batches at once and the rest after a while, in order', async () => {
    const { url, got } = receiver(noContent)
    const { made, troubles } = delivery(url, { gzip: true, headers: { 'x-scope-orgid': 'a' } })
    for (const n of upTo(25)) made.add(n)
    await until(() => got.length === 3)
    expect(got.map(({ items }) => items.length)).toEqual([10, 10, 5])
    expect(got.flatMap(({ items }) => items)).toEqual(upTo(25))
    expect(got[0]?.headers.get('x-scope-orgid')).toBe('a')
    made.add(25)
    await until(() => got.length === 4)
    expect([made.dropped, troubles]).toEqual([0, []])
    await made.close(100)
  })

  test('tries again after 429 and 5xx, and says once that it fails and that it works again', async () => {
    const { url, got } = receiver((n) =>
      n === 1 ? refused(429, { 'retry-after': '0' }) : n === 2 ? refused(503) : noContent(),
    )
    const { made, troubles } = delivery(url)
    for (const n of upTo(10)) made.add(n)
    await until(() => troubles.length === 2)
    expect(got.map(({ items }) => items)).toEqual([upTo(10), upTo(10), upTo(10)])
    expect([troubles, made.dropped]).toEqual([['429 no\nthanks', null], 0])
    await made.close(100)
  })

  test('a refusal for good drops the batch and goes on with the next', async () => {
    const { url, got } = receiver((n) => (n === 1 ? refused(400) : noContent()))
    const { made, troubles } = delivery(url)
    for (const n of upTo(20)) made.add(n)
    await until(() => got.length === 2)
    expect([made.dropped, got[1]?.items]).toEqual([10, upTo(20).slice(10)])
    await until(() => troubles.length === 2)
    await made.close(100)
  })

  test('a redirect is no answer: credentials stay with the receiver that was named', async () => {
    const { url } = receiver(() => refused(302, { location: 'http://127.0.0.1:1/' }))
    const { made, troubles } = delivery(url)
    made.add(1)
    await until(() => made.dropped === 1)
    expect(troubles[0]).toStartWith('302')
    await made.close(100)
  })

  test('through an outage the newest wait and the oldest are counted', async () => {
    const { url, got } = receiver(noContent)
    await server?.stop(true)
    const { made } = delivery(url, { most: 30 })
    for (const n of upTo(500)) made.add(n)
    await until(() => made.dropped > 0)
    expect(made.waiting).toBeLessThanOrEqual(30)
    const { port } = new URL(url)
    server = Bun.serve({
      port: Number(port),
      fetch: async (request) => {
        got.push({ items: (await request.json()) as number[], headers: request.headers })
        return noContent()
      },
    })
    await until(() => made.waiting === 0)
    await made.close(1000)
    const arrived = got.flatMap(({ items }) => items)
    expect(arrived.slice(-30)).toEqual(upTo(500).slice(-30))
    expect(arrived.length + made.dropped).toBe(500)
  })

  test('the end sends what waits, at most so long', async () => {
    const { url, got } = receiver(noContent)
    const { made } = delivery(url, { delay: 60_000 })
    for (const n of upTo(15)) made.add(n)
    await made.close(1000)
    expect([got.flatMap(({ items }) => items), made.dropped]).toEqual([upTo(15), 0])
  })

  test('a receiver that never answers does not hold up the end', async () => {
    const { url } = receiver(() => new Promise(() => undefined))
    const { made } = delivery(url)
    for (const n of upTo(15)) made.add(n)
    const began = performance.now()
    await made.close(150)
    expect(performance.now() - began).toBeLessThan(1500)
    expect(made.dropped).toBe(15)
  })

  test('nobody there at the end: a few attempts, then it is over', async () => {
    const { url } = receiver(noContent)
    await server?.stop(true)
    const { made } = delivery(url)
    for (const n of upTo(15)) made.add(n)
    const began = performance.now()
    await made.close(400)
    expect(performance.now() - began).toBeLessThan(1500)
    expect(made.dropped).toBe(15)
  })

  test('what cannot be encoded is dropped, the rest is not', async () => {
    const { url, got } = receiver(noContent)
    const encode = (items: readonly number[]): string => {
      if (items.includes(3)) throw new Error('odd')
      return JSON.stringify(items)
    }
    const { made } = delivery(url, { encode })
    for (const n of upTo(20)) made.add(n)
    await until(() => got.length === 1)
    expect([got[0]?.items, made.dropped]).toEqual([upTo(20).slice(10), 10])
    await made.close(100)
  })

  test('what the receiver says it lost is counted', async () => {
    const { url } = receiver(() => new Response('7'))
    const { made } = delivery(url, { rejected: (answer) => Number(Buffer.from(answer).toString()) })
    made.add(1)
    await until(() => made.dropped === 7)
    await made.close(100)
  })

  test('what was taken is not sent again when the answer cannot be read', async () => {
    const { url, got } = receiver(() => new Response('ok'))
    const rejected = (): never => {
      throw new Error('no protobuf')
    }
    const { made, troubles } = delivery(url, { rejected })
    made.add(1)
    await until(() => got.length === 1)
    // Longer than the first pause before another try.
    await Bun.sleep(800)
    expect([got.length, made.dropped, troubles]).toEqual([1, 0, []])
    await made.close(100)
  })
})
