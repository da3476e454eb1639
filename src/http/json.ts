// JSON bodies of the prediction doors: bounded in size and depth, integers exact where it matters.
import { Fault } from '../core/fault.ts'
import { exactNumber } from '../core/number.ts'
import { demandPlain, readBody } from './request.ts'

const deepest = 64
/** Below this, no nesting can hurt; above, JSON.parse would turn a bomb into gigabytes. */
const worthScanning = 16_384
/** Below this, a body becomes text at once. */
const short = 1024

/** Throws when lists and objects are nested too deep. Brackets inside strings count too: cheap. */
export function demandShallow(bytes: Uint8Array): void {
  let depth = 0
  let inString = false
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at]
    if (byte === 34) inString = !inString
    else if (inString) {
      if (byte === 92) at += 1
    } else if (byte === 91 || byte === 123) {
      depth += 1
      if (depth > deepest) throw new Fault('request.malformed', `Nested deeper than ${deepest}.`)
    } else if (byte === 93 || byte === 125) depth -= 1
  }
}

const strictly = new TextDecoder('utf-8', { fatal: true })

const malformed = (): Fault => new Fault('request.malformed', 'The body is not valid JSON.')

/** An integer that a double cannot hold exactly becomes a bigint. */
const exact = (_key: string, value: unknown, context?: { source?: string }): unknown =>
  typeof value === 'number' ? exactNumber(value, context?.source ?? '') : value

const parseExactly = JSON.parse as (
  text: string,
  reviver: (key: string, value: unknown, context?: { source?: string }) => unknown,
) => unknown

/** The JSON value of bytes. `wide` as for `readJsonBody`. Throws `request.malformed`. */
export function parseJson(bytes: Uint8Array, wide: boolean): unknown {
  if (bytes.length > worthScanning) demandShallow(bytes)
  try {
    return parseText(strictly.decode(bytes), wide)
  } catch {
    throw malformed()
  }
}

function parseText(text: string, wide: boolean): unknown {
  return wide && /[\d.]{16}/.test(text) ? parseExactly(text, exact) : (JSON.parse(text) as unknown)
}

/** Not `Request.text`, which would put U+FFFD for what is no UTF-8 without a word. */
function textOf(request: Request, bytes: Uint8Array): string {
  try {
    return strictly.decode(bytes)
  } catch {
    demandPlain(request)
    throw malformed()
  }
}

/**
 * The body as text when it is short, else as bytes. No async function of its own, because short bodies
 * are the hot path. Throws `request.too-large`, `request.media-type` or `request.malformed`.
 */
export function readJsonText(request: Request, most: number): Promise<string | Uint8Array> {
  const declared = request.headers.get('content-length')
  if (declared !== null && Number(declared) <= short) {
    return request.bytes().then((bytes) => textOf(request, bytes))
  }
  demandPlain(request)
  return readBody(request, most)
}

/** The JSON value of what `readJsonText` read. Throws `request.malformed` or `request.media-type`. */
export function parseJsonText(request: Request, body: string | Uint8Array, wide: boolean): unknown {
  if (typeof body !== 'string') return parseJson(body, wide)
  try {
    return parseText(body, wide)
  } catch {
    demandPlain(request)
    throw malformed()
  }
}

/**
 * The JSON value of a body. `wide`: the model takes 64-bit integers, so those beyond 2^53 are kept
 * exact, as bigint. Throws `request.too-large`, `request.media-type` or `request.malformed`.
 */
export async function readJsonBody(
  request: Request,
  most: number,
  wide: boolean,
): Promise<unknown> {
  return parseJsonText(request, await readJsonText(request, most), wide)
}
