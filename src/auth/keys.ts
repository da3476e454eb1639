// Signing keys: Ed25519 pairs in files of mode 0600, the newest signs, older ones still verify.
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto'
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'

import { newId, sha256 } from '../core/ids.ts'

interface StoredKey {
  kid: string
  createdAt: number
  jwk: { kty: string; crv: string; x: string; d: string }
}

export interface SigningKey {
  kid: string
  createdAt: number
  /** For the audit head, signed synchronously. */
  privateKey: KeyObject
  publicKey: KeyObject
  /** For tokens: CryptoKeys, which cannot be mistaken for HMAC secrets and verify fast. */
  signer: Promise<CryptoKey>
  verifier: Promise<CryptoKey>
  publicJwk: Record<string, string>
}

export interface Keys {
  /** The key that signs now. */
  current(): SigningKey
  find(kid: string): SigningKey | undefined
  /** The public keys as a JWK Set (RFC 7517). */
  jwks(): { keys: Record<string, string>[] }
  /** Makes a new signing key; earlier ones still verify. */
  rotate(): SigningKey
  /** Removes all keys but the current: what they signed is worthless from now on. Returns how many. */
  retireOld(): number
  /** Detached Ed25519 signature, base64url, of a text by the current key. */
  sign(text: string): { kid: string; signature: string }
  verify(text: string, kid: string, signature: string): boolean
}

/** Writes a secret so that a reader sees the old or the new content, never half of it. */
export function writeSecret(path: string, content: string): void {
  const temporary = `${path}.${newId()}`
  writeFileSync(temporary, content, { mode: 0o600, flag: 'wx', flush: true })
  renameSync(temporary, path)
}

function load(path: string): SigningKey {
  const stored = JSON.parse(readFileSync(path, 'utf8')) as StoredKey
  const privateKey = createPrivateKey({ key: stored.jwk, format: 'jwk' })
  const { kty, crv, x, d } = stored.jwk
  const imported = (jwk: Record<string, string>, usage: 'sign' | 'verify'): Promise<CryptoKey> =>
    crypto.subtle.importKey('jwk', jwk, 'Ed25519', false, [usage])
  return {
    kid: stored.kid,
    createdAt: stored.createdAt,
    privateKey,
    publicKey: createPublicKey(privateKey),
    signer: imported({ kty, crv, x, d }, 'sign'),
    verifier: imported({ kty, crv, x }, 'verify'),
    publicJwk: { kty, crv, x, kid: stored.kid, alg: 'EdDSA', use: 'sig' },
  }
}

function generate(folder: string): SigningKey {
  const { privateKey } = generateKeyPairSync('ed25519')
  const jwk = privateKey.export({ format: 'jwk' }) as StoredKey['jwk']
  const kid = sha256(jwk.x).slice(0, 16)
  const path = join(folder, `${kid}.json`)
  writeSecret(path, JSON.stringify({ kid, createdAt: Date.now(), jwk } satisfies StoredKey))
  return load(path)
}

/** Loads all keys of `folder`; makes the first one when there is none. */
export function openKeys(folder: string): Keys {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  chmodSync(folder, 0o700)
  const names = readdirSync(folder).filter((name) => name.endsWith('.json'))
  let keys = names.map((name) => load(join(folder, name)))
  keys.sort((a, b) => a.createdAt - b.createdAt)
  if (keys.length === 0) keys = [generate(folder)]
  const current = (): SigningKey => keys[keys.length - 1] as SigningKey
  const find = (kid: string): SigningKey | undefined => keys.find((key) => key.kid === kid)
  return {
    current,
    find,
    jwks: () => ({ keys: keys.map((key) => key.publicJwk) }),
    rotate: () => {
      const fresh = generate(folder)
      keys = [...keys, fresh]
      return fresh
    },
    retireOld: () => {
      const old = keys.slice(0, -1)
      for (const { kid } of old) rmSync(join(folder, `${kid}.json`), { force: true })
      keys = [current()]
      return old.length
    },
    sign: (text) => {
      const { kid, privateKey } = current()
      return { kid, signature: sign(null, Buffer.from(text), privateKey).toString('base64url') }
    },
    verify: (text, kid, signature) => {
      const key = find(kid)
      if (!key) return false
      return verify(null, Buffer.from(text), key.publicKey, Buffer.from(signature, 'base64url'))
    },
  }
}
