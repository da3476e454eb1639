// Tokens: every way to forge one fails, and those that were revoked, retired or ended are refused.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { createHmac, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

import { until } from './support/faults.ts'
import { type Relais, startRelais } from './support/relais.ts'

let relais: Relais
let key: { kid: string; private: KeyObject; public: KeyObject; jwk: Record<string, string> }
let claims: Record<string, unknown>

beforeAll(async () => {
  relais = await startRelais()
  const folder = join(relais.data, 'keys')
  const { kid, jwk } = JSON.parse(readFileSync(join(folder, readdirSync(folder)[0]!), 'utf8'))
  const { createPrivateKey } = await import('node:crypto')
  const privateKey = createPrivateKey({ key: jwk, format: 'jwk' })
  key = { kid, private: privateKey, public: createPublicKey(privateKey), jwk }
  claims = claimsOf(await relais.token('viewer'))
})
afterAll(() => relais.close())

type Json = Record<string, unknown>
const encoded = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
const claimsOf = (token: string): Json =>
  JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString())
const goodHeader = (): Json => ({ alg: 'EdDSA', typ: 'at+jwt', kid: key.kid })

/** A token put together by hand. `payload` may be JSON text. */
function forged(header: Json, payload: Json | string, by: KeyObject | null = key.private): string {
  const text = `${encoded(header)}.${encoded(payload)}`
  return `${text}.${by ? sign(null, Buffer.from(text), by).toString('base64url') : ''}`
}

function hmac(secret: string | Buffer): string {
  const text = `${encoded({ ...goodHeader(), alg: 'HS256' })}.${encoded(claims)}`
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`
}

const me = (token: string) => relais.call('GET', '/api/v1/me', { token })
const without = (name: string): Json => {
  const { [name]: _left, ...rest } = claims
  return rest
}
const now = (): number => Math.floor(Date.now() / 1000)

test('the forger of these tests can make a token that works', async () => {
  const answer = await me(forged(goodHeader(), claims))
  expect([answer.status, answer.body.role]).toEqual([200, 'viewer'])
})

describe('refused with 401:', () => {
  const stranger = generateKeyPairSync('ed25519')
  const strange = { ...stranger.publicKey.export({ format: 'jwk' }), kid: 'mine' }
  const table: Record<string, () => string> = {
    'alg none': () => forged({ ...goodHeader(), alg: 'none' }, claims, null),
    'alg nOnE': () => forged({ ...goodHeader(), alg: 'nOnE' }, claims, null),
    'no signature': () => forged(goodHeader(), claims, null),
    'HMAC with the public key as PEM': () =>
      hmac(key.public.export({ type: 'spki', format: 'pem' }) as string),
    'HMAC with the public key as DER': () =>
      hmac(key.public.export({ type: 'spki', format: 'der' }) as Buffer),
    'HMAC with the raw public key': () => hmac(Buffer.from(key.jwk.x!, 'base64url')),
    'HMAC with the encoded public key': () => hmac(key.jwk.x!),
    'HMAC with an empty secret': () => hmac(''),
    'a stranger’s key under our kid': () => forged(goodHeader(), claims, stranger.privateKey),
    'changed claims': () => {
      const [head, , signature] = forged(goodHeader(), claims).split('.')
      return `${head}.${encoded({ ...claims, sub: 'root' })}.${signature}`
    },
    'no exp': () => forged(goodHeader(), without('exp')),
    'no iat': () => forged(goodHeader(), without('iat')),
    'no sub': () => forged(goodHeader(), without('sub')),
    'no jti': () => forged(goodHeader(), without('jti')),
    'no aud': () => forged(goodHeader(), without('aud')),
    'no iss': () => forged(goodHeader(), without('iss')),
    'exp in the past': () => forged(goodHeader(), { ...claims, exp: now() - 5 }),
    'exp far in the future': () => forged(goodHeader(), { ...claims, exp: 99_999_999_999 }),
    'exp later than issued': () => forged(goodHeader(), { ...claims, exp: Number(claims.exp) + 1 }),
    'exp as text': () => forged(goodHeader(), { ...claims, exp: `${claims.exp as number}` }),
    'exp null': () => forged(goodHeader(), { ...claims, exp: null }),
    'exp beyond all numbers': () =>
      forged(goodHeader(), JSON.stringify(claims).replace(/"exp":\d+/, '"exp":1e999')),
    'iat in the future': () => forged(goodHeader(), { ...claims, iat: now() + 3600 }),
    'nbf in the future': () => forged(goodHeader(), { ...claims, nbf: now() + 3600 }),
    'nbf as text': () => forged(goodHeader(), { ...claims, nbf: '0' }),
    'another audience': () => forged(goodHeader(), { ...claims, aud: 'other' }),
    'another issuer': () => forged(goodHeader(), { ...claims, iss: 'https://relais' }),
    'an ID token': () => forged({ ...goodHeader(), typ: 'JWT' }, claims),
    'no typ': () => forged({ alg: 'EdDSA', kid: key.kid }, claims),
    'unknown jti': () => forged(goodHeader(), { ...claims, jti: crypto.randomUUID() }),
    'jti as a list': () => forged(goodHeader(), { ...claims, jti: [claims.jti] }),
    'jti as an object': () => forged(goodHeader(), { ...claims, jti: { a: 1 } }),
    'no kid': () => forged({ alg: 'EdDSA', typ: 'at+jwt' }, claims),
    'unknown kid': () => forged({ ...goodHeader(), kid: 'other' }, claims),
    'kid that is a path': () => forged({ ...goodHeader(), kid: '../../dev/null' }, claims),
    'kid with SQL': () => forged({ ...goodHeader(), kid: "' OR 1=1--" }, claims),
    'kid of an object': () => forged({ ...goodHeader(), kid: '__proto__' }, claims),
    'kid as a number': () => forged({ ...goodHeader(), kid: 0 }, claims),
    'kid of 10 KB': () => forged({ ...goodHeader(), kid: 'k'.repeat(10_240) }, claims),
    'crit that is unknown': () => forged({ ...goodHeader(), crit: ['x'], x: 1 }, claims),
    'crit with b64': () => forged({ ...goodHeader(), crit: ['b64'], b64: false }, claims),
    'crit that is empty': () => forged({ ...goodHeader(), crit: [] }, claims),
    'an own key in the header': () =>
      forged({ ...goodHeader(), jwk: strange }, claims, stranger.privateKey),
    'five parts': () => `${encoded({ alg: 'dir', enc: 'A256GCM' })}.AAAA.AAAA.AAAA.AAAA`,
    'one part': () => 'token',
    'claims that are no object': () => forged(goodHeader(), '[]'),
    'claims that are no JSON': () => forged(goodHeader(), '{'),
    'header that is no JSON': () => `e30x.${encoded(claims)}.AAAA`,
  }
  for (const [what, make] of Object.entries(table)) {
    test(what, async () => {
      const token = make()
      for (const path of ['/api/v1/me', '/v1/models']) {
        const { status, body } = await relais.call('GET', path, { token })
        expect([path, status]).toEqual([path, 401])
        expect(body.code).toMatch(/^auth\.(invalid|expired)$/)
        expect(JSON.stringify(body)).not.toMatch(/jose|claim|signature|kid/i)
      }
    })
  }

  test('no key is fetched from where a token says', async () => {
    let hits = 0
    const canary = Bun.serve({
      port: 0,
      fetch: () => {
        hits += 1
        return Response.json({ keys: [strange] })
      },
    })
    const place = `http://127.0.0.1:${canary.port}/jwks.json`
    for (const member of ['jku', 'x5u', 'iss']) {
      const header = { ...goodHeader(), kid: 'mine', [member]: place }
      const token = forged(header, { ...claims, iss: place }, stranger.privateKey)
      expect((await me(token)).status).toBe(401)
    }
    await canary.stop(true)
    expect(hits).toBe(0)
  })
})

