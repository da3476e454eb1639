// The audit trail: what is written, in which transaction, and which manipulation is found.
import { Database } from 'bun:sqlite'
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { eq } from 'drizzle-orm'

import type { Verdict } from '../src/auth/audit-head.ts'
import { firstHash, hashOf } from '../src/auth/audit.ts'
import { versions } from '../src/db/tables.ts'
import { closeFoundation, localContext, openFoundation } from '../src/parts.ts'
import { createLog } from '../src/telemetry/log.ts'
import { type Relais, startRelais, testModels } from './support/relais.ts'

const identity = join(testModels, 'identity-float32.onnx')
let relais: Relais
beforeAll(async () => {
  relais = await startRelais()
})
afterAll(() => relais.close())

interface Entry {
  seq: number
  action: string
  object: string
  outcome: string
  actor: string
  role: string
  count: number
  details: Record<string, unknown>
  request_id: string
}

const latest = async (limit = 1): Promise<Entry[]> =>
  (await relais.call('GET', `/api/v1/audit?limit=${limit}`)).body.entries

const m = '/api/v1/models/m'
/** method, path, body, action, object */
type Change = [string, string, object | undefined, string, string]
const changes: Change[] = [
  ['POST', '/api/v1/models', { name: 'm' }, 'model.create', 'model/m'],
  ['PATCH', m, { description: 'd' }, 'model.update', 'model/m'],
  ['PATCH', `${m}/versions/1`, { description: 'd' }, 'version.update', 'model/m/version/1'],
  ['POST', `${m}/versions/1/stage`, { stage: 'Production' }, 'version.stage', 'model/m/version/1'],
  ['POST', `${m}/versions/2/stage`, { stage: 'Production' }, 'version.stage', 'model/m/version/2'],
  ['POST', `${m}/rollback`, {}, 'model.rollback', 'model/m'],
  ['PUT', `${m}/aliases/a`, { version: 1 }, 'alias.set', 'model/m/alias/a'],
  ['DELETE', `${m}/aliases/a`, undefined, 'alias.delete', 'model/m/alias/a'],
  ['DELETE', `${m}/versions/2`, undefined, 'version.delete', 'model/m/version/2'],
  ['POST', `${m}/versions/2/restore`, undefined, 'version.restore', 'model/m/version/2'],
  [
    'DELETE',
    `${m}/versions/1/quarantine`,
    undefined,
    'version.quarantine-clear',
    'model/m/version/1',
  ],
  ['POST', `${m}/versions/1/stage`, { stage: 'Archived' }, 'version.stage', 'model/m/version/1'],
  ['DELETE', m, undefined, 'model.delete', 'model/m'],
  ['POST', `${m}/restore`, undefined, 'model.restore', 'model/m'],
  ['POST', '/api/v1/tokens', { sub: 's', role: 'viewer' }, 'token.create', 'token/'],
  ['POST', '/api/v1/keys/rotate', {}, 'keys.rotate', 'key/'],
]

/** Clearing what is not quarantined changes nothing and leaves no entry, so it is marked first. */
async function markQuarantined(): Promise<void> {
  const mark = { quarantinedAt: 1, quarantineReason: 'for the test' }
  await relais.app.foundation.db.tx(async (tx) => {
    await tx.update(versions).set(mark).where(eq(versions.version, 1))
  })
}

test('§16 every change leaves one entry that says who, what and why', async () => {
  for (const [method, path, body, action, object] of changes) {
    const [before] = await latest()
    const headers = { 'x-request-id': `request-${action}` }
    if (action === 'version.quarantine-clear') await markQuarantined()
    const { status } = await relais.call(method, path, { body, headers })
    expect([path, status < 300]).toEqual([path, true])
    const [entry] = await latest()
    expect(entry!.seq).toBe(before!.seq + 1)
    expect(entry).toMatchObject({
      action,
      outcome: 'done',
      actor: 'admin',
      role: 'admin',
      count: 1,
    })
    expect(entry!.object).toStartWith(object)
    expect(entry!.request_id).toBe(headers['x-request-id'])
    if (action !== 'model.create') continue
    for (const version of [1, 2]) {
      await relais.push('m', identity)
      expect((await latest())[0]).toMatchObject({
        action: 'version.create',
        object: `model/m/version/${version}`,
      })
    }
  }
  const [token] = (await relais.call('GET', '/api/v1/tokens?limit=1')).body.tokens
  await relais.call('DELETE', `/api/v1/tokens/${token.jti}`)
  expect((await latest())[0]).toMatchObject({
    action: 'token.revoke',
    object: `token/${token.jti}`,
  })
  const moved = (await latest(100)).find(({ action }) => action === 'version.stage')
  expect(moved!.details).toMatchObject({ from: 'Production', to: 'Archived' })
})

