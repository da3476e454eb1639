// Small Go programs of the tests, built by the Go that is there; no package of Debian 12 is new enough.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'

import { root } from './sources.ts'

/** What the newest of their modules asks for. */
const least = '1.24.0'

/** Version of the Go on this machine, or why it cannot build the programs. */
function goVersion(): { version: string } | { reason: string } {
  if (Bun.which('go') === null) return { reason: 'there is no Go' }
  const { stdout } = Bun.spawnSync(['go', 'env', 'GOVERSION'])
  const version = stdout.toString().trim().replace(/^go/, '')
  if (Bun.semver.satisfies(version, `>=${least}`)) return { version }
  return { reason: `Go is ${version}, older than ${least}` }
}

/** Path of the program of a folder; null, with a line that says why, where Go cannot build it. */
export function goProgram(folder: string): string | null {
  const go = goVersion()
  const name = folder.split('/').at(-1)!
  if ('reason' in go) {
    console.log(`NOT RUN: what needs ${name} (${go.reason})`)
    return null
  }
  const path = join(root, 'dist/tools', name)
  mkdirSync(join(root, 'dist/tools'), { recursive: true })
  const { exitCode, stderr } = Bun.spawnSync(['go', 'build', '-o', path, '.'], {
    cwd: folder,
    // The checksums are in go.sum; the toolchain is the one that is there.
    env: { ...process.env, GOFLAGS: '-mod=readonly -buildvcs=false', GOTOOLCHAIN: 'local' },
  })
  if (exitCode !== 0) throw new Error(`go build failed: ${stderr.toString().slice(-2000)}`)
  return path
}
