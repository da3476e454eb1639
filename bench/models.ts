// The models that are measured, and requests for them in every form that a peer reads.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { readModel } from '../src/onnx/model.ts'
import { type MlpSize, writeMlp } from '../tests/models/make-mlp.ts'

const root = join(import.meta.dir, '..')
const examples = join(root, 'examples/models')
const made = join(root, 'dist/bench')

export interface Model {
  name: string
  title: string
  /** What is pushed to Relais. */
  file: string
  /** The same without the ZipMap that Relais takes off: faster, so the peers are given it. */
  plain: string
  /** Its feature schema, where it has one. */
  schema?: string
  input: string
  outputs: readonly string[]
  features: number
  /** Threads of ONNX Runtime: Relais gives a light model one, a heavy one all cores. */
  threads: number
  row: (at: number) => number[]
}

export function example(folder: string, title: string): Model {
  const path = join(examples, folder)
  const { rows } = JSON.parse(readFileSync(join(path, 'reference.json'), 'utf8')) as {
    rows: number[][]
  }
  return {
    name: folder,
    title,
    file: join(path, 'model.onnx'),
    plain: join(made, `${folder}.onnx`),
    schema: join(path, 'schema.json'),
    input: 'X',
    outputs: ['output_label', 'output_probability'],
    features: rows[0]?.length ?? 0,
    threads: 1,
    row: (at) => rows[at % rows.length] ?? [],
  }
}

function mlp(title: string, size: MlpSize, threads: number): Model {
  const name = `mlp-${[size.inputs, ...size.hidden, size.outputs].join('-')}`
  const file = join(made, `${name}.onnx`)
  return {
    name,
    title,
    file,
    plain: file,
    input: 'x',
    outputs: ['probabilities'],
    features: size.inputs,
    threads,
    row: (at) =>
      Array.from({ length: size.inputs }, (_, column) =>
        Number(Math.sin(at + column * 0.37).toFixed(4)),
      ),
  }
}

const cores = navigator.hardwareConcurrency
const sizes: Record<string, MlpSize> = {
  light: { inputs: 784, hidden: [512, 512], outputs: 10 },
  heavy: { inputs: 784, hidden: [5760, 5760], outputs: 10 },
}

export const iris = example('iris', 'iris forest')
export const cancer = example('breast-cancer', 'breast cancer forest')
export const light = mlp('MLP 784-512-512-10', sizes['light']!, 1)
export const heavy = mlp('MLP of 150 MB', sizes['heavy']!, cores)
export const models: readonly Model[] = [iris, cancer, light, heavy]

/** Makes the files that are not in the repository. */
export async function makeModels(): Promise<void> {
  mkdirSync(made, { recursive: true })
  for (const [model, size] of [
    [light, sizes['light']!],
    [heavy, sizes['heavy']!],
  ] as const) {
    if (existsSync(model.file)) continue
    await writeMlp(`${model.file}.part`, size)
    renameSync(`${model.file}.part`, model.file)
  }
  for (const { file, plain } of [iris, cancer]) {
    const { rewritten } = readModel(readFileSync(file))
    if (rewritten) writeFileSync(plain, Buffer.concat(rewritten))
    else copyFileSync(file, plain)
  }
}

/** Folder for what lives as long as this process. */
export const scratch = mkdtempSync(join(tmpdir(), 'relais-bench-'))
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }))

export interface Body {
  /** Path of a file that holds it. */
  path: string
  headers: Record<string, string>
}

const known = new Map<string, Body>()

function kept(key: string, make: () => { bytes: Uint8Array | string; headers: Body['headers'] }) {
  const before = known.get(key)
  if (before) return before
  const { bytes, headers } = make()
  const body = { path: join(scratch, `${key}.body`), headers }
  writeFileSync(body.path, bytes)
  known.set(key, body)
  return body
}

/** `{"instances": [[…], …]}`, which Relais, the peers and MLflow read alike. */
export function jsonBody(model: Model, rows: number): Body {
  return kept(`${model.name}-${rows}-json`, () => ({
    bytes: JSON.stringify({ instances: Array.from({ length: rows }, (_, at) => model.row(at)) }),
    headers: { 'content-type': 'application/json' },
  }))
}

/** The Open Inference Protocol's binary form, answered in binary too. */
export function binaryBody(model: Model, rows: number): Body {
  return kept(`${model.name}-${rows}-binary`, () => {
    const data = tensorOf(model, rows)
    const size = { binary_data_size: data.byteLength }
    const shape = [rows, model.features]
    const head = JSON.stringify({
      inputs: [{ name: model.input, shape, datatype: 'FP32', parameters: size }],
      parameters: { binary_data_output: true },
    })
    return {
      bytes: Buffer.concat([Buffer.from(head), Buffer.from(data.buffer)]),
      headers: {
        'content-type': 'application/octet-stream',
        'inference-header-content-length': String(Buffer.byteLength(head)),
      },
    }
  })
}

/** The rows one after the other, as float32. */
export function tensorOf(model: Model, rows: number): Float32Array {
  const data = new Float32Array(rows * model.features)
  for (let at = 0; at < rows; at += 1) data.set(model.row(at), at * model.features)
  return data
}
