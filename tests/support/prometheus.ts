// Real Prometheus and Alertmanager, as Debian packages them, on free ports with the configuration given.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

import { needPackages } from './debian.ts'
import { freePort } from './port.ts'

const debian = {
  prometheus: '/usr/bin/prometheus',
  promtool: '/usr/bin/promtool',
  alertmanager: '/usr/bin/prometheus-alertmanager',
  amtool: '/usr/bin/amtool',
}

export type MonitoringTools = typeof debian

/**
 * Where the four programs are; installs what is missing. PROMETHEUS_BIN names another Prometheus, whose
 * promtool is taken from beside it.
 */
export function monitoringTools(): MonitoringTools {
  needPackages(['prometheus', 'prometheus-alertmanager'], Object.values(debian))
  const other = process.env['PROMETHEUS_BIN'] ?? ''
  if (other === '') return debian
  const promtool = join(dirname(other), 'promtool')
  return { ...debian, prometheus: other, ...(existsSync(promtool) ? { promtool } : {}) }
}

/** Content of files by path below the folder of the configuration. */
export type Files = Readonly<Record<string, string>>

export interface Daemon {
  url: string
  /** Holds the configuration and its files. */
  folder: string
  pid: number
  /** What it wrote to standard error so far. */
  said(): string
  stop(): Promise<void>
}

interface Start {
  command: (folder: string, address: string) => string[]
  files: Files
  port: number
}

export async function isReady(url: string): Promise<boolean> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(1000) })
    await answer.body?.cancel()
    return answer.ok
  } catch {
    return false
  }
}

/** Both programs have `/-/ready`. */
async function start({ command, files, port }: Start): Promise<Daemon> {
  const folder = mkdtempSync(join(tmpdir(), 'relais-monitoring-'))
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  const address = `127.0.0.1:${port}`
  const log = join(folder, 'log')
  const child = Bun.spawn(command(folder, address), {
    cwd: folder,
    env: {},
    stdout: 'ignore',
    stderr: Bun.file(log),
  })
  const stop = async (): Promise<void> => {
    // Nobody reads its data again.
    child.kill('SIGKILL')
    await child.exited
    rmSync(folder, { recursive: true, force: true })
  }
  const said = (): string => readFileSync(log, 'utf8')
  const url = `http://${address}`
  const until = Date.now() + 30_000
  while (!(await isReady(`${url}/-/ready`))) {
    if (child.exitCode !== null || Date.now() > until) {
      const words = said().slice(-2000)
      await stop()
      throw new Error(`${command(folder, address)[0]} did not start: ${words}`)
    }
    await Bun.sleep(50)
  }
  return { url, folder, pid: child.pid, said, stop }
}

export interface Sample {
  metric: Record<string, string>
  /** Seconds since the epoch. */
  at: number
  value: number
}

export interface Series {
  metric: Record<string, string>
  points: [at: number, value: number][]
}

export interface Prometheus extends Daemon {
  /** An instant query; a scalar is a sample without labels. Throws what Prometheus says on a fault. */
  query(expression: string, at?: number): Promise<Sample[]>
  /** Seconds since the epoch, and between points. */
  range(expression: string, from: number, to: number, step: number): Promise<Series[]>
  /** Values of a label, over the series that match when a selector is given. */
  labelValues(label: string, selector?: string): Promise<string[]>
  /** Any path of the API below /api/v1. */
  api(path: string, parameters?: Record<string, string>): Promise<any>
}

function client(url: string): Omit<Prometheus, keyof Daemon> {
  const api: Prometheus['api'] = async (path, parameters = {}) => {
    const answer = await fetch(
      `${url}/api/v1/${path}?${new URLSearchParams(parameters).toString()}`,
    )
    const body = (await answer.json()) as any
    if (body.status !== 'success') throw new Error(`${body.errorType}: ${body.error}`)
    return body.data
  }
  return {
    api,
    query: async (query, at) => {
      const data = await api('query', { query, ...(at === undefined ? {} : { time: String(at) }) })
      const rows = data.resultType === 'vector' ? data.result : [{ metric: {}, value: data.result }]
      return rows.map((row: any) => ({
        metric: row.metric,
        at: row.value[0],
        value: Number(row.value[1]),
      }))
    },
    range: async (query, start, end, step) => {
      const parameters = { query, start: String(start), end: String(end), step: String(step) }
      const data = await api('query_range', parameters)
      return data.result.map((row: any) => ({
        metric: row.metric,
        points: row.values.map(([at, value]: [number, string]) => [at, Number(value)]),
      }))
    },
    labelValues: (label, selector) =>
      api(`label/${label}/values`, selector === undefined ? {} : { 'match[]': selector }),
  }
}

export interface StartOptions {
  /** The configuration may name them by relative path. */
  files?: Files
  flags?: readonly string[]
  port?: number
}

/** It looks for targets about 5 s after it is ready. */
export async function startPrometheus(
  config: string,
  { files = {}, flags = [], port = freePort() }: StartOptions = {},
): Promise<Prometheus> {
  const { prometheus } = monitoringTools()
  const daemon = await start({
    port,
    files: { ...files, 'prometheus.yml': config },
    command: (folder, address) => [
      prometheus,
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=${address}`,
      ...flags,
    ],
  })
  return { ...daemon, ...client(daemon.url) }
}

export interface Alert {
  labels: Record<string, string>
  annotations: Record<string, string>
  status: { state: string; inhibitedBy: string[]; silencedBy: string[] }
}

export interface Alertmanager extends Daemon {
  alerts(): Promise<Alert[]>
}

export async function startAlertmanager(
  config: string,
  { files = {}, flags = [], port = freePort() }: StartOptions = {},
): Promise<Alertmanager> {
  const { alertmanager } = monitoringTools()
  const daemon = await start({
    port,
    files: { ...files, 'alertmanager.yml': config },
    command: (folder, address) => [
      alertmanager,
      `--config.file=${join(folder, 'alertmanager.yml')}`,
      `--storage.path=${join(folder, 'data')}`,
      `--web.listen-address=${address}`,
      // One alone has no peers to wait for.
      '--cluster.listen-address=',
      ...flags,
    ],
  })
  const alerts = async (): Promise<Alert[]> =>
    (await (await fetch(`${daemon.url}/api/v2/alerts`)).json()) as Alert[]
  return { ...daemon, alerts }
}
