// What is served, as metrics and log lines: written when a route changes, never per request.
import type { Metrics } from '../telemetry/metrics.ts'
import type { Deployment } from './deployment.ts'
import type { DeploymentsOptions } from './deployments.ts'
import type { Route, ServedStage } from './route.ts'

/** §21: the first metric of the list that the version has. */
function firstOf(metrics: Record<string, number>, names: readonly string[]): number | undefined {
  const name = names.find((candidate) => Number.isFinite(metrics[candidate]))
  return name === undefined ? undefined : metrics[name]
}

const gauges = ['modelLoaded', 'modelLoadDuration', 'trainingAccuracy', 'f1Score'] as const

function forget(metrics: Metrics, deployment: Deployment, stage: string): void {
  const labels = { model: deployment.model, model_version: deployment.version }
  for (const gauge of gauges) metrics[gauge].remove(labels)
  metrics.modelInfo.remove({ ...labels, stage, sha256: deployment.row.sha256.slice(0, 12) })
  for (const family of [metrics.predictions, metrics.predictionErrors, metrics.inferenceDuration]) {
    family.remove(labels)
  }
}

function show(options: DeploymentsOptions, deployment: Deployment, stage: string): void {
  const { metrics, metricNames } = options
  const labels = { model: deployment.model, model_version: deployment.version }
  metrics.modelLoaded.set(labels, 1)
  metrics.modelLoadDuration.set(labels, deployment.loadSeconds)
  metrics.modelInfo.set({ ...labels, stage, sha256: deployment.row.sha256.slice(0, 12) }, 1)
  const accuracy = firstOf(deployment.row.metrics, metricNames.accuracy)
  if (accuracy !== undefined) metrics.trainingAccuracy.set(labels, accuracy)
  const f1 = firstOf(deployment.row.metrics, metricNames.f1)
  if (f1 !== undefined) metrics.f1Score.set(labels, f1)
}

/** Takes back what was said of versions that served before: all of it, or only their old stage. */
function retract(metrics: Metrics, route: Route, before: Route): void {
  const serving = new Set(Object.values(route.stages).map((stage) => stage.serving?.version))
  for (const [stage, { serving: old }] of Object.entries(before.stages)) {
    if (old === null) continue
    if (!serving.has(old.version)) forget(metrics, old, stage)
    else {
      const sha256 = old.row.sha256.slice(0, 12)
      metrics.modelInfo.remove({ model: old.model, model_version: old.version, stage, sha256 })
    }
  }
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
  if (before) retract(metrics, route, before)
  for (const [stage, now] of Object.entries(route.stages)) {
    const { serving, why } = now
    metrics.modelFallback.set({ model: route.model, stage }, fallsBack(now) ? 1 : 0)
    if (serving) show(options, serving, stage)
    const was = before?.stages[stage as keyof Route['stages']].serving?.version ?? null
    const is = serving?.version ?? null
    if (was === is) continue
    log.write('info', 'model.live', {
      model: route.model,
      stage,
      model_version: is,
      before: was,
      why,
    })
  }
}

/** Takes back all that was said of a model that is gone. */
export function unpublish(metrics: Metrics, gone: Route): void {
  for (const [stage, { serving }] of Object.entries(gone.stages)) {
    if (serving) forget(metrics, serving, stage)
    metrics.modelFallback.remove({ model: gone.model, stage })
  }
}
