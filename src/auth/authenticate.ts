// From an Authorization header to a principal, remembering what was verified.
import { Fault } from '../core/fault.ts'
import type { Principal } from '../core/principal.ts'
import type { Tokens } from './tokens.ts'

/** Verified headers remembered; the oldest goes first. */
const mostRemembered = 10_000

/**
 * Returns the principal at once for a remembered header (no promise on the hot path), else a promise
 * of it. Throws or rejects with a Fault of status 401.
 */
export interface Authenticate {
  (header: string | null): Principal | Promise<Principal>
  /** After keys were retired: every token is looked at anew. */
  forgetAll(): void
}

const missing = (): Fault =>
  new Fault('auth.missing', 'Send the header Authorization: Bearer <token>.')

/**
 * The token of a header: `Bearer <token>`, or `Basic` with the token as the password, which MLflow's
 * client prefers where a user and a password are set. Throws `auth.missing`.
 */
function credentials(header: string): { token: string; user?: string } {
  const [, scheme = '', value = ''] = /^(bearer|basic) +(.*)$/is.exec(header) ?? []
  if (scheme.toLowerCase() === 'bearer') return { token: value.trim() }
  const pair = Buffer.from(value.trim(), 'base64').toString('utf8')
  // Subjects may hold colons, tokens never do.
  const colon = pair.lastIndexOf(':')
  if (colon < 0) throw missing()
  return { user: pair.slice(0, colon), token: pair.slice(colon + 1) }
}

export function createAuthenticate(tokens: Tokens): Authenticate {
  const remembered = new Map<string, Principal>()
  /** Checks that are under way, so that a burst of one token costs one. */
  const underWay = new Map<string, Promise<Principal>>()
  let revocations = 0
  tokens.onRevoked((jti) => {
    revocations += 1
    for (const [header, principal] of remembered) {
      if (principal.jti === jti) remembered.delete(header)
    }
  })

  const learn = async (header: string): Promise<Principal> => {
    const { token, user } = credentials(header)
    const before = revocations
    const principal = await tokens.verify(token)
    if (user !== undefined && user !== principal.sub) {
      throw new Fault('auth.invalid', 'The user name is not the subject of the token.')
    }
    // A revocation may have overtaken the check; then the answer stands but is not remembered.
    if (before === revocations) {
      if (remembered.size >= mostRemembered) {
        for (const oldest of remembered.keys()) {
          remembered.delete(oldest)
          break
        }
      }
      remembered.set(header, principal)
    }
    return principal
  }

  const authenticate = (header: string | null): Principal | Promise<Principal> => {
    if (header === null || header === '') throw missing()
    const known = remembered.get(header)
    if (known === undefined) {
      const running = underWay.get(header)
      if (running) return running
      const check = learn(header).finally(() => underWay.delete(header))
      underWay.set(header, check)
      return check
    }
    if (known.exp * 1000 > Date.now()) return known
    remembered.delete(header)
    throw new Fault('auth.expired', 'Ask for a new token.')
  }
  return Object.assign(authenticate, {
    forgetAll: () => {
      revocations += 1
      remembered.clear()
    },
  })
}
