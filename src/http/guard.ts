// Who may pass: the list of public paths, and the guard every other route declares.
import { Elysia } from 'elysia'

import type { Context } from '../core/context.ts'
import { Fault } from '../core/fault.ts'
import type { Right } from '../core/principal.ts'
import { demandJson } from './body.ts'
import { exchangeOf, type RouteClass } from './request.ts'

const publicExact: ReadonlySet<string> = new Set([
  '/',
  '/version',
  '/ping',
  '/.well-known/jwks.json',
])

const probes: ReadonlySet<string> = new Set(['/health', '/v2/health/live', '/v2/health/ready'])

/** Paths that tell how the server is. */
const isProbe = (path: string): boolean => probes.has(path) || path.startsWith('/health/')

/** Paths that are answered while the server shuts down: who stops in peace is not down. */
export const answersToTheEnd = (path: string): boolean => path === '/metrics' || isProbe(path)

/** Paths that need no token. Everything else does, known or unknown. */
export function isPublic(path: string): boolean {
  return publicExact.has(path) || isProbe(path) || path === '/docs' || path.startsWith('/docs/')
}

const badPath = (): Fault =>
  new Fault('request.malformed', 'The path is not properly percent-encoded.')

type Require = (ctx: Context, right: Right, model?: string, action?: string) => Promise<void>

export interface Need {
  /** `self`: any valid token will do. */
  right: Right | 'self'
  /** Set on routes that change something: the audit entry of a refusal. */
  action?: string
  class?: RouteClass
}

/**
 * `need: {right}` on a route checks the right before the body is validated, so that a refused caller
 * learns nothing of the schema (of Elysia's hooks only a macro's `transform` runs that early).
 * `open: 'health'` marks a public route.
 */
export function guard(require: Require) {
  return new Elysia({ name: 'guard' }).macro({
    need: (need: Need) => ({
      detail: { security: [{ bearer: [] }] },
      async transform({ request, route, params }) {
        const exchange = exchangeOf(request)
        exchange.route = route
        exchange.routeClass = need.class ?? 'registry'
        const named = (params ?? {}) as Record<string, unknown>
        // Elysia gives null for what it cannot decode.
        if (Object.values(named).includes(null)) throw badPath()
        const { model } = named as { model?: string }
        if (need.right !== 'self') await require(exchange, need.right, model, need.action)
        // What streams looks at the type of its body itself.
        if (need.class !== 'stream') demandJson(request)
      },
    }),
    open: (routeClass: RouteClass) => ({
      transform({ request, route }) {
        const exchange = exchangeOf(request)
        exchange.route = route
        exchange.routeClass = routeClass
      },
    }),
  })
}

export type Guard = ReturnType<typeof guard>
