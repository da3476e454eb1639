// What a container of the stack calls, by the binary: export, preparation, health check.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'

import { stackFiles } from '../../src/stack/files.ts'
import { cleanUp, type Ran, relais, serve, type Served, temporary } from '../support/binary.ts'

let server: Served
beforeAll(async () => {
  server = await serve()
}, 30_000)
afterAll(async () => {
  await server.stop()
  cleanUp()
})

const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8)

describe('relais healthcheck', () => {
  const port = (): string => new URL(server.url).port

  test.each([[[]], [['--ready']]])('%j is 0 beside a server, by its settings', async (flags) => {
    for (const host of ['0.0.0.0', '127.0.0.1']) {
      const env = { RELAIS_PORT: port(), RELAIS_HOST: host, RELAIS_DATA: '/nowhere' }
      expect(await relais(['healthcheck', ...flags], { env })).toEqual({
        code: 0,
        out: 'ok\n',
        err: '',
      })
    }
  })

  test('is 1 where nobody answers, soon', async () => {
    const began = performance.now()
    const { code, err } = await relais(['healthcheck'], { env: { RELAIS_PORT: '1' } })
    expect([code, err.split('\n')[0]]).toEqual([
      1,
      'relais healthcheck: no answer from http://127.0.0.1:1',
    ])
    expect(performance.now() - began).toBeLessThan(3000)
  })

  test('is 1 where the answer never comes, and where it is a refusal', async () => {
    const silent = Bun.serve({
      port: 0,
      idleTimeout: 0,
      fetch: () => new Promise<Response>(() => {}),
    })
    const broken = Bun.serve({
      port: 0,
      fetch: () => Response.json({ status: 'failed' }, { status: 503 }),
    })
    const ask = (url: URL): Promise<Ran> => relais(['healthcheck', '--url', url.origin])
    expect((await ask(silent.url)).code).toBe(1)
    expect(await ask(broken.url)).toEqual({ code: 1, out: 'failed\n', err: '' })
    await Promise.all([silent.stop(true), broken.stop(true)])
  }, 15_000)
})

describe('relais stack export', () => {
  test('writes a stack that builds its image from the binary beside it', async () => {
    const folder = join(temporary(), 'stack')
    const { code, out, err } = await relais(['stack', 'export', folder])
    expect([code, out]).toEqual([
      0,
      `wrote ${Object.keys(stackFiles).length} files and the binary to ${folder}, 0 were there\n`,
    ])
    expect(err).toContain(`cd ${folder}/compose && docker compose up -d --build`)
    for (const [path, text] of Object.entries(stackFiles)) {
      if (path !== 'Dockerfile') expect(readFileSync(join(folder, path), 'utf8')).toBe(text)
    }
    expect(readFileSync(join(folder, 'Dockerfile'), 'utf8')).toContain('COPY relais /relais')
    expect(modeOf(join(folder, 'compose/secrets/slack_webhook_url'))).toBe('644')
    const copied = Bun.spawnSync([join(folder, 'relais'), 'version'])
    expect(copied.stdout.toString()).toBe((await relais(['version'])).out)
  }, 30_000)

  test('refuses edited files without --force and names them', async () => {
    const folder = temporary()
    const args = ['stack', 'export', folder]
    await relais(args)
    writeFileSync(join(folder, 'compose/loki/loki.yml'), 'mine')
    const refused = await relais(args)
    expect(refused.code).toBe(1)
    expect(refused.err).toContain('nothing is written:\n  compose/loki/loki.yml\n')
    expect((await relais([...args, '--force'])).out).toStartWith('wrote 1 files')
  }, 30_000)
})

