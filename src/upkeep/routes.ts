// Native API for operators: backup, check-up, metrics.
import { Elysia } from 'elysia'

import type { Guard } from '../http/guard.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { backup, type BackupDeps } from './backup.ts'
import { type DoctorDeps, examine } from './doctor.ts'

export interface UpkeepDeps extends BackupDeps, DoctorDeps {
  guard: Guard
  metrics: Metrics
  snapshot: (from: string, to: string) => Promise<void>
}

export function upkeepRoutes(deps: UpkeepDeps) {
  return new Elysia({ detail: { tags: ['operation'] } })
    .use(deps.guard)
    .get(
      '/api/v1/backup',
      () => {
        const body = backup(deps, deps.snapshot) as unknown as ReadableStream
        return new Response(body, { headers: { 'content-type': 'application/x-tar' } })
      },
      {
        need: { right: 'settings:manage', class: 'stream' },
        detail: { summary: 'Everything the server holds, keys included, as one tar' },
      },
    )
    .get(
      '/api/v1/doctor',
      async () => {
        const findings = await examine(deps)
        return { ok: findings.every((finding) => finding.ok), findings }
      },
      { need: { right: 'settings:manage' }, detail: { summary: 'Check-up of the server' } },
    )
    .get(
      '/metrics',
      async () => {
        const text = await deps.metrics.expose()
        return new Response(text, { headers: { 'content-type': deps.metrics.contentType } })
      },
      {
        need: { right: 'metrics:read', class: 'health' },
        detail: { summary: 'Prometheus metrics' },
      },
    )
}
