// Writes the dashboards as JSON, to dashboards/.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { classicOf } from './dashboards/emit.ts'
import { models } from './dashboards/models.ts'
import type { Dashboard } from './dashboards/panel.ts'
import { quality } from './dashboards/quality.ts'
import { registry } from './dashboards/registry.ts'
import { service } from './dashboards/service.ts'

export const dashboards: readonly Dashboard[] = [service, models, quality, registry]

/** File name → text. */
export const dashboardFiles = (): Record<string, string> =>
  Object.fromEntries(
    dashboards.map((dashboard) => [
      `${dashboard.name}.json`,
      `${JSON.stringify(classicOf(dashboard), null, 2)}\n`,
    ]),
  )

if (import.meta.main) {
  const folder = join(import.meta.dir, '../../dashboards')
  mkdirSync(folder, { recursive: true })
  for (const [name, text] of Object.entries(dashboardFiles()))
    writeFileSync(join(folder, name), text)
}