describe('relais stack init', () => {
  const folder = temporary()
  const secrets = join(folder, 'secrets')
  const [slack, pager] = [
    join(secrets, 'slack_webhook_url'),
    join(secrets, 'pagerduty_routing_key'),
  ]
  const source = join(folder, 'alertmanager.yml')
  const share = join(folder, 'share')
  const shared = (path: string): string => readFileSync(join(share, path), 'utf8')
  const init = (data: string): Promise<Ran> =>
    relais(['stack', 'init', '--data', data, '--share', share, '--alertmanager', source])

  beforeAll(() => {
    mkdirSync(secrets)
    for (const path of [slack, pager]) writeFileSync(path, '')
    const text = stackFiles['compose/alertmanager/alertmanager.yml']!
    writeFileSync(source, text.replaceAll('/run/secrets', secrets))
  })

  test('makes a password, a token and a configuration that others can read', async () => {
    const data = join(folder, 'data')
    const { code, out, err } = await init(data)
    expect([code, err]).toEqual([0, ''])
    expect(out.split('\n')).toEqual([
      'grafana password: made',
      'metrics token: made',
      'alerts go to: nobody yet',
      'off, their secret is empty: Slack, PagerDuty',
      '',
    ])
    expect(out).not.toContain(shared('grafana/admin_password'))
    expect(shared('grafana/admin_password')).toMatch(/^[0-9a-f]{32}$/)
    expect(shared('alertmanager/alertmanager.yml')).not.toContain('slack_configs')
    for (const path of ['grafana/admin_password', 'prometheus/metrics_token']) {
      expect(modeOf(join(share, path))).toBe('444')
      expect(modeOf(join(share, path, '..'))).toBe('755')
    }
    expect(modeOf(data)).toBe('700')
  }, 30_000)

  test('run again keeps password and token, beside a server too; the token shows the metrics', async () => {
    const data = join(folder, 'data')
    const before = [shared('grafana/admin_password'), shared('prometheus/metrics_token')]
    const kept = 'grafana password: kept\nmetrics token: kept\n'
    expect((await init(data)).out).toStartWith(kept)
    const running = await serve({ data })
    try {
      expect((await init(data)).out).toStartWith(kept)
      const ask = (path: string, method = 'GET'): Promise<Response> =>
        running.call(method, path, undefined, shared('prometheus/metrics_token'))
      expect((await ask('/metrics')).status).toBe(200)
      expect((await ask('/api/v1/audit')).status).toBe(403)
      expect((await ask('/api/v1/tokens')).status).toBe(403)
    } finally {
      await running.stop()
    }
    expect([shared('grafana/admin_password'), shared('prometheus/metrics_token')]).toEqual(before)
  }, 30_000)

  test('makes another token when that one does not open the server that is there', async () => {
    const before = shared('prometheus/metrics_token')
    const data = join(folder, 'data')
    rmSync(data, { recursive: true })
    expect((await init(data)).out).toContain('metrics token: made')
    expect(shared('prometheus/metrics_token')).not.toBe(before)
    expect(existsSync(join(data, 'relais.db'))).toBe(true)
  }, 30_000)

  test('turns on what has a secret, and says when it cannot read one', async () => {
    const data = join(folder, 'data')
    writeFileSync(slack, 'https://hooks.example/x\n')
    expect((await init(data)).out).toContain(
      'alerts go to: Slack\noff, their secret is empty: PagerDuty',
    )
    expect(shared('alertmanager/alertmanager.yml')).toContain('slack_configs')
    chmodSync(slack, 0)
    const { code, err, out } = await init(data)
    expect([code, out.includes('alerts go to: nobody yet')]).toEqual([0, true])
    expect(err.match(/chmod 644/g)?.length).toBe(1)
  }, 30_000)

  test('says what is wrong with the configuration, and keeps the one before', async () => {
    const before = shared('alertmanager/alertmanager.yml')
    writeFileSync(source, 'receivers: [')
    const { code, err } = await init(join(folder, 'data'))
    expect([code, err.startsWith(`relais stack init: ${source}: `)]).toEqual([1, true])
    expect(shared('alertmanager/alertmanager.yml')).toBe(before)
  }, 30_000)
})