test('the role is the one on record, whatever the claims say', async () => {
  const text = JSON.stringify(claims)
  const twice = `{"role":"admin",${text.slice(1, -1)},"role":"admin","models":null}`
  const token = forged(goodHeader(), twice)
  const { status, body } = await me(token)
  expect([status, body.role, body.sub]).toEqual([200, 'viewer', 'viewer'])
  expect((await relais.call('GET', '/api/v1/tokens', { token })).status).toBe(403)
})

test('a revoked token is refused at once, also where it was remembered', async () => {
  const token = await relais.token('viewer', { sub: 'leaver' })
  const { jti } = claimsOf(token)
  for (let at = 0; at < 3; at += 1) expect((await me(token)).status).toBe(200)
  expect((await relais.call('GET', '/v1/models', { token })).status).toBe(200)
  expect((await relais.call('DELETE', `/api/v1/tokens/${jti as string}`)).status).toBe(200)
  for (const path of ['/api/v1/me', '/v1/models']) {
    const { status, body } = await relais.call('GET', path, { token })
    expect([status, body.code]).toEqual([401, 'auth.revoked'])
  }
  const { tokens } = (await relais.call('GET', '/api/v1/tokens')).body
  expect(tokens.find((t: any) => t.jti === jti).revoked_at).not.toBe(null)
  await relais.restart()
  expect((await me(token)).body.code).toBe('auth.revoked')
})

test('a token ends to the second, remembered or not', async () => {
  const token = await relais.token('viewer', { sub: 'brief', ttl: 1500 })
  const end = Number(claimsOf(token).exp) * 1000
  if (Date.now() < end - 50) expect((await me(token)).status).toBe(200)
  await until(async () => (await me(token)).body.code === 'auth.expired', 3000)
  expect(Date.now() - end).toBeLessThan(500)
  const unseen = await relais.token('viewer', { sub: 'brief', ttl: 1000 })
  await Bun.sleep(Math.max(0, Number(claimsOf(unseen).exp) * 1000 - Date.now() + 10))
  expect((await me(unseen)).body.code).toBe('auth.expired')
})

