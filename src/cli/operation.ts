// relais audit, doctor, backup, restore, version.
import { existsSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'

import { NewerSchemaError } from '../db/migrate.ts'
import type { Finding } from '../upkeep/doctor.ts'
import { restore as unpack, RestoreError } from '../upkeep/restore.ts'
import { commit, version as binaryVersion } from '../version.ts'
import { clientOf } from './client.ts'
import {
  clientOptions,
  type Command,
  CommandError,
  type Output,
  print,
  table,
  UsageError,
} from './command.ts'
import { giveToOwner } from './owner.ts'

interface Entry {
  seq: number
  at: string
  actor: string
  action: string
  object: string
  outcome: string
  count: number
}

interface Verdict {
  valid: boolean
  entries: number
  problem?: string
}

export const audit: Command = {
  name: 'audit',
  usage: '',
  summary: 'show the audit trail, or check it',
  options: {
    ...clientOptions,
    verify: { type: 'boolean', help: 'check every entry of the chain' },
  },
  example: 'relais audit --verify',
  run: async (args, output, env) => {
    const client = clientOf(args, env)
    if (args.flag('verify')) {
      const verdict = await client.json<Verdict>('GET', '/api/v1/audit/verify')
      const { valid, entries, problem } = verdict
      const text = valid ? `the chain of ${entries} entries is whole` : `BROKEN: ${problem}`
      print(args, output, verdict, () => [text])
      return verdict.valid ? 0 : 1
    }
    const page = await client.json<{ entries: Entry[] }>('GET', '/api/v1/audit?limit=100')
    print(args, output, page, () => {
      const rows = page.entries.map((entry) => [
        entry.seq,
        entry.at.slice(0, 19),
        entry.actor,
        entry.action,
        entry.object,
        entry.count > 1 ? `${entry.outcome} x${entry.count}` : entry.outcome,
      ])
      const headings = ['SEQ', 'AT', 'ACTOR', 'ACTION', 'OBJECT', 'OUTCOME']
      return table(headings, rows)
    })
    return 0
  },
}

export const doctor: Command = {
  name: 'doctor',
  usage: '',
  summary: 'check a server: artifacts, modes, disk, audit chain, models',
  options: clientOptions,
  example: 'relais doctor',
  run: async (args, output, env) => {
    output.progress('checking; every artifact is read')
    const client = clientOf(args, env)
    const report = await client.json<{ ok: boolean; findings: Finding[] }>('GET', '/api/v1/doctor')
    output.progress('')
    print(args, output, report, () => {
      const rows = report.findings.map(({ check, ok, detail }) => [
        ok ? 'ok' : 'FAIL',
        check,
        detail,
      ])
      return table(['', 'CHECK', 'DETAIL'], rows)
    })
    return report.ok ? 0 : 1
  },
}

/** Writes an answer to a file that appears only when it is whole. Returns its size in bytes. */
async function save(response: Response, file: string, output: Output): Promise<number> {
  const temporary = `${file}.${process.pid}.part`
  let bytes = 0
  try {
    // The archive holds the signing keys: only its owner may read it.
    const sink = await open(temporary, 'wx', 0o600)
    try {
      for await (const chunk of response.body ?? []) {
        bytes += chunk.byteLength
        output.progress(`${(bytes / 1048576).toFixed(0)} MB`)
        await sink.writeFile(chunk)
      }
      await sink.sync()
    } finally {
      await sink.close()
    }
    await rename(temporary, file)
    return bytes
  } catch (error) {
    await rm(temporary, { force: true })
    throw new CommandError(
      `the backup was not completed: ${(error as Error).message}`,
      'Is there room for it? `relais doctor` tells of damaged artifacts.',
    )
  }
}

export const backup: Command = {
  name: 'backup',
  usage: 'FILE',
  summary: 'save everything a server holds, keys included, to a file',
  options: clientOptions,
  example: 'relais backup relais-2026-11-23.tar',
  run: async (args, output, env) => {
    const [file] = args.words as [string]
    if (existsSync(file)) throw new CommandError(`${file} exists already`, 'Choose another name.')
    const response = await clientOf(args, env).call('GET', '/api/v1/backup')
    const bytes = await save(response, file, output)
    output.progress('')
    print(args, output, { file, bytes }, () => [`saved ${bytes} bytes to ${file}`])
    return 0
  },
}

export const restore: Command = {
  name: 'restore',
  usage: 'FILE',
  needs: '--data DIR',
  summary: 'unpack a backup into a new data folder',
  options: {
    data: { type: 'string', value: 'DIR', help: 'folder that does not exist or is empty' },
    json: { type: 'boolean', help: 'print the result as JSON' },
  },
  example: 'relais restore relais-2026-11-23.tar --data ./restored',
  run: async (args, output) => {
    const [file] = args.words as [string]
    const data = args.text('data')
    if (data === undefined) throw new UsageError('--data is required')
    if (!existsSync(file)) throw new CommandError(`there is no file ${file}`)
    try {
      process.umask(0o077)
      const done = await unpack(file, data)
      giveToOwner(data)
      const text = `restored ${done.models} models, ${done.versions} versions, ${done.artifacts} artifacts`
      print(args, output, done, () => [text])
      return 0
    } catch (error) {
      if (error instanceof RestoreError || error instanceof NewerSchemaError) {
        throw new CommandError(error.message)
      }
      throw new CommandError(`${file} is no readable backup: ${(error as Error).message}`)
    }
  },
}

export const version: Command = {
  name: 'version',
  usage: '',
  summary: 'print the version of this binary',
  options: { json: { type: 'boolean', help: 'print as JSON' } },
  example: 'relais version',
  run: (args, output) => {
    const what = { version: binaryVersion, commit, runtime: `bun ${Bun.version}` }
    const text = `relais ${what.version} (${what.commit}, ${what.runtime})`
    print(args, output, what, () => [text])
    return Promise.resolve(0)
  },
}
