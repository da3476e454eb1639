// relais stack export | init: the monitoring stack from the binary, and what its services need at start.
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { longestLife } from '../auth/tokens.ts'
import { randomHex } from '../core/ids.ts'
import { isCompiled } from '../inference/spawn.ts'
import { type Foundation, localContext } from '../parts.ts'
import { effectiveConfiguration } from '../stack/alertmanager.ts'
import { exportFiles, exportProgram, fromProgram } from '../stack/export.ts'
import { stackFiles } from '../stack/files.ts'
import { lockFile } from '../storage/lock.ts'
import { type Command, CommandError, type Output } from './command.ts'
import { onFolder } from './local.ts'

export const stackExport: Command = {
  name: 'stack export',
  usage: 'DIR',
  summary: 'write the compose stack, dashboards, alert rules and deployment files',
  options: { force: { type: 'boolean', help: 'overwrite files that were edited' } },
  example: 'relais stack export ./relais-stack',
  run: (args, output) => {
    const [folder] = args.words as [string]
    if (!isCompiled) {
      throw new CommandError(
        'only the binary can be exported',
        '`bun run build` makes dist/relais.',
      )
    }
    const files = { ...stackFiles, Dockerfile: fromProgram(stackFiles['Dockerfile'] ?? '') }
    const { written, same, edited } = exportFiles(folder, files, args.flag('force'))
    if (edited.length > 0) {
      const list = edited.map((path) => `  ${path}`).join('\n')
      throw new CommandError(
        `files in ${folder} were edited, nothing is written:\n${list}`,
        'Move them away, or pass --force to lose the changes.',
      )
    }
    exportProgram(folder, process.execPath)
    output.line(
      `wrote ${written.length} files and the binary to ${folder}, ${same.length} were there`,
    )
    output.note(`Next: cd ${join(folder, 'compose')} && docker compose up -d --build`)
    output.note('Then: docker compose exec grafana cat /run/relais/admin_password')
    output.note('      is the password of `admin` at http://localhost:3000')
    output.note(`Other ways to run it: ${join(folder, 'deploy')}`)
    return Promise.resolve(0)
  },
}

/** Makes a file that other users may read: its folder is mounted only where it is needed. */
function share(folder: string, name: string, text: string): void {
  // Whatever the umask is: others read it by users of their own.
  mkdirSync(folder, { recursive: true })
  chmodSync(folder, 0o755)
  const temporary = join(folder, `.${name}.${process.pid}`)
  writeFileSync(temporary, text, { flush: true })
  chmodSync(temporary, 0o444)
  renameSync(temporary, join(folder, name))
}

const read = (path: string): string => {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    return ''
  }
}

/** Is the file filled? Notes, once, those that are there and cannot be read. */
function secretReader(output: Output): (path: string) => boolean {
  const unreadable = new Set<string>()
  return (path) => {
    try {
      return readFileSync(path, 'utf8').trim() !== ''
    } catch (error) {
      const isThere = (error as { code?: string }).code !== 'ENOENT'
      if (isThere && !unreadable.has(path)) {
        output.note(`relais: cannot read ${path}; other users must be able to: chmod 644`)
      }
      unreadable.add(path)
      return false
    }
  }
}

function works({ tokens }: Foundation, token: string): Promise<boolean> {
  return tokens.verify(token).then(
    () => true,
    () => false,
  )
}

/** Does a server run on that folder? */
function isServed(data: string): boolean {
  if (!existsSync(join(data, 'lock'))) return false
  const unlock = lockFile(join(data, 'lock'))
  unlock?.()
  return unlock === null
}

/** The token that Prometheus shows at /metrics. One that still works stays. */
async function metricsToken(data: string, folder: string): Promise<string> {
  const present = read(join(folder, 'metrics_token'))
  // The server may be older than this program, which would move its database on under its feet.
  if (present !== '' && isServed(data)) return 'kept'
  const made = await onFolder(data, async (foundation) => {
    if (present !== '' && (await works(foundation, present))) return null
    const wanted = { sub: 'prometheus', role: 'viewer' as const, models: null, ttl: longestLife }
    return foundation.tokens.issue(localContext(), wanted)
  })
  if (made === null) return 'kept'
  share(folder, 'metrics_token', made.token)
  return 'made'
}

/** Grafana takes it at its own first start only, so it never changes. */
function grafanaPassword(folder: string): string {
  if (existsSync(join(folder, 'admin_password'))) return 'kept'
  share(folder, 'admin_password', randomHex(16))
  return 'made'
}

export const stackInit: Command = {
  name: 'stack init',
  usage: '',
  summary: 'make what the services of the compose stack need; again and again does no harm',
  options: {
    data: {
      type: 'string',
      value: 'DIR',
      help: 'data folder of the server [/var/lib/relais/data]',
    },
    share: {
      type: 'string',
      value: 'DIR',
      help: 'where prometheus/, alertmanager/ and grafana/ get theirs [/var/lib/relais/share]',
    },
    alertmanager: {
      type: 'string',
      value: 'FILE',
      help: "Alertmanager's configuration, edited by you",
    },
  },
  example:
    'relais stack init --data ./relais-data --share ./share --alertmanager ./alertmanager.yml',
  run: async (args, output) => {
    const data = args.text('data') ?? '/var/lib/relais/data'
    const shared = args.text('share') ?? '/var/lib/relais/share'
    const source = args.text('alertmanager')
    output.line(`grafana password: ${grafanaPassword(join(shared, 'grafana'))}`)
    output.line(`metrics token: ${await metricsToken(data, join(shared, 'prometheus'))}`)
    // An empty volume would take over the folder of the other image, and its owner.
    share(join(shared, 'alloy'), '.relais', '')
    if (source === undefined) return 0
    try {
      const text = readFileSync(source, 'utf8')
      const made = effectiveConfiguration(text, secretReader(output))
      share(join(shared, 'alertmanager'), 'alertmanager.yml', made.text)
      output.line(`alerts go to: ${made.on.join(', ') || 'nobody yet'}`)
      if (made.off.length > 0) output.line(`off, their secret is empty: ${made.off.join(', ')}`)
    } catch (error) {
      throw new CommandError(
        `${source}: ${(error as Error).message}`,
        'Correct it, then run again.',
      )
    }
    return 0
  },
}
