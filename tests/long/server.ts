// The built binary under test: start, kill, start again on the same folder, call.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const root = join(import.meta.dir, '../..')
const binary = join(root, 'dist/relais')
export const examples = join(root, 'examples/models')
export const testModels = join(root, 'tests/models')

export interface Called<T = any> {
  status: number
  body: T
  retryAfter: string | null
}

export class Server {
  readonly data = mkdtempSync(join(tmpdir(), 'relais-long-'))
  readonly port = 20_000 + Math.floor(Math.random() * 20_000)
  readonly url = `http://127.0.0.1:${this.port}`
  admin = ''
  private child: Bun.Subprocess | null = null
  private readonly flags: string[]

  constructor(flags: string[] = []) {
    this.flags = flags
  }

  get pid(): number {
    return this.child?.pid ?? 0
  }

  /** Starts and waits until it is ready; returns the milliseconds that took. */
  async start(): Promise<number> {
    const began = performance.now()
    const serve = ['serve', '--data', this.data, '--port', String(this.port), ...this.flags]
    this.child = Bun.spawn([binary, ...serve], {
      env: {},
      stdout: Bun.file(join(this.data, '..', `${this.port}.jsonl`)),
      stderr: 'ignore',
    })
    for (;;) {
      const ready = await fetch(`${this.url}/health/ready`).catch(() => null)
      if (ready?.ok) break
      if (performance.now() - began > 20_000) throw new Error('the server did not get ready')
      await Bun.sleep(10)
    }
    this.admin = readFileSync(join(this.data, 'admin.token'), 'utf8').trim()
    return performance.now() - began
  }

  async kill(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    this.child?.kill(signal)
    await this.child?.exited
  }

  async close(): Promise<void> {
    await this.kill('SIGTERM')
    rmSync(this.data, { recursive: true, force: true })
  }

  async call<T = any>(
    method: string,
    path: string,
    body?: unknown,
    token = this.admin,
  ): Promise<Called<T>> {
    const headers: Record<string, string> = { authorization: `Bearer ${token}` }
    const isForm = body instanceof FormData
    if (body !== undefined && !isForm) headers['content-type'] = 'application/json'
    const sent = body === undefined ? null : isForm ? body : JSON.stringify(body)
    const response = await fetch(`${this.url}${path}`, { method, headers, body: sent })
    const text = await response.text()
    const retryAfter = response.headers.get('retry-after')
    return { status: response.status, body: text === '' ? null : JSON.parse(text), retryAfter }
  }

  async token(role: string, sub = role): Promise<string> {
    return (await this.call('POST', '/api/v1/tokens', { sub, role })).body.token
  }

  async push(name: string, file: string, metadata: object = {}): Promise<Called> {
    const form = new FormData()
    form.set('metadata', JSON.stringify(metadata))
    form.set('model', new Blob([readFileSync(file)]), 'model.onnx')
    return this.call('POST', `/api/v1/models/${name}/versions`, form)
  }

  pushExample(name: string, example: string, metadata: object = {}): Promise<Called> {
    const schema = JSON.parse(readFileSync(join(examples, example, 'schema.json'), 'utf8'))
    return this.push(name, join(examples, example, 'model.onnx'), { schema, ...metadata })
  }

  stage(name: string, version: number, stage: string): Promise<Called> {
    return this.call('POST', `/api/v1/models/${name}/versions/${version}/stage`, { stage })
  }

  predict(name: string, instances: unknown, token = this.admin, at = ''): Promise<Called> {
    return this.call('POST', `/v1/models/${name}${at}:predict`, { instances }, token)
  }

  /** Processes of the server: itself and its children. */
  processes(): { pid: number; command: string }[] {
    const found: { pid: number; command: string }[] = []
    for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
      try {
        const parent = / (\d+) /.exec(
          readFileSync(`/proc/${name}/stat`, 'utf8').split(')').at(-1)!.slice(2),
        )
        const command = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ')
        const isOwn = Number(name) === this.pid || Number(parent?.[1]) === this.pid
        if (isOwn) found.push({ pid: Number(name), command })
      } catch {
        // It ended meanwhile.
      }
    }
    return found
  }

  engines(): number[] {
    return this.processes()
      .filter(({ command }) => command.includes('__engine'))
      .map(({ pid }) => pid)
  }

  /** Sum of PSS over all processes, in megabytes. */
  megabytes(): number {
    let kilobytes = 0
    for (const { pid } of this.processes()) {
      try {
        kilobytes += Number(
          /Pss:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0,
        )
      } catch {
        // It ended meanwhile.
      }
    }
    return kilobytes / 1024
  }
}

/** Numbers and labels agree as RULES §34 says. */
export function agrees(actual: any, label: unknown, scores: number[]): boolean {
  return (
    actual.output_label === label &&
    scores.every((score, at) => Math.abs(actual.output_probability[at] - score) <= 1e-5)
  )
}

export interface Reference {
  rows: number[][]
  outputs: { output_label: unknown[]; output_probability: number[][] }
}

export const referenceOf = (name: string): Reference =>
  JSON.parse(readFileSync(join(examples, name, 'reference.json'), 'utf8'))

/** Fails the scenario with the figures in the message. */
export function demand(holds: boolean, what: string): void {
  if (!holds) throw new Error(what)
}
