// Writes the stack to a folder and remembers what it wrote, so that edits are told from older versions.
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'

import { sha256 } from '../core/ids.ts'

/**
 * Beside the files: path → hash of what was last written there. It is JSON, but Grafana would take a file
 * that says so for a dashboard.
 */
const record = '.relais-export'

/** Compose mounts them, so they must be there; who fills one owns it. */
const placeholders = ['compose/secrets/pagerduty_routing_key', 'compose/secrets/slack_webhook_url']

export interface Exported {
  written: string[]
  /** Equal already. */
  same: string[]
  /** Edited since they were written; nothing at all is written while there are some. */
  edited: string[]
}

type Hashes = Record<string, string>

function readRecord(folder: string): Hashes {
  try {
    return JSON.parse(readFileSync(join(folder, record), 'utf8')) as Hashes
  } catch {
    return {}
  }
}

const hashOf = (path: string): string | null =>
  existsSync(path) ? sha256(readFileSync(path)) : null

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true })
  const temporary = `${path}.${process.pid}.part`
  writeFileSync(temporary, text)
  renameSync(temporary, path)
}

/** Writes files by path below the folder. With `force` edited ones are overwritten. */
export function exportFiles(
  folder: string,
  files: Readonly<Record<string, string>>,
  force: boolean,
): Exported {
  const before = readRecord(folder)
  const result: Exported = { written: [], same: [], edited: [] }
  for (const [path, text] of Object.entries(files)) {
    const found = hashOf(join(folder, path))
    if (found === sha256(text)) result.same.push(path)
    else if (found === null || found === before[path] || force) result.written.push(path)
    else result.edited.push(path)
  }
  if (result.edited.length > 0) return { ...result, written: [] }
  for (const path of result.written) write(join(folder, path), files[path] ?? '')
  for (const path of 'compose/compose.yml' in files ? placeholders : []) {
    if (!existsSync(join(folder, path))) write(join(folder, path), '')
  }
  const hashes = Object.entries(files).map(([path, text]) => [path, sha256(text)])
  const all = { ...before, ...Object.fromEntries(hashes) }
  write(join(folder, record), `${JSON.stringify(all, null, 2)}\n`)
  return result
}

/** Puts a program into the folder, in one step: the one there may be running. */
export function exportProgram(folder: string, program: string): void {
  const path = join(folder, 'relais')
  const temporary = `${path}.${process.pid}.part`
  mkdirSync(folder, { recursive: true })
  copyFileSync(program, temporary)
  chmodSync(temporary, 0o755)
  renameSync(temporary, path)
}

/** The same image from the program beside it: there are no sources here. */
export function fromProgram(dockerfile: string): string {
  const stages = dockerfile.split(/^(?=FROM )/m)
  const at = stages.findIndex((stage) => /^FROM \S+ AS binary$/m.test(stage))
  if (at < 0) throw new Error('the Dockerfile has no stage that makes the binary')
  const [, comment = ''] = /\n((?:#.*\n)*)$/.exec(stages[at] ?? '') ?? []
  return stages.with(at, `FROM scratch AS binary\nCOPY relais /relais\n\n${comment}`).join('')
}
