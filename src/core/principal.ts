// Who acts, and what each role may do: the one table of rights.

export const roles = [
  'viewer',
  'predictor',
  'data-scientist',
  'ml-lead',
  'ci',
  'auditor',
  'admin',
] as const
export type Role = (typeof roles)[number]

export const rights = [
  'models:read',
  'models:predict',
  'models:create',
  'models:write',
  'models:delete',
  'versions:create',
  'stage:None',
  'stage:Staging',
  'stage:Production',
  'stage:Archived',
  'aliases:write',
  'runs:read',
  'runs:write',
  'metrics:read',
  'audit:read',
  'tokens:manage',
  'settings:manage',
] as const
export type Right = (typeof rights)[number]

const registry: Right[] = [
  'models:read',
  'models:predict',
  'models:create',
  'models:write',
  'models:delete',
  'versions:create',
  'stage:None',
  'stage:Staging',
  'stage:Archived',
  'aliases:write',
  'runs:read',
  'runs:write',
  'metrics:read',
]

/**
 * Role → rights. A data scientist holds the broad rights on models; the finer refusals (models with
 * a Production version, other authors' versions, protected aliases) are in `auth/policy.ts`.
 */
export const grants: Record<Role, ReadonlySet<Right>> = {
  viewer: new Set<Right>(['models:read', 'runs:read', 'metrics:read']),
  predictor: new Set<Right>(['models:predict']),
  'data-scientist': new Set(registry),
  'ml-lead': new Set<Right>([...registry, 'stage:Production']),
  ci: new Set<Right>([...registry, 'stage:Production']),
  auditor: new Set<Right>(['models:read', 'runs:read', 'metrics:read', 'audit:read']),
  admin: new Set(rights),
}

/** The one who acts in a request. `models` narrows the role to model-name globs; null means all. */
export interface Principal {
  sub: string
  role: Role
  jti: string
  models: readonly string[] | null
  /** Seconds since the epoch; the token is worthless from then on. */
  exp: number
}

/** The server itself, when it acts without a caller (fall-back, quarantine). */
export const system: Principal = {
  sub: 'system',
  role: 'admin',
  jti: 'system',
  models: null,
  exp: Number.POSITIVE_INFINITY,
}

/** True when `name` fits a glob in which `*` stands for any run of characters. Linear time. */
export function globMatches(glob: string, name: string): boolean {
  const parts = glob.split('*')
  const first = parts[0] ?? ''
  if (parts.length === 1) return name === glob
  if (!name.startsWith(first)) return false
  const last = parts[parts.length - 1] ?? ''
  let at = first.length
  for (const part of parts.slice(1, -1)) {
    const found = name.indexOf(part, at)
    if (found < 0) return false
    at = found + part.length
  }
  return name.length - last.length >= at && name.endsWith(last)
}

/** Rights that concern the whole server: a token narrowed to some models does not carry them. */
const wholeServer: ReadonlySet<Right> = new Set<Right>([
  'metrics:read',
  'audit:read',
  'tokens:manage',
  'settings:manage',
])

/** Does the principal hold the right, on that model if one is named? */
export function can(principal: Principal, right: Right, model?: string): boolean {
  if (!grants[principal.role].has(right)) return false
  if (principal.models === null) return true
  if (wholeServer.has(right)) return false
  if (model === undefined) return true
  return principal.models.some((glob) => globMatches(glob, model))
}
