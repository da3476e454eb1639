// A prediction, whatever door it came through: find the version, hold it, run, count.
import { Fault } from '../core/fault.ts'
import { can, type Principal } from '../core/principal.ts'
import type { Tensor } from '../onnx/tensor.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Answer } from './batcher.ts'
import type { Deployment } from './deployment.ts'
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

/**
 * Holds the deployment for the time of `work`, so that a swap cannot pull it away, and counts how it
 * ended.
 */
export async function withDeployment<T>(
  p: Predictor,
  found: Deployment | Promise<Deployment>,
  work: (deployment: Deployment) => Promise<T>,
): Promise<T> {
  const deployment = found instanceof Promise ? await found : found
  deployment.holds += 1
  try {
    return await work(deployment)
  } catch (error) {
    if (error instanceof Fault) deployment.countFault(error, p.metrics)
    throw error
  } finally {
    deployment.release()
  }
}

/** Runs tensors through a held deployment. */
export async function infer(
  p: Predictor,
  deployment: Deployment,
  what: { tensors: Tensor[]; rows: number },
  principal: Principal,
): Promise<Answer> {
  const { tensors, rows } = what
  const answer = await deployment.run(tensors, rows, principal.sub, p.timeout)
  deployment.count(answer)
  return answer
}