test('§16 reads, predictions, refused reads and failed changes leave none', async () => {
  await relais.promote('m', 1, 'Production')
  const [before] = await latest()
  const viewer = await relais.token('viewer')
  const quiet: [string, string, object | undefined, string][] = [
    ['GET', '/api/v1/models', undefined, relais.admin],
    ['GET', m, undefined, relais.admin],
    ['GET', `${m}/versions/1/model`, undefined, relais.admin],
    ['POST', '/v1/models/m:predict', { instances: [[1, 2]] }, relais.admin],
    ['POST', '/v1/models/m:predict', { instances: [['x']] }, relais.admin],
    ['POST', '/v1/models/m:predict', { instances: [[1, 2]] }, viewer],
    ['GET', '/api/v1/audit', undefined, viewer],
    ['GET', '/api/v1/tokens', undefined, viewer],
    ['POST', '/api/v1/models', { name: 'm' }, relais.admin],
    ['POST', '/api/v1/models', { name: 'a/b' }, relais.admin],
    ['DELETE', m, undefined, relais.admin],
    ['POST', `${m}/versions/9/stage`, { stage: 'Staging' }, relais.admin],
  ]
  for (const [method, path, body, token] of quiet) await relais.call(method, path, { body, token })
  const [after] = await latest()
  // The viewer's token is the one change since.
  expect([after!.action, after!.seq]).toEqual(['token.create', before!.seq + 1])
})

test('§16 a refused change leaves an entry; repeats fold into one with a count', async () => {
  const token = await relais.token('viewer', { sub: 'prober' })
  for (const [at, [method, path, body, action]] of changes.entries()) {
    // Reading the trail writes down what is folded so far, so each round starts a window of its own.
    const [before] = await latest()
    for (let round = 0; round < 4; round += 1) {
      expect((await relais.call(method, path, { token, body })).status).toBe(403)
    }
    const [folded, first] = await latest(2)
    expect([at, folded!.seq]).toEqual([at, before!.seq + 2])
    expect(first).toMatchObject({ action, outcome: 'denied', actor: 'prober', count: 1 })
    expect(folded).toMatchObject({ outcome: 'denied', actor: 'prober', count: 3 })
    expect(folded!.details).toEqual({ folded: { [action]: 3 } })
  }
  const upload = await relais.push('m', identity, {}, token)
  expect(upload.status).toBe(403)
  expect((await latest())[0]).toMatchObject({ action: 'version.create', outcome: 'denied' })
})

test('§16 denials of two principals do not fold together', async () => {
  const [a, b] = [
    await relais.token('viewer', { sub: 'prober-a' }),
    await relais.token('viewer', { sub: 'prober-b' }),
  ]
  await latest()
  for (const token of [a, b, a, b, b]) await relais.call('DELETE', m, { token })
  const entries = await latest(4)
  const counts = entries.map(({ actor, count }) => `${actor} ${count}`).sort()
  expect(counts).toEqual(['prober-a 1', 'prober-a 1', 'prober-b 1', 'prober-b 2'])
})

test('§16 the entry and the change are one transaction', async () => {
  const db = new Database(join(relais.data, 'relais.db'))
  db.run('PRAGMA busy_timeout = 5000')
  const [before] = await latest()
  db.run("CREATE TRIGGER no_entry BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no'); END")
  try {
    const attempts: [string, string, object][] = [
      ['POST', '/api/v1/models', { name: 'torn' }],
      ['PATCH', m, { description: 'torn' }],
      ['POST', `${m}/versions/1/stage`, { stage: 'Archived' }],
      ['PUT', `${m}/aliases/torn`, { version: 1 }],
      ['POST', '/api/v1/tokens', { sub: 'torn', role: 'admin' }],
    ]
    for (const [method, path, body] of attempts) {
      const answer = await relais.call(method, path, { body })
      expect([path, answer.status, answer.body.code]).toEqual([path, 500, 'internal'])
    }
    // A refusal that cannot be recorded stays a refusal.
    const token = await relais.token('viewer').catch(() => null)
    expect(token).toBe(null)
  } finally {
    db.run('DROP TRIGGER no_entry')
    db.close()
  }
  expect((await relais.call('GET', '/api/v1/models/torn')).status).toBe(404)
  expect((await relais.call('GET', m)).body).toMatchObject({ description: 'd', aliases: {} })
  expect((await relais.call('GET', `${m}/versions/1`)).body.stage).toBe('Production')
  expect((await relais.call('GET', '/api/v1/tokens')).text).not.toContain('torn')
  expect((await latest())[0]!.seq).toBe(before!.seq)
  expect((await relais.call('PATCH', m, { body: { description: 'd2' } })).status).toBe(200)
  expect((await relais.call('GET', '/api/v1/audit/verify')).body.valid).toBe(true)
})

