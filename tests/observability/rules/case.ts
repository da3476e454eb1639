// The three cases that each alert rule must show, in promtool's notation for series.

/** Series → samples, one per interval. */
export type Series = Readonly<Record<string, string>>

export interface RuleCase {
  alert: string
  /** Labels of the alert besides its name and severity. */
  labels: Readonly<Record<string, string>>
  summary: string
  /** Alerts of the same name that fire at the same time, by their own labels. */
  others?: readonly { labels: Readonly<Record<string, string>>; summary: string }[]
  /** Between samples, and between evaluations. */
  interval?: string
  /** It is silent until `pending`, and fires at `at`. */
  fires: { series: Series; at: string; pending?: string }
  /** The same, just within bounds: silent at every one of `at`. */
  below: { series: Series; at: readonly string[] }
  /** Fires at `at`, and no more at `silent`. */
  resolves: { series: Series; at: string; silent: string }
}

const selector = ({ alert, labels }: RuleCase): string => {
  const pairs = Object.entries({ alertname: alert, alertstate: 'firing', ...labels })
  return `ALERTS{${pairs.map(([name, value]) => `${name}="${value}"`).join(',')}}`
}

const silent = (rule: RuleCase, at: string) => ({
  expr: `count(${selector(rule)}) or vector(0)`,
  eval_time: at,
  exp_samples: [{ labels: '{}', value: 0 }],
})

const firing = (rule: RuleCase, at: string) => ({
  ...silent(rule, at),
  exp_samples: [{ labels: '{}', value: 1 }],
})

const inputs = (series: Series) =>
  Object.entries(series).map(([name, values]) => ({ series: name, values }))

/** What the rule file says of an alert. */
export interface Written {
  severity: string
  annotations: Readonly<Record<string, string>>
}

/** A file for `promtool test rules`; `written` finds the rule with such labels. */
export function testFileOf(
  rule: RuleCase,
  written: (labels: Readonly<Record<string, string>>) => Written,
  ruleFile: string,
): object {
  const { fires, below, resolves, interval = '1m' } = rule
  const base = { interval }
  const expected = [rule, ...(rule.others ?? [])].map(({ labels, summary }) => ({
    exp_labels: { severity: written(labels).severity, ...labels },
    exp_annotations: { ...written(labels).annotations, summary },
  }))
  return {
    rule_files: [ruleFile],
    evaluation_interval: interval,
    tests: [
      {
        ...base,
        name: `${rule.alert} fires`,
        input_series: inputs(fires.series),
        promql_expr_test: [
          ...(fires.pending === undefined ? [] : [silent(rule, fires.pending)]),
          firing(rule, fires.at),
        ],
        alert_rule_test: [{ eval_time: fires.at, alertname: rule.alert, exp_alerts: expected }],
      },
      {
        ...base,
        name: `${rule.alert} stays silent just below`,
        input_series: inputs(below.series),
        promql_expr_test: below.at.map((at) => silent(rule, at)),
      },
      {
        ...base,
        name: `${rule.alert} resolves`,
        input_series: inputs(resolves.series),
        promql_expr_test: [firing(rule, resolves.at), silent(rule, resolves.silent)],
      },
    ],
  }
}
