// The alert and recording rules as they are shipped.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import { root } from './sources.ts'

const folder = join(root, 'dashboards/rules')

interface Written {
  expr: string
  for?: string
  labels?: Record<string, string>
  annotations?: Record<string, string>
}

/** What stands in a file of rules; a recording rule has no alert, an alert no record. */
export interface ShippedRule extends Written {
  alert?: string
  record?: string
  labels: Record<string, string>
  annotations: Record<string, string>
  group: string
  /** Path of its file. */
  file: string
}

export interface ShippedAlert extends ShippedRule {
  alert: string
  labels: Record<string, string> & { severity: string }
  annotations: Record<'summary' | 'description' | 'runbook_url' | 'dashboard_url', string>
}

interface Groups {
  groups: { name: string; rules: (Written & { alert?: string; record?: string })[] }[]
}

export const ruleFiles: readonly string[] = readdirSync(folder)
  .filter((name) => name.endsWith('.yml'))
  .toSorted()
  .map((name) => join(folder, name))

export const shippedRules: readonly ShippedRule[] = ruleFiles.flatMap((file) =>
  (Bun.YAML.parse(readFileSync(file, 'utf8')) as Groups).groups.flatMap(({ name, rules }) =>
    rules.map((rule) => ({ labels: {}, annotations: {}, ...rule, group: name, file })),
  ),
)

export const shippedAlerts: readonly ShippedAlert[] = shippedRules.filter(
  (rule): rule is ShippedAlert => rule.alert !== undefined,
)
