import { describe, expect, test } from 'bun:test'

import { authHeaders, LokiEncoder, pushUrl } from './loki.ts'

const line = (ts: string, log_type: string, more: object = {}): string =>
  JSON.stringify({ ts, level: 'info', log_type, ...more })
const noon = '2026-11-24T12:00:00.000Z'
const millis = Date.parse(noon)

interface Body {
  streams: { stream: Record<string, string>; values: [string, string, Record<string, string>][] }[]
}
const encoded = (encoder: LokiEncoder, lines: string[]): Body['streams'] =>
  (JSON.parse(encoder.encode(lines)) as Body).streams

describe('push bodies', () => {
  test('one stream for each kind of line; ids are metadata, as text, and never labels', () => {
    const encoder = new LokiEncoder({ service_name: 'relais', instance: 'a' })
    const access = line(noon, 'access', {
      trace_id: 't',
      model: 'm',
      model_version: '3',
      user: null,
      status: 200,
    })
    const streams = encoded(encoder, [access, line(noon, 'app'), access])
    expect(streams.map(({ stream }) => stream)).toEqual([
      { service_name: 'relais', instance: 'a', log_type: 'access' },
      { service_name: 'relais', instance: 'a', log_type: 'app' },
    ])
    expect(streams[0]?.values[0]).toEqual([
      `${millis}000000`,
      access,
      { level: 'info', trace_id: 't', model: 'm', model_version: '3' },
    ])
  })

  test('times of a stream go up, whatever the clock does', () => {
    const encoder = new LokiEncoder({})
    const times = (lines: string[]): string[] =>
      encoded(encoder, lines)[0]?.values.map(([time]) => time) ?? []
    const at = (offset: number): string => line(new Date(millis + offset).toISOString(), 'app')
    const all = [...times([at(0), at(0), at(-5)]), ...times([at(0), at(1), at(1)])]
    expect(all).toEqual([
      `${millis}000000`,
      `${millis}000001`,
      `${millis}000002`,
      `${millis}000003`,
      `${millis + 1}000000`,
      `${millis + 1}000001`,
    ])
    // A clock that was set back for good is followed: Loki refuses what is ahead of its own.
    expect(times([at(-60_000)])).toEqual([`${millis - 60_000}000000`])
  })
})

test('an address without a path means the push door', () => {
  expect(pushUrl('http://loki:3100')).toBe('http://loki:3100/loki/api/v1/push')
  expect(pushUrl('https://logs.example/')).toBe('https://logs.example/loki/api/v1/push')
  expect(pushUrl('http://alloy:9999/loki/api/v1/push')).toBe('http://alloy:9999/loki/api/v1/push')
})

describe('the file with credentials', () => {
  test('user and password, a token, a tenant', () => {
    expect(authHeaders('')).toEqual({})
    expect(authHeaders('# ours\nuser = me\npassword=a=b\ntenant=team\n')).toEqual({
      authorization: `Basic ${btoa('me:a=b')}`,
      'x-scope-orgid': 'team',
    })
    expect(authHeaders('token=abc')).toEqual({ authorization: 'Bearer abc' })
  })

  test('anything else is refused by its line, without repeating it', () => {
    for (const text of ['user=a\nsecret', 'passwort=secret', '=secret']) {
      expect(() => authHeaders(text)).toThrow(/^line \d: write user=/)
      expect(() => authHeaders(text)).not.toThrow(/secret/)
    }
  })
})
