// What every prediction door needs, and the right that it asks for.
import type { Context } from '../core/context.ts'
import { Fault } from '../core/fault.ts'
import { can, type Principal } from '../core/principal.ts'
import type { Deployment } from './deployment.ts'
import type { Deployments } from './deployments.ts'

export interface Predictor {
  deployments: Deployments
  /** Milliseconds a request may take. */
  timeout: number
}

/** Throws `access.denied` unless the caller may predict with the model. Not audited (RULES §16). */
export function requirePredict(principal: Principal, model: string): void {
  if (can(principal, 'models:predict', model)) return
  const why = `Role ${principal.role} does not carry models:predict on ${model}.`
  throw new Fault('access.denied', why)
}

/** May the caller know of the model at all? */
export const maySee = (principal: Principal, model: string): boolean =>
  can(principal, 'models:read', model) || can(principal, 'models:predict', model)

/** Throws `access.denied` unless the caller may read the model or predict with it. */
export function requireSight(principal: Principal, model: string): void {
  if (!maySee(principal, model)) requirePredict(principal, model)
}

/** A request as a prediction sees it. */
export interface Call extends Context {
  /** Members of the log line that tell which version was asked. */
  logged: string
}

export interface Reference {
  model: string
  /** Version number, stage or alias; undefined is Production. */
  reference: string | undefined
}

/**
 * The version that a reference means, unless the caller may not predict with it; memory only where a stage or a loaded version is meant. Hold it (`holds`) before
 * anything is awaited, so that a swap cannot pull it away.
 */
export function findDeployment(
  { deployments }: Predictor,
  call: Call,
  { model, reference }: Reference,
): Deployment | Promise<Deployment> {
  requirePredict(call.principal, model)
  return reference === undefined
    ? deployments.production(model)
    : deployments.find(model, reference)
}

/**
 * Holds the version that a reference means while `work` reads the input, runs it and writes the
 * answer. Faults of `work` are counted.
 */
export async function withDeployment<T>(
  predictor: Predictor,
  call: Call,
  at: Reference,
  work: (deployment: Deployment) => Promise<T>,
): Promise<T> {
  const began = performance.now()
  const found = findDeployment(predictor, call, at)
  const deployment = found instanceof Promise ? await found : found
  deployment.holds += 1
  try {
    deployment.demandRoom()
    call.logged = deployment.logged
    return await work(deployment)
  } catch (error) {
    throw deployment.failed(error, began)
  } finally {
    deployment.release()
  }
}
