// relais push: uploads a model file with what is known about it.
import { createReadStream, readFileSync, statSync } from 'node:fs'

import { clientOf, modelPath, type Streamed } from './client.ts'
import {
  type Args,
  clientOptions,
  type Command,
  CommandError,
  type Output,
  pairsOf,
  UsageError,
} from './command.ts'

interface Pushed {
  name: string
  version: number
  stage: string
  servability: string
  reason: string | null
  trial: { run_ms: number | null; batchable: boolean } | null
}

function readSchema(path: string | undefined): unknown {
  if (path === undefined) return undefined
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new CommandError(`cannot read ${path}: ${(error as Error).message}`)
  }
}

function metadataOf(args: Args): Record<string, unknown> {
  const metrics = Object.entries(pairsOf(args, 'metric')).map(([key, text]): [string, number] => {
    const value = Number(text)
    if (text === '' || !Number.isFinite(value)) throw new UsageError(`--metric ${key}: no number`)
    return [key, value]
  })
  const given = {
    metrics: Object.fromEntries(metrics),
    params: pairsOf(args, 'param'),
    tags: pairsOf(args, 'tag'),
    git_commit: args.text('commit'),
    description: args.text('description'),
    stage: args.text('stage'),
    schema: readSchema(args.text('schema')),
  }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
}

/** A form with the metadata first, then the file as it is read, showing how far it got. */
export function formOf(file: string, metadata: object, progress: (text: string) => void): Streamed {
  const boundary = `relais-${crypto.randomUUID()}`
  const head =
    `--${boundary}\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n` +
    `${JSON.stringify(metadata)}\r\n--${boundary}\r\n` +
    'Content-Disposition: form-data; name="model"; filename="model.onnx"\r\n' +
    'Content-Type: application/octet-stream\r\n\r\n'
  const { size } = statSync(file)
  async function* parts(): AsyncGenerator<Uint8Array> {
    yield Buffer.from(head)
    let sent = 0
    let shown = 0
    for await (const chunk of createReadStream(file, { highWaterMark: 1 << 18 })) {
      const bytes = chunk as Uint8Array
      sent += bytes.length
      if (performance.now() - shown > 200) {
        shown = performance.now()
        const megabytes = (sent / 1048576).toFixed(0)
        progress(`uploading ${((100 * sent) / size).toFixed(0)} % (${megabytes} MB)`)
      }
      yield bytes
    }
    progress('uploaded; the server tries the model')
    yield Buffer.from(`\r\n--${boundary}--\r\n`)
  }
  const stream = parts() as unknown as ReadableStream<Uint8Array>
  return { stream, type: `multipart/form-data; boundary=${boundary}` }
}

function report(pushed: Pushed, output: Output): number {
  output.progress('')
  const { name, version, stage, servability, reason, trial } = pushed
  if (servability === 'failed') {
    output.note(`${name} version ${version} failed its trial: ${reason}`)
    output.note('It is kept for inspection and cannot be promoted; push a repaired file.')
    return 1
  }
  const time = trial?.run_ms == null ? '' : `, ${trial.run_ms} ms a row`
  const batch = trial?.batchable ? ', rows travel together' : ''
  output.line(`${name} version ${version} in ${stage}${time}${batch}`)
  return 0
}

export const push: Command = {
  name: 'push',
  usage: 'NAME FILE',
  summary: 'upload an ONNX model as the next version',
  options: {
    ...clientOptions,
    schema: { type: 'string', value: 'FILE', help: 'feature schema (JSON)' },
    metric: {
      type: 'string',
      multiple: true,
      value: 'K=NUMBER',
      help: 'metric, e.g. accuracy=0.97',
    },
    param: { type: 'string', multiple: true, value: 'K=V', help: 'parameter of the training' },
    tag: { type: 'string', multiple: true, value: 'K=V', help: 'tag' },
    commit: { type: 'string', value: 'SHA', help: 'git commit of the training code' },
    description: { type: 'string', value: 'TEXT', help: 'what this version is' },
    stage: { type: 'string', value: 'STAGE', help: 'move it there when its trial went well' },
  },
  example:
    'relais push iris model.onnx --schema schema.json --metric accuracy=0.97 --stage Staging',
  run: async (args, output, env) => {
    const [name, file] = args.words as [string, string]
    const metadata = metadataOf(args)
    if (!statSync(file, { throwIfNoEntry: false })?.isFile()) {
      throw new CommandError(`there is no file ${file}`)
    }
    const form = formOf(file, metadata, (text) => output.progress(text))
    const path = `${modelPath(name)}/versions`
    const pushed = await clientOf(args, env).json<Pushed>('POST', path, form)
    if (!args.flag('json')) return report(pushed, output)
    output.progress('')
    output.line(JSON.stringify(pushed))
    return pushed.servability === 'failed' ? 1 : 0
  },
}
