// What the metrics are told by the parts that do not know them: database, audit trail, registry.
import type { Audit } from './auth/audit.ts'
import type { Config } from './config.ts'
import type { Db, DbObserver } from './db/db.ts'
import { showFigures } from './registry/figures.ts'
import type { Storage } from './storage/storage.ts'
import { isRegistryAction } from './telemetry/catalogue.ts'
import { createMetrics, type Metrics } from './telemetry/metrics.ts'
import { commit, version } from './version.ts'

/** The metrics of this server, with the objectives of its settings. */
export function metricsFor(config: Config): Metrics {
  const metrics = createMetrics({
    p50: config['sla-p50'] / 1000,
    p95: config['sla-p95'] / 1000,
    p99: config['sla-p99'] / 1000,
  })
  metrics.buildInfo.set({ version, commit, runtime: `bun ${Bun.version}` }, 1)
  return metrics
}

/** Has the database tell how long it takes. */
export function databaseObserver({ queryDuration, databaseBusy }: Metrics): DbObserver {
  const read = queryDuration.of({ operation: 'read' })
  const write = queryDuration.of({ operation: 'write' })
  return {
    read: (seconds) => read.observe(seconds),
    write: (seconds) => write.observe(seconds),
    busy: () => databaseBusy.inc({}),
  }
}

/** Shows how much the data folder holds, and what is changed in it. */
export function watchRegistry(
  { db, audit }: { db: Db; audit: Audit },
  storage: Storage,
  metrics: Metrics,
): void {
  metrics.onScrape(() => {
    metrics.databaseBytes.set({}, db.size())
    metrics.walBytes.set({}, db.walSize())
  })
  const changed = showFigures(db.read, storage, metrics)
  audit.onEntry((action, outcome) => {
    metrics.auditEvents.inc({ action, outcome })
    if (!isRegistryAction(action)) return
    metrics.registryOperations.inc({ operation: action, outcome })
    changed()
  })
}
