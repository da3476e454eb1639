import { describe, expect, test } from 'bun:test'
import { hostname } from 'node:os'
import { resolve } from 'node:path'

import {
  ConfigError,
  cpuQuota,
  envName,
  loadConfig,
  memoryLimit,
  parseDuration,
  settings,
} from './config.ts'

describe('settings', () => {
  test('flags win over the environment, the environment over defaults', () => {
    const env = { RELAIS_PORT: '9000', RELAIS_HOST: '0.0.0.0', PATH: '/bin' }
    const config = loadConfig({ port: '9001' }, env)
    expect([config.port, config.host, config['log-level']]).toEqual([9001, '0.0.0.0', 'info'])
  })

  test('units are read as people write them', () => {
    const config = loadConfig(
      {
        'max-model': '1.5GB',
        'max-body': '64kb',
        'predict-timeout': '250ms',
        retention: '7d',
        'protected-aliases': ' a , b,, c* ',
        'strict-ready': 'true',
      },
      {},
    )
    expect(config['max-model']).toBe(1.5 * 1024 ** 3)
    expect(config['max-body']).toBe(65_536)
    expect(config['predict-timeout']).toBe(250)
    expect(config.retention).toBe(604_800_000)
    expect(config['protected-aliases']).toEqual(['a', 'b', 'c*'])
    expect(config['strict-ready']).toBe(true)
    expect(['1s', '2m', '3h'].map(parseDuration)).toEqual([1000, 120_000, 10_800_000])
  })

  test('what is unknown or cannot be read is refused by name', () => {
    expect(() => loadConfig({}, { RELAIS_PROT: '1' })).toThrow(/RELAIS_PROT/)
    const wrong: [string, string][] = [
      ['port', 'http'],
      ['port', '-1'],
      ['port', ''],
      ['predict-timeout', '10'],
      ['predict-timeout', '10 s'],
      ['predict-timeout', ''],
      ['max-body', '12'],
      ['max-body', '1TB'],
      ['strict-ready', 'yes'],
      ['log-level', 'loud'],
      ['sla-p50', '0ms'],
      ['sla-p50', '151ms'],
      ['sla-p95', '301ms'],
      ['sla-p99', '149ms'],
      ['log-sample', '0'],
      ['log-file-size', '1KB'],
      ['loki-url', 'loki:3100'],
      ['loki-url', 'ftp://loki'],
      ['loki-url', 'http://me:secret@loki:3100'],
      ['log-file', './relais-data/relais.jsonl'],
    ]
    for (const [name, text] of wrong) {
      let thrown: unknown = null
      try {
        loadConfig({ [name]: text }, {})
      } catch (error) {
        thrown = error
      }
      expect([name, text, thrown instanceof ConfigError]).toEqual([name, text, true])
    }
  })

  test('a message names the setting it is about', () => {
    for (const [name, text] of [
      ['predict-timeout', 'soon'],
      ['max-body', 'much'],
      ['port', 'x'],
    ] as const) {
      expect(() => loadConfig({ [name]: text }, {})).toThrow(new RegExp(name))
    }
  })

  test('a server has a name, and log files an absolute path', () => {
    const config = loadConfig({ 'log-file': 'log.jsonl', instance: 'a' }, {})
    expect([config.instance, config['log-file']]).toEqual(['a', resolve('log.jsonl')])
    expect(loadConfig({}, {}).instance).toBe(hostname())
  })

  test('traces are off unless the variables of OpenTelemetry name an address', () => {
    expect(loadConfig({}, { OTEL_SERVICE_NAME: 'x' }).otel).toBeNull()
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' }
    expect(loadConfig({}, env).otel?.url).toBe('http://collector:4318/v1/traces')
    const wrong = { OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4318' }
    expect(() => loadConfig({}, wrong)).toThrow(/^OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4318/)
  })

  test('the client may set its own variables beside the server', () => {
    expect(() => loadConfig({}, { RELAIS_URL: 'x', RELAIS_TOKEN: 'y' })).not.toThrow()
  })

  test('every default can be read, every setting has its variable and help', () => {
    const config = loadConfig({}, {})
    for (const [name, { help }] of Object.entries(settings)) {
      expect(Object.keys(config)).toContain(name)
      expect(help.length).toBeGreaterThan(5)
      expect(envName(name)).toMatch(/^RELAIS_[A-Z0-9_]+$/)
    }
  })

  test('paths are absolute; memory and threads come from the machine unless given', () => {
    const config = loadConfig({ data: 'here' }, {})
    expect(config.data).toStartWith('/')
    expect(config['engine-memory']).toBe(Math.floor(memoryLimit() / 2))
    expect(config['engine-threads']).toBe(cpuQuota())
    expect(cpuQuota()).toBeGreaterThanOrEqual(1)
    const given = loadConfig({ 'engine-memory': '1GB', 'engine-threads': '3' }, {})
    expect([given['engine-memory'], given['engine-threads']]).toEqual([1024 ** 3, 3])
  })
})
