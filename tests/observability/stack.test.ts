// The stack's files before the programs that read them, or the loaders of those: compose, Alloy,
// Prometheus, Alertmanager, Kubernetes, systemd.
import { afterAll, describe, expect, test } from 'bun:test'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { effectiveConfiguration } from '../../src/stack/alertmanager.ts'
import { exportFiles } from '../../src/stack/export.ts'
import { stackFiles } from '../../src/stack/files.ts'
import { goProgram } from '../support/go.ts'
import { monitoringTools } from '../support/prometheus.ts'
import { pythonWith } from '../support/python.ts'
import { shippedAlerts } from '../support/rules.ts'
import { root } from '../support/sources.ts'

const at = (path: string): string => join(root, path)
const read = (path: string): string => readFileSync(at(path), 'utf8')
const folder = mkdtempSync(join(tmpdir(), 'relais-stack-'))
afterAll(() => rmSync(folder, { recursive: true }))

interface Ran {
  code: number
  out: string
  words: string
}

function run(command: readonly string[], env: Record<string, string> = {}): Ran {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command], {
    env: { PATH: process.env['PATH'] ?? '', HOME: folder, ...env },
  })
  return { code: exitCode, out: stdout.toString(), words: stderr.toString() }
}

/** Runs it and demands success; returns what it printed. */
function runs(command: readonly string[], env?: Record<string, string>): string {
  const { code, out, words } = run(command, env)
  expect([out, words, code]).toEqual([out, words, 0])
  return out
}

const check = goProgram(join(import.meta.dir, 'stack-check'))

// tests/stack.test.ts looks at the same files without it.
if (check !== null)
  describe('by the loaders of Docker Compose and Alloy,', () => {
    const load = (path: string, env?: Record<string, string>): any =>
      JSON.parse(runs([check, 'compose', path], env))

    test('compose.yml is a project of seven services with all profiles, and Relais alone without', () => {
      const all = load(at('compose/compose.yml'))
      expect(Object.keys(all.services)).toEqual([
        'alertmanager',
        'alloy',
        'grafana',
        'init',
        'loki',
        'prometheus',
        'relais',
      ])
      const alone = load(at('compose/compose.yml'), { COMPOSE_PROFILES: '' })
      expect(Object.keys(alone.services)).toEqual(['init', 'relais'])
    })

    test('compose.yml mounts files that are there, and builds from a folder with a Dockerfile', () => {
      const { services, secrets } = load(at('compose/compose.yml'))
      const binds = Object.values<any>(services).flatMap(({ volumes }) =>
        volumes.filter(({ type }: any) => type === 'bind').map(({ source }: any) => source),
      )
      expect(binds.length).toBeGreaterThan(5)
      for (const source of binds) expect(readdirSync(source).length).toBeGreaterThan(0)
      for (const { file } of Object.values<any>(secrets)) expect(readFileSync(file).length).toBe(0)
      const { context, dockerfile } = services.relais.build
      expect(readFileSync(join(context, dockerfile), 'utf8')).toBe(read('Dockerfile'))
    })

    test('compose.yml is the same project after an export', () => {
      const exported = join(folder, 'exported')
      exportFiles(exported, stackFiles, false)
      const here = JSON.stringify(load(at('compose/compose.yml'))).replaceAll(root, '')
      const there = JSON.stringify(load(join(exported, 'compose/compose.yml')))
      expect(there.replaceAll(exported, '')).toBe(here)
    })

    test('compose.yml takes ports, limits and secrets from the environment', () => {
      const { services, secrets } = load(at('compose/compose.yml'), {
        RELAIS_HTTP_PORT: '9999',
        RELAIS_MEM_LIMIT: '4g',
        SLACK_WEBHOOK_URL_FILE: '/etc/relais/slack',
      })
      expect(services.relais.ports[0]).toMatchObject({ host_ip: '127.0.0.1', published: '9999' })
      expect(services.relais.mem_limit).toBe(String(4 * 1024 ** 3))
      expect(secrets.slack_webhook_url.file).toBe('/etc/relais/slack')
    })

    test('a fault of compose.yml is found: an unknown key, a volume that is not declared', () => {
      const text = read('compose/compose.yml')
      for (const wrong of [
        text.replace('mem_limit: 512m', 'memory_limit: 512m'),
        text.replace('- loki_data:/loki', '- lokidata:/loki'),
      ]) {
        const path = join(folder, 'compose.yml')
        writeFileSync(path, wrong)
        const { code, words } = run([check, 'compose', path], {
          COMPOSE_PROFILES: 'monitoring,logs',
        })
        expect([code, words]).toEqual([1, expect.stringMatching(/memory_limit|lokidata/)])
      }
    })

    test('config.alloy is sound, and formatted as `alloy fmt` would', () => {
      runs([check, 'alloy', at('compose/alloy/config.alloy')])
      const path = join(folder, 'config.alloy')
      writeFileSync(path, read('compose/alloy/config.alloy').replace('forward_to', 'forward_to ='))
      expect(run([check, 'alloy', path]).code).toBe(1)
    })
  })

