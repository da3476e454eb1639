import { describe, expect, test } from 'bun:test'

import { Counter, Histogram, type Metric, Registry } from 'prom-client'

import { catalogue, type Entry } from './catalogue.ts'
import { createLog } from './log.ts'
import { createMetrics } from './metrics.ts'
import { CounterFamily, HistogramFamily } from './series.ts'
import { parentOf, spanIdOf, traceIdOf } from './trace.ts'

function memorySink() {
  const chunks: Uint8Array[] = []
  const decoder = new TextDecoder()
  return {
    sink: {
      write: (bytes: Uint8Array) => chunks.push(Uint8Array.from(bytes)),
      flush: () => 0,
    },
    text: () => decoder.decode(Buffer.concat(chunks)),
    lines: (): Record<string, unknown>[] =>
      decoder
        .decode(Buffer.concat(chunks))
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Record<string, unknown>),
  }
}

describe('log lines', () => {
  const common = { service: 'relais', version: '1' }

  test('hostile values stay within one JSON line', async () => {
    const { sink, lines, text } = memorySink()
    const log = createLog('info', common, { stdout: sink })
    const hostile = 'a\r\n{"level":"error"}\u001b[31mred\u2028\u0000"\\'
    log.write('info', 'test', { value: hostile, [hostile]: 1 })
    log.write('error', 'test', { error: new Error(hostile, { cause: hostile }) })
    await log.close()
    expect(lines().length).toBe(2)
    expect(lines()[0]?.['value']).toBe(hostile)
    expect(lines()[1]?.['error.message']).toBe(hostile)
    expect(lines()[1]).toMatchObject({ level: 'error', service: 'relais', event: 'test' })
    // oxlint-disable-next-line no-control-regex
    expect(text().replaceAll('\n', '')).not.toMatch(/[\u0000-\u001f]/)
  })

  test('levels below the one set are left out', async () => {
    const { sink, lines } = memorySink()
    const log = createLog('warn', common, { stdout: sink })
    for (const level of ['debug', 'info', 'warn', 'error'] as const) log.write(level, level)
    log.access(log.accessHead('"route":"/x"'), ',"status":200}')
    await log.close()
    expect(lines().map((line) => line['level'])).toEqual(['warn', 'error'])
  })

  test('access lines are whole JSON objects in the order of writing', async () => {
    const { sink, lines } = memorySink()
    const log = createLog('info', common, { stdout: sink })
    const head = log.accessHead('"method":"GET","route":"/ü"')
    for (let at = 0; at < 20_000; at += 1) log.access(head, `,"n":${at}}`)
    await log.close()
    expect(lines().length).toBe(20_000)
    expect(lines().every((line, at) => line['n'] === at && line['route'] === '/ü')).toBe(true)
    expect(lines()[0]).toMatchObject({ level: 'info', event: 'http.request', log_type: 'access' })
  })

  test('one sink that stands still or fails holds up no other', async () => {
    const { sink, lines } = memorySink()
    const { promise, resolve } = Promise.withResolvers<number>()
    const fail = (): never => {
      throw new Error('EPIPE')
    }
    const log = createLog('info', common, {
      stdout: { write: () => promise, flush: () => 0 },
      file: { write: fail, flush: fail },
      loki: sink,
    })
    for (let at = 0; at < 10; at += 1) {
      log.write('info', 'one', { at })
      void log.flush()
      await Bun.sleep(0)
    }
    expect(lines().map((line) => line['at'])).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    expect(log.droppedBy('file')).toBeGreaterThanOrEqual(10)
    expect([log.droppedBy('stdout'), log.droppedBy('loki')]).toEqual([0, 0])
    resolve(0)
    await log.close()
  })

  test('a flush that has resolved has written all, also what came while another one ended', async () => {
    const { sink, lines } = memorySink()
    const { promise, resolve } = Promise.withResolvers<number>()
    let isFirst = true
    const log = createLog('info', common, {
      stdout: {
        ...sink,
        flush: () => {
          const answer = isFirst ? promise : 0
          isFirst = false
          return answer
        },
      },
    })
    log.write('info', 'one', { at: 0 })
    const earlier = log.flush()
    // The first line is out, and the sink is in its last step.
    await Bun.sleep(1)
    log.write('info', 'one', { at: 1 })
    const later = log.flush()
    resolve(0)
    await later
    expect(lines().map((line) => line['at'])).toEqual([0, 1])
    await earlier
    await log.close()
  })

  test('a few lines that wait keep no large buffer, and pieces are whole lines in order', async () => {
    const pieces: Uint8Array[] = []
    const keep = (bytes: Uint8Array): number => pieces.push(bytes)
    const log = createLog('info', common, { stdout: { write: keep, flush: () => 0 } })
    log.write('info', 'small')
    await log.flush()
    const body = 'é'.repeat(50_000)
    for (let at = 0; at < 20; at += 1) log.write('info', 'large', { at, body })
    await log.close()
    expect(pieces[0]?.buffer.byteLength).toBeLessThan(1 << 17)
    expect(pieces.every((piece) => piece.at(-1) === 10)).toBe(true)
    const text = Buffer.concat(pieces).toString('utf8').trim().split('\n')
    expect(text.slice(1).map((line) => (JSON.parse(line) as { at: number }).at)).toEqual(
      Array.from({ length: 20 }, (_, at) => at),
    )
  })

  test('a reader that does not read costs lines, not memory', async () => {
    const { promise, resolve } = Promise.withResolvers<number>()
    const log = createLog('info', common, {
      stdout: { write: () => promise, flush: () => 0 },
    })
    const line = 'x'.repeat(100_000)
    for (let at = 0; at < 1000; at += 1) log.write('info', 'big', { line })
    void log.flush()
    for (let at = 0; at < 1000; at += 1) log.write('info', 'big', { line })
    expect(log.droppedBy('stdout')).toBeGreaterThan(1000)
    resolve(0)
    await log.close()
  })
})

