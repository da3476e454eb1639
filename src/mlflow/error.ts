// Faults in MLflow's shape: `{error_code, message}`, and the status that its clients expect.
import type { Fault, FaultCode } from '../core/fault.ts'
import { faultHeaders } from '../http/problem.ts'

/** Status → MLflow's code (mlflow/exceptions.py, ERROR_CODE_TO_HTTP_STATUS). */
const byStatus: Record<number, string | undefined> = {
  400: 'BAD_REQUEST',
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'RESOURCE_DOES_NOT_EXIST',
  405: 'BAD_REQUEST',
  409: 'RESOURCE_CONFLICT',
  413: 'BAD_REQUEST',
  422: 'INVALID_PARAMETER_VALUE',
  429: 'REQUEST_LIMIT_EXCEEDED',
  503: 'TEMPORARILY_UNAVAILABLE',
  504: 'DEADLINE_EXCEEDED',
}

const byCode: Partial<Record<FaultCode, string>> = {
  'route.not-found': 'ENDPOINT_NOT_FOUND',
  'inference.failed': 'BAD_REQUEST',
  'model.exists': 'RESOURCE_ALREADY_EXISTS',
  'experiment.exists': 'RESOURCE_ALREADY_EXISTS',
  'request.page-token': 'INVALID_PARAMETER_VALUE',
  'storage.full': 'RESOURCE_EXHAUSTED',
}

/** Where MLflow's status is not ours. Its client repeats 5xx and 429, so what is certain is 4xx. */
const statusByName: Record<string, number | undefined> = {
  RESOURCE_ALREADY_EXISTS: 400,
  INVALID_PARAMETER_VALUE: 400,
}

/** Flaws of single values, which MLflow meets while it casts them: it calls those BAD_REQUEST. */
const castFlaws: ReadonlySet<string> = new Set(['type', 'null', 'finite', 'range', 'string'])

function errorCode({ code, status, errors }: Fault): string {
  if (errors?.every((flaw) => castFlaws.has(flaw.code))) return 'BAD_REQUEST'
  return byCode[code] ?? byStatus[status] ?? 'INTERNAL_ERROR'
}

/** MLflow's body has no place for a list of flaws, so they go into the text. */
function messageOf({ message, errors }: Fault): string {
  if (!errors) return message
  const places = errors.map(({ pointer, message: wrong }) =>
    pointer === '' ? wrong : `${pointer}: ${wrong}`,
  )
  return `Failed to predict data. Error: ${places.join('; ')}`
}

/** The answer to a fault at the REST API: registry, tracking and artifacts. */
export function apiError(fault: Fault): Response {
  const headers = { ...faultHeaders(fault), 'content-type': 'application/json' }
  const { code, status, message } = fault
  const name = byCode[code] ?? byStatus[status] ?? 'INTERNAL_ERROR'
  const body = JSON.stringify({ error_code: name, message })
  return new Response(body, { status: statusByName[name] ?? status, headers })
}

/** The answer to a fault at the scoring door. 422 is 400 there; types are refused as plain text. */
export function errorResponse(fault: Fault): Response {
  const headers = faultHeaders(fault)
  if (fault.status === 415) {
    headers['content-type'] = 'text/plain; charset=utf-8'
    return new Response(fault.message, { status: 415, headers })
  }
  headers['content-type'] = 'application/json'
  const body = { error_code: errorCode(fault), message: messageOf(fault) }
  return new Response(JSON.stringify(body), {
    status: fault.status === 422 ? 400 : fault.status,
    headers,
  })
}
