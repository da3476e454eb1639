// An upload as it streams in: a form with metadata and the model file, or the bare file.
import { once } from 'node:events'

import { Busboy } from '@fastify/busboy'

import { Fault, type Flaw, tooLarge } from '../core/fault.ts'
import { isObject } from '../core/object.ts'
import { type ReceivedFile, receiveFile, writeAll } from '../storage/receive.ts'
import type { Storage, Upload } from '../storage/storage.ts'

export interface UploadMetadata {
  description?: string
  tags?: Record<string, string>
  metrics?: Record<string, number>
  params?: Record<string, string>
  git_commit?: string
  run_id?: string
  stage?: string
  schema?: unknown
}

export interface Received extends ReceivedFile {
  metadata: UploadMetadata
}

const mostMetadata = 4 << 20
const mostEntries = 1000
const mostText = 5000
const texts = ['description', 'git_commit', 'run_id', 'stage'] as const
const maps = ['tags', 'params'] as const
const known: readonly string[] = [...texts, ...maps, 'metrics', 'schema']

type Fail = (pointer: string, message: string) => void

function checkMap(map: unknown, key: string, fail: Fail): void {
  const wanted = key === 'metrics' ? 'number' : 'string'
  if (!isObject(map) || Object.keys(map).length > mostEntries) {
    fail(`/${key}`, `must be an object of at most ${mostEntries} entries`)
    return
  }
  for (const [name, item] of Object.entries(map)) {
    const fits = typeof item === wanted && (wanted === 'string' || Number.isFinite(item))
    if (!fits)
      fail(`/${key}/${name}`, `must be a ${wanted === 'string' ? wanted : 'finite number'}`)
  }
}

/** Checks metadata member by member; throws `request.invalid` with every place that is wrong. */
export function readMetadata(value: unknown): UploadMetadata {
  const errors: Flaw[] = []
  const fail: Fail = (pointer, message) => errors.push({ pointer, code: 'schema', message })
  const given = isObject(value) ? value : {}
  if (!isObject(value)) fail('', 'metadata must be a JSON object')
  for (const key of Object.keys(given)) {
    if (!known.includes(key)) fail(`/${key}`, `unknown member; known: ${known.join(', ')}`)
  }
  for (const key of texts) {
    const text = given[key] ?? ''
    if (typeof text !== 'string' || text.length > mostText) {
      fail(`/${key}`, `must be a string of at most ${mostText} characters`)
    }
  }
  for (const key of [...maps, 'metrics']) checkMap(given[key] ?? {}, key, fail)
  if (errors.length > 0) throw new Fault('request.invalid', 'See errors.', { errors })
  return given as UploadMetadata
}

function parseMetadata(text: string): UploadMetadata {
  try {
    return readMetadata(JSON.parse(text))
  } catch (error) {
    if (error instanceof Fault) throw error
    throw new Fault('request.malformed', 'The form field metadata is not valid JSON.')
  }
}

/** Chunks of a body as they come, until they are more than `most` bytes. */
async function* atMost(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  most: number,
): AsyncGenerator<Uint8Array> {
  let size = 0
  for await (const chunk of chunks) {
    size += chunk.byteLength
    if (size > most) throw tooLarge(most)
    yield chunk
  }
}

