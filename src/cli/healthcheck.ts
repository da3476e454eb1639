// relais healthcheck: what a container's health check calls, since nothing else is in its image.
import { ConfigError, loadConfig } from '../config.ts'
import { type Command, CommandError, UsageError } from './command.ts'

const patience = 3000

/** Addresses that stand for all of them are asked at the loopback. */
function localUrl(env: Record<string, string | undefined>): string {
  let config: { host: string; port: number }
  try {
    config = loadConfig({}, env)
  } catch (error) {
    if (error instanceof ConfigError) throw new UsageError(error.message)
    throw error
  }
  const host = { '0.0.0.0': '127.0.0.1', '::': '[::1]' }[config.host] ?? config.host
  return `http://${host.includes(':') && !host.startsWith('[') ? `[${host}]` : host}:${config.port}`
}

export const healthcheck: Command = {
  name: 'healthcheck',
  usage: '',
  summary: 'ask the server on this machine whether it is alive',
  options: {
    ready: {
      type: 'boolean',
      help: 'ask whether it is ready: models loaded, database and storage',
    },
    url: { type: 'string', value: 'URL', help: 'server; else as RELAIS_HOST and RELAIS_PORT say' },
  },
  example: 'relais healthcheck --ready',
  run: async (args, output, env) => {
    const url = (args.text('url') ?? localUrl(env)).replace(/\/+$/, '')
    const path = args.flag('ready') ? '/health/ready' : '/health/live'
    let response: Response
    try {
      response = await fetch(`${url}${path}`, { signal: AbortSignal.timeout(patience) })
    } catch {
      throw new CommandError(
        `no answer from ${url}`,
        'Is it running? Start it with `relais serve`.',
      )
    }
    const { status } = (await response.json().catch(() => ({}))) as { status?: string }
    output.line(status ?? `status ${response.status}`)
    return response.ok ? 0 : 1
  },
}
