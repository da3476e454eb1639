import { expect, test } from 'bun:test'

import { createLog } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import type { Exchange } from './request.ts'
import { HttpSeries } from './series.ts'

const predict = '/v1/models/{model}:predict'
const at = (method: string, route: string, routeClass: string): Exchange =>
  ({ route, routeClass, request: { method } }) as unknown as Exchange

test('what was begun counts by itself, also when its first request comes after the limit', async () => {
  const metrics = createMetrics({ p50: 0.05, p95: 0.15, p99: 0.3 })
  const log = createLog('error', {}, { stdout: { write: () => 0, flush: () => 0 } })
  const series = new HttpSeries(metrics, log)
  series.begin([{ method: 'POST', path: predict, class: 'predict' }])
  for (let n = 0; n < 600; n += 1) series.of(at('GET', `/r${n}`, 'registry'), 200).requests.add(1)
  const { size } = metrics.httpRequests
  expect(size).toBeLessThan(500)
  series.of(at('POST', predict, 'predict'), 500).requests.add(1)
  series.of(at('POST', predict, 'predict'), 503).requests.add(1)
  const lines = (await metrics.expose()).split('\n')
  const count = (route: string, method: string, code: string): string =>
    `http_requests_total{method="${method}",route="${route}",route_class="predict",code="${code}"} 1`
  expect(lines).toContain(count(predict, 'POST', '500'))
  expect(lines).toContain(count('other', 'other', '503'))
  await log.close()
})
