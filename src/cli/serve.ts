// relais serve: runs the server until it is told to stop.
import { existsSync } from 'node:fs'

import { AlreadyRunningError, createApp } from '../app.ts'
import { ConfigError, envName, loadConfig, settings } from '../config.ts'
import { NewerSchemaError } from '../db/migrate.ts'
import { type Command, CommandError, type Option, UsageError } from './command.ts'

const options: Record<string, Option> = Object.fromEntries(
  Object.entries(settings).map(([name, { kind, fallback, help }]): [string, Option] => {
    const initial = fallback === '' ? '' : ` [${fallback}]`
    const text = `${help}${initial} (${envName(name)})`
    if (kind === 'flag') return [name, { type: 'boolean', help: text }]
    return [name, { type: 'string', value: kind.toUpperCase(), help: text }]
  }),
)

function config(args: Parameters<Command['run']>[0], env: Parameters<Command['run']>[2]) {
  const flags = Object.fromEntries(
    Object.entries(settings).map(([name, { kind }]) => [
      name,
      kind === 'flag' ? args.flag(name) || undefined : args.text(name),
    ]),
  )
  try {
    return loadConfig(flags, env)
  } catch (error) {
    if (error instanceof ConfigError) throw new UsageError(error.message)
    throw error
  }
}

/** Resolves with the exit code at SIGTERM or SIGINT; a second signal ends at once. */
function untilTold(stop: () => Promise<void>, fatal: Promise<number>): Promise<number> {
  const told = new Promise<number>((resolve, reject) => {
    let asked = false
    const onSignal = (): void => {
      if (asked) resolve(1)
      else stop().then(() => resolve(0), reject)
      asked = true
    }
    process.on('SIGTERM', onSignal)
    process.on('SIGINT', onSignal)
  })
  return Promise.race([told, fatal])
}

export const serve: Command = {
  name: 'serve',
  usage: '',
  summary: 'run the server',
  options,
  example: 'relais serve --data ./relais-data --port 8080',
  run: async (args, output, env) => {
    process.umask(0o077)
    const settled = config(args, env)
    const isFirst = !existsSync(settled.data)
    const fatal = Promise.withResolvers<number>()
    try {
      const app = await createApp(settled, (error) => {
        output.note(`relais: the database failed (${String(error)}); ending, restart me`)
        fatal.resolve(1)
      })
      const told = untilTold(() => app.stop(), fatal.promise)
      const url = await Promise.race([app.start(), told])
      if (typeof url === 'number') return url
      output.note(`relais: serving ${url}  docs ${url}/docs  data ${settled.data}`)
      if (isFirst) output.note(`relais: the first token is in ${settled.data}/admin.token`)
      return await told
    } catch (error) {
      if (error instanceof AlreadyRunningError) {
        throw new CommandError(error.message, 'Stop it first, or pass another --data.')
      }
      if (error instanceof ConfigError) throw new UsageError(error.message)
      if (error instanceof NewerSchemaError) throw new CommandError(error.message)
      if ((error as { code?: string }).code === 'EADDRINUSE') {
        const listen = settled['metrics-listen']
        throw listen === ''
          ? new CommandError(`port ${settled.port} is in use`, 'Pass another --port.')
          : new CommandError(
              `port ${settled.port} or ${listen} is in use`,
              'Pass another --port or --metrics-listen.',
            )
      }
      throw error
    }
  },
}
