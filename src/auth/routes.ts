// Native API: who am I, tokens, keys, the audit trail, and the public keys.
import { Elysia, t } from 'elysia'

import { can, rights, roles } from '../core/principal.ts'
import { iso } from '../core/time.ts'
import type { AuditRow, TokenRow } from '../db/tables.ts'
import type { Guard } from '../http/guard.ts'
import { cursorOf, defaultLimit, numericCursorOf, pageOf } from '../http/page.ts'
import { exchangeOf } from '../http/request.ts'
import type { AuditHead } from './audit-head.ts'
import type { Audit } from './audit.ts'
import type { Keys } from './keys.ts'
import { longestLife, type Tokens } from './tokens.ts'

export interface AuthRouteDeps {
  guard: Guard
  tokens: Tokens
  keys: Keys
  audit: Audit
  head: AuditHead
  /** Makes a new signing key, audited. */
  rotateKeys: (request: Request, retireOld: boolean) => Promise<{ kid: string }>
}

function tokenView(row: TokenRow): object {
  const { jti, sub, role, models, createdBy, createdAt, expiresAt, revokedAt } = row
  const dates = {
    created_at: iso(createdAt),
    expires_at: iso(expiresAt),
    revoked_at: iso(revokedAt),
  }
  return { jti, sub, role, models, created_by: createdBy, ...dates }
}

function auditView(row: AuditRow): object {
  const { requestId, prevHash, at, ...rest } = row
  return { ...rest, at: iso(at), request_id: requestId, prev_hash: prevHash }
}

const paging = t.Object({
  limit: t.Optional(t.Integer({ minimum: 1, maximum: 100 })),
  page_token: t.Optional(t.String({ maxLength: 1000 })),
})

const newToken = t.Object(
  {
    sub: t.String({ minLength: 1, maxLength: 200, examples: ['alice'] }),
    role: t.Union(
      roles.map((role) => t.Literal(role)),
      { examples: ['data-scientist'] },
    ),
    models: t.Optional(t.Array(t.String({ minLength: 1, maxLength: 255 }), { maxItems: 100 })),
    ttl_seconds: t.Optional(t.Integer({ minimum: 1, maximum: longestLife / 1000 })),
  },
  { additionalProperties: false },
)

const twelveHours = 43_200

function tokenRoutes(deps: AuthRouteDeps) {
  const { guard, tokens } = deps
  const detail = { tags: ['access'] }
  return new Elysia({ normalize: false, detail })
    .use(guard)
    .post(
      '/api/v1/tokens',
      async ({ request, body, set }) => {
        set.status = 201
        const { sub, role, models } = body
        const ttl = (body.ttl_seconds ?? twelveHours) * 1000
        return tokens.issue(exchangeOf(request), { sub, role, models: models ?? null, ttl })
      },
      {
        body: newToken,
        need: { right: 'tokens:manage', action: 'token.create' },
        detail: { summary: 'Create a token; it is shown once' },
      },
    )
    .get(
      '/api/v1/tokens',
      async ({ query }) => {
        const limit = query.limit ?? defaultLimit
        const rows = await tokens.list(cursorOf(query.page_token), limit + 1)
        const { items, ...next } = pageOf(rows, limit, (row) => row.jti)
        return { tokens: items.map(tokenView), ...next }
      },
      { query: paging, need: { right: 'tokens:manage' }, detail: { summary: 'List tokens' } },
    )
    .delete(
      '/api/v1/tokens/:jti',
      async ({ request, params }) =>
        tokenView(await tokens.revoke(exchangeOf(request), params.jti)),
      {
        need: { right: 'tokens:manage', action: 'token.revoke' },
        detail: { summary: 'Revoke a token' },
      },
    )
    .post(
      '/api/v1/keys/rotate',
      ({ request, body }) => deps.rotateKeys(request, body.retire_old ?? false),
      {
        body: t.Object({ retire_old: t.Optional(t.Boolean()) }, { additionalProperties: false }),
        need: { right: 'settings:manage', action: 'keys.rotate' },
        detail: { summary: 'Make a new signing key' },
      },
    )
}

export function authRoutes(deps: AuthRouteDeps) {
  const { guard, audit, head, keys } = deps
  const detail = { tags: ['access'] }
  return new Elysia({ normalize: false, detail })
    .use(guard)
    .use(tokenRoutes(deps))
    .get('/.well-known/jwks.json', () => keys.jwks(), { open: 'registry' })
    .get(
      '/api/v1/me',
      ({ request }) => {
        const { principal } = exchangeOf(request)
        const held = rights.filter((right) => can(principal, right, principal.models?.[0]))
        const { sub, role, models, jti, exp } = principal
        return { sub, role, models, jti, expires_at: iso(exp * 1000), rights: held }
      },
      { need: { right: 'self' }, detail: { summary: 'Who the token says you are' } },
    )
    .get(
      '/api/v1/audit',
      async ({ query }) => {
        const limit = query.limit ?? defaultLimit
        const rows = await audit.list(numericCursorOf(query.page_token), limit + 1)
        const { items, ...next } = pageOf(rows, limit, (row) => String(row.seq))
        return { entries: items.map(auditView), ...next }
      },
      {
        query: paging,
        need: { right: 'audit:read' },
        detail: { summary: 'Audit trail, newest first' },
      },
    )
    .get(
      '/api/v1/audit/verify',
      async () => {
        await audit.settle()
        return head.verify()
      },
      { need: { right: 'audit:read' }, detail: { summary: 'Check the whole audit chain' } },
    )
}
