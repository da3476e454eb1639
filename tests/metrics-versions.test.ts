// Metrics of versions: what predictions count, and when the series of a version come and go.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'

import { pushChooser, rowsFor, serveChooser } from './support/chooser.ts'
import { type Sample, scrape, sumOf } from './support/exposition.ts'
import { type Relais, startRelais } from './support/relais.ts'

describe('predictions', () => {
  let relais: Relais
  beforeAll(async () => {
    relais = await startRelais()
    await serveChooser(relais, 'chooser')
  })
  afterAll(() => relais.close())
  const M = { model: 'chooser', model_version: '1' }
  const get = async (name: string, labels = {}): Promise<number | undefined> =>
    sumOf(await scrape(relais), name, { ...M, ...labels })

  test('all is at 0 before the first', async () => {
    for (const outcome of ['ok', 'error', 'rejected']) {
      expect(await get('predictions_total', { outcome })).toBe(0)
    }
    for (const reason of ['schema', 'timeout', 'runtime', 'overload']) {
      expect(await get('prediction_errors_total', { reason })).toBe(0)
    }
    for (const name of ['0', '1'])
      expect(await get('predicted_class_total', { class: name })).toBe(0)
    expect(await get('prediction_score_count')).toBe(0)
    for (const check of ['type', 'null', 'range', 'set', 'finite', 'shape', 'missing', 'unknown']) {
      expect(await get('data_check_failures_total', { check })).toBe(0)
    }
  })

  test('every door counts classes and scores by row', async () => {
    const rows = rowsFor([0, 1, 1, 7])
    const data = {
      code: rows.map(([code]) => code),
      p: rows.map(([, ...p]) => p),
    }
    const split = { columns: ['code', 'p0', 'secret_feature'], data: rows }
    const inputs = [
      { name: 'code', datatype: 'INT64', shape: [4], data: data.code },
      { name: 'p', datatype: 'FP32', shape: [4, 2], data: data.p.flat() },
    ]
    const csv = `${split.columns.join(',')}\n${rows.map((row) => row.join(',')).join('\n')}\n`
    const doors: [string, object][] = [
      ['/v1/models/chooser:predict', { body: { instances: rows } }],
      ['/v1/models/chooser:predict', { body: { inputs: data } }],
      ['/v2/models/chooser/infer', { body: { inputs } }],
      ['/v1/models/chooser/invocations', { body: { dataframe_split: split } }],
      ['/v1/models/chooser:score', { raw: csv, headers: { 'content-type': 'text/csv' } }],
    ]
    for (const [at, [path, options]] of doors.entries()) {
      const { status, text } = await relais.call('POST', path, options)
      expect([path, status, status === 200 ? '' : text]).toEqual([path, 200, ''])
      const done = at + 1
      const samples = await scrape(relais)
      const of = (name: string): number | undefined =>
        sumOf(samples, 'predicted_class_total', { ...M, class: name })
      expect([path, of('0'), of('1'), of('7')]).toEqual([path, done, 2 * done, done])
      expect(sumOf(samples, 'prediction_score_count', M)).toBe(4 * done)
      expect(sumOf(samples, 'prediction_score_sum', M)).toBe(3 * done)
      const below = (le: string) => sumOf(samples, 'prediction_score_bucket', { ...M, le })
      expect([below('0.7'), below('0.8')]).toEqual([0, 4 * done])
      expect(sumOf(samples, 'predictions_total', { ...M, outcome: 'ok' })).toBe(done)
    }
  })

  test('classes beyond the twentieth are others', async () => {
    const codes = Array.from({ length: 60 }, (_, at) => at + 100)
    expect((await relais.predict('chooser', rowsFor(codes))).status).toBe(200)
    const samples = (await scrape(relais)).filter(({ name }) => name === 'predicted_class_total')
    expect(samples.length).toBe(21)
    // 0, 1 and 7 have been there before.
    expect(sumOf(samples, 'predicted_class_total', { class: 'other' })).toBe(60 - 17)
  })

  test('what is wrong with an input is counted by check, and names no feature', async () => {
    const p = { p0: 0.5, secret_feature: 0.5 }
    const wrong: [string, unknown][] = [
      ['type', { code: 'x', ...p }],
      ['null', { code: null, ...p }],
      ['range', { code: -6, ...p }],
      ['range', { code: 1001, ...p }],
      ['missing', { code: 1, p0: 0.5 }],
      ['unknown', { code: 1, ...p, more: 1 }],
      ['shape', [1, 2]],
    ]
    for (const [check, row] of wrong) {
      const before = (await get('data_check_failures_total', { check })) ?? 0
      const all = (await get('data_check_failures_total')) ?? 0
      expect([check, (await relais.predict('chooser', [row])).status]).toEqual([check, 422])
      expect([check, await get('data_check_failures_total', { check })]).toEqual([
        check,
        before + 1,
      ])
      expect(await get('data_check_failures_total')).toBe(all + 1)
    }
    const { text } = await relais.call('GET', '/metrics')
    expect(text).not.toContain('secret_feature')
    expect(await get('prediction_errors_total', { reason: 'schema' })).toBe(wrong.length)
    expect(await get('predictions_total', { outcome: 'rejected' })).toBe(wrong.length)
  })

  test('so it is at the other doors, and for rows that a job skips', async () => {
    const missing = { code: 1 }
    const csv = 'code,p0,secret_feature\n1,0.5,0.5\nx,0.5,0.5\n9999,0.5,0.5\n'
    const doors: [string, object, Record<string, number>][] = [
      [
        '/v1/models/chooser/invocations',
        { body: { dataframe_records: [missing] } },
        { missing: 1 },
      ],
      [
        '/v2/models/chooser/infer',
        { body: { inputs: [{ name: 'code', datatype: 'INT64', shape: [1], data: [1] }] } },
        { missing: 1 },
      ],
      [
        '/v1/models/chooser:score?on-error=skip',
        { raw: csv, headers: { 'content-type': 'text/csv' } },
        { type: 1, range: 1 },
      ],
      [
        '/v1/models/chooser:score',
        { raw: csv, headers: { 'content-type': 'text/csv' } },
        { type: 1 },
      ],
    ]
    for (const [path, options, expected] of doors) {
      const before = await scrape(relais)
      await relais.call('POST', path, options)
      const after = await scrape(relais)
      const risen = Object.fromEntries(
        ['type', 'null', 'range', 'set', 'finite', 'shape', 'missing', 'unknown'].flatMap(
          (check) => {
            const of = (samples: Sample[]) =>
              sumOf(samples, 'data_check_failures_total', { ...M, check }) ?? 0
            const rise = of(after) - of(before)
            return rise === 0 ? [] : [[check, rise]]
          },
        ),
      )
      expect([path, risen]).toEqual([path, expected])
    }
  })

  test('what cannot be read is the fault of the caller', async () => {
    const before = (await get('predictions_total', { outcome: 'rejected' })) ?? 0
    const answer = await relais.call('POST', '/v1/models/chooser:predict', { raw: '{' })
    expect(answer.status).toBe(400)
    expect(await get('predictions_total', { outcome: 'rejected' })).toBe(before + 1)
    expect(await get('predictions_total', { outcome: 'error' })).toBe(0)
  })
})

