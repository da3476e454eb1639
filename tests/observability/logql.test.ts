// The small LogQL evaluator itself: a query that Loki would refuse or find empty must not pass here.
import { describe, expect, test } from 'bun:test'

import { type Entry, logql } from '../support/logql.ts'

const at = Date.UTC(2026, 0, 1)

function entry(
  line: Record<string, unknown> & { log_type?: string },
  seconds = 0,
  level = 'info',
): Entry {
  const stream = { service_name: 'relais', log_type: line.log_type ?? 'app' }
  return { at: at - seconds * 1000, line: JSON.stringify(line), stream, metadata: { level } }
}

const lines = [
  entry({ event: 'http.request', log_type: 'access', status: 200, duration_ms: 2, model: 'a' }, 1),
  entry({ event: 'http.request', log_type: 'access', status: 503, duration_ms: 8, model: 'a' }, 2),
  entry({ event: 'http.request', log_type: 'access', status: 200, duration_ms: 4, model: 'b' }, 90),
  entry({ event: 'request.failed', 'error.type': 'Bang', nested: { deep: [1], n: 1 } }, 3, 'error'),
]

const count = (query: string): number => {
  const answer = logql(query, lines, at)
  return answer.kind === 'lines' ? answer.lines.length : answer.samples.length
}

test.each([
  ['{service_name="relais"}', 4],
  ['{service_name=~"rel.*", log_type!="access"}', 1],
  ['{service_name="rela"}', 0],
  ['{service_name=~"rela"}', 0],
  ['{service_name="relais"} |= "request.failed"', 1],
  ['{service_name="relais"} |~ "(?i)BANG" != "nothing"', 1],
  ['{service_name="relais"} | json | status >= 500', 1],
  ['{service_name="relais"} | json | status = 200 | duration_ms > 3', 1],
  ['{service_name="relais"} | json | error_type="Bang"', 1],
  ['{service_name="relais"} | json | nested_n="1" and nested_deep=""', 1],
  ['{service_name="relais"} | json | status=503 or (model=`b`, status=200)', 2],
  ['{service_name="relais"} | level="error"', 1],
  ['{service_name="relais"} | event="http.request"', 0],
  ['{service_name="relais"} | json s="status" | s=~"5.." | line_format "{{.s}}"', 1],
  ['sum by (log_type) (count_over_time({service_name="relais"}[1m]))', 2],
  ['sum by (model) (rate({service_name="relais"} | json | model!="" [5m]))', 2],
  ['topk(1, sum by (model) (rate({service_name="relais"} | json | model!="" [5m])))', 1],
])('%s finds %d', (query, found) => {
  expect(count(query)).toBe(found)
})

describe('values', () => {
  const values = (query: string): number[] => {
    const answer = logql(query, lines, at)
    return answer.kind === 'lines' ? [] : answer.samples.map(({ value }) => value)
  }
  const access = '{log_type="access"} | json | unwrap duration_ms'

  test.each([
    ['sum(count_over_time({log_type="access"}[1m]))', [2]],
    ['sum(count_over_time({log_type="access"}[2m]))', [3]],
    ['sum(rate({log_type="access"}[1m])) * 60', [2]],
    [`max(max_over_time(${access} [5m]))`, [8]],
    [`quantile_over_time(0.5, ${access} [5m]) by (service_name)`, [4]],
    [`avg by (model) (avg_over_time(${access} [5m]) by (model))`, [5, 4]],
  ])('%s', (query, wanted) => {
    expect(values(query)).toEqual(wanted)
  })
})

test.each([
  '{}',
  '{service_name=~".*"}',
  '{service_name="relais"',
  '{service_name="relais"} | logfmt',
  '{service_name="relais"} | json | status > ',
  '{service_name="relais"} [5m]',
  'rate({service_name="relais"})',
  'sum_over_time({service_name="relais"}[5m])',
  'sum by model (rate({service_name="relais"}[5m]))',
  'increase({service_name="relais"}[5m])',
  '{service_name="$name"} | json | line_format "{{ .a | upper }}"',
])('%s is refused', (query) => {
  expect(() => logql(query, [{ ...lines[0]!, stream: { service_name: '$name' } }], at)).toThrow(
    SyntaxError,
  )
})

test('a metric over lines that are no JSON is an error, as in Loki', () => {
  const broken = [{ ...lines[0]!, line: 'plain words' }]
  expect(() => logql('rate({log_type="access"} | json [1m])', broken, at)).toThrow(/JSONParserErr/)
  expect(logql('rate({log_type="access"} | json | __error__="" [1m])', broken, at)).toEqual({
    kind: 'samples',
    samples: [],
  })
})
