// Bodies on the wire: inflated within bounds, split into JSON and raw tensors, and written back.
import { promisify } from 'node:util'
import { deflate, gunzip, gzip, inflate } from 'node:zlib'

import { Fault, tooLarge } from '../core/fault.ts'
import { isObject } from '../core/object.ts'
import { parseJson } from '../http/json.ts'
import { type Exchange, readBody } from '../http/request.ts'
import type { EncodedAnswer } from './codec.ts'

export const lengthHeader = 'inference-header-content-length'

const decoders = new Map([
  ['gzip', promisify(gunzip)],
  ['deflate', promisify(inflate)],
])
const encoders = new Map([
  ['gzip', promisify(gzip)],
  ['deflate', promisify(deflate)],
])
/** What clients may pack bodies with, as an Accept-Encoding header says it. */
export const codings = [...decoders.keys()].join(', ')

const worthPacking = 1024
/** Tensors hardly shrink more for the time that higher levels take. */
const level = 1

/**
 * The whole body, unpacked; at most `most` bytes, packed and unpacked. Throws `request.too-large`
 * as soon as there are more, `request.media-type` for other codings than gzip and deflate.
 */
async function readPlain(request: Request, most: number): Promise<Uint8Array> {
  const coding = (request.headers.get('content-encoding') ?? 'identity').trim().toLowerCase()
  const unpack = decoders.get(coding)
  if (!unpack && coding !== 'identity') {
    throw new Fault('request.media-type', `Content-Encoding may be ${codings} or identity.`)
  }
  const bytes = await readBody(request, most)
  if (!unpack) return bytes
  try {
    return await unpack(bytes, { maxOutputLength: most })
  } catch (error) {
    if ((error as { code?: string }).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(most)
    throw new Fault('request.malformed', `The body is not what ${coding} makes.`)
  }
}

export interface Parts {
  /** The parsed JSON; undefined when the whole body is one raw tensor. */
  header: unknown
  raw: Uint8Array
}

/**
 * JSON and what follows it. Only the length header decides where it ends: clients send any
 * Content-Type. `wide`: integers beyond 2^53 are kept exact.
 */
export async function readParts(request: Request, most: number, wide: boolean): Promise<Parts> {
  const bytes = await readPlain(request, most)
  const declared = request.headers.get(lengthHeader)
  if (declared === null) return { header: parseJson(bytes, wide), raw: new Uint8Array() }
  const length = /^\d{1,10}$/.test(declared) ? Number(declared) : Number.NaN
  if (!(length <= bytes.length)) {
    const fit = `a number of bytes, at most the ${bytes.length} of the body`
    throw new Fault('request.malformed', `Inference-Header-Content-Length must be ${fit}.`)
  }
  if (length === 0) return { header: undefined, raw: bytes }
  const header = parseJson(bytes.subarray(0, length), wide)
  return { header, raw: alignedTail(bytes, length) }
}

/**
 * What follows the JSON, moved over its last bytes to where an array of any type may lie: a move in
 * place costs a tenth of a copy into memory that is new.
 */
function alignedTail(bytes: Uint8Array, from: number): Uint8Array {
  const to = Math.max(0, from - ((bytes.byteOffset + from) % 8))
  return bytes.copyWithin(to, from).subarray(to, to + bytes.length - from)
}

/** The object that a body holds; an empty body stands for an empty one. */
export async function readObject(request: Request, most: number): Promise<Record<string, unknown>> {
  const bytes = await readPlain(request, most)
  const value = bytes.length === 0 ? {} : parseJson(bytes, false)
  if (isObject(value)) return value
  throw new Fault('request.invalid', 'The body must be an object.')
}

/**
 * How an answer is packed: only for a caller that names one coding and nothing else. Triton's own
 * aio client names both and unpacks neither.
 */
function packing(accepted: string | null): string | null {
  const [, coding = '', weight = '1'] = sole.exec(accepted ?? '') ?? []
  return Number(weight) > 0 && encoders.has(coding.toLowerCase()) ? coding.toLowerCase() : null
}

const sole = /^\s*(\w+)\s*(?:;\s*q=([\d.]+)\s*)?$/i

/** An answer of inference as the caller takes it. */
export async function sendAnswer(exchange: Exchange, answer: EncodedAnswer): Promise<Response> {
  const { json, raw } = answer
  const size = raw.reduce((sum, { length }) => sum + length, 0)
  const coding = packing(exchange.request.headers.get('accept-encoding'))
  const isWorthIt = coding !== null && json.length + size >= worthPacking
  if (size === 0 && !isWorthIt) return exchange.seal(json)
  const header = Buffer.from(json)
  const body = size === 0 ? header : Buffer.concat([header, ...raw])
  const headers = new Headers({
    'content-type': size === 0 ? 'application/json' : 'application/octet-stream',
  })
  if (size > 0) headers.set(lengthHeader, String(header.length))
  if (!isWorthIt) return new Response(body, { headers })
  headers.set('content-encoding', coding)
  const packed = await encoders.get(coding)?.(body, { level })
  return new Response(packed ?? body, { headers })
}
