// The stack's files: fresh in the binary, hardened alike, agreeing with each other and with the program.
import { afterAll, describe, expect, test } from 'bun:test'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { version } from '../package.json'
import { stackModule, stackPaths } from '../src/build/stack.ts'
import { commands } from '../src/cli/cli.ts'
import { envName, loadConfig, parseDuration, settings } from '../src/config.ts'
import { effectiveConfiguration } from '../src/stack/alertmanager.ts'
import { exportFiles, fromProgram } from '../src/stack/export.ts'
import { stackFiles } from '../src/stack/files.ts'

const root = join(import.meta.dir, '..')
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const yaml = (path: string): any => Bun.YAML.parse(read(path))
const folder = mkdtempSync(join(tmpdir(), 'relais-stack-'))
afterAll(() => rmSync(folder, { recursive: true }))

const compose = yaml('compose/compose.yml')
const services = Object.entries<any>(compose.services)
const unit = new Map(
  [...read('deploy/systemd/relais.service').matchAll(/^(\w+)=(.*)$/gm)].map((m) => [m[1]!, m[2]!]),
)
const knownVariables = new Set(Object.keys(settings).map(envName))

describe('in the binary', () => {
  test('are all files as they are; `bun src/build/stack.ts` renews the list', () => {
    expect(read('src/stack/files.ts')).toBe(stackModule())
    expect(stackFiles).toEqual(Object.fromEntries(stackPaths().map((path) => [path, read(path)])))
  })

  test('is no secret, and what lies in the repository for one is empty', () => {
    expect(Object.keys(stackFiles).filter((path) => path.includes('secrets/'))).toEqual([])
    for (const { file } of Object.values<{ file: string }>(compose.secrets)) {
      const path = /:-\.\/([^}]+)\}$/.exec(file)![1]!
      expect(statSync(join(root, 'compose', path)).size).toBe(0)
    }
  })
})

describe('compose.yml', () => {
  test.each(services)('%s is hardened, bounded and pinned', (name, service) => {
    expect(service).toMatchObject({
      read_only: true,
      cap_drop: ['ALL'],
      security_opt: ['no-new-privileges:true'],
      pids_limit: expect.any(Number),
      mem_limit: expect.anything(),
      logging: { driver: 'json-file', options: { 'max-size': '10m', 'max-file': '3' } },
      restart: name === 'init' ? 'no' : 'unless-stopped',
    })
    expect(service.privileged ?? service.cap_add ?? service.devices).toBeUndefined()
    expect(service.user).toMatch(/^[1-9]\d*:\d+$/)
    expect(service.image).toMatch(/:v?\d+\.\d+\.\d+$/)
    if (name !== 'init') expect(service.healthcheck.test[0]).toBe('CMD')
    for (const port of service.ports ?? []) expect(port).toStartWith('127.0.0.1:')
  })

  test('nothing waits for Relais, and everything for the preparation', () => {
    for (const [name, { depends_on: needs }] of services) {
      const wanted =
        name === 'init' ? {} : { init: { condition: 'service_completed_successfully' } }
      expect(needs).toEqual(wanted)
    }
  })

  test('its health check asks for life, never for readiness', () => {
    expect(compose.services.relais.healthcheck.test.slice(1)).toEqual([
      '/usr/local/bin/relais',
      'healthcheck',
    ])
    expect(read('Dockerfile')).toContain('CMD ["/usr/local/bin/relais", "healthcheck"]')
  })

  test('volumes that others fill are mounted for reading, and their owner is left alone', () => {
    for (const [, service] of services) {
      for (const mount of service.volumes) {
        if (typeof mount === 'object') expect(mount.volume.nocopy).toBe(true)
        if (typeof mount === 'string' && mount.startsWith('.')) expect(mount).toEndWith(':ro')
      }
    }
    const used = services.flatMap(([, { volumes }]) =>
      volumes.map((v: any) => (typeof v === 'string' ? v.split(':')[0] : v.source)),
    )
    const named = Object.keys(compose.volumes)
    expect(new Set(used.filter((name) => !name.startsWith('.')))).toEqual(new Set(named))
  })

  test('images of Relais and of the repository are one version', () => {
    const images = services
      .map(([, { image }]) => image)
      .filter((image) => image.startsWith('relais:'))
    expect(new Set(images)).toEqual(new Set([`relais:${version}`]))
    expect(read('Dockerfile')).toContain(`org.opencontainers.image.version="${version}"`)
    expect(read('deploy/kubernetes/statefulset.yml')).toContain(`image: relais:${version}`)
  })

  test('all profiles are on unless told otherwise', () => {
    const all = new Set(services.flatMap(([, { profiles }]) => profiles ?? []))
    expect(read('compose/.env')).toContain(`COMPOSE_PROFILES=${[...all].join(',')}\n`)
  })
})

