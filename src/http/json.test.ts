import { describe, expect, test } from 'bun:test'

import { Fault } from '../core/fault.ts'
import { readJsonBody } from './json.ts'

const most = 1 << 20

function bodyOf(
  text: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = {},
): Request {
  const length = String(Buffer.byteLength(text))
  return new Request('http://localhost/', {
    method: 'POST',
    body: text,
    headers: { 'content-length': length, ...headers },
  })
}

const read = (text: string, wide: boolean): Promise<unknown> =>
  readJsonBody(bodyOf(text), most, wide)

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return 'fine'
  } catch (error) {
    if (error instanceof Fault) return error.code
    throw error
  }
}

describe('integers', () => {
  test('beyond 2^53 are exact where the model takes 64 bits, however they are written', async () => {
    const table: [string, unknown][] = [
      ['9007199254740991', 9007199254740991],
      ['9007199254740993', 9007199254740993n],
      ['-9007199254740993', -9007199254740993n],
      ['9223372036854775807', 9223372036854775807n],
      ['18446744073709551615', 18446744073709551615n],
      ['9007199254740993.0', 9007199254740993n],
      ['9007199254740993e0', 9007199254740993n],
      ['900719925474099.3e1', 9007199254740993n],
      ['9007199254740993000e-3', 9007199254740993n],
      ['0.5', 0.5],
      ['1e3', 1000],
    ]
    for (const [text, value] of table) {
      expect([text, await read(`{"a":[${text}]}`, true)]).toEqual([text, { a: [value] }])
    }
  })

  test('stay doubles where it does not, and texts stay texts', async () => {
    expect(await read('[9007199254740993]', false)).toEqual([9007199254740992])
    expect(await read('["9007199254740993"]', true)).toEqual(['9007199254740993'])
  })

  test('of absurd length cost no time', async () => {
    const started = performance.now()
    await codeOf(read(`[9007199254740993.${'0'.repeat(1_000_000)}]`, true))
    await codeOf(read(`[${'9'.repeat(1_000_000)}]`, true))
    expect(performance.now() - started).toBeLessThan(100)
  })
})

describe('what cannot be read', () => {
  for (const wide of [false, true]) {
    test(`no JSON is request.malformed (${wide ? 'exact' : 'plain'})`, async () => {
      for (const text of ['', '{', '[1,]', '{"a":01}', 'NaN', '[1] [2]', '\u0000']) {
        expect([text, await codeOf(read(text, wide))]).toEqual([text, 'request.malformed'])
      }
    })

    test(`depth is bounded where it could hurt (${wide ? 'exact' : 'plain'})`, async () => {
      const pad = ' '.repeat(20_000)
      const nest = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth) + pad
      expect(await codeOf(read(nest(64), wide))).toBe('fine')
      expect(await codeOf(read(nest(65), wide))).toBe('request.malformed')
      const text = JSON.stringify({ a: '[{'.repeat(20_000), b: '\\"[['.repeat(10_000) })
      expect(await codeOf(read(text, wide))).toBe('fine')
    })

    test(`size is bounded by header and by count (${wide ? 'exact' : 'plain'})`, async () => {
      const big = `"${'x'.repeat(most)}"`
      expect(await codeOf(read(big, wide))).toBe('request.too-large')
      const stream = new Request('http://localhost/', { method: 'POST', body: big })
      expect(await codeOf(readJsonBody(stream, most, wide))).toBe('request.too-large')
    })
  }

  test('what is no UTF-8 is refused, however short; U+FFFD that was sent is kept', async () => {
    const wrong: [string, number[]][] = [
      ['a byte of another encoding', [0xfc]],
      ['half a character', [0xf0, 0x9f, 0x98]],
      ['a surrogate', [0xed, 0xa0, 0x80]],
      ['a longer form', [0xc0, 0xaf]],
    ]
    for (const pad of [0, 2000]) {
      const textOf = (bytes: number[]): Uint8Array<ArrayBuffer> =>
        new Uint8Array([0x22, ...bytes, ...Array(pad).fill(0x20), 0x22])
      for (const [what, bytes] of wrong) {
        const code = await codeOf(readJsonBody(bodyOf(textOf(bytes)), most, false))
        expect([pad, what, code]).toEqual([pad, what, 'request.malformed'])
      }
      const kept = await readJsonBody(bodyOf(textOf([0xef, 0xbf, 0xbd])), most, false)
      expect(kept).toBe(`\uFFFD${' '.repeat(pad)}`)
    }
    const packed = bodyOf(new Uint8Array([0x1f, 0x8b, 8]), { 'content-encoding': 'gzip' })
    expect(await codeOf(readJsonBody(packed, most, false))).toBe('request.media-type')
  })

  test('keys of Object.prototype are data', async () => {
    const value = (await read('{"__proto__": {"polluted": 1}}', true)) as object
    expect(Object.keys(value)).toEqual(['__proto__'])
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
  })
})
