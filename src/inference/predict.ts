// What every prediction door needs, and the right that it asks for.
import { Fault } from '../core/fault.ts'
import { can, type Principal } from '../core/principal.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Deployments } from './deployments.ts'

export interface Predictor {
  deployments: Deployments
  metrics: Metrics
  /** Milliseconds a request may take. */
  timeout: number
}

/** Throws `access.denied` unless the caller may predict with the model. Not audited (RULES §16). */
export function requirePredict(principal: Principal, model: string): void {
  if (can(principal, 'models:predict', model)) return
  const why = `Role ${principal.role} does not carry models:predict on ${model}.`
  throw new Fault('access.denied', why)
}
