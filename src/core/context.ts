// What a verb knows about the request it works for.
import type { Principal } from './principal.ts'

export interface Context {
  principal: Principal
  requestId: string
  /** 32 hex digits of the W3C trace id. */
  traceId: string
  /** Peer address as the socket saw it. */
  ip: string
  idempotencyKey?: string | undefined
  /** Value of If-Match without quotes. */
  ifMatch?: string | undefined
}
