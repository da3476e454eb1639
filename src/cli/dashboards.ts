// relais dashboards export: dashboards and alert rules from the binary, for a monitoring that is there already.
import { exportable } from '../stack/dashboards.ts'
import { exportFiles } from '../stack/export.ts'
import { type Args, type Command, CommandError, print, table, UsageError } from './command.ts'

/** An address without the slash at its end; undefined when it was not given. */
function urlOf(args: Args, name: string): string | undefined {
  const text = args.text(name)
  if (text === undefined) return undefined
  if (!/^https?:\/\/\S+$/.test(text))
    throw new UsageError(`--${name} takes an http address, not '${text}'`)
  return text.replace(/\/+$/, '')
}

export const dashboardsExport: Command = {
  name: 'dashboards export',
  usage: 'DIR',
  summary: 'write the Grafana dashboards and Prometheus rules',
  options: {
    'grafana-url': {
      type: 'string',
      value: 'URL',
      help: 'where alerts find the dashboards [http://localhost:3000]',
    },
    'runbook-url': {
      type: 'string',
      value: 'URL',
      help: 'page with a section per alert [docs/observability.md]',
    },
    force: { type: 'boolean', help: 'overwrite files that were edited' },
    json: { type: 'boolean', help: 'print the result as JSON' },
  },
  example: 'relais dashboards export /etc/relais --grafana-url https://grafana.example.org',
  run: (args, output) => {
    const [folder] = args.words as [string]
    const files = exportable({
      grafana: urlOf(args, 'grafana-url'),
      runbooks: urlOf(args, 'runbook-url'),
    })
    const { written, edited } = exportFiles(folder, files, args.flag('force'))
    if (edited.length > 0) {
      throw new CommandError(
        `files in ${folder} were edited, nothing is written: ${edited.join(', ')}`,
        'Move them away, or pass --force to lose the changes.',
      )
    }
    const rows = Object.entries(files).map(([path, text]) => [
      path,
      Buffer.byteLength(text),
      written.includes(path) ? 'written' : 'was there',
    ])
    print(args, output, { folder, written, files: Object.keys(files) }, () =>
      table(['FILE', 'BYTES', ''], rows),
    )
    return Promise.resolve(0)
  },
}