describe('the program in its containers', () => {
  const given = {
    ...Object.fromEntries(
      [...read('Dockerfile').matchAll(/(RELAIS_\w+)=(\S+)/g)].map((m) => [m[1]!, m[2]!]),
    ),
    ...compose.services.relais.environment,
  }

  test('takes its settings, and they fit the folders that are mounted', () => {
    expect(Object.keys(given).filter((name) => !knownVariables.has(name))).toEqual([])
    const config = loadConfig({}, given)
    const targets = compose.services.relais.volumes.map((mount: string) => mount.split(':')[1])
    expect(targets).toContain(config.data)
    expect(targets).toContain(join(given.RELAIS_LOG_FILE, '..'))
    expect(read('compose/alloy/config.alloy')).toContain(
      `"/var/log/relais/${given.RELAIS_LOG_FILE.split('/').at(-1)}"`,
    )
    expect(compose.services.relais.ports[0]).toEndWith(`:${config.port}`)
  })

  test('is stopped no sooner than it has finished', () => {
    const drain = loadConfig({}, {})['drain-timeout']
    expect(parseDuration(compose.services.relais.stop_grace_period)).toBeGreaterThan(drain)
    expect(parseDuration(unit.get('TimeoutStopSec')!)).toBeGreaterThan(drain)
    const { spec } = yaml('deploy/kubernetes/statefulset.yml').spec.template
    expect(spec.terminationGracePeriodSeconds * 1000).toBeGreaterThan(drain)
  })

  test('is called by commands that exist', () => {
    const calls = services
      .map(([, { command }]) => command)
      .filter((words) => words?.[0] === 'stack')
    expect(calls.length).toBe(1)
    const command = commands.find(({ name }) => name === calls[0].slice(0, 2).join(' '))!
    const flags = calls[0].filter((word: string) => word.startsWith('--'))
    expect(flags.map((flag: string) => flag.slice(2) in command.options)).not.toContain(false)
  })
})

describe('Grafana', () => {
  const { datasources } = yaml('compose/grafana/provisioning/datasources/relais.yml')
  const [provider] = yaml('compose/grafana/provisioning/dashboards/relais.yml').providers
  const dashboards = Object.entries(stackFiles).filter(([path]) =>
    /^dashboards\/\w+\.json$/.test(path),
  )

  test('computes rates from the interval at which Prometheus scrapes', () => {
    const { global } = yaml('compose/prometheus/prometheus.yml')
    const source = datasources.find(({ uid }: any) => uid === 'prometheus')
    expect(source.jsonData.timeInterval).toBe(global.scrape_interval)
  })

  test('has each data source that a dashboard or another source asks for', () => {
    const has = new Set(datasources.map(({ uid }: any) => uid))
    expect(has).toEqual(new Set(['prometheus', 'loki', 'alertmanager']))
    const text = [...dashboards.map(([, json]) => json), JSON.stringify(datasources)].join('\n')
    const asked = [...text.matchAll(/"(?:datasourceUid|alertmanagerUid)": ?"([^"]+)"/g)]
    for (const [, uid] of asked) expect(has).toContain(uid)
  })

  test('looks for dashboards where they are mounted, each uid once', () => {
    const mount = compose.services.grafana.volumes.find((v: any) => String(v).startsWith('../dash'))
    expect(mount).toBe(`../dashboards:${provider.options.path}:ro`)
    const uids = dashboards.map(([, json]) => (JSON.parse(json) as { uid: string }).uid)
    expect(new Set(uids).size).toBe(uids.length)
    const home: string =
      compose.services.grafana.environment.GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH
    expect(existsSync(join(root, 'dashboards', home.split('/').at(-1)!))).toBe(true)
  })
})

test('Prometheus scrapes each service of the stack at a port that it listens on', () => {
  const jobs = yaml('compose/prometheus/prometheus.yml').scrape_configs
  const names = jobs.map(({ job_name }: any) => job_name).toSorted()
  const wanted = services.map(([name]) => name).filter((name) => name !== 'init')
  expect(names).toEqual(wanted.toSorted())
  for (const { job_name, static_configs, sample_limit } of jobs) {
    expect(sample_limit).toBeGreaterThan(0)
    const [host] = static_configs[0].targets[0].split(':')
    expect(host).toBe(job_name === 'prometheus' ? 'localhost' : job_name)
  }
})