test('what a token may be is limited', async () => {
  const good = { sub: 'svc', role: 'ci' }
  const table: [object, number][] = [
    [good, 201],
    [{ ...good, ttl_seconds: 1 }, 201],
    [{ ...good, ttl_seconds: 315_360_000, models: ['iris', 'churn-*'] }, 201],
    [{ ...good, ttl_seconds: 315_360_001 }, 422],
    [{ ...good, ttl_seconds: 0 }, 422],
    [{ ...good, ttl_seconds: -5 }, 422],
    [{ ...good, ttl_seconds: 1.5 }, 422],
    [{ ...good, role: 'root' }, 422],
    [{ ...good, sub: '' }, 422],
    [{ ...good, sub: 'a\nb' }, 422],
    [{ ...good, sub: 'x'.repeat(201) }, 422],
    [{ ...good, models: [''] }, 422],
    [{ ...good, models: 'iris' }, 422],
    [{ ...good, jti: 'mine' }, 422],
    [{ role: 'ci' }, 422],
  ]
  for (const [body, status] of table) {
    const answer = await relais.call('POST', '/api/v1/tokens', { body })
    expect([body, answer.status]).toEqual([body, status])
    if (status !== 201) continue
    const listed = (await relais.call('GET', '/api/v1/tokens?limit=1')).text
    const audited = (await relais.call('GET', '/api/v1/audit?limit=1')).text
    for (const text of [listed, audited]) expect(text).not.toContain(answer.body.token)
    expect(audited).toContain(answer.body.jti)
  }
})

const cli = join(import.meta.dir, '../src/main.ts')

test('§29 token create --data works beside a running server, and is audited', async () => {
  const command = ['token', 'create', '--sub', 'robot', '--role', 'ci', '--models', 'a-*,b']
  const child = Bun.spawn(['bun', cli, ...command, '--ttl', '365d', '--data', relais.data], {
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const [output, errors] = await Promise.all([child.stdout.text(), child.stderr.text()])
  expect([await child.exited, errors]).toEqual([0, ''])
  expect(output).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/)
  const { status, body } = await me(output.trim())
  expect([status, body.sub, body.role, body.models]).toEqual([200, 'robot', 'ci', ['a-*', 'b']])
  const { entries } = (await relais.call('GET', '/api/v1/audit?limit=1')).body
  expect(entries[0]).toMatchObject({
    action: 'token.create',
    details: { sub: 'robot', role: 'ci' },
  })
  expect((await relais.call('POST', '/api/v1/models', { body: { name: 'z' } })).status).toBe(201)
  expect((await relais.call('GET', '/api/v1/audit/verify')).body).toMatchObject({
    valid: true,
    unsigned: 0,
  })
})

test('keys rotate: earlier tokens stay valid, until they are retired', async () => {
  const kidOf = (token: string): string =>
    JSON.parse(Buffer.from(token.split('.')[0]!, 'base64url').toString()).kid
  const jwks = async () => {
    const { status, body } = await relais.call('GET', '/.well-known/jwks.json', { token: null })
    expect(status).toBe(200)
    for (const jwk of body.keys) {
      expect(Object.keys(jwk).sort()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x'])
    }
    return body.keys.map((jwk: any) => jwk.kid)
  }
  const old = await relais.token('viewer')
  const rotate = (body: object) => relais.call('POST', '/api/v1/keys/rotate', { body })
  const { kid } = (await rotate({})).body
  expect(await jwks()).toEqual([key.kid, kid])
  const fresh = await relais.token('viewer')
  expect([kidOf(old), kidOf(fresh)]).toEqual([key.kid, kid])
  expect([(await me(old)).status, (await me(fresh)).status]).toEqual([200, 200])
  await relais.restart()
  expect([(await me(old)).status, (await me(fresh)).status]).toEqual([200, 200])
  for (const name of readdirSync(join(relais.data, 'keys'))) {
    expect(statSync(join(relais.data, 'keys', name)).mode & 0o777).toBe(0o600)
  }

  const last = (await rotate({ retire_old: true })).body.kid
  expect(await jwks()).toEqual([last])
  for (const token of [old, fresh, relais.admin]) expect((await me(token)).status).toBe(401)
  const admin = readFileSync(join(relais.data, 'admin.token'), 'utf8').trim()
  expect(kidOf(admin)).toBe(last)
  expect((await me(admin)).body.role).toBe('admin')
  expect(readdirSync(join(relais.data, 'keys'))).toEqual([`${last}.json`])
  const verify = () => relais.call('GET', '/api/v1/audit/verify', { token: admin })
  expect((await verify()).body.valid).toBe(true)
  await relais.restart()
  expect((await verify()).body.valid).toBe(true)
})
