// Each alert rule fires when it must, stays silent just below, and resolves: by promtool.
import { describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

import { ruleFiles, shippedAlerts } from '../support/rules.ts'
import { burnCases } from './rules/burn-rate.ts'
import { type RuleCase, testFileOf } from './rules/case.ts'
import { causeCases } from './rules/causes.ts'
import { promiseCases } from './rules/promise.ts'

const rules = shippedAlerts.map((rule) => ({ ...rule, severity: rule.labels.severity }))
const cases: readonly RuleCase[] = [...promiseCases, ...causeCases, ...burnCases]
const nameOf = (alert: string, labels: Readonly<Record<string, string>>): string =>
  `${alert}${labels['window'] === undefined ? '' : ` ${labels['window']}`}`

/** Of the Prometheus that PROMETHEUS_BIN names, else the one on the path. */
const other = process.env['PROMETHEUS_BIN'] ?? ''
const program = other === '' ? 'promtool' : join(dirname(other), 'promtool')

function promtool(...args: string[]): { exitCode: number; text: string } {
  const { exitCode, stdout, stderr } = Bun.spawnSync([program, ...args])
  return { exitCode, text: `${stdout.toString()}${stderr.toString()}` }
}

function tested(content: object): { exitCode: number; text: string } {
  const folder = mkdtempSync(join(tmpdir(), 'relais-rules-'))
  try {
    const file = join(folder, 'rule.test.yml')
    // JSON is YAML.
    writeFileSync(file, JSON.stringify(content))
    return promtool('test', 'rules', file)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

test('promtool finds the rules in order', () => {
  const { exitCode, text } = promtool('check', 'rules', ...ruleFiles)
  expect([text, exitCode]).toEqual([text, 0])
})

test('every rule has its three cases, and every case a rule', () => {
  const written = rules.map(({ alert, labels }) => nameOf(alert, labels))
  const covered = cases.map(({ alert, labels }) => nameOf(alert, labels))
  expect(new Set(written).size).toBe(written.length)
  expect(covered.toSorted()).toEqual(written.filter((name) => name !== 'Watchdog').toSorted())
})

describe('fires, stays silent just below, resolves:', () => {
  for (const rule of cases) {
    const name = nameOf(rule.alert, rule.labels)
    test(
      name,
      () => {
        const written = (labels: Readonly<Record<string, string>>) =>
          rules.find((one) => nameOf(one.alert, one.labels) === nameOf(rule.alert, labels))!
        const { exitCode, text } = tested(testFileOf(rule, written, written(rule.labels).file))
        expect([text, exitCode]).toEqual([text, 0])
      },
      60_000,
    )
  }
})

test('Watchdog fires whatever there is', () => {
  const written = rules.find(({ alert }) => alert === 'Watchdog')!
  const exp_alerts = [{ exp_labels: { severity: 'none' }, exp_annotations: written.annotations }]
  const { exitCode, text } = tested({
    rule_files: ruleFiles,
    evaluation_interval: '1m',
    tests: [
      {
        interval: '1m',
        input_series: [],
        alert_rule_test: ['0m', '5m', '1h'].map((eval_time) => ({
          eval_time,
          alertname: 'Watchdog',
          exp_alerts,
        })),
      },
    ],
  })
  expect([text, exitCode]).toEqual([text, 0])
})

describe('with little traffic', () => {
  const rule = promiseCases[0]!
  const series = (code: string, values: string) => ({
    series: `http_requests_total{job="relais",instance="a",route_class="predict",code="${code}"}`,
    values,
  })
  const count = (at: string, value: number, alert = rule.alert) => ({
    expr: `count(ALERTS{alertname="${alert}",alertstate="firing"}) or vector(0)`,
    eval_time: at,
    exp_samples: [{ labels: '{}', value }],
  })
  const trial = (input_series: object[], promql_expr_test: object[]) =>
    tested({
      rule_files: ruleFiles,
      evaluation_interval: '15s',
      tests: [{ interval: '15s', input_series, promql_expr_test }],
    })

  test('one failure among twenty requests wakes nobody', () => {
    const { exitCode, text } = trial(
      [series('200', '0+1x80'), series('500', '0x20 1x60')],
      ['5m', '8m', '10m', '12m', '20m'].map((at) => count(at, 0)),
    )
    expect([text, exitCode]).toEqual([text, 0])
  })

  test('a server that fails one request a minute, every one, is heard', () => {
    const { exitCode, text } = trial(
      [
        series(
          '500',
          '0 0 0 1 1 1 1 2 2 2 2 3 3 3 3 4 4 4 4 5 5 5 5 6 6 6 6 7 7 7 7 8 8 8 8 9 9 9 9 10 10 10 10 11 11 11 11 12 12 12 12 13 13 13 13 14 14 14 14',
        ),
      ],
      [count('10m', 1)],
    )
    expect([text, exitCode]).toEqual([text, 0])
  })

  const latency = (kind: string, values: string) => ({
    series: `http_request_duration_seconds_${kind},job="relais",route_class="predict",status_class="2xx"}`,
    values,
  })
  const minutes = ['41m', '43m', '45m', '1h']

  test('one failed or slow request in a quiet hour spends no budget that pages', () => {
    const { exitCode, text } = trial(
      [
        series('200', '0x60 1x60 2x60 3x60 4x200'),
        series('500', '0x160 1x300'),
        latency('bucket{le="0.15"', '0x460'),
        latency('count{le=""', '0x160 1x300'),
      ],
      minutes.flatMap((at) => [count(at, 0, 'ErrorBudgetBurn'), count(at, 0, 'LatencyBudgetBurn')]),
    )
    expect([text, exitCode]).toEqual([text, 0])
  }, 60_000)

  test('a budget that is spent by every request is heard, however few there are', () => {
    const some = '0x20 1x20 2x20 3x20 4x20 5x20 6x20 7x20 8x20'
    const { exitCode, text } = trial(
      [series('500', some), latency('bucket{le="0.15"', '0x180'), latency('count{le=""', some)],
      ['ErrorBudgetBurn', 'LatencyBudgetBurn'].map((alert) => count('25m', 1, alert)),
    )
    expect([text, exitCode]).toEqual([text, 0])
  }, 60_000)
})
