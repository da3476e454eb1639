// Figures of the whole registry for the metrics: versions by stage, and bytes of artifacts.
import { setImmediate as soon } from 'node:timers/promises'

import { and, asc, count, gt, inArray, isNull } from 'drizzle-orm'

import { seldom } from '../core/seldom.ts'
import type { Queries } from '../db/db.ts'
import { models, versions } from '../db/tables.ts'
import type { Storage } from '../storage/storage.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { stageNames } from './stages.ts'

/** Models whose versions are counted in one go: requests are answered between two. */
const page = 200
/** Milliseconds from one look to the next, and those for which a scrape waits for one. */
const countPause = 1000
const sizePause = 5000
const patience = 50

/** How many versions each stage holds over all models, deleted ones left out. */
export async function versionsByStage(q: Queries): Promise<Map<string, number>> {
  const totals = new Map<string, number>(stageNames.map((stage) => [stage, 0]))
  for (let after = ''; ; await soon()) {
    const some = await q
      .select({ id: models.id })
      .from(models)
      .where(and(isNull(models.deletedAt), gt(models.id, after)))
      .orderBy(asc(models.id))
      .limit(page)
    const ids = some.map(({ id }) => id)
    if (ids.length === 0) return totals
    const counts = await q
      .select({ stage: versions.stage, versions: count() })
      .from(versions)
      .where(and(inArray(versions.modelId, ids), isNull(versions.deletedAt)))
      .groupBy(versions.stage)
    for (const one of counts) totals.set(one.stage, (totals.get(one.stage) ?? 0) + one.versions)
    after = ids.at(-1) ?? ''
  }
}

/** Shows the figures at every scrape. Returns what is to be called when the registry has changed. */
export function showFigures(q: Queries, storage: Storage, metrics: Metrics): () => void {
  let isStale = true
  const countVersions = seldom(async () => {
    isStale = false
    try {
      for (const [stage, versions] of await versionsByStage(q)) {
        metrics.registryVersions.set({ stage }, versions)
      }
    } catch (error) {
      isStale = true
      throw error
    }
  }, countPause)
  const measure = seldom(async () => {
    metrics.artifactBytes.set({}, await storage.size())
  }, sizePause)
  metrics.onScrape(() => {
    const looks = [measure(), ...(isStale ? [countVersions()] : [])]
    return Promise.race([Promise.all(looks).then(() => undefined), Bun.sleep(patience)])
  })
  return () => {
    isStale = true
  }
}
