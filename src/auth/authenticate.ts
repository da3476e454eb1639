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
    if (!/^bearer /i.test(header)) {
      throw new Fault('auth.missing', 'Send the header Authorization: Bearer <token>.')
    }
    const before = revocations
    const principal = await tokens.verify(header.slice(7).trim())
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
    if (header === null || header === '') {
      throw new Fault('auth.missing', 'Send the header Authorization: Bearer <token>.')
    }
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
