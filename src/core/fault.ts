// The catalogue of every error a user can meet: one code, one status, one title each.

/** code → [HTTP status, title]. Codes are stable: clients may switch on them. */
export const faults = {
  'request.malformed': [400, 'The request cannot be read'],
  'request.page-token': [400, 'The page token is not one of ours'],
  'auth.missing': [401, 'A bearer token is required'],
  'auth.invalid': [401, 'The bearer token is not valid'],
  'auth.expired': [401, 'The bearer token has expired'],
  'auth.revoked': [401, 'The bearer token was revoked'],
  'access.denied': [403, 'The token does not grant this'],
  'route.not-found': [404, 'No such route'],
  'model.not-found': [404, 'Registered model not found'],
  'version.not-found': [404, 'Model version not found'],
  'alias.not-found': [404, 'Alias not found'],
  'experiment.not-found': [404, 'Experiment not found'],
  'run.not-found': [404, 'Run not found'],
  'logged-model.not-found': [404, 'Logged model not found'],
  'tag.not-found': [404, 'Tag not found'],
  'token.not-found': [404, 'Token not found'],
  'dashboard.not-found': [404, 'No such dashboard'],
  'artifact.not-found': [404, 'No such artifact'],
  'stage.empty': [404, 'The stage has no version'],
  'request.method': [405, 'Method not allowed'],
  'model.exists': [409, 'A registered model of that name exists'],
  'experiment.exists': [409, 'An experiment of that name exists'],
  'version.live': [409, 'The version is live'],
  'version.failed': [409, 'The version failed its trial'],
  'version.quarantined': [409, 'The version is quarantined'],
  'version.not-servable': [409, 'The version holds no ONNX model'],
  'version.not-deleted': [409, 'Nothing to restore'],
  'import.conflict': [409, 'Something else has that id already'],
  'source.changed': [409, 'The files of the source changed meanwhile'],
  'stage.conflict': [409, 'The stage changed meanwhile'],
  'rollback.nothing-earlier': [409, 'No earlier live version is left'],
  'idempotency.mismatch': [409, 'The idempotency key was used for another request'],
  'alias.reserved': [409, 'The alias is reserved'],
  'precondition.failed': [412, 'The If-Match precondition failed'],
  'request.too-large': [413, 'The request body is too large'],
  'request.media-type': [415, 'The content type is not supported'],
  'request.invalid': [422, 'The request does not fit its schema'],
  'input.invalid': [422, 'The input does not fit the model'],
  'name.invalid': [422, 'The name is not allowed'],
  'source.invalid': [422, 'Versions cannot be registered from that source'],
  'schema.invalid': [422, 'The feature schema is not valid'],
  'model.not-onnx': [422, 'The file is not an ONNX model'],
  'model.external-data': [422, 'The model refers to data outside its file'],
  'model.unknown-domain': [422, 'The model uses operators that are not built in'],
  'model.unsupported': [422, 'The model has inputs or outputs that cannot be served'],
  'inference.failed': [422, 'The model refused this input'],
  'inference.poison-request': [500, 'This request crashes the model'],
  internal: [500, 'Something went wrong on our side'],
  'request.unsupported': [501, 'This part of the protocol is not served'],
  'service.starting': [503, 'The server is still starting'],
  'service.draining': [503, 'The server is shutting down'],
  'model.loading': [503, 'The model is still loading'],
  'model.unavailable': [503, 'The model cannot be served at the moment'],
  'engine.memory': [503, 'No memory is left for another model'],
  'engine.busy': [503, 'Too many requests are waiting'],
  'engine.lost': [503, 'The engine was lost while it worked'],
  'inference.deadline': [504, 'The model did not answer in time'],
  'storage.full': [507, 'The disk is full'],
} as const satisfies Record<string, readonly [number, string]>

export type FaultCode = keyof typeof faults

/** One place in the input that is wrong: a JSON pointer, a stable code, a sentence. */
export interface Flaw {
  pointer: string
  code: string
  message: string
}

export interface FaultOptions {
  /** Every place that is wrong, at most 50. */
  errors?: Flaw[]
  /** Seconds after which a retry makes sense. */
  retryAfter?: number
  /** Further members of the problem document; safe to show. */
  members?: Record<string, unknown>
  /** What really happened: logged, never shown. */
  cause?: unknown
}

/** An error whose text may be shown to the caller. Anything else that is thrown is `internal`. */
export class Fault extends Error {
  readonly code: FaultCode
  readonly status: number
  readonly title: string
  readonly errors: Flaw[] | undefined
  readonly retryAfter: number | undefined
  readonly members: Record<string, unknown> | undefined

  constructor(code: FaultCode, detail: string, options: FaultOptions = {}) {
    super(detail, { cause: options.cause })
    const [status, title] = faults[code]
    this.name = 'Fault'
    this.code = code
    this.status = status
    this.title = title
    this.errors = options.errors
    // A 503 without Retry-After leaves clients guessing, so there is always one.
    this.retryAfter = options.retryAfter ?? (status === 503 ? 1 : undefined)
    this.members = options.members
  }
}

/** The members of an RFC 9457 problem document for a fault. */
export function problemOf(fault: Fault, requestId: string): Record<string, unknown> {
  return {
    type: `urn:relais:fault:${fault.code}`,
    title: fault.title,
    status: fault.status,
    code: fault.code,
    detail: fault.message,
    instance: requestId,
    ...(fault.errors ? { errors: fault.errors.slice(0, 50) } : {}),
    ...fault.members,
  }
}

/** Any thrown value as a fault; what is not ours becomes `internal` with the cause kept for the log. */
export function toFault(thrown: unknown): Fault {
  if (thrown instanceof Fault) return thrown
  const code = (thrown as { code?: unknown } | null)?.code
  if (code === 'SQLITE_FULL' || code === 'ENOSPC') {
    return new Fault('storage.full', 'Free some space and try again; nothing was changed.', {
      cause: thrown,
    })
  }
  return new Fault('internal', 'The request id leads to the log entry with the cause.', {
    cause: thrown,
  })
}

/** `setting`: the one that sets the limit, for whoever may change it. */
export function tooLarge(most: number, setting?: string): Fault {
  const origin = setting === undefined ? '' : ` (setting ${setting})`
  return new Fault('request.too-large', `At most ${most} bytes are accepted here${origin}.`)
}
