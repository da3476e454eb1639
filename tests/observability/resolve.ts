// What Grafana makes of a query before it sends it: variables get the values that they would have at first.
import type { Prometheus } from '../support/prometheus.ts'
import { type Dashboard, substituted, type Variable } from './queries.ts'

export type Values = Readonly<Record<string, string>>

/** `label_values(series, label)`; throws for any other form. */
export function labelQuery(query: string): { series: string; label: string } {
  const parts = /^label_values\((?:(.+),)?\s*(\w+)\)$/s.exec(query.trim())
  if (!parts) throw new Error(`${query} is no label_values(series, label)`)
  return { series: parts[1]?.trim() ?? '', label: parts[2]! }
}

/** The values that a variable offers; `before` are those above it. */
export async function offered(
  prometheus: Prometheus,
  variable: Variable,
  before: Values,
): Promise<string[]> {
  const { series, label } = labelQuery(substituted(variable.query, before))
  return prometheus.labelValues(label, series === '' ? undefined : series)
}

/** `given`: what a reader types, by name. */
export async function valuesOf(
  prometheus: Prometheus,
  dashboard: Dashboard,
  given: Values,
): Promise<Values> {
  const values: Record<string, string> = {}
  for (const variable of dashboard.variables) {
    const { name, type, includeAll, allValue, current } = variable
    if (given[name] !== undefined) values[name] = given[name]
    else if (type !== 'query') values[name] = current
    else if (includeAll && allValue !== '') values[name] = allValue
    else values[name] = (await offered(prometheus, variable, values)).join('|')
  }
  return values
}

/** Parts of PromQL that hold no operator: strings, selectors, ranges; then the comparisons. */
const pieces =
  /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\{[^}]*\}|\[[^\]]*\]|(==|!=|>=|<=|>|<)(\s*bool\b)?/g

/**
 * The expression with each comparison made a difference, so that it gives what it compares whether or
 * not that is beyond the threshold; `absent(x)` becomes `x`.
 */
export function withoutComparisons(expression: string): string {
  return expression
    .replaceAll(pieces, (piece: string, operator?: string) =>
      operator === undefined ? piece : '-',
    )
    .replaceAll(/\babsent\s*\(/g, '(')
}
