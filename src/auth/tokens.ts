// Access tokens: signed JWTs (RFC 9068 profile) with a row each, so that they can be revoked.
import { desc, eq, lt } from 'drizzle-orm'
import { errors, type JWTPayload, jwtVerify, SignJWT } from 'jose'

import type { Context } from '../core/context.ts'
import { Fault } from '../core/fault.ts'
import { newId } from '../core/ids.ts'
import { type Principal, type Role, roles } from '../core/principal.ts'
import type { Db } from '../db/db.ts'
import { type TokenRow, tokens } from '../db/tables.ts'
import type { Audit } from './audit.ts'
import type { Keys } from './keys.ts'

const issuer = 'relais'
const audience = 'relais'
/** Longest life of a token in milliseconds: ten years. */
export const longestLife = 3650 * 864e5
const longestHeader = 8192

export interface TokenRequest {
  sub: string
  role: Role
  models: string[] | null
  /** Life in milliseconds. */
  ttl: number
}

export interface IssuedToken {
  token: string
  jti: string
  expires_at: string
}

export interface Tokens {
  /** Signs and records a token in one audited change. */
  issue(ctx: Context, request: TokenRequest): Promise<IssuedToken>
  /** The principal of a token, or a Fault of status 401. */
  verify(token: string): Promise<Principal>
  revoke(ctx: Context, jti: string): Promise<TokenRow>
  list(before: string | undefined, limit: number): Promise<TokenRow[]>
  /** Called with the jti after a revocation has been committed. */
  onRevoked(listener: (jti: string) => void): void
}

function demandSound(request: TokenRequest): void {
  const flaw = (pointer: string, message: string): never => {
    throw new Fault('request.invalid', message, { errors: [{ pointer, code: 'value', message }] })
  }
  if (!/^[\w.@:+/-]{1,200}$/.test(request.sub))
    flaw('/sub', 'letters, digits and . _ @ : + / - only')
  if (!roles.includes(request.role)) flaw('/role', `one of ${roles.join(', ')}`)
  if (!(request.ttl > 0 && request.ttl <= longestLife)) flaw('/ttl', 'between 1s and 3650d')
}

/** Whoever presents a token learns only that it does not work, never why in detail. */
function refusal(error: unknown): Fault {
  if (error instanceof errors.JWTExpired) return new Fault('auth.expired', 'Ask for a new token.')
  if (error instanceof errors.JOSEError)
    return new Fault('auth.invalid', 'The token was not accepted.')
  throw error
}

/** The payload of a token that is ours and in date; throws jose's errors. */
async function claimsOf(keys: Keys, token: string): Promise<JWTPayload> {
  const { payload } = await jwtVerify(
    token,
    ({ kid }) => {
      const key = kid === undefined ? undefined : keys.find(kid)
      if (!key) throw new errors.JWKSNoMatchingKey()
      return key.verifier
    },
    {
      algorithms: ['EdDSA'],
      issuer,
      audience,
      typ: 'at+jwt',
      requiredClaims: ['exp', 'iat', 'sub', 'jti'],
      maxTokenAge: longestLife / 1000,
      clockTolerance: 30,
    },
  )
  // jose looks only whether the claim is there.
  if (typeof payload.jti !== 'string') throw new errors.JWTInvalid()
  return payload
}

/** What a token is made of; kept in place of the token itself, which can be made from it again. */
interface Particulars {
  jti: string
  kid: string
  /** Seconds since the epoch. */
  issued: number
  expires: number
}

/** Ed25519 signs alike each time, so a repeated request gets the very same token. */
async function sign(keys: Keys, request: TokenRequest, made: Particulars): Promise<string> {
  const { sub, role, models } = request
  const { jti, kid, issued, expires } = made
  const { signer } = keys.find(kid) ?? keys.current()
  return new SignJWT({ role, ...(models ? { models } : {}) })
    .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', kid })
    .setIssuer(issuer)
    .setAudience(audience)
    .setSubject(sub)
    .setJti(jti)
    .setIssuedAt(issued)
    .setExpirationTime(expires)
    .sign(await signer)
}

class TokenStore implements Tokens {
  private readonly listeners: ((jti: string) => void)[] = []
  private readonly db: Db
  private readonly keys: Keys
  private readonly audit: Audit

  constructor(db: Db, keys: Keys, audit: Audit) {
    this.db = db
    this.keys = keys
    this.audit = audit
  }

  async issue(ctx: Context, request: TokenRequest): Promise<IssuedToken> {
    demandSound(request)
    const { sub, role, models, ttl } = request
    const intent = { action: 'token.create', input: request }
    const made = await this.audit.change(ctx, intent, async (tx) => {
      const issued = Math.floor(Date.now() / 1000)
      const expires = issued + Math.floor(ttl / 1000)
      const { kid } = this.keys.current()
      const particulars: Particulars = { jti: newId(), kid, issued, expires }
      const { jti } = particulars
      const createdBy = ctx.principal.sub
      const dates = { createdAt: issued * 1000, expiresAt: expires * 1000, revokedAt: null }
      await tx.insert(tokens).values({ jti, sub, role, models, kid, createdBy, ...dates })
      const details = { sub, role, models, expires_at: new Date(expires * 1000).toISOString() }
      return { result: particulars, object: `token/${jti}`, details }
    })
    const token = await sign(this.keys, request, made)
    return { token, jti: made.jti, expires_at: new Date(made.expires * 1000).toISOString() }
  }

  async verify(token: string): Promise<Principal> {
    if (token.length > longestHeader) throw new Fault('auth.invalid', 'The token is too long.')
    const { jti = '', exp = 0 } = await claimsOf(this.keys, token).catch((error: unknown) => {
      throw refusal(error)
    })
    const [row] = await this.db.read.select().from(tokens).where(eq(tokens.jti, jti))
    // The row is the truth, also about the end: jose allows for clocks that differ.
    if (row?.expiresAt !== exp * 1000) {
      throw new Fault('auth.invalid', 'The token was not accepted.')
    }
    if (row.expiresAt <= Date.now()) throw new Fault('auth.expired', 'Ask for a new token.')
    if (row.revokedAt !== null) throw new Fault('auth.revoked', 'Ask for a new token.')
    const { sub, role, models, expiresAt } = row
    return { sub, role: role as Role, jti, models, exp: expiresAt / 1000 }
  }

  async revoke(ctx: Context, jti: string): Promise<TokenRow> {
    const intent = { action: 'token.revoke', input: { jti } }
    const row = await this.audit.change(ctx, intent, async (tx) => {
      const [found] = await tx.select().from(tokens).where(eq(tokens.jti, jti))
      if (!found) {
        throw new Fault('token.not-found', 'No token has this id; see GET /api/v1/tokens.')
      }
      const revokedAt = found.revokedAt ?? Date.now()
      await tx.update(tokens).set({ revokedAt }).where(eq(tokens.jti, jti))
      const details = { sub: found.sub }
      return { result: { ...found, revokedAt }, object: `token/${jti}`, details }
    })
    for (const listener of this.listeners) listener(jti)
    return row
  }

  list(before: string | undefined, limit: number): Promise<TokenRow[]> {
    const query = this.db.read.select().from(tokens)
    // Version 7 UUIDs sort by time, so the id is the cursor.
    const page = before === undefined ? query : query.where(lt(tokens.jti, before))
    return page.orderBy(desc(tokens.jti)).limit(limit)
  }

  onRevoked(listener: (jti: string) => void): void {
    this.listeners.push(listener)
  }
}

export const createTokens = (db: Db, keys: Keys, audit: Audit): Tokens =>
  new TokenStore(db, keys, audit)
