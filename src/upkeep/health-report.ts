// What the health routes judge: database, storage, and whether models are served as staged.
import type { HealthReport } from '../core/health.ts'
import type { Db } from '../db/db.ts'
import type { Deployments } from '../inference/deployments.ts'
import type { ServedStage } from '../inference/route.ts'
import type { Storage } from '../storage/storage.ts'

export interface HealthParts {
  db: Db
  storage: Storage
  deployments: Deployments
  draining: boolean
  safeMode: boolean
}

const works = (check: () => void): 'ok' | 'failed' => {
  try {
    check()
    return 'ok'
  } catch {
    return 'failed'
  }
}

const isAsStaged = ({ live, serving }: ServedStage): boolean =>
  live === null || serving?.row.version === live

/** Counts Production models by how they are served. */
function countModels(production: readonly ServedStage[]): HealthReport['models'] {
  const count = (test: (stage: ServedStage) => boolean): number => production.filter(test).length
  return {
    production: count(({ live }) => live !== null),
    serving: count(({ serving }) => serving !== null),
    fallback: count((stage) => !isAsStaged(stage) && stage.serving !== null),
    failed: count((stage) => !isAsStaged(stage) && stage.serving === null),
  }
}

export function reportHealth(parts: HealthParts): HealthReport {
  const { db, storage, deployments, draining, safeMode } = parts
  const routes = [...deployments.all]
  const notes = routes.flatMap(({ model, stages }) =>
    Object.entries(stages).flatMap(([stage, served]) => {
      if (served.live === null || isAsStaged(served)) return []
      const { live, serving, why } = served
      return [{ model, stage, stage_version: live, serving: serving?.row.version ?? null, why }]
    }),
  )
  return {
    database: works(() => db.ping()),
    storage: works(() => storage.ping()),
    started: deployments.started,
    draining,
    models: countModels(routes.map(({ stages }) => stages.Production)),
    notes,
    safe_mode: safeMode,
  }
}
