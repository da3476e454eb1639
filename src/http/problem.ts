// Faults as RFC 9457 problem documents.
import { Fault, type Flaw, problemOf } from '../core/fault.ts'

/** Headers that go with a fault whatever shape a door gives its body. */
export function faultHeaders(fault: Fault): Record<string, string> {
  const headers: Record<string, string> = {}
  if (fault.retryAfter !== undefined) headers['retry-after'] = String(Math.ceil(fault.retryAfter))
  const { allow } = fault.members ?? {}
  if (Array.isArray(allow)) headers.allow = allow.join(', ')
  // RFC 6750 §3.1: no error code when no token was sent.
  const challenge = fault.code === 'auth.missing' ? 'Bearer' : 'Bearer error="invalid_token"'
  if (fault.status === 401) headers['www-authenticate'] = challenge
  if (fault.code === 'service.draining') headers.connection = 'close'
  return headers
}

export function problemResponse(
  fault: Fault,
  requestId: string,
  members: Record<string, unknown> = {},
): Response {
  const body = JSON.stringify({ ...problemOf(fault, requestId), ...members })
  const headers = { 'content-type': 'application/problem+json', ...faultHeaders(fault) }
  return new Response(body, { status: fault.status, headers })
}

/** Parts of Elysia's validation error that are used. */
interface ElysiaValidation {
  type: string
  all: readonly Misfit[]
}

interface Choice {
  const?: unknown
  type?: string
  minimum?: number
  maximum?: number
}

interface Misfit {
  path?: string
  message?: string
  schema?: { anyOf?: readonly Choice[] }
}

/** What was expected; where only some words or numbers will do, those. */
function expectation({ message, schema }: Misfit): string {
  const choices = schema?.anyOf ?? []
  const words = choices.map((choice) => choice.const)
  if (words.length > 0 && words.every((word) => typeof word === 'string')) {
    return `one of ${words.join(', ')}`
  }
  // Elysia takes whole numbers as text, too: the second choice is the number itself.
  const number = choices.find(({ type }) => type === 'integer')
  if (!number) return message ?? 'does not fit the schema'
  const { minimum, maximum } = number
  const least = minimum === undefined ? '' : ` of at least ${minimum}`
  return `a whole number${least}${maximum === undefined ? '' : `, at most ${maximum}`}`
}

function flawsOf(error: ElysiaValidation): Flaw[] {
  const where = error.type === 'body' ? '' : `/${error.type}`
  const flaws = error.all.slice(0, 50).map((item) => ({
    pointer: `${where}${item.path ?? ''}`,
    code: 'schema',
    message: expectation(item),
  }))
  return flaws.length > 0 ? flaws : [{ pointer: where, code: 'schema', message: 'not accepted' }]
}

/** What Elysia throws, as faults. Its own texts repeat the submitted body, so none of them is used. */
export function elysiaFault(code: string | number, error: unknown): Fault | null {
  switch (code) {
    case 'VALIDATION': {
      const errors = flawsOf(error as ElysiaValidation)
      return new Fault('request.invalid', 'See errors for each place that is wrong.', { errors })
    }
    case 'PARSE':
      if ((error as Error).cause instanceof Fault) return (error as Error).cause as Fault
      return new Fault('request.malformed', 'The body is not valid JSON.')
    case 'NOT_FOUND':
      return new Fault('route.not-found', 'See /docs for the routes there are.')
    default:
      return null
  }
}
