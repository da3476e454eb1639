// What is loaded and what is served, as metrics and log lines: written when it changes, never per request.
import { stageNames } from '../registry/stages.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Deployment } from './deployment.ts'
import type { DeploymentsOptions } from './deployments.ts'
import type { Route, ServedStage } from './route.ts'

/** §21: the first metric of the list that the version has. */
function firstOf(metrics: Record<string, number>, names: readonly string[]): number | undefined {
  const name = names.find((candidate) => Number.isFinite(metrics[candidate]))
  return name === undefined ? undefined : metrics[name]
}

interface Shown {
  metrics: Metrics
  metricNames: { accuracy: readonly string[]; f1: readonly string[] }
}

/** Shows a version that an engine has loaded, until `forgetVersion`. */
export function showVersion({ metrics, metricNames }: Shown, deployment: Deployment): void {
  const labels = { model: deployment.model, model_version: deployment.version }
  metrics.modelLoaded.set(labels, 1)
  metrics.modelLoadDuration.set(labels, deployment.loadSeconds)
  const accuracy = firstOf(deployment.row.metrics, metricNames.accuracy)
  if (accuracy !== undefined) metrics.trainingAccuracy.set(labels, accuracy)
  const f1 = firstOf(deployment.row.metrics, metricNames.f1)
  if (f1 !== undefined) metrics.f1Score.set(labels, f1)
}

const stageGauges = ['modelInfo', 'promotionTime'] as const

/** Takes back which version served a stage. */
function retract(metrics: Metrics, model: string, stage: string): void {
  for (const gauge of stageGauges) metrics[gauge].remove({ model, stage })
}

/** Shows which version serves a stage, and since when it is its live one. */
function showStage(metrics: Metrics, stage: string, { serving, live, since }: ServedStage): void {
  if (serving === null) return
  const { model, version, row } = serving
  const labels = { model, model_version: version, stage }
  metrics.modelInfo.set({ ...labels, sha256: row.sha256.slice(0, 12) }, 1)
  if (since !== null && row.version === live) metrics.promotionTime.set(labels, since / 1000)
}

/** Counts that a model in service has from the start. */
function begin(metrics: Metrics, model: string): void {
  metrics.rollbacks.of({ model })
  for (const to of stageNames) metrics.stageTransitions.of({ model, to })
}

const fallsBack = ({ live, serving }: ServedStage): boolean =>
  live !== null && serving?.row.version !== live

/** Publishes the difference between two routes of a model. */
export function publishRoute(
  options: DeploymentsOptions,
  route: Route,
  before: Route | undefined,
): void {
  const { metrics, log } = options
  const { model } = route
  const served = Object.entries(route.stages)
  if (served.some(([, { live, serving }]) => live !== null || serving !== null))
    begin(metrics, model)
  for (const [stage, now] of served) {
    const { serving, live, why } = now
    retract(metrics, model, stage)
    showStage(metrics, stage, now)
    if (live === null) metrics.modelFallback.remove({ model, stage })
    else metrics.modelFallback.set({ model, stage }, fallsBack(now) ? 1 : 0)
    const was = before?.stages[stage as keyof Route['stages']].serving?.version ?? null
    const is = serving?.version ?? null
    if (was === is) continue
    log.write('info', 'model.live', {
      model,
      stage,
      model_version: is === null ? null : String(is),
      before: was,
      why,
    })
  }
}

/** Takes back what was said of a model that is gone; its versions follow when they are unloaded. */
export function unpublish(metrics: Metrics, { model, stages }: Route): void {
  for (const stage of Object.keys(stages)) retract(metrics, model, stage)
  metrics.forgetModel(model)
}
