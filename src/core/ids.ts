// Identifiers and digests.

/** A time-ordered unique id (UUIDv7). */
export const newId = (): string => Bun.randomUUIDv7()

/** `count` random bytes as lower-case hex. */
export function randomHex(count: number): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(count))).toString('hex')
}

/** SHA-256 of a text or bytes, as lower-case hex. */
export function sha256(data: string | Uint8Array): string {
  return new Bun.CryptoHasher('sha256').update(data).digest('hex')
}

/** JSON with object keys in sorted order, so that equal values give equal text. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    inner !== null && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : inner,
  )
}
