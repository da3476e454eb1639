// What is served, as metrics and log lines: written when a route changes, never per request.
import type { Metrics } from '../telemetry/metrics.ts'
import type { Deployment } from './deployment.ts'
import type { DeploymentsOptions, Route } from './deployments.ts'

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

/** Publishes the difference between two routes of a model. */
export function publishRoute(
  options: DeploymentsOptions,
  route: Route,
  before: Route | undefined,
): void {
  const { metrics, log } = options
  const serving = new Set(Object.values(route.stages).map((stage) => stage.serving?.version))
  for (const [stage, old] of Object.entries(before?.stages ?? {})) {
    if (old.serving === null) continue
    if (!serving.has(old.serving.version)) forget(metrics, old.serving, stage)
    else {
      const { model, version, row } = old.serving
      const sha256 = row.sha256.slice(0, 12)
      metrics.modelInfo.remove({ model, model_version: version, stage, sha256 })
    }
  }
  for (const [stage, now] of Object.entries(route.stages)) {
    const fallsBack = now.live !== null && now.serving?.row.version !== now.live
    metrics.modelFallback.set({ model: route.model, stage }, fallsBack ? 1 : 0)
    if (now.serving) show(options, now.serving, stage)
    const was = before?.stages[stage as keyof Route['stages']].serving?.version
    if (was === now.serving?.version) continue
    log.write('info', 'model.live', {
      model: route.model,
      stage,
      model_version: now.serving?.version ?? null,
      before: was ?? null,
      why: now.why,
    })
  }
}

/** Drops the gauges of a model that is gone. */
export function unpublish(metrics: Metrics, model: string): void {
  for (const stage of ['Production', 'Staging']) metrics.modelFallback.remove({ model, stage })
}