describe('traceparent', () => {
  const id = '4bf92f3577b34da6a3ce929d0e0e4736'
  const uuid = '01a20963-d9ba-74f3-a957-9355e344f299'
  const fresh = uuid.replaceAll('-', '')

  test('a valid one is joined, of later versions too', () => {
    expect(traceIdOf(`00-${id}-00f067aa0ba902b7-01`, uuid)).toBe(id)
    expect(traceIdOf(`00-${id}-00f067aa0ba902b7-00`, uuid)).toBe(id)
    expect(traceIdOf(`cc-${id}-00f067aa0ba902b7-01-what-the-future-brings`, uuid)).toBe(id)
  })

  test('the parent tells whether its trace is recorded', () => {
    const span = '00f067aa0ba902b7'
    const parent = { traceId: id, spanId: span }
    expect(parentOf(`00-${id}-${span}-01`)).toEqual({ ...parent, sampled: true })
    expect(parentOf(`00-${id}-${span}-02`)).toEqual({ ...parent, sampled: false })
    expect(parentOf(`00-${id}-${span}-ff`)).toEqual({ ...parent, sampled: true })
    expect([parentOf(null), parentOf(id)]).toEqual([null, null])
  })

  test('span ids are 16 hex digits of their own', () => {
    const ids = Array.from({ length: 1000 }, () => spanIdOf(Bun.randomUUIDv7()))
    expect(ids.every((span) => /^[89ab][0-9a-f]{15}$/.test(span))).toBe(true)
    expect(new Set(ids).size).toBe(1000)
  })

  test('anything else makes a new one', () => {
    const wrong = [
      null,
      '',
      id,
      `ff-${id}-00f067aa0ba902b7-01`,
      `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`,
      `00-${id}-${'0'.repeat(16)}-01`,
      `00-${id.toUpperCase()}-00f067aa0ba902b7-01`,
      `00-${id}-00f067aa0ba902b7`,
      `00-${id}-00f067aa0ba902b7-01-more`,
      `00-${id}-00f067aa0ba902b7-1`,
      `cc-${id}-00f067aa0ba902b7-01.what`,
      `00-${id}0-00f067aa0ba902b7-01`,
      ` 00-${id}-00f067aa0ba902b7-01`,
      `00-${id}-00f067aa0ba902b7-01"}\n{"x":"`,
    ]
    for (const header of wrong) expect([header, traceIdOf(header, uuid)]).toEqual([header, fresh])
  })
})