test('prometheus.yml and its rules, by promtool', () => {
  const { promtool } = monitoringTools()
  for (const part of ['compose/prometheus', 'dashboards/rules']) {
    mkdirSync(join(folder, part, '..'), { recursive: true })
    cpSync(at(part), join(folder, part), { recursive: true })
  }
  // The one path that exists in the container alone.
  writeFileSync(join(folder, 'token'), 'x')
  const path = join(folder, 'compose/prometheus/prometheus.yml')
  const text = readFileSync(path, 'utf8')
  writeFileSync(path, text.replace('/run/relais/metrics_token', join(folder, 'token')))
  const said = runs([promtool, 'check', 'config', path])
  const files = readdirSync(at('dashboards/rules')).filter((name) => name.endsWith('.yml'))
  expect(files.length).toBeGreaterThan(0)
  expect(said).toContain(`${files.length} rule files found`)
})

describe('alertmanager.yml, by amtool', () => {
  const path = at('compose/alertmanager/alertmanager.yml')
  const { amtool } = monitoringTools()
  const receiverOf = (labels: Record<string, string>): string =>
    runs([
      amtool,
      'config',
      'routes',
      'test',
      `--config.file=${path}`,
      ...Object.entries(labels).map(([name, value]) => `${name}=${value}`),
    ]).trim()

  test('is sound as it is, and with each set of secrets', () => {
    runs([amtool, 'check-config', path])
    for (const off of [[], ['slack'], ['pagerduty'], ['slack', 'pagerduty']]) {
      const isFilled = (secret: string): boolean => !off.some((name) => secret.includes(name))
      const effective = join(folder, 'alertmanager.yml')
      writeFileSync(
        effective,
        effectiveConfiguration(read('compose/alertmanager/alertmanager.yml'), isFilled).text,
      )
      expect(runs([amtool, 'check-config', effective])).toContain('3 receivers')
    }
  })

  const receivers: Record<string, string> = {
    critical: 'pagerduty-and-slack',
    warning: 'slack',
    none: 'nobody',
  }

  test('every alert has a receiver, by its severity', () => {
    expect(shippedAlerts.length).toBeGreaterThan(3)
    for (const { alert, labels } of shippedAlerts) {
      const wanted = receivers[labels.severity]!
      expect([alert, receiverOf({ alertname: alert, job: 'relais', ...labels })]).toEqual([
        alert,
        wanted,
      ])
    }
  }, 30_000)

  test('what nobody thought of goes to Slack, and a dead server at once', () => {
    expect(receiverOf({ alertname: 'Unheard', severity: 'odd' })).toBe('slack')
    const { route } = Bun.YAML.parse(read('compose/alertmanager/alertmanager.yml')) as any
    const down = route.routes.find(({ matchers }: any) => matchers[0].includes('InstanceDown'))
    expect(down).toMatchObject({ group_wait: '0s', group_interval: '10s' })
  })
})

describe('Kubernetes', () => {
  const files = ['statefulset.yml', 'service.yml', 'network-policy.yml'].map((name) =>
    at(`deploy/kubernetes/${name}`),
  )

  test.each(['1.28', '1.37'])(
    '%s: manifests fit its schema, strictly',
    async (release) => {
      const python = await pythonWith(join(import.meta.dir, 'kubernetes/requirements.txt'))
      const tool = join(python, '../kubernetes-validate')
      runs([tool, '--strict', '--kubernetes-version', release, ...files])
      const wrong = join(folder, 'statefulset.yml')
      writeFileSync(wrong, readFileSync(files[0]!, 'utf8').replace('replicas:', 'replica:'))
      expect(run([tool, '--strict', '--kubernetes-version', release, wrong]).code).not.toBe(0)
    },
    120_000,
  )

  test('no manifest was left out', () => {
    const names = readdirSync(at('deploy/kubernetes')).filter((name) => name.endsWith('.yml'))
    expect(names.map((name) => at(`deploy/kubernetes/${name}`)).toSorted()).toEqual(
      files.toSorted(),
    )
  })
})

describe('the systemd unit', () => {
  const path = join(folder, 'relais.service')

  test('is sound, and exposed little', () => {
    // The program need not be installed here.
    const text = read('deploy/systemd/relais.service').replace('/usr/local/bin/relais', '/bin/true')
    writeFileSync(path, text)
    expect(run(['systemd-analyze', 'verify', path])).toEqual({ code: 0, out: '', words: '' })
    // In tenths: exits with 1 above it.
    const limit = ['security', '--offline=true', '--threshold=15', '--no-pager']
    runs(['systemd-analyze', ...limit, path])
  })
})
