// Metrics of a whole server: what is there from the start, and how many series there are at most.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'

import type { Exchange } from '../src/http/request.ts'
import { auditActions, isRegistryAction, laneNames } from '../src/telemetry/catalogue.ts'
import { rowsFor, serveChooser } from './support/chooser.ts'
import { type Sample, samplesOf, scrape, sumOf } from './support/exposition.ts'
import { type Relais, startRelais } from './support/relais.ts'
import { sources } from './support/sources.ts'

describe('a server that has just started', () => {
  let relais: Relais
  let samples: Sample[]
  beforeAll(async () => {
    relais = await startRelais({ 'sla-p50': '40ms', 'sla-p95': '150ms', 'sla-p99': '1234ms' })
    samples = await scrape(relais)
  })
  afterAll(() => relais.close())

  test('counts at 0 what is known in advance', () => {
    const known: [string, string, readonly string[]][] = [
      ['auth_failures_total', 'reason', ['missing', 'invalid', 'expired', 'revoked']],
      ['engine_restarts_total', 'cause', ['crash', 'hang', 'memory', 'killed']],
      ['engine_cpu_seconds_total', 'lane', laneNames],
      ['engine_queue_depth', 'lane', laneNames],
      ['engine_resident_memory_bytes', 'lane', laneNames],
      ['log_dropped_total', 'sink', ['stdout', 'file', 'loki', 'otlp']],
      ['registry_operations_total', 'operation', auditActions.filter(isRegistryAction)],
      ['registry_model_versions', 'stage', ['None', 'Staging', 'Production', 'Archived']],
      ['http_requests_total', 'code', ['200', '500']],
    ]
    for (const [name, label, values] of known) {
      const found = values.map((one) => sumOf(samples, name, { [label]: one }))
      expect([name, label, found]).toEqual([name, label, values.map(() => 0)])
    }
    expect(sumOf(samples, 'sqlite_busy_total')).toBe(0)
    for (const action of auditActions) {
      expect([action, sumOf(samples, 'audit_events_total', { action })]).toEqual([action, 0])
    }
  })

  test('knows its objectives, which are bounds of the latency', async () => {
    const objective = (name: string): number | undefined =>
      sumOf(samples, 'sla_latency_objective_seconds', { objective: name })
    expect(['p50', 'p95', 'p99'].map(objective)).toEqual([0.04, 0.15, 1.234])
    const bounds = (await scrape(relais))
      .filter(({ name }) => name === 'http_request_duration_seconds_bucket')
      .map(({ labels }) => labels.le)
    for (const bound of ['0.04', '0.05', '0.15', '0.3', '1.234']) expect(bounds).toContain(bound)
  })

  test('tells what its process and its database take', () => {
    for (const name of [
      'process_max_fds',
      'process_open_fds',
      'process_cpu_seconds_total',
      'process_resident_memory_bytes',
      'sqlite_database_bytes',
      'sqlite_wal_bytes',
    ]) {
      expect([name, (sumOf(samples, name) ?? 0) > 0]).toEqual([name, true])
    }
    for (const operation of ['read', 'write']) {
      const count = sumOf(samples, 'sqlite_query_duration_seconds_count', { operation })
      expect([operation, (count ?? 0) > 0]).toEqual([operation, true])
    }
  })
})

test('every action that leaves an audit entry is in the catalogue, and no other', () => {
  // The one lists them, the other turns them into names of events.
  const left = ['telemetry/catalogue.ts', 'auth/audit-line.ts']
  const code = sources().filter(({ name }) => !left.includes(name))
  const text = code.map((one) => one.text).join('\n')
  const named = auditActions.filter((action) => text.includes(`'${action}'`))
  expect(named).toEqual([...auditActions])
  const nouns = /'((?:access|alias|experiment|keys|model|run|token|version)\.[a-z-]+)'/g
  const found = [...text.matchAll(nouns)].map((match) => match[1] as string)
  // Codes of faults and names of events look alike.
  const others = new Set(
    [...text.matchAll(/(?:Fault\(|^ {2}|write\('\w+', |code === |code: )'([a-z.-]+)'/gm)].map(
      (m) => m[1],
    ),
  )
  const unknown = found.filter((one) => !auditActions.includes(one as never) && !others.has(one))
  // A file, and no action.
  expect([...new Set(unknown)]).toEqual(['model.onnx'])
})

test('20 models with all their classes, on every route, are at most 5000 samples', async () => {
  const relais = await startRelais({ 'default-model': 'm0' })
  try {
    const names = Array.from({ length: 20 }, (_, at) => `m${at}`)
    const codes = Array.from({ length: 30 }, (_, at) => at)
    await Promise.all(
      names.map(async (name) => {
        await serveChooser(relais, name)
        await serveChooser(relais, name, 'Staging')
        await relais.promote(name, 1, 'Production')
        for (const at of ['labels/Production', 'labels/Staging']) {
          const { status } = await relais.predict(name, rowsFor(codes), { at })
          expect([name, at, status]).toEqual([name, at, 200])
        }
      }),
    )
    for (const { method, path } of relais.app.routes) {
      const filled = path
        .replace('{label}', 'Production')
        .replaceAll(/:(?!predict|score)[a-z]+|\{[a-z_]+\}/g, '1')
      await relais.call(method, filled, method === 'POST' ? { body: {} } : {})
    }
    const counted = (await scrape(relais)).filter(({ name }) => name === 'http_requests_total')
    const routes = new Set(counted.map(({ labels: { method, route } }) => `${method} ${route}`))
    expect(
      relais.app.routes.filter(({ method, path }) => !routes.has(`${method} ${path}`)),
    ).toEqual([])
    // Whatever each was answered: as if both a success and a refusal had been.
    for (const { labels } of counted) {
      const { route, route_class: routeClass, method } = labels
      const exchange = { route, routeClass, request: { method } } as unknown as Exchange
      for (const status of [200, 404]) relais.app.server.series.of(exchange, status)
    }
    const { text } = await relais.call('GET', '/metrics')
    const samples = samplesOf(text)
    expect(samples.filter(({ name }) => name === 'predicted_class_total').length).toBe(20 * 2 * 21)
    expect(samples.length).toBeLessThanOrEqual(5000)
  } finally {
    await relais.close()
  }
}, 240_000)
