// relais token create | revoke | list, relais keys rotate.
import { existsSync } from 'node:fs'
import { join } from 'node:path'

import { parseDuration } from '../config.ts'
import { type Role, roles } from '../core/principal.ts'
import { localContext } from '../parts.ts'
import { clientOf } from './client.ts'
import { clientOptions, type Command, CommandError, print, table, UsageError } from './command.ts'
import { onFolder } from './local.ts'

interface Wanted {
  sub: string
  role: Role
  models: string[] | null
  ttl: number
}

/** Works on the folder itself, also beside a running server. */
function createLocally(data: string, wanted: Wanted): Promise<string> {
  if (!existsSync(join(data, 'relais.db'))) {
    throw new CommandError(
      `${data} holds no relais data`,
      'Start `relais serve --data` there once.',
    )
  }
  return onFolder(data, async ({ tokens }) => (await tokens.issue(localContext(), wanted)).token)
}

export const tokenCreate: Command = {
  name: 'token create',
  usage: '',
  needs: '--sub NAME --role ROLE',
  summary: 'create a token and print it',
  options: {
    ...clientOptions,
    sub: { type: 'string', value: 'NAME', help: 'who the token stands for' },
    role: { type: 'string', value: 'ROLE', help: roles.join(', ') },
    models: { type: 'string', value: 'GLOBS', help: "only these models, e.g. 'iris,churn-*'" },
    ttl: { type: 'string', value: 'TIME', help: 'life of the token, e.g. 12h or 365d [12h]' },
    data: { type: 'string', value: 'DIR', help: 'work on this data folder instead of a server' },
  },
  example: "relais token create --sub alice --role data-scientist --models 'iris,churn-*'",
  run: async (args, output, env) => {
    const sub = args.text('sub')
    const role = args.text('role') as Role | undefined
    if (sub === undefined || role === undefined)
      throw new UsageError('--sub and --role are required')
    if (!roles.includes(role)) throw new UsageError(`--role is one of ${roles.join(', ')}`)
    const models =
      args
        .text('models')
        ?.split(',')
        .map((glob) => glob.trim()) ?? null
    let ttl: number
    try {
      ttl = parseDuration(args.text('ttl') ?? '12h')
    } catch (error) {
      throw new UsageError(`--ttl: ${(error as Error).message}`)
    }
    const data = args.text('data')
    if (data !== undefined) {
      output.line(await createLocally(data, { sub, role, models, ttl }))
      return 0
    }
    const body = { sub, role, ttl_seconds: ttl / 1000, ...(models ? { models } : {}) }
    const made = await clientOf(args, env).json<{ token: string }>('POST', '/api/v1/tokens', body)
    print(args, output, made, () => [made.token])
    return 0
  },
}

export const tokenRevoke: Command = {
  name: 'token revoke',
  usage: 'JTI',
  summary: 'revoke a token by its id',
  options: clientOptions,
  example: 'relais token revoke 0193a1c2-7f00-7000-8000-000000000000',
  run: async (args, output, env) => {
    const [jti] = args.words as [string]
    const path = `/api/v1/tokens/${encodeURIComponent(jti)}`
    const gone = await clientOf(args, env).json<{ sub: string }>('DELETE', path)
    print(args, output, gone, () => [`revoked the token of ${gone.sub}`])
    return 0
  },
}

interface TokenView {
  jti: string
  sub: string
  role: string
  models: string[] | null
  expires_at: string
  revoked_at: string | null
}

export const tokenList: Command = {
  name: 'token list',
  usage: '',
  summary: 'list tokens, newest first',
  options: clientOptions,
  example: 'relais token list',
  run: async (args, output, env) => {
    const path = '/api/v1/tokens?limit=100'
    const answer = await clientOf(args, env).json<{ tokens: TokenView[] }>('GET', path)
    print(args, output, answer, () => {
      const rows = answer.tokens.map((token) => [
        token.jti,
        token.sub,
        token.role,
        token.models?.join(',') ?? 'all',
        token.revoked_at === null ? token.expires_at : 'revoked',
      ])
      return table(['JTI', 'SUB', 'ROLE', 'MODELS', 'EXPIRES'], rows)
    })
    return 0
  },
}

export const keysRotate: Command = {
  name: 'keys rotate',
  usage: '',
  summary: 'make a new signing key; earlier tokens stay valid unless retired',
  options: {
    ...clientOptions,
    'retire-old': {
      type: 'boolean',
      help: 'make every earlier token worthless; a new admin.token is written',
    },
  },
  example: 'relais keys rotate',
  run: async (args, output, env) => {
    const body = { retire_old: args.flag('retire-old') }
    const made = await clientOf(args, env).json<{ kid: string }>(
      'POST',
      '/api/v1/keys/rotate',
      body,
    )
    print(args, output, made, () => [`signing with key ${made.kid}`])
    return 0
  },
}
