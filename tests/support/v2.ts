// Requests and answers of the Open Inference Protocol, built and taken apart by hand.
import type { Relais } from './relais.ts'

export interface V2Input {
  name: string
  datatype: string
  shape: number[]
  data?: unknown
  /** Goes behind the JSON, its size into the parameters. */
  raw?: Uint8Array
}

export interface V2Answer {
  status: number
  headers: Headers
  /** The JSON part. */
  body: any
  text: string
  /** Raw bytes of each binary output. */
  raw: Record<string, Uint8Array<ArrayBuffer>>
}

/** Bytes of a typed array. */
export const bytesOf = (array: ArrayBufferView): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength)

/** Strings as the binary extension writes them. */
export function lengthPrefixed(...texts: (string | Uint8Array)[]): Uint8Array {
  const parts = texts.flatMap((text) => {
    const bytes = Buffer.from(text as string)
    const size = Buffer.alloc(4)
    size.writeUInt32LE(bytes.length)
    return [size, bytes]
  })
  return Buffer.concat(parts)
}

/** The body of a request and the length of its JSON part. */
export function packed(
  inputs: V2Input[],
  rest: Record<string, unknown> = {},
): { body: Uint8Array; length: number } {
  const shown = inputs.map(({ raw, ...input }) =>
    raw ? { ...input, parameters: { binary_data_size: raw.length } } : input,
  )
  const header = Buffer.from(JSON.stringify({ ...rest, inputs: shown }))
  const body = Buffer.concat([header, ...inputs.flatMap(({ raw }) => raw ?? [])])
  return { body, length: header.length }
}

/** Sends bytes to `/v2/models/{at}/infer` and takes the answer apart. */
export async function send(
  relais: Relais,
  at: string,
  body: Uint8Array | string | ReadableStream<Uint8Array> | null,
  options: { headers?: Record<string, string>; token?: string } = {},
): Promise<V2Answer> {
  const authorization = `Bearer ${options.token ?? relais.admin}`
  const response = await fetch(`${relais.url}/v2/models/${at}/infer`, {
    method: 'POST',
    body: body as Uint8Array<ArrayBuffer>,
    headers: { authorization, ...options.headers },
  })
  const bytes = Buffer.from(await response.arrayBuffer())
  const length = Number(response.headers.get('inference-header-content-length') ?? bytes.length)
  const text = bytes.subarray(0, length).toString()
  const parsed = JSON.parse(text)
  const raw: V2Answer['raw'] = {}
  let from = length
  for (const output of parsed.outputs ?? []) {
    const size = output.parameters?.binary_data_size
    if (size === undefined) continue
    // Copied, so that its buffer holds nothing else.
    raw[output.name] = new Uint8Array(bytes.subarray(from, from + size))
    from += size
  }
  if (from !== bytes.length) throw new Error(`${bytes.length - from} bytes belong to no output`)
  return { status: response.status, headers: response.headers, body: parsed, text, raw }
}

/** Sends inputs, with the length header where one is binary. */
export function infer(
  relais: Relais,
  at: string,
  inputs: V2Input[],
  rest: Record<string, unknown> = {},
  headers: Record<string, string> = {},
): Promise<V2Answer> {
  const { body, length } = packed(inputs, rest)
  const isBinary = inputs.some(({ raw }) => raw)
  const declared = isBinary ? { 'inference-header-content-length': String(length) } : {}
  return send(relais, at, body, { headers: { ...declared, ...headers } })
}
