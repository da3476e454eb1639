// MLflow's own server, as a team would start it: SQLite, artifacts through the server.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { freePort } from './port.ts'
import { root } from './sources.ts'

/** What all suites with MLflow need, its newest release among it: what the example asks of its users. */
export const newest = join(root, 'examples/pipeline/requirements.txt')

export interface MlflowServer {
  url: string
  stop(): Promise<void>
}

/** The environment of a Python process of these suites: nothing of the caller's, no telemetry. */
export const pythonEnv = (home: string): Record<string, string> => ({
  PATH: process.env['PATH'] ?? '',
  HOME: home,
  PYTHONDONTWRITEBYTECODE: '1',
  MLFLOW_DISABLE_TELEMETRY: 'true',
  GIT_PYTHON_REFRESH: 'quiet',
})

/** `python` has the package mlflow. Resolves when the server answers. */
export async function startMlflow(python: string): Promise<MlflowServer> {
  const folder = mkdtempSync(join(tmpdir(), 'relais-mlflow-server-'))
  const port = freePort()
  const url = `http://127.0.0.1:${port}`
  const log = join(folder, 'log')
  mkdirSync(join(folder, 'artifacts'))
  const options = {
    host: '127.0.0.1',
    port: String(port),
    workers: '1',
    'backend-store-uri': `sqlite:///${join(folder, 'mlflow.db')}`,
    'artifacts-destination': join(folder, 'artifacts'),
  }
  const flags = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value])
  const child = Bun.spawn([python, '-m', 'mlflow', 'server', ...flags], {
    cwd: folder,
    env: { ...pythonEnv(folder), MLFLOW_SERVER_ENABLE_JOB_EXECUTION: 'false' },
    stdout: Bun.file(log),
    stderr: Bun.file(log),
  })
  const stop = async (): Promise<void> => {
    // Asked, it ends its workers, too.
    child.kill('SIGTERM')
    await child.exited
    rmSync(folder, { recursive: true, force: true })
  }
  const until = Date.now() + 120_000
  while (!(await answers(`${url}/health`))) {
    if (child.exitCode !== null || Date.now() > until) {
      const words = readFileSync(log, 'utf8').slice(-2000)
      await stop()
      throw new Error(`mlflow server did not start: ${words}`)
    }
    await Bun.sleep(200)
  }
  return { url, stop }
}

const answers = (url: string): Promise<boolean> =>
  fetch(url).then(
    ({ ok }) => ok,
    () => false,
  )