describe('series', () => {
  const bounds = [0.001, 0.005, 0.01, 1]
  const values = [0, 0.001, 0.0010001, 0.004, 0.005, 0.5, 1, 1.5, 100, 0.3]
  const labelled = { model: 'a "b"\\c\nd', version: '1' }

  test("the text is prom-client's own for the same observations", async () => {
    const ours = new Registry()
    const theirs = new Registry()
    const labelNames = ['model', 'version'] as const
    const counters = [
      new CounterFamily({ name: 'requests_total', help: 'Requests', labels: labelNames }),
      new Counter({ name: 'requests_total', help: 'Requests', labelNames, registers: [theirs] }),
    ] as const
    const histograms = [
      new HistogramFamily({ name: 'seconds', help: 'Time', labels: labelNames }, bounds),
      new Histogram({
        name: 'seconds',
        help: 'Time',
        labelNames,
        buckets: bounds,
        registers: [theirs],
      }),
    ] as const
    for (const family of [counters[0], histograms[0]]) {
      ours.registerMetric(family as unknown as Metric)
    }
    for (const labels of [labelled, { model: 'z', version: '2' }]) {
      const [count, time] = [counters[0].of(labels), histograms[0].of(labels)]
      for (const value of values) {
        count.add(2)
        time.observe(value)
        counters[1].inc(labels, 2)
        histograms[1].observe(labels, value)
      }
    }
    // The order of labels has no meaning; prom-client puts `le` first.
    const sorted = (text: string): string[] =>
      text
        .replaceAll(/\{(.*),(le="[^"]*")\}/g, '{$2,$1}')
        .split('\n')
        .toSorted()
    expect(sorted(await ours.metrics())).toEqual(sorted(await theirs.metrics()))
    expect(await ours.metrics()).toInclude(
      'requests_total{model="a \\"b\\"\\\\c\\nd",version="1"} 20',
    )
  })

  test('a series is one object per label set, and goes when it is removed', async () => {
    const family = new CounterFamily({ name: 'n_total', help: 'N', labels: ['model', 'version'] })
    const series = family.of(labelled)
    expect(family.of({ ...labelled })).toBe(series)
    expect(family.of({ model: 'z', version: '1' })).not.toBe(series)
    family.remove({ model: labelled.model })
    expect((await family.get()).values.map((sample) => sample.labels['model'])).toEqual(['z'])
    expect(family.of(labelled)).not.toBe(series)
  })
})

test('the whole catalogue is exposed as valid text, each family once', async () => {
  const metrics = createMetrics({ p50: 0.05, p95: 0.15, p99: 0.3 })
  metrics.predictions.of({ model: 'm', model_version: '1', outcome: 'ok' }).add(1)
  const text = await metrics.expose()
  const families = [...text.matchAll(/^# TYPE (\S+) /gm)].map((match) => match[1])
  expect(new Set(families).size).toBe(families.length)
  for (const name of [
    'http_requests_total',
    'predictions_total',
    'model_training_accuracy',
    'f1_score',
  ]) {
    expect(families).toContain(name)
  }
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue
    expect(line).toMatch(/^[a-z_:][\w:]*(\{.*\})? -?(\d|NaN|\+Inf|Inf)/i)
  }
})

describe('the catalogue', () => {
  const entries = Object.values<Entry>(catalogue)
  /** Numbers of things, of which the name says what they are. */
  const unitless = new Set([
    'http_requests_in_flight',
    'prediction_score',
    'prediction_batch_size',
    'inference_queue_depth',
    'model_loaded',
    'model_fallback',
    'model_training_accuracy',
    'f1_score',
    'registry_model_versions',
    'engines_running',
    'engine_queue_depth',
    'process_open_fds',
    'process_max_fds',
  ])

  test('every metric has a sentence of its own that says what it means', () => {
    for (const { name, help } of entries) {
      expect([name, help]).toEqual([name, expect.stringMatching(/^[A-Z1].{20,}[^.\s]$/)])
    }
    expect(new Set(entries.map(({ help }) => help)).size).toBe(entries.length)
  })

  test('names end in their unit, and counters in _total', () => {
    for (const { name, type } of entries) {
      expect([name, /^[a-z][a-z0-9_]*[a-z0-9]$/.test(name)]).toEqual([name, true])
      expect([name, name.endsWith('_total')]).toEqual([name, type === 'counter'])
      const hasUnit = /_(total|seconds|bytes|info)$/.test(name)
      expect([name, hasUnit !== unitless.has(name)]).toEqual([name, true])
    }
  })

  test('no label can hold what a client or a user makes up, and none is called as Prometheus calls its own', () => {
    const labels = new Set(entries.flatMap((entry) => [...entry.labels]))
    for (const label of [
      'le',
      'quantile',
      'job',
      'instance',
      'path',
      'user',
      'feature',
      'message',
    ]) {
      expect([label, labels.has(label)]).toEqual([label, false])
    }
  })

  test('default metrics that are wrong under Bun are not there', async () => {
    const text = await createMetrics({ p50: 0.05, p95: 0.15, p99: 0.3 }).expose()
    const names = [...text.matchAll(/^# TYPE (\S+)/gm)].map((match) => match[1] as string)
    expect(names.sort()).toEqual(entries.map(({ name }) => name).sort())
    expect(text).not.toMatch(
      /^(process_heap_bytes|nodejs_(active|heap|gc|version|eventloop_util))/m,
    )
  })

  test('what cannot be read at a scrape does not take the rest with it', async () => {
    const metrics = createMetrics({ p50: 0.05, p95: 0.15, p99: 0.3 })
    metrics.onScrape(() => {
      throw new Error('no such file')
    })
    metrics.onScrape(() => Promise.reject(new Error('database is locked')))
    metrics.onScrape(() => metrics.walBytes.set({}, 7))
    expect(await metrics.expose()).toContain('\nsqlite_wal_bytes 7\n')
  })
})
