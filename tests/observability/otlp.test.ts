// The binary sends spans over OTLP: what arrives, whose child it is, and what a dead collector costs.
import { afterAll, afterEach, describe, expect, test } from 'bun:test'

import { cleanUp, promoteExample, pssOf, serve, type Served } from '../support/binary.ts'
import { type Collector, type ReceivedSpan, startCollector } from '../support/otlp.ts'
import { freePort } from '../support/port.ts'

let server: Served | null = null
let collector: Collector | null = null
afterEach(async () => {
  await server?.stop('SIGKILL')
  await collector?.stop()
  server = collector = null
})
afterAll(cleanUp)

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const callersSpan = '00f067aa0ba902b7'
const traceparent = (sampled: boolean): string =>
  `00-${traceId}-${callersSpan}-${sampled ? '01' : '00'}`

async function start(env: Record<string, string>): Promise<Served> {
  server = await serve({ env: { OTEL_BSP_SCHEDULE_DELAY: '100', ...env } })
  await promoteExample(server, 'iris')
  return server
}

async function predict(
  to: Served,
  headers: Record<string, string> = {},
  instances: unknown = [[5.1, 3.5, 1.4, 0.2]],
): Promise<Response> {
  return fetch(`${to.url}/v1/models/iris:predict`, {
    method: 'POST',
    headers: { authorization: `Bearer ${to.admin}`, ...headers },
    body: JSON.stringify({ instances }),
  })
}

async function until(met: () => boolean, seconds = 15): Promise<void> {
  const late = performance.now() + seconds * 1000
  while (!met()) {
    if (performance.now() > late) throw new Error('it did not come to that in time')
    await Bun.sleep(30)
  }
}

/** The access line of a request. */
function lineOf(from: Served, requestId: string): Record<string, unknown> {
  const line = from
    .said()
    .out.split('\n')
    .find((text) => text.includes('"access"') && text.includes(requestId))
  return JSON.parse(line ?? '{}') as Record<string, unknown>
}

const forms = {
  'protobuf, the default': {},
  'JSON, packed': {
    OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
    OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip',
  },
}

describe('a request is a span, the run of its model a child', () => {
  for (const [form, env] of Object.entries(forms)) {
    test(
      form,
      async () => {
        collector = startCollector()
        const { spans } = collector
        const from = await start({
          OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
          OTEL_EXPORTER_OTLP_HEADERS: 'x-team=blue%20one',
          OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
          OTEL_SERVICE_NAME: 'scoring',
          ...env,
        })
        const before = BigInt(Date.now()) * 1_000_000n
        const id = 'request-0001'
        await predict(from, { traceparent: traceparent(true), 'x-request-id': id })
        const mine = (): ReceivedSpan[] => spans.filter((span) => span.traceId === traceId)
        await until(() => mine().length === 2)
        const [request, run] = mine() as [ReceivedSpan, ReceivedSpan]
        expect(request).toMatchObject({
          name: 'POST /v1/models/{model}:predict',
          kind: 2,
          parentId: callersSpan,
          failed: false,
          attributes: {
            'http.request.method': 'POST',
            'http.route': '/v1/models/{model}:predict',
            'http.response.status_code': 200,
            'url.path': '/v1/models/iris:predict',
            'url.scheme': 'http',
            request_id: id,
            model: 'iris',
            model_version: '1',
          },
          resource: {
            'service.name': 'scoring',
            'deployment.environment.name': 'test',
          },
        })
        expect(run).toMatchObject({
          name: 'inference',
          kind: 1,
          parentId: request.spanId,
          attributes: { model: 'iris', model_version: '1', rows: 1, batch_rows: 1 },
        })
        expect(request.start <= run.start && run.start < run.end && run.end <= request.end).toBe(
          true,
        )
        expect(request.start > before - 1_000_000_000n).toBe(true)
        expect(request.end - request.start < 5_000_000_000n).toBe(true)
        await until(() => lineOf(from, id)['span_id'] !== undefined)
        expect(lineOf(from, id)).toMatchObject({ trace_id: traceId, span_id: request.spanId })

        const refused = await predict(from, { traceparent: traceparent(true) }, [['x', 1, 2, 3]])
        expect(refused.headers.get('traceparent')).toEndWith('-01')
        await until(() => mine().length === 3)
        expect(mine()[2]).toMatchObject({
          failed: false,
          attributes: { 'http.response.status_code': 422, 'error.type': 'input.invalid' },
        })
        expect(collector.headers.at(-1)?.get('x-team')).toBe('blue one')
        expect(collector.faults).toEqual([])
        expect(spans.some((span) => span.parentId === '')).toBe(true)
      },
      60_000,
    )
  }
})

test('the sampler decides for roots, the caller for the rest; the end sends what waits', async () => {
  collector = startCollector()
  const { spans } = collector
  const from = await start({
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${collector.url}/v1/traces`,
    OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
    OTEL_TRACES_SAMPLER_ARG: '0.5',
    OTEL_BSP_SCHEDULE_DELAY: '60000',
  })
  for (let n = 0; n < 200; n += 1) await predict(from)
  for (let n = 0; n < 10; n += 1) await predict(from, { traceparent: traceparent(false) })
  for (let n = 0; n < 10; n += 1) await predict(from, { traceparent: traceparent(true) })
  expect(await from.stop()).toBe(0)
  expect(spans.filter((span) => span.traceId === traceId && span.kind === 2).length).toBe(10)
  const roots = spans.filter(({ name, parentId }) => name.endsWith(':predict') && parentId === '')
  expect(roots.length).toBeGreaterThan(60)
  expect(roots.length).toBeLessThan(140)
}, 60_000)

test('a collector that is down costs spans, which are counted, and nothing else', async () => {
  const from = await start({
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${freePort()}`,
    OTEL_BSP_MAX_QUEUE_SIZE: '100',
    OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '50',
    OTEL_TRACES_SAMPLER: 'odd',
  })
  const round = async (): Promise<void> => {
    for (let n = 0; n < 1000; n += 1) expect((await predict(from)).status).toBe(200)
  }
  await round()
  const before = pssOf(from.pid)
  await round()
  await round()
  expect(pssOf(from.pid) - before).toBeLessThan(40)
  const text = await (await from.call('GET', '/metrics')).text()
  const lost = Number(/^log_dropped_total\{sink="otlp"\} (\d+)$/m.exec(text)?.[1])
  expect(lost).toBeGreaterThan(2500)
  const { out } = from.said()
  expect(out.split('"event":"telemetry.undelivered"').length).toBe(2)
  expect(out).toInclude('"variables":"OTEL_TRACES_SAMPLER"')
  const began = performance.now()
  expect(await from.stop()).toBe(0)
  expect(performance.now() - began).toBeLessThan(8000)
}, 60_000)