async function receiveForm(
  request: Request,
  upload: Upload,
  most: number,
): Promise<UploadMetadata> {
  const contentType = request.headers.get('content-type') ?? ''
  let form: InstanceType<typeof Busboy>
  try {
    form = new Busboy({
      headers: { 'content-type': contentType },
      limits: { fieldSize: mostMetadata, files: 1, fields: 10, parts: 11 },
    })
  } catch {
    throw new Fault('request.malformed', 'The form has no boundary.')
  }
  let metadata: UploadMetadata = {}
  let file: Promise<void> | undefined
  let failure: unknown = null
  const broken = Promise.withResolvers<void>()
  form.on('field', (name, value, _nameCut, valueCut) => {
    try {
      if (valueCut) throw tooLarge(mostMetadata)
      if (name === 'metadata') metadata = parseMetadata(value)
      else failure ??= new Fault('request.invalid', `Unknown form field ${name.slice(0, 100)}.`)
    } catch (error) {
      failure ??= error
    }
  })
  form.on('file', (name, stream) => {
    if (name !== 'model') failure ??= new Fault('request.invalid', 'The file field is named model.')
    file = writeAll(stream as AsyncIterable<Uint8Array>, upload, most)
    file.catch((error: unknown) => {
      failure ??= error
      stream.resume()
      broken.resolve()
    })
  })
  form.on('filesLimit', () => {
    failure ??= new Fault('request.invalid', 'The form holds more than one file.')
  })
  const ended = once(form, 'finish')
  ended.catch(() => undefined)
  form.on('error', (error: Error) => {
    failure ??= new Fault('request.malformed', 'The form is not complete.', { cause: error })
  })
  // What belongs to no field counts, too.
  for await (const chunk of atMost(request.body ?? [], most + mostMetadata)) {
    if (failure !== null) throw failure
    // No copy: a copy of each piece would wait for the garbage collector.
    const piece = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    if (!form.write(piece)) await Promise.race([once(form, 'drain'), Bun.sleep(1000)])
  }
  form.end()
  // The form never finishes when its file could not be stored, for example on a full disk.
  await Promise.race([ended.catch(() => undefined), broken.promise])
  if (file === undefined)
    failure ??= new Fault('request.invalid', 'The form has no file field model.')
  await file
  if (failure !== null) throw failure
  return metadata
}

/** `key=value` pairs of repeated query parameters. */
function pairs(query: URLSearchParams, name: string): Record<string, string> {
  return Object.fromEntries(
    query.getAll(name).map((pair) => {
      const at = pair.indexOf('=')
      if (at < 1) throw new Fault('request.invalid', `Write ${name}=key=value.`)
      return [pair.slice(0, at), pair.slice(at + 1)]
    }),
  )
}

function queryMetadata(query: URLSearchParams): UploadMetadata {
  // Number('') is 0, but nobody measured that.
  const numbers = Object.entries(pairs(query, 'metric')).map(([key, text]) => [
    key,
    text.trim() === '' ? Number.NaN : Number(text),
  ])
  const given: Record<string, unknown> = {
    metrics: Object.fromEntries(numbers),
    params: pairs(query, 'param'),
    tags: pairs(query, 'tag'),
  }
  for (const name of texts) {
    const value = query.get(name === 'git_commit' ? 'commit' : name)
    if (value !== null) given[name] = value
  }
  return readMetadata(given)
}

/**
 * Takes an upload to a temporary file: `multipart/form-data` with a field `metadata` (JSON) and a
 * file `model`, or the bare bytes as `application/octet-stream` with metadata in the query. Whatever
 * fails leaves nothing behind.
 */
export async function receiveUpload(
  request: Request,
  storage: Storage,
  most: number,
): Promise<Received> {
  const type = (request.headers.get('content-type') ?? '').toLowerCase()
  const declared = Number(request.headers.get('content-length') ?? 0)
  if (declared > most + mostMetadata) throw tooLarge(most, 'max-model')
  const isForm = type.startsWith('multipart/form-data')
  if (!isForm && !type.startsWith('application/octet-stream')) {
    throw new Fault(
      'request.media-type',
      'Send multipart/form-data with a file field model, or application/octet-stream.',
    )
  }
  let metadata: UploadMetadata = {}
  const file = await receiveFile(storage, async (upload) => {
    if (isForm) metadata = await receiveForm(request, upload, most)
    else {
      metadata = queryMetadata(new URL(request.url).searchParams)
      await writeAll(request.body ?? [], upload, most)
    }
  })
  if (file.size > 0) return { ...file, metadata }
  await file.upload.discard()
  throw new Fault('model.not-onnx', 'The file is empty.')
}