test('§16 the database itself refuses to change or remove an entry', () => {
  const db = new Database(join(relais.data, 'relais.db'))
  for (const sql of [
    "UPDATE audit SET actor = 'x'",
    'UPDATE audit SET seq = seq + 1000',
    'DELETE FROM audit WHERE seq = 1',
    'DELETE FROM audit',
  ]) {
    expect(() => db.run(sql)).toThrow(/never (changed|removed)/)
  }
  db.close()
})

interface Stored {
  seq: number
  [column: string]: unknown
}

const columns = 'seq, at, actor, role, action, object, outcome, count, details, request_id, ip'

/** Chains all rows anew, as one would who can write to the file but not sign. */
function recompute(db: Database): void {
  let previous = firstHash
  const rows = db.query(`SELECT ${columns} FROM audit ORDER BY seq`).all() as Stored[]
  for (const { request_id: requestId, details, ...row } of rows) {
    const full = { ...row, details: JSON.parse(details as string), requestId, prevHash: previous }
    const hash = hashOf(full as never)
    db.run('UPDATE audit SET prev_hash = ?, hash = ? WHERE seq = ?', [previous, hash, row.seq])
    previous = hash
  }
}

const tampering: Record<string, (db: Database) => void> = {
  'an edited row': (db) => db.run("UPDATE audit SET actor = 'nobody' WHERE seq = 4"),
  'edited details': (db) => db.run("UPDATE audit SET details = '{}' WHERE seq = 4"),
  'an edited last row': (db) =>
    db.run("UPDATE audit SET actor = 'nobody' WHERE seq = (SELECT max(seq) FROM audit)"),
  'a removed row': (db) => db.run('DELETE FROM audit WHERE seq = 4'),
  'a removed row, the rest renumbered': (db) => {
    db.run('DELETE FROM audit WHERE seq = 4')
    db.run('UPDATE audit SET seq = -seq WHERE seq > 4')
    db.run('UPDATE audit SET seq = -seq - 1 WHERE seq < 0')
  },
  'a removed first row, the rest renumbered': (db) => {
    db.run('DELETE FROM audit WHERE seq = 1')
    db.run('UPDATE audit SET seq = -seq')
    db.run('UPDATE audit SET seq = -seq - 1')
  },
  'an added row': (db) => {
    db.run('UPDATE audit SET seq = -seq WHERE seq > 4')
    db.run('UPDATE audit SET seq = 1 - seq WHERE seq < 0')
    db.run(`INSERT INTO audit (${columns}, prev_hash, hash)
      SELECT 5, at, 'planted', role, action, object, outcome, count, details, request_id, ip,
      '', '' FROM audit WHERE seq = 4`)
  },
  'two rows in another order': (db) => {
    db.run('UPDATE audit SET seq = -4 WHERE seq = 4')
    db.run('UPDATE audit SET seq = 4 WHERE seq = 5')
    db.run('UPDATE audit SET seq = 5 WHERE seq = -4')
  },
  'a cut-off tail': (db) => db.run('DELETE FROM audit WHERE seq > 6'),
  'a cut-off last row': (db) =>
    db.run('DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)'),
  'no rows': (db) => db.run('DELETE FROM audit'),
}

