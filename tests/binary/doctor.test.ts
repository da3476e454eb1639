// §31: the check-up exits 1 on a flipped artifact byte, a wide file mode, a full disk, a broken chain.
import { Database } from 'bun:sqlite'
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { chmodSync, chownSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { cleanUp, promoteExample, serve, type Served, temporary } from '../support/binary.ts'
import { blobPath, flipByte } from '../support/faults.ts'

let server: Served
let digest: string

beforeAll(async () => {
  server = await serve()
  await promoteExample(server, 'iris')
  digest = JSON.parse((await server.cli(['models', 'iris', '--json'])).out).versions[0].artifact
    .sha256
})
afterAll(async () => {
  await server.stop()
  cleanUp()
})

/** Names of the checks that fail, by what a person and a program see. */
async function failing(at = server): Promise<string[]> {
  const { code, out } = await at.cli(['doctor'])
  const { code: jsonCode, out: json } = await at.cli(['doctor', '--json'])
  const { ok, findings } = JSON.parse(json) as {
    ok: boolean
    findings: { check: string; ok: boolean }[]
  }
  const wrong = findings.filter((finding) => !finding.ok).map(({ check }) => check)
  expect([code, jsonCode, ok]).toEqual(wrong.length > 0 ? [1, 1, false] : [0, 0, true])
  for (const check of wrong) expect(out).toMatch(new RegExp(`^FAIL +${check} `, 'm'))
  return wrong
}

test('a sound server', async () => {
  expect(await failing()).toEqual([])
  const { out } = await server.cli(['doctor'])
  expect(out).toMatch(/^ +CHECK +DETAIL\n/)
  for (const check of ['database', 'artifacts', 'file modes', 'disk', 'audit chain', 'models']) {
    expect(out).toMatch(new RegExp(`^ok +${check} `, 'm'))
  }
})

test('it needs the right to it', async () => {
  const { code, err } = await server.cli(['doctor'], await server.token('data-scientist'))
  expect([code, err.includes('access.denied')]).toEqual([1, true])
})

test('a flipped artifact byte', async () => {
  flipByte(server.data, digest)
  expect(await failing()).toEqual(['artifacts'])
  flipByte(server.data, digest)
  expect(await failing()).toEqual([])
})

test('a missing artifact', async () => {
  const path = blobPath(server.data, digest)
  renameSync(path, `${server.data}-aside`)
  expect(await failing()).toEqual(['artifacts'])
  renameSync(`${server.data}-aside`, path)
  expect(await failing()).toEqual([])
})

for (const name of ['', 'admin.token', 'relais.db', 'keys', 'blobs', 'audit.head']) {
  test(`a wide mode of the data folder's ${name || 'own'}`, async () => {
    const path = join(server.data, name)
    const { mode } = statSync(path)
    chmodSync(path, mode | 0o044)
    expect(await failing()).toEqual(['file modes'])
    chmodSync(path, mode)
    expect(await failing()).toEqual([])
  })
}

test('a broken chain', async () => {
  const db = new Database(join(server.data, 'relais.db'))
  db.run('PRAGMA busy_timeout = 5000')
  const before = db.query('SELECT sql FROM sqlite_master WHERE type = ?').values('trigger').flat()
  const names = db.query('SELECT name FROM sqlite_master WHERE type = ?').values('trigger').flat()
  for (const name of names) db.run(`DROP TRIGGER ${String(name)}`)
  db.run("UPDATE audit SET actor = 'nobody' WHERE seq = 2")
  expect(await failing()).toEqual(['audit chain'])
  const verified = await server.cli(['audit', '--verify'])
  expect([verified.code, verified.out]).toEqual([1, 'BROKEN: entry 2 was edited\n'])
  db.run("UPDATE audit SET actor = 'admin' WHERE seq = 2")
  for (const sql of before) db.run(String(sql))
  db.close()
  expect(await failing()).toEqual([])
})

const mounted = temporary()
const canMount =
  process.getuid?.() === 0 &&
  Bun.which('mount') !== null &&
  Bun.spawnSync(['mount', '-t', 'tmpfs', '-o', 'size=120m,mode=700', 'tmpfs', mounted]).exitCode ===
    0

test.skipIf(!canMount)(
  'a full disk (only as root, who may mount one)',
  async () => {
    const { uid, gid } = statSync(temporary())
    chownSync(mounted, uid, gid)
    const small = await serve({ data: mounted })
    try {
      await promoteExample(small, 'iris')
      expect(await failing(small)).toEqual([])
      writeFileSync(join(mounted, 'filler'), new Uint8Array(60 << 20), { mode: 0o600 })
      expect(await failing(small)).toEqual(['disk'])
      try {
        writeFileSync(join(mounted, 'rest'), new Uint8Array(120 << 20), { mode: 0o600 })
      } catch {
        // Now it is full to the last page.
      }
      expect(await failing(small)).toContain('disk')
    } finally {
      await small.stop()
      Bun.spawnSync(['umount', mounted])
    }
  },
  30_000,
)
