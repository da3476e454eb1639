// MLflow's REST API: a table of endpoints, answered under both prefixes that its clients use.
import type { Access } from '../auth/policy.ts'
import { Fault } from '../core/fault.ts'
import { decodeSegment } from '../core/path.ts'
import type { Right } from '../core/principal.ts'
import { readJsonBody } from '../http/json.ts'
import type { Exchange } from '../http/request.ts'
import type { Door } from '../http/server.ts'
import { apiError } from './error.ts'
import { Fields, queryFields } from './fields.ts'

export interface Endpoint {
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  /** Below the prefix, with `{name}` for a segment: `runs/create`, `logged-models/{model_id}`. */
  path: string
  /** Asked before the body is read; the verb asks again with the model that the body names. */
  need: Right
  /** The audit's name for what is tried, on endpoints that change something. */
  action?: string
  /** Returns the members of the answer; nothing is answered as `{}`. */
  handle: (ctx: Exchange, fields: Fields, at: Record<string, string>) => Promise<object | void>
}

export const apiPrefixes = ['/api/2.0/mlflow/', '/ajax-api/2.0/mlflow/'] as const
/** Of MLflow's newer calls none is served; they are refused in words that its clients understand. */
const newerPrefixes = ['/api/3.0/mlflow/', '/ajax-api/3.0/mlflow/'] as const
const owned: readonly string[] = [...apiPrefixes, ...newerPrefixes]

interface Compiled extends Endpoint {
  segments: string[]
}

/** Values of the `{name}` segments, or null where the path is another. */
function match({ segments }: Compiled, parts: readonly string[]): Record<string, string> | null {
  if (segments.length !== parts.length) return null
  const at: Record<string, string> = {}
  for (const [index, segment] of segments.entries()) {
    const part = parts[index] as string
    if (segment.startsWith('{')) at[segment.slice(1, -1)] = decodeSegment(part)
    else if (segment !== part) return null
  }
  return at
}

async function fieldsOf({ request }: Exchange, most: number): Promise<Fields> {
  if (request.method === 'GET') return queryFields(new URL(request.url).searchParams)
  if (request.body === null || request.headers.get('content-length') === '0') return new Fields({})
  const type = (request.headers.get('content-type') ?? '').split(';')[0]?.trim().toLowerCase()
  if (type !== 'application/json') {
    throw new Fault('request.media-type', 'The Content-Type must be application/json.')
  }
  return new Fields(await readJsonBody(request, most, false))
}

export interface ApiDoorOptions {
  access: Access
  endpoints: readonly Endpoint[]
  maxBody: number
}

/** The door of the REST API. Faults have MLflow's shape and never a status that its client retries. */
export function apiDoor({ access, endpoints, maxBody }: ApiDoorOptions): Door {
  const table: Compiled[] = endpoints.map((one) => ({ ...one, segments: one.path.split('/') }))
  const prefixOf = (path: string): string | undefined =>
    apiPrefixes.find((prefix) => path.startsWith(prefix))

  const find = (exchange: Exchange): { endpoint: Compiled; at: Record<string, string> } => {
    const { path, request } = exchange
    const prefix = prefixOf(path) ?? ''
    const parts = path.slice(prefix.length).split('/')
    const allow: string[] = []
    for (const endpoint of table) {
      const at = match(endpoint, parts)
      if (at === null) continue
      exchange.route = `${prefix}${endpoint.path}`
      if (endpoint.method === request.method) return { endpoint, at }
      allow.push(endpoint.method)
    }
    if (allow.length > 0) {
      throw new Fault('request.method', `Use ${allow.join(' or ')}.`, { members: { allow } })
    }
    throw new Fault('route.not-found', `${path} is no part of MLflow's API that is served here.`)
  }

  return {
    owns: (path) => owned.some((prefix) => path.startsWith(prefix)),
    // Registering a version tries it.
    silence: 'work',
    routes: apiPrefixes.flatMap((prefix) =>
      table.map(({ method, path }) => ({
        method,
        path: `${prefix}${path}`,
        class: 'registry' as const,
      })),
    ),
    handle: async (exchange) => {
      const { endpoint, at } = find(exchange)
      await access.require(exchange, endpoint.need, undefined, endpoint.action)
      const fields = await fieldsOf(exchange, maxBody)
      return exchange.seal(JSON.stringify((await endpoint.handle(exchange, fields, at)) ?? {}))
    },
    refuse: apiError,
  }
}