describe('the configuration of Alertmanager', () => {
  const source = read('compose/alertmanager/alertmanager.yml')
  const kinds = (filled: string[]): Record<string, string[]> => {
    const { text } = effectiveConfiguration(source, (path) =>
      filled.includes(path.split('/').at(-1)!),
    )
    const { receivers } = Bun.YAML.parse(text) as { receivers: { name: string }[] }
    return Object.fromEntries(receivers.map(({ name, ...rest }) => [name, Object.keys(rest)]))
  }
  const slack = 'slack_webhook_url'
  const pager = 'pagerduty_routing_key'

  test.each([
    [[], [], []],
    [[slack], ['slack_configs'], ['slack_configs']],
    [[pager], [], ['pagerduty_configs']],
    [[slack, pager], ['slack_configs'], ['pagerduty_configs', 'slack_configs']],
  ])('with %j filled has what can be told', (filled, ofSlack, ofBoth) => {
    expect(kinds(filled)).toEqual({ nobody: [], slack: ofSlack, 'pagerduty-and-slack': ofBoth })
  })

  test('asks for the secrets that compose mounts, and says who is on and off', () => {
    const asked = [...source.matchAll(/_file: \/run\/secrets\/(\w+)/g)].map((m) => m[1]!)
    expect(new Set(asked)).toEqual(new Set(Object.keys(compose.secrets)))
    for (const name of ['init', 'alertmanager']) {
      expect(compose.services[name].secrets.toSorted()).toEqual(asked.toSorted())
    }
    const { on, off } = effectiveConfiguration(source, (path) => path.endsWith(slack))
    expect({ on, off }).toEqual({ on: ['Slack'], off: ['PagerDuty'] })
  })

  test('a receiver that somebody added stays as it is', () => {
    const own =
      'receivers: [{name: a, webhook_configs: [{url: "http://x"}]}, {name: b, slack_configs: [{api_url: "http://y"}]}]'
    const { text, on, off } = effectiveConfiguration(own, () => false)
    expect(Bun.YAML.parse(text)).toEqual(Bun.YAML.parse(own))
    expect({ on, off }).toEqual({ on: ['Slack'], off: [] })
  })

  test.each(['', '[]', 'route: {receiver: a}'])('%j is refused', (text) => {
    expect(() => effectiveConfiguration(text, () => true)).toThrow('no receivers')
  })
})

describe('the systemd unit', () => {
  test('restarts for ever, whatever the cause (RULES §32), and outlives an engine without memory', () => {
    expect(unit.get('Restart')).toBe('always')
    expect(unit.get('StartLimitIntervalSec')).toBe('0')
    expect(unit.get('OOMPolicy')).toBe('continue')
    expect(unit.get('KillMode')).toBe('mixed')
  })

  test('leaves what engines and the compiler of JavaScript need', () => {
    expect(unit.has('MemoryDenyWriteExecute')).toBe(false)
    const filters = [...read('deploy/systemd/relais.service').matchAll(/^SystemCallFilter=(.+)$/gm)]
    expect(filters.map((m) => m[1]!).filter((text) => text.includes('@resources'))).toEqual([])
  })
})

describe('Kubernetes', () => {
  const { replicas, template, serviceName } = yaml('deploy/kubernetes/statefulset.yml').spec
  const [container] = template.spec.containers

  test('has one server, which no variable of the cluster reaches', () => {
    expect(replicas).toBe(1)
    expect(template.spec.enableServiceLinks).toBe(false)
    const names = container.env.map(({ name }: any) => name)
    expect(names.filter((name: string) => !knownVariables.has(name))).toEqual([])
  })

  test('asks for life to restart and for readiness to send requests', () => {
    expect(container.livenessProbe.httpGet.path).toBe('/health/live')
    expect(container.startupProbe.httpGet.path).toBe('/health/live')
    expect(container.readinessProbe.httpGet.path).toBe('/health/ready')
    expect(container.ports[0].containerPort).toBe(Number(settings.port.fallback))
  })

  test('keeps the modes of private files', () => {
    expect(template.spec.securityContext.fsGroupChangePolicy).toBe('OnRootMismatch')
    const [{ value }] = container.env
    expect(value).toStartWith(`${container.volumeMounts[0].mountPath}/`)
  })

  test('the service monitor has the job, limits and interval of the compose stack', () => {
    const monitor = yaml('deploy/kubernetes/optional/service-monitor.yml').spec
    const { global, scrape_configs: jobs } = yaml('compose/prometheus/prometheus.yml')
    const job = jobs.find(({ job_name }: any) => job_name === 'relais')
    expect(serviceName).toBe(job.job_name)
    expect(yaml('deploy/kubernetes/service.yml').metadata.name).toBe(job.job_name)
    expect(monitor).toMatchObject({ sampleLimit: job.sample_limit, labelLimit: job.label_limit })
    expect(monitor.endpoints[0].interval).toBe(global.scrape_interval)
  })
})

