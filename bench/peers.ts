// What Relais is measured against, each in processes of its own.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { freePort } from '../tests/support/port.ts'
import { pythonWith } from '../tests/support/python.ts'
import type { Round, Target } from './load.ts'
import { jsonBody, type Model, scratch, tensorOf } from './models.ts'
import type { RawOrder } from './peers/raw.ts'
import { start, type StartOptions, untilReady } from './process.ts'

const folder = join(import.meta.dir, 'peers')
const requirements = join(folder, 'requirements.txt')

export interface Peer extends AsyncDisposable {
  /** A JSON request with so many rows. */
  json(rows: number): Target
}

const answerTo = ({ url, body, headers }: Target): Promise<Response> =>
  fetch(url, { method: 'POST', headers, body: Bun.file(body) })

async function peer(
  command: string[],
  url: string,
  model: Model,
  options: StartOptions,
): Promise<Peer> {
  const child = start(command, options)
  const json = (rows: number): Target => {
    const { path, headers } = jsonBody(model, rows)
    return { url, body: path, headers }
  }
  try {
    await untilReady(() => answerTo(json(1)), 90)
  } catch (error) {
    await child.stop()
    throw new Error(`${command.join(' ')}: ${(error as Error).message}`, { cause: error })
  }
  return { json, [Symbol.asyncDispose]: () => child.stop() }
}

async function bunPeer(model: Model, script: string, ...args: unknown[]): Promise<Peer> {
  const port = Promise.withResolvers<string>()
  const child = start([process.execPath, join(folder, script), ...args.map(String)], {
    said: port.resolve,
  })
  const url = `http://127.0.0.1:${await port.promise}/`
  const json = (rows: number): Target => {
    const { path, headers } = jsonBody(model, rows)
    return { url, body: path, headers }
  }
  await untilReady(() => answerTo(json(1)), 20)
  return { json, [Symbol.asyncDispose]: () => child.stop() }
}

/** A bare `Bun.serve` that answers JSON with the same JSON. */
export const startEcho = (model: Model): Promise<Peer> => bunPeer(model, 'echo.ts')

/** Bun and onnxruntime-node in one process, nothing else. */
export const startInline = (model: Model): Promise<Peer> =>
  bunPeer(model, 'inline.ts', model.plain, model.threads, model.features)

/** FastAPI on uvicorn with uvloop and httptools. */
export async function startFastapi(model: Model, workers: number): Promise<Peer> {
  const path = await pythonWith(requirements)
  const port = String(freePort())
  const flags = ['--port', port, '--workers', String(workers), '--loop', 'uvloop']
  const quiet = ['--http', 'httptools', '--no-access-log', '--log-level', 'error']
  const app = ['-m', 'uvicorn', '--app-dir', folder, 'fastapi_app:app']
  const env = {
    PATH: process.env.PATH ?? '',
    MODEL: model.plain,
    THREADS: String(model.threads),
    FEATURES: String(model.features),
  }
  const url = `http://127.0.0.1:${port}/predict`
  return peer([path, ...app, ...flags, ...quiet], url, model, { env })
}

/** MLflow's scoring server for the same model, started as `mlflow models serve` does. */
export async function startMlflow(model: Model): Promise<Peer> {
  const path = await pythonWith(requirements)
  const saved = join(scratch, `mlflow-${model.name}-${freePort()}`)
  const env = {
    PATH: `${join(path, '..')}:${process.env.PATH}`,
    HOME: scratch,
    MLFLOW_DISABLE_TELEMETRY: 'true',
  }
  const script = join(folder, 'mlflow_model.py')
  const saver = Bun.spawn([path, script, model.plain, String(model.features), saved], {
    env,
    stdout: 'ignore',
    stderr: 'pipe',
  })
  const complaint = await new Response(saver.stderr).text()
  if ((await saver.exited) !== 0) throw new Error(`mlflow_model.py: ${complaint.slice(-500)}`)
  const port = String(freePort())
  const flags = ['--env-manager', 'local', '-h', '127.0.0.1', '-p', port, '-m', saved]
  const command = [join(path, '../mlflow'), 'models', 'serve', ...flags]
  return peer(command, `http://127.0.0.1:${port}/invocations`, model, { env })
}

export interface RawOptions {
  /** Mean rows per run. */
  batch: number
  seconds: number
  /** CPU that other processes burn meanwhile, in cores, one entry for each. */
  beside?: readonly number[]
}

/** ONNX Runtime in a loop beside processes that burn CPU (RULES §35); the rate is rows per second. */
export async function raw(model: Model, options: RawOptions): Promise<Round> {
  const { batch, seconds, beside = [] } = options
  const burners = beside
    // One process cannot burn more than one core.
    .flatMap((share) => Array.from({ length: Math.ceil(share) }, () => share / Math.ceil(share)))
    .map((share) => start([process.execPath, join(folder, 'burn.ts'), String(share)]))
  const { plain: file, threads, input, outputs, features } = model
  const data = join(scratch, `${model.name}.rows`)
  writeFileSync(data, new Uint8Array(tensorOf(model, Math.floor(batch) + 2).buffer))
  const order: RawOrder = { file, threads, input, outputs, data, features, batch, seconds }
  try {
    const child = Bun.spawn([process.execPath, join(folder, 'raw.ts'), JSON.stringify(order)], {
      stdout: 'pipe',
      stderr: 'pipe',
    })
    const [text, complaint] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ])
    if ((await child.exited) !== 0) throw new Error(`the raw loop failed: ${complaint}`)
    const { rate } = JSON.parse(text) as { rate: number }
    return { rate, p50: Number.NaN, p99: Number.NaN, errors: 0 }
  } finally {
    await Promise.all(burners.map((burner) => burner.stop()))
  }
}
