// The built binary on a fresh folder, with models promoted, for measuring.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const root = join(import.meta.dir, '..')
const examples = join(root, 'examples/models')
export const binary = join(root, 'dist/relais')

export interface Measured {
  url: string
  token: string
  data: string
  pid: number
  cli(...args: string[]): Promise<string>
  /** Pushes an example with its schema and promotes it. */
  serve(name: string, example: string): Promise<void>
  stop(): Promise<void>
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

/** Starts the binary with an empty environment; its log goes to a file in the data folder. */
export async function startMeasured(...flags: string[]): Promise<Measured> {
  const data = mkdtempSync(join(tmpdir(), 'relais-bench-data-'))
  const port = 20_000 + Math.floor(Math.random() * 20_000)
  const url = `http://127.0.0.1:${port}`
  const serve = ['serve', '--data', data, '--port', String(port), ...flags]
  const log = Bun.file(join(data, 'log.jsonl'))
  const child = Bun.spawn([binary, ...serve], { env: {}, stdout: log, stderr: 'ignore' })
  for (let tries = 0; ; tries += 1) {
    const live = await fetch(`${url}/health/live`).catch(() => null)
    if (live?.ok) break
    if (tries > 200) throw new Error('the server did not start')
    await Bun.sleep(25)
  }
  const token = readFileSync(join(data, 'admin.token'), 'utf8').trim()
  const cli = (...args: string[]): Promise<string> =>
    run([binary, ...args], { RELAIS_URL: url, RELAIS_TOKEN: token })
  return {
    url,
    token,
    data,
    pid: child.pid,
    cli,
    serve: async (name, example) => {
      const folder = join(examples, example)
      const schema = join(folder, 'schema.json')
      await cli(
        'push',
        name,
        join(folder, 'model.onnx'),
        '--schema',
        schema,
        '--stage',
        'Production',
      )
    },
    stop: async () => {
      child.kill('SIGTERM')
      await child.exited
      rmSync(data, { recursive: true, force: true })
    },
  }
}
