import { describe, expect, test } from 'bun:test'

import { type OtelSettings, otelSettings } from './otel.ts'

const base = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' }
const read = (env: Record<string, string>): OtelSettings => {
  const settings = otelSettings({ ...base, ...env })
  if (!settings) throw new Error('off')
  return settings
}

describe("OpenTelemetry's variables", () => {
  test('defaults are those of the standard', () => {
    expect(read({})).toEqual({
      url: 'http://collector:4318/v1/traces',
      json: false,
      gzip: false,
      timeout: 10_000,
      headers: {},
      resource: { 'service.name': 'relais' },
      sampler: { parent: true, ratio: 1 },
      queue: 2048,
      batch: 512,
      delay: 5000,
      ignored: [],
    })
  })

  test('the general address is a base, that of traces is whole and wins', () => {
    const url = (env: Record<string, string>): string | undefined => otelSettings(env)?.url
    expect(url({ OTEL_EXPORTER_OTLP_ENDPOINT: 'https://c/otlp/' })).toBe('https://c/otlp/v1/traces')
    const own = { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://t:1/x' }
    expect(url(own)).toBe('http://t:1/x')
    expect(url({ ...base, ...own })).toBe('http://t:1/x')
    expect(() => url({ OTEL_EXPORTER_OTLP_ENDPOINT: 'c:4318' })).toThrow("'c:4318")
  })

  test('empty variables count as not set; the switches turn everything off', () => {
    expect(otelSettings({})).toBeNull()
    expect(otelSettings({ OTEL_EXPORTER_OTLP_ENDPOINT: ' ' })).toBeNull()
    for (const off of [{ OTEL_SDK_DISABLED: 'TRUE' }, { OTEL_TRACES_EXPORTER: 'none' }]) {
      expect(otelSettings({ ...base, ...off })).toBeNull()
    }
    expect(read({ OTEL_SDK_DISABLED: 'false', OTEL_TRACES_EXPORTER: 'otlp' }).url).toBeString()
  })

  test('headers and attributes are lists of pairs; variables for traces and the service name win', () => {
    const settings = read({
      OTEL_EXPORTER_OTLP_HEADERS: 'a=1',
      OTEL_EXPORTER_OTLP_TRACES_HEADERS: 'authorization=Basic%20YTpi, x-scope = t=1,junk',
      OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip',
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
      OTEL_EXPORTER_OTLP_TIMEOUT: '500',
      OTEL_RESOURCE_ATTRIBUTES: 'service.name=other,env=prod,odd=%zz',
      OTEL_SERVICE_NAME: 'models',
    })
    expect(settings).toMatchObject({
      headers: { authorization: 'Basic YTpi', 'x-scope': 't=1' },
      resource: { 'service.name': 'models', env: 'prod', odd: '%zz' },
      json: true,
      gzip: true,
      timeout: 500,
      ignored: [],
    })
  })

  test('every sampler of the standard', () => {
    const sampler = (name: string, argument = '') =>
      read({ OTEL_TRACES_SAMPLER: name, OTEL_TRACES_SAMPLER_ARG: argument }).sampler
    expect(sampler('always_on')).toEqual({ parent: false, ratio: 1 })
    expect(sampler('always_off')).toEqual({ parent: false, ratio: 0 })
    expect(sampler('traceidratio', '0.25')).toEqual({ parent: false, ratio: 0.25 })
    expect(sampler('parentbased_always_on')).toEqual({ parent: true, ratio: 1 })
    expect(sampler('parentbased_always_off')).toEqual({ parent: true, ratio: 0 })
    expect(sampler('parentbased_traceidratio', '0')).toEqual({ parent: true, ratio: 0 })
    expect(sampler('traceidratio')).toEqual({ parent: false, ratio: 1 })
  })

  test('what cannot be read is the default, and named', () => {
    const settings = read({
      OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
      OTEL_EXPORTER_OTLP_TIMEOUT: 'soon',
      OTEL_TRACES_SAMPLER: 'traceidratio',
      OTEL_TRACES_SAMPLER_ARG: '7',
      OTEL_BSP_MAX_QUEUE_SIZE: '-1',
      OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '5000',
    })
    expect(settings).toMatchObject({
      json: false,
      timeout: 10_000,
      sampler: { parent: true, ratio: 1 },
      queue: 2048,
      batch: 2048,
    })
    expect(settings.ignored.toSorted()).toEqual([
      'OTEL_BSP_MAX_QUEUE_SIZE',
      'OTEL_EXPORTER_OTLP_PROTOCOL',
      'OTEL_EXPORTER_OTLP_TIMEOUT',
      'OTEL_TRACES_SAMPLER',
    ])
  })
})