describe('§16 verify finds, after a restart and for ever after:', () => {
  const log = createLog('error', {}, { stdout: { write: () => 0, flush: () => 0 } })
  const head = (data: string): string => join(data, 'audit.head')
  const folders: string[] = []
  afterAll(() => {
    for (const folder of folders) rmSync(folder, { recursive: true, force: true })
  })

  /** A copy of the server's folder, which nobody uses. */
  function copied(): string {
    const folder = mkdtempSync(join(tmpdir(), 'relais-audit-'))
    folders.push(folder)
    for (const name of ['relais.db', 'relais.db-wal', 'audit.head', 'keys']) {
      cpSync(join(relais.data, name), join(folder, name), { recursive: true })
    }
    return folder
  }

  function damage(data: string, work: (db: Database) => void): void {
    const db = new Database(join(data, 'relais.db'))
    db.run('DROP TRIGGER audit_no_update')
    db.run('DROP TRIGGER audit_no_delete')
    work(db)
    db.close()
  }

  /** Starts on the folder, appends an entry, starts again: the verdict each time. */
  async function verdicts(data: string): Promise<Verdict[]> {
    const found: Verdict[] = []
    for (let round = 0; round < 2; round += 1) {
      const foundation = await openFoundation(data, log, () => undefined)
      found.push(await foundation.head.verify())
      const request = { sub: `later-${round}`, role: 'viewer' as const, models: null, ttl: 1e6 }
      await foundation.tokens.issue(localContext(), request)
      found.push(await foundation.head.verify())
      await closeFoundation(foundation)
    }
    return found
  }

  async function expectFound(data: string): Promise<void> {
    for (const { valid, problem } of await verdicts(data)) {
      expect([valid, typeof problem]).toEqual([false, 'string'])
    }
  }

  test('nothing where nothing was done', async () => {
    for (const { valid } of await verdicts(copied())) expect(valid).toBe(true)
    // Nor where the forger of these tests writes what stood there: his hashes are the right ones.
    const data = copied()
    damage(data, recompute)
    for (const { valid } of await verdicts(data)) expect(valid).toBe(true)
  })
  test('nothing where a crash kept the head from following the last entries', async () => {
    const data = copied()
    const old = readFileSync(head(data))
    await verdicts(data)
    writeFileSync(head(data), old)
    for (const { valid } of await verdicts(data)) expect(valid).toBe(true)
  })
  for (const [what, work] of Object.entries(tampering)) {
    test(what, async () => {
      const data = copied()
      damage(data, work)
      await expectFound(data)
    })
    test(`${what}, every hash recomputed`, async () => {
      const data = copied()
      damage(data, (db) => {
        work(db)
        recompute(db)
      })
      await expectFound(data)
    })
    test(`${what}, every hash recomputed, the head removed`, async () => {
      const data = copied()
      damage(data, (db) => {
        work(db)
        recompute(db)
      })
      rmSync(head(data))
      await expectFound(data)
    })
  }
  const heads: Record<string, (good: Record<string, unknown>) => string | null> = {
    'a removed head': () => null,
    'an empty head': () => '',
    'a head that is no JSON': () => 'x',
    'a head of null': () => 'null',
    'a head without signature': ({ signature: _signature, ...rest }) => JSON.stringify(rest),
    'a head of an unknown key': (good) => JSON.stringify({ ...good, kid: 'other' }),
    'a head of another entry': (good) => JSON.stringify({ ...good, seq: Number(good.seq) - 1 }),
    'a head before the first entry': (good) => JSON.stringify({ ...good, seq: 0, hash: firstHash }),
  }
  for (const [what, make] of Object.entries(heads)) {
    test(what, async () => {
      const data = copied()
      const text = make(JSON.parse(readFileSync(head(data), 'utf8')))
      if (text === null) rmSync(head(data))
      else writeFileSync(head(data), text)
      await expectFound(data)
    })
  }

  test('a chain that was rewritten beneath a running server', async () => {
    const verify = async () => (await relais.call('GET', '/api/v1/audit/verify')).body.valid
    expect(await verify()).toBe(true)
    damage(relais.data, (db) => {
      db.run('PRAGMA busy_timeout = 5000')
      db.run("UPDATE audit SET actor = 'nobody' WHERE seq = 4")
      recompute(db)
    })
    expect(await verify()).toBe(false)
    expect((await relais.call('PATCH', m, { body: { description: 'x' } })).status).toBe(200)
    expect(await verify()).toBe(false)
    const doctor = (await relais.call('GET', '/api/v1/doctor')).body
    const chain = doctor.findings.find(({ check }: { check: string }) => check === 'audit chain')
    expect([doctor.ok, chain.ok]).toEqual([false, false])
  })
})
