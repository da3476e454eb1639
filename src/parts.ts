// The parts of a server that live on its data folder, built in order; `app.ts` puts doors before them.
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'

import { type AuditHead, openAuditHead } from './auth/audit-head.ts'
import { type Audit, createAudit } from './auth/audit.ts'
import { type Authenticate, createAuthenticate } from './auth/authenticate.ts'
import { type Keys, openKeys, writeSecret } from './auth/keys.ts'
import { type Access, createAccess } from './auth/policy.ts'
import { createTokens, longestLife, type Tokens } from './auth/tokens.ts'
import type { Context } from './core/context.ts'
import { newId, randomHex } from './core/ids.ts'
import { system } from './core/principal.ts'
import type { Db, DbObserver } from './db/db.ts'
import { openSqlite } from './db/sqlite.ts'
import type { Log } from './telemetry/log.ts'

export interface Foundation {
  data: string
  db: Db
  keys: Keys
  head: AuditHead
  audit: Audit
  tokens: Tokens
  access: Access
  authenticate: Authenticate
}

/** A context in which the server or its operator acts on the machine itself. */
export function localContext(): Context {
  return { principal: system, requestId: newId(), traceId: randomHex(16), ip: 'local' }
}

/** Opens database, keys and audit trail of a data folder, making them at first start. */
export async function openFoundation(
  data: string,
  log: Log,
  onFatal: (error: unknown) => void,
  observer?: DbObserver,
): Promise<Foundation> {
  mkdirSync(data, { recursive: true, mode: 0o700 })
  const db = openSqlite(join(data, 'relais.db'), onFatal, observer)
  const keys = openKeys(join(data, 'keys'))
  const head = openAuditHead(join(data, 'audit.head'), db, keys, log)
  await head.resume()
  const audit = createAudit(db, head, log)
  const tokens = createTokens(db, keys, audit)
  const access = createAccess(audit)
  return { data, db, keys, head, audit, tokens, access, authenticate: createAuthenticate(tokens) }
}

/** §13: the first token, an ordinary one, in a file that only its owner can read. */
export async function ensureAdminToken(f: Foundation, renew = false): Promise<void> {
  const path = join(f.data, 'admin.token')
  if (existsSync(path) && !renew) return
  const request = { sub: 'admin', role: 'admin' as const, models: null, ttl: longestLife }
  const { token } = await f.tokens.issue(localContext(), request)
  writeSecret(path, `${token}\n`)
}

export async function closeFoundation(f: Foundation): Promise<void> {
  await f.audit.close()
  f.db.close()
}
