// Relais as it is shipped: the binary on a fresh folder, token, validation, metrics, log to a file.
import { createReadStream, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { familyOf } from '../tests/support/binary.ts'
import { freePort } from '../tests/support/port.ts'
import type { Target } from './load.ts'
import { binaryBody, jsonBody, type Model } from './models.ts'
import { commandOf, residentOf, start, untilReady } from './process.ts'

const root = join(import.meta.dir, '..')
export const binary = join(root, 'dist/relais')

export interface Measured extends AsyncDisposable {
  url: string
  token: string
  /** Of the HTTP process. */
  pid: number
  log: string
  cli(...args: string[]): Promise<string>
  /** Pushes a model and puts it into Production. */
  serve(model: Model): Promise<void>
  json(model: Model, rows: number): Target
  binary(model: Model, rows: number): Target
  /** Sum of a metric over the series whose labels hold all of these. */
  metric(name: string, labels?: Record<string, string>): Promise<number>
  /** The engine that holds most memory. */
  heaviestEngine(): number
}

async function run(command: string[], env: Record<string, string>): Promise<string> {
  const child = Bun.spawn(command, { env, stdout: 'pipe', stderr: 'pipe' })
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ])
  if ((await child.exited) !== 0) throw new Error(`${command.join(' ')}: ${err}`)
  return out.trim()
}

/** Builds the binary when it is missing or older than its sources. */
export async function buildBinary(): Promise<void> {
  await run([process.execPath, join(root, 'src/build/binary.ts'), '--if-stale'], {
    PATH: process.env.PATH ?? '',
  })
}

/** Sum of the samples of one name in Prometheus' text format. */
export function sumOf(text: string, name: string, labels: Record<string, string>): number {
  const wanted = Object.entries(labels).map(([key, value]) => `${key}="${value}"`)
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .filter((line) => wanted.every((label) => line.includes(label)))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}

/** Lines of a file that hold a text. */
export async function linesWith(path: string, text: string): Promise<number> {
  const needle = Buffer.from(text)
  let lines = 0
  let rest = Buffer.alloc(0)
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    const all = Buffer.concat([rest, chunk as Buffer])
    const end = all.lastIndexOf(10) + 1
    for (let at = all.indexOf(needle); at >= 0 && at < end;) {
      lines += 1
      at = all.indexOf(needle, all.indexOf(10, at))
    }
    rest = all.subarray(end)
  }
  return lines
}

/** Starts the binary, or another program that takes its arguments, with an empty environment. */
export async function startRelais(program: readonly string[] = [binary]): Promise<Measured> {
  const data = mkdtempSync(join(tmpdir(), 'relais-bench-data-'))
  const port = String(freePort())
  const url = `http://127.0.0.1:${port}`
  const log = join(data, 'log.jsonl')
  const command = [...program, 'serve', '--data', data, '--port', port]
  // Opened to append, so that the soak can cut it short while it is written.
  const child = start(command, { env: {}, output: openSync(log, 'a') })
  await untilReady(() => fetch(`${url}/health/live`), 20)
  const token = readFileSync(join(data, 'admin.token'), 'utf8').trim()
  const cli = (...args: string[]): Promise<string> =>
    run([binary, ...args], { RELAIS_URL: url, RELAIS_TOKEN: token })
  const authorization = `Bearer ${token}`
  return {
    url,
    token,
    pid: child.pid,
    log,
    cli,
    serve: async ({ name, file, schema }) => {
      const described = schema === undefined ? [] : ['--schema', schema]
      await cli('push', name, file, ...described, '--stage', 'Production')
    },
    json: (model, rows) => {
      const { path, headers } = jsonBody(model, rows)
      const to = `${url}/v1/models/${model.name}:predict`
      return { url: to, body: path, headers: { ...headers, authorization } }
    },
    binary: (model, rows) => {
      const { path, headers } = binaryBody(model, rows)
      const to = `${url}/v2/models/${model.name}/infer`
      return { url: to, body: path, headers: { ...headers, authorization } }
    },
    metric: async (name, labels = {}) => {
      const answer = await fetch(`${url}/metrics`, { headers: { authorization } })
      return sumOf(await answer.text(), name, labels)
    },
    heaviestEngine: () => {
      const engines = familyOf(child.pid).filter((pid) => commandOf(pid).includes('__engine'))
      return engines.toSorted((a, b) => residentOf(b) - residentOf(a))[0] ?? Number.NaN
    },
    [Symbol.asyncDispose]: async () => {
      await child.stop()
      rmSync(data, { recursive: true, force: true })
    },
  }
}
