// Paths of the protocol: one table that dispatches, documents and says which verb goes where.
import { decodeSegment, rememberPaths } from '../core/path.ts'
import type { RouteClass } from '../http/request.ts'

export type Verb =
  | 'server'
  | 'live'
  | 'ready'
  | 'models'
  | 'all-statistics'
  | 'metadata'
  | 'model-ready'
  | 'config'
  | 'statistics'
  | 'infer'
  | 'index'
  | 'load'
  | 'unload'
  | 'other-repository'

export interface Endpoint {
  verb: Verb
  method: 'GET' | 'POST'
  path: string
  class: RouteClass
}

const get = (path: string, verb: Verb, routeClass: RouteClass = 'registry'): Endpoint => ({
  verb,
  method: 'GET',
  path,
  class: routeClass,
})
const post = (path: string, verb: Verb, routeClass: RouteClass = 'registry'): Endpoint => ({
  ...get(path, verb, routeClass),
  method: 'POST',
})

/** The first that fits wins: `/v2/models/stats` is no model. */
export const endpoints: readonly Endpoint[] = [
  get('/v2', 'server'),
  get('/v2/', 'server'),
  get('/v2/health/live', 'live', 'health'),
  get('/v2/health/ready', 'ready', 'health'),
  get('/v2/models', 'models'),
  get('/v2/models/stats', 'all-statistics'),
  ...['/v2/models/{model}', '/v2/models/{model}/versions/{version}'].flatMap((model) => [
    get(model, 'metadata'),
    get(`${model}/ready`, 'model-ready', 'health'),
    get(`${model}/config`, 'config'),
    get(`${model}/stats`, 'statistics'),
    post(`${model}/infer`, 'infer', 'predict'),
  ]),
  post('/v2/repository/index', 'index'),
  post('/v2/repository/models/{model}/load', 'load'),
  post('/v2/repository/models/{model}/unload', 'unload'),
  post('/v2/repository/{repository}/index', 'other-repository'),
  post('/v2/repository/{repository}/models/{model}/load', 'other-repository'),
  post('/v2/repository/{repository}/models/{model}/unload', 'other-repository'),
]

export interface Target {
  endpoint: Endpoint
  /** Empty where the path names none. */
  model: string
  /** Version number, stage or alias; undefined is Production. */
  reference: string | undefined
}

const patterns = endpoints.map((endpoint) => ({ endpoint, parts: endpoint.path.split('/') }))

/** Values of the placeholders when a path fits, else null. */
function placesOf(
  pattern: readonly string[],
  parts: readonly string[],
): Map<string, string> | null {
  if (pattern.length !== parts.length) return null
  const places = new Map<string, string>()
  for (const [at, wanted] of pattern.entries()) {
    const part = parts[at] as string
    if (wanted.startsWith('{') && part !== '') places.set(wanted, part)
    else if (wanted !== part) return null
  }
  return places
}

function parseTarget(path: string): Target | null {
  const parts = path.split('/')
  for (const { endpoint, parts: pattern } of patterns) {
    const places = placesOf(pattern, parts)
    if (!places) continue
    const version = places.get('{version}')
    return {
      endpoint,
      model: decodeSegment(places.get('{model}') ?? ''),
      reference: version === undefined ? undefined : decodeSegment(version),
    }
  }
  return null
}

export const targetOf = rememberPaths(parseTarget)
