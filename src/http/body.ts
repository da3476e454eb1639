// Bodies of the native API: JSON of bounded depth, and nothing else.
import { Elysia } from 'elysia'

import { Fault } from '../core/fault.ts'
import { demandShallow } from './json.ts'
import { demandPlain, exchangeOf, readBody } from './request.ts'

const jsonType = /^application\/([\w.-]+\+)?json *(;|$)/i
const isJson = (request: Request): boolean =>
  jsonType.test(request.headers.get('content-type') ?? '')

/** Refuses bodies of other types; called once the caller is known to have the right. */
export function demandJson(request: Request): void {
  const { method, headers } = request
  const empty = !(Number(headers.get('content-length')) > 0) && !headers.has('transfer-encoding')
  if (method === 'GET' || isJson(request) || (empty && !headers.has('content-type'))) return
  throw new Fault('request.media-type', 'Send JSON, with Content-Type: application/json.')
}

/**
 * Reads bodies in place of Elysia, which would also take forms and plain text, and whose validation
 * takes time quadratic in the depth of what it refuses. `most`: longest body in bytes.
 */
export function jsonBodies(most: number) {
  return new Elysia({ name: 'json-bodies' }).onParse(
    { as: 'global' },
    async ({ request, route }) => {
      // A body that cannot be read is refused before the guard would say whose it is.
      exchangeOf(request).route = route
      // Of another type or none: left unread, and refused behind the guard unless it is empty.
      if (!isJson(request)) return {}
      demandPlain(request)
      const bytes = await readBody(request, most)
      // Clients that name the type on every request send it with an empty DELETE, too.
      if (bytes.byteLength === 0) return {}
      demandShallow(bytes)
      return JSON.parse(new TextDecoder().decode(bytes)) as unknown
    },
  )
}
