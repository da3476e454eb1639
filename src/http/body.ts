// Bodies of the native API: JSON of bounded depth, and nothing else.
import { Elysia } from 'elysia'

import { Fault } from '../core/fault.ts'
import { demandShallow } from '../core/json.ts'

const jsonType = /^application\/([\w.-]+\+)?json *(;|$)/i

/** Refuses bodies of other types; called once the caller is known to have the right. */
export function demandJson({ method, headers }: Request): void {
  const type = headers.get('content-type')
  if (method === 'GET' || type === null || jsonType.test(type)) return
  throw new Fault('request.media-type', 'Send JSON, with Content-Type: application/json.')
}

/**
 * Reads bodies in place of Elysia, which would also take forms and plain text, and whose validation
 * takes time quadratic in the depth of what it refuses.
 */
export function jsonBodies() {
  return new Elysia({ name: 'json-bodies' }).onParse({ as: 'global' }, async ({ request }) => {
    const type = request.headers.get('content-type')
    // Of another type: left unread, and refused behind the guard.
    if (type === null || !jsonType.test(type)) return {}
    const bytes = new Uint8Array(await request.arrayBuffer())
    demandShallow(bytes)
    return JSON.parse(new TextDecoder().decode(bytes)) as unknown
  })
}