describe('export', () => {
  const files = { 'compose/compose.yml': 'one\n', c: 'two\n' }
  const at = (path: string): string => join(folder, 'x', path)

  test('writes, finds the same again, renews an older version, never an edited file', () => {
    const x = join(folder, 'x')
    expect(exportFiles(x, files, false)).toEqual({
      written: ['compose/compose.yml', 'c'],
      same: [],
      edited: [],
    })
    expect(exportFiles(x, files, false)).toEqual({
      written: [],
      same: ['compose/compose.yml', 'c'],
      edited: [],
    })
    const newer = { 'compose/compose.yml': 'one, newer\n', c: 'two, newer\n' }
    writeFileSync(at('c'), 'mine\n')
    const refused = exportFiles(x, newer, false)
    expect(refused).toEqual({ written: [], same: [], edited: ['c'] })
    expect(readFileSync(at('compose/compose.yml'), 'utf8')).toBe('one\n')
    writeFileSync(at('c'), 'two\n')
    expect(exportFiles(x, newer, false).written).toEqual(['compose/compose.yml', 'c'])
    writeFileSync(at('c'), 'mine\n')
    expect(exportFiles(x, newer, true)).toEqual({
      written: ['c'],
      same: ['compose/compose.yml'],
      edited: [],
    })
    expect(readFileSync(at('c'), 'utf8')).toBe('two, newer\n')
  })

  test('makes empty secrets once and never touches filled ones', () => {
    const secret = at('compose/secrets/slack_webhook_url')
    expect(readFileSync(secret, 'utf8')).toBe('')
    writeFileSync(secret, 'https://hooks.example/x')
    exportFiles(join(folder, 'x'), files, true)
    expect(readFileSync(secret, 'utf8')).toBe('https://hooks.example/x')
  })

  test('its Dockerfile takes the binary and is otherwise the same', () => {
    const [ours, theirs] = [read('Dockerfile'), fromProgram(read('Dockerfile'))]
    expect(theirs).toContain('FROM scratch AS binary\nCOPY relais /relais\n')
    expect(theirs).not.toContain('node')
    const end = (text: string): string => text.slice(text.indexOf('# Folders'))
    expect(end(theirs)).toBe(end(ours))
    expect(read('.dockerignore')).toContain('\n!relais\n')
  })
})

test('the image needs no file that is kept out of its build', () => {
  const allowed = [...read('.dockerignore').matchAll(/^!(\S+)$/gm)].map((m) => m[1]!)
  const needed = [...stackPaths(), 'src/main.ts', 'migrations', 'package.json', 'bun.lock']
  const missing = needed.filter((path) => !allowed.includes(path.split('/')[0]!))
  expect(missing).toEqual([])
  expect(read('.dockerignore')).toContain('\ncompose/secrets\n')
})

describe.each(['compose', 'vm', 'kubernetes'])('docs/%s.md', (page) => {
  const text = read(`docs/${page}.md`)
  const code = [...text.matchAll(/```sh\n([\s\S]*?)```/g)]
    .map((m) => m[1]!)
    .join('\n')
    .replaceAll('-n relais ', '')

  test('calls commands and options that exist', () => {
    const names = commands.map(({ name }) => name)
    const calls = [
      ...code.matchAll(/(?<![\w./-])relais (?!relais)((?:[a-z]+ )?[a-z]+)\b([^\n|;&)]*)/g),
    ]
      .map(([, words = '', rest = '']) => ({ words, rest }))
      .filter(({ words }) => names.some((name) => name.split(' ')[0] === words.split(' ')[0]))
    expect(calls.length).toBeGreaterThan(1)
    for (const { words, rest } of calls) {
      const [first = ''] = words.split(' ')
      const command = commands.find(({ name }) => name === words || name === first)
      const flags = [...rest.matchAll(/ --([a-z-]+)/g)].map((m) => m[1]!)
      expect([words, flags.filter((flag) => !(flag in (command?.options ?? {})))]).toEqual([
        words,
        [],
      ])
    }
  })

  test('names files, services and variables that are there', () => {
    const paths = [...text.matchAll(/(?:compose|deploy|dashboards)\/[\w./-]+\.\w+/g)].map(
      ([path]) => path,
    )
    expect(paths.filter((path) => !existsSync(join(root, path)))).toEqual([])
    const called = [
      ...text.matchAll(/docker compose (?:exec|logs|stop|start|restart|run --rm) (\w+)/g),
    ].map((m) => m[1]!)
    expect(called.filter((name) => !(name in compose.services))).toEqual([])
    const client = ['RELAIS_URL', 'RELAIS_TOKEN']
    const shown = [...text.matchAll(/\b(?:RELAIS_[A-Z_]+|[A-Z]+_HTTP_PORT|[A-Z_]+_FILE)\b/g)]
    const unknown = shown
      .map(([name]) => name)
      .filter((name) => !knownVariables.has(name) && !client.includes(name))
      .filter((name) => !read('compose/compose.yml').includes(`\${${name}:-`))
    expect(unknown.filter((name) => page !== 'kubernetes' || name !== 'RELAIS_PORT')).toEqual([])
  })
})