describe('versions that come and go', () => {
  let relais: Relais
  beforeAll(async () => {
    relais = await startRelais()
  })
  afterAll(() => relais.close())

  const seriesOf = (samples: readonly Sample[], version: string): string[] => [
    ...new Set(
      samples
        .filter(({ labels }) => labels.model === 'm' && labels.model_version === version)
        .map(({ name }) => name),
    ),
  ]
  const promotion = (samples: readonly Sample[], version: string): number | undefined =>
    sumOf(samples, 'model_promotion_timestamp_seconds', { model: 'm', model_version: version })

  test('all series of a version go when it is unloaded, also the lazy ones', async () => {
    const began = Date.now() / 1000
    await serveChooser(relais, 'm')
    await relais.predict('m', rowsFor([0, 5, 9]))
    await relais.predict('m', [[1]])
    const first = await scrape(relais)
    expect(seriesOf(first, '1')).toEqual(
      expect.arrayContaining([
        'predictions_total',
        'prediction_errors_total',
        'predicted_class_total',
        'prediction_score_count',
        'data_check_failures_total',
        'model_inference_duration_seconds_count',
        'model_loaded',
        'model_info',
        'model_promotion_timestamp_seconds',
      ]),
    )
    expect(promotion(first, '1')).toBeWithin(began - 1, Date.now() / 1000 + 1)
    await serveChooser(relais, 'm')
    const second = await scrape(relais)
    expect(seriesOf(second, '1')).toEqual([])
    expect(promotion(second, '2')).toBeGreaterThan(promotion(first, '1') ?? Infinity)
    const moved = (to: string) => sumOf(second, 'model_stage_transitions_total', { model: 'm', to })
    expect([moved('Production'), moved('Archived'), moved('Staging')]).toEqual([2, 1, 0])
  })

  test('a rollback is a promotion of the older version', async () => {
    expect(sumOf(await scrape(relais), 'model_rollbacks_total', { model: 'm' })).toBe(0)
    const before = promotion(await scrape(relais), '2')
    const { status } = await relais.call('POST', '/api/v1/models/m/rollback', { body: {} })
    expect(status).toBe(200)
    const samples = await scrape(relais)
    expect(sumOf(samples, 'model_rollbacks_total', { model: 'm' })).toBe(1)
    expect(promotion(samples, '1')).toBeGreaterThan(before ?? Infinity)
    expect(seriesOf(samples, '2')).toEqual([])
  })

  test('a version in two lanes keeps its counts when it leaves one of them', async () => {
    expect(await pushChooser(relais, 'm')).toBe(3)
    await relais.promote('m', 3, 'Staging')
    await relais.predict('m', rowsFor([0]), { at: 'labels/Staging' })
    await relais.promote('m', 3, 'Production')
    const ok = { model: 'm', model_version: '3', outcome: 'ok' }
    await Bun.sleep(50)
    expect(sumOf(await scrape(relais), 'predictions_total', ok)).toBe(1)
    await relais.predict('m', rowsFor([0]))
    expect(sumOf(await scrape(relais), 'predictions_total', ok)).toBe(2)
  })

  test('when a version became live is known after a restart, too', async () => {
    const before = promotion(await scrape(relais), '3')
    await relais.restart()
    expect(before).toBeGreaterThan(0)
    expect(promotion(await scrape(relais), '3')).toBe(before as number)
  })

  test('versions are counted by stage, and the bytes of their artifacts', async () => {
    await Bun.sleep(1100)
    const samples = await scrape(relais)
    const inStage = (stage: string) => sumOf(samples, 'registry_model_versions', { stage })
    expect(['None', 'Staging', 'Production', 'Archived'].map(inStage)).toEqual([0, 0, 1, 2])
    expect(sumOf(samples, 'registry_artifact_bytes')).toBeGreaterThan(100)
    await relais.call('DELETE', '/api/v1/models/m/versions/2')
    await Bun.sleep(1100)
    const after = await scrape(relais)
    expect(sumOf(after, 'registry_model_versions', { stage: 'Archived' })).toBe(1)
  })

  test('engines tell what they take, by lane', async () => {
    const samples = await scrape(relais)
    expect(sumOf(samples, 'engine_resident_memory_bytes', { lane: 'live' })).toBeGreaterThan(1e6)
    const cpu = sumOf(samples, 'engine_cpu_seconds_total', { lane: 'live' }) ?? 0
    expect(cpu).toBeGreaterThan(0)
    const [live] = relais.app.deployments.engines.filter(({ key }) => key === 'live')
    process.kill(live?.pid as number, 'SIGKILL')
    await Bun.sleep(300)
    const after = await scrape(relais)
    // What the engine took that is gone is still counted.
    expect(sumOf(after, 'engine_cpu_seconds_total', { lane: 'live' })).toBeGreaterThanOrEqual(cpu)
    expect(sumOf(after, 'engine_restarts_total', { cause: 'killed' })).toBe(1)
  })

  test('nothing is left of a model that is gone', async () => {
    await relais.promote('m', 3, 'Archived')
    expect((await relais.call('DELETE', '/api/v1/models/m')).status).toBe(200)
    await Bun.sleep(100)
    expect((await scrape(relais)).filter(({ labels }) => labels.model === 'm')).toEqual([])
  })
})
