// What an alert rule is made of, and the parts that rules share.
import { shipped } from '../../stack/addresses.ts'

export type Severity = 'critical' | 'warning' | 'none'

export interface Alert {
  alert: string
  severity: Severity
  expr: string
  /** How long it must hold before it fires. */
  lasting: string
  /** One line for the pager; the only text with templates in it. */
  summary: string
  /** What to do next. */
  description: string
  /** Where to look: uid of a dashboard and id of a panel. */
  panel: readonly [dashboard: string, panel: number]
  /** Further labels. */
  labels?: Readonly<Record<string, string>>
  /** Section of the runbook, where several rules share one. */
  runbook?: string
}

export interface Recording {
  record: string
  expr: string
}

export interface Group {
  name: string
  rules: readonly (Alert | Recording)[]
}

/** What every selector has: other programs may export metrics of the same names. */
export const job = 'job="relais"'

/** A rule as Prometheus reads it. */
export function ruleOf(rule: Alert | Recording): Record<string, unknown> {
  if ('record' in rule) return { ...rule }
  const { alert, expr, lasting, severity, labels, summary, description } = rule
  const [dashboard, panel] = rule.panel
  return {
    alert,
    expr,
    for: lasting,
    labels: { severity, ...labels },
    annotations: {
      summary,
      description,
      runbook_url: `${shipped.runbooks}#${(rule.runbook ?? alert).toLowerCase()}`,
      dashboard_url: `${shipped.grafana}/d/${dashboard}?viewPanel=${panel}`,
    },
  }
}
