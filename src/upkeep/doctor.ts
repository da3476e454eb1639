// A check-up of a running server: what is damaged, too open, too full or not as it should be.
import { Database } from 'bun:sqlite'
import { existsSync, readdirSync, statfsSync, statSync } from 'node:fs'
import { join } from 'node:path'

import type { AuditHead } from '../auth/audit-head.ts'
import type { Audit } from '../auth/audit.ts'
import type { Deployments } from '../inference/deployments.ts'
import type { BlobKeeper } from '../registry/blobs.ts'
import type { Storage } from '../storage/storage.ts'

export interface Finding {
  check: string
  ok: boolean
  detail: string
}

export interface DoctorDeps {
  data: string
  storage: Storage
  blobs: BlobKeeper
  audit: Audit
  head: AuditHead
  deployments: Deployments
}

/** Below this much free space the next upload or checkpoint may fail. */
const leastFree = 64 << 20

function database(data: string): Finding {
  const db = new Database(join(data, 'relais.db'), { readonly: true })
  const [row] = db.query('PRAGMA quick_check').values() as string[][]
  db.close()
  const ok = row?.[0] === 'ok'
  return { check: 'database', ok, detail: ok ? 'sound' : `damaged: ${row?.[0]}` }
}

async function artifacts(storage: Storage, blobs: BlobKeeper): Promise<Finding> {
  const digests = new Set([...(await blobs.needed()), ...(await storage.list())])
  const bad: string[] = []
  for (const digest of digests) {
    const state = await storage.verify(digest)
    // One that was freed while this ran is not missed.
    const isFreed = state === 'missing' && !(await blobs.needed()).has(digest)
    if (state !== 'ok' && !isFreed) bad.push(`${digest.slice(0, 12)} ${state}`)
  }
  const detail =
    bad.length === 0
      ? `${digests.size} verified`
      : `${bad.join(', ')}; upload the same file again to heal it`
  return { check: 'artifacts', ok: bad.length === 0, detail }
}

/** Files and folders that others can read or write. */
function modes(data: string): Finding {
  const open: string[] = []
  const look = (path: string, name: string): void => {
    if (existsSync(path) && (statSync(path).mode & 0o077) !== 0) open.push(name)
  }
  look(data, data)
  // What lies deeper than this is behind a folder that was looked at.
  for (const name of readdirSync(data)) look(join(data, name), name)
  const keys = join(data, 'keys')
  for (const name of readdirSync(keys)) look(join(keys, name), `keys/${name}`)
  const detail = open.length === 0 ? 'private' : `too open: ${open.join(', ')}; run chmod go-rwx`
  return { check: 'file modes', ok: open.length === 0, detail }
}

function disk(data: string): Finding {
  const { bavail, bsize } = statfsSync(data)
  const free = bavail * bsize
  const ok = free >= leastFree
  return { check: 'disk', ok, detail: `${Math.floor(free / 1048576)} MB free` }
}

async function chain(deps: DoctorDeps): Promise<Finding> {
  await deps.audit.settle()
  const verdict = await deps.head.verify()
  const detail = verdict.valid ? `${verdict.entries} entries` : (verdict.problem ?? 'broken')
  return { check: 'audit chain', ok: verdict.valid, detail }
}

function serving(deployments: Deployments): Finding {
  const wrong = [...deployments.all].flatMap(({ model, stages }) =>
    Object.entries(stages)
      .filter(([, { live, serving: now }]) => live !== null && now?.row.version !== live)
      .map(([stage, { live, serving: now, why }]) => {
        return `${model} ${stage} v${live}, serving ${now ? `v${now.version}` : 'nothing'}: ${why}`
      }),
  )
  return { check: 'models', ok: wrong.length === 0, detail: wrong.join('; ') || 'served as staged' }
}

/** Every check; one that cannot run counts as failed. */
export async function examine(deps: DoctorDeps): Promise<Finding[]> {
  const checks: [string, () => Finding | Promise<Finding>][] = [
    ['database', () => database(deps.data)],
    ['artifacts', () => artifacts(deps.storage, deps.blobs)],
    ['file modes', () => modes(deps.data)],
    ['disk', () => disk(deps.data)],
    ['audit chain', () => chain(deps)],
    ['models', () => serving(deps.deployments)],
  ]
  const findings: Finding[] = []
  for (const [check, run] of checks) {
    try {
      findings.push(await run())
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error)
      findings.push({ check, ok: false, detail })
    }
  }
  return findings
}
