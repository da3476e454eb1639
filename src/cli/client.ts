// Calls to a server from the command line.
import { readFileSync } from 'node:fs'

import type { FaultCode } from '../core/fault.ts'
import type { Args } from './command.ts'
import { CommandError, UsageError } from './command.ts'

type Env = Record<string, string | undefined>

interface Problem {
  code?: string
  detail?: string
  /** What the doors of MLflow's API have in place of these two. */
  error_code?: string
  message?: string
  errors?: { pointer: string; message: string }[]
}

/** What a person can do about a fault. */
const advice: Partial<Record<FaultCode, string>> = {
  'auth.missing': 'Set RELAIS_TOKEN or pass --token-file.',
  'auth.invalid': 'Is the token from this server? See `relais token create --help`.',
  'auth.expired': 'Ask for a new token: `relais token create`.',
  'auth.revoked': 'Ask for a new token: `relais token create`.',
  'access.denied': 'Use a token with that right, or ask someone whose role carries it.',
  'model.not-found': '`relais models` lists what there is.',
  'version.not-found': '`relais models NAME` lists the versions.',
  'token.not-found': '`relais token list` lists the tokens.',
  'stage.empty': '`relais promote NAME VERSION --to Production` fills it.',
  'stage.conflict': 'Look with `relais models NAME`, then try again.',
  'import.conflict': 'Rename or delete what is here, then import again.',
  'version.failed': 'The version cannot be served; push a repaired one.',
  'version.not-servable': 'Only ONNX models are served; push one.',
  'version.quarantined': '`relais quarantine clear NAME VERSION` tries it again.',
  'version.live': 'Promote another version first.',
  'rollback.nothing-earlier': 'Promote a version: `relais models NAME` lists them.',
  'model.not-onnx': 'Export the model to ONNX first, for example with skl2onnx or torch.onnx.',
  'model.external-data': 'Save the model as one file, with its tensors inside.',
  'model.unknown-domain': 'Export the model with standard ONNX operators only.',
  'schema.invalid': 'Correct the file given with --schema.',
  'input.invalid': 'Correct the rows; the columns are described at /docs.',
  'request.too-large':
    'Send less, or let the operator raise --max-model (files) or --max-body (rows).',
  'service.starting': 'Try again in a moment.',
  'service.draining': 'Try again when the server is back.',
  'model.loading': 'Try again in a moment.',
  'model.unavailable': '`relais models NAME` and `relais doctor` say why.',
  'engine.busy': 'Try again in a moment.',
  'engine.lost': 'Try again; if it goes on, see `relais models NAME`.',
  'engine.memory': 'Try again later, or give the server more --engine-memory.',
  'inference.deadline': 'Send fewer rows, or give the server a longer --predict-timeout.',
  'storage.full': "Free space on the server's disk; `relais doctor` shows how much is left.",
  internal: "The server's log tells more.",
}

export interface Client {
  url: string
  /** Sends a request; throws CommandError with the server's words when it is refused. */
  call(method: string, path: string, body?: unknown, accept?: string): Promise<Response>
  json<T>(method: string, path: string, body?: unknown): Promise<T>
}

function tokenOf(args: Args, env: Env): string | undefined {
  const file = args.text('token-file')
  if (file === undefined) return env.RELAIS_TOKEN
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    throw new CommandError(`cannot read ${file}`, 'Check the path given with --token-file.')
  }
}

async function refusal(response: Response): Promise<CommandError> {
  const problem = (await response.json().catch(() => ({}))) as Problem
  const lines = (problem.errors ?? []).map(({ pointer, message }) => `  ${pointer}: ${message}`)
  const what = problem.detail ?? problem.message ?? `the server answered ${response.status}`
  const code = problem.code ?? problem.error_code ?? String(response.status)
  return new CommandError([`${code}: ${what}`, ...lines].join('\n'), advice[code as FaultCode], {
    status: response.status,
    ...problem,
  })
}

/** A body that is no JSON, whole or as a stream, with its type. */
export interface Streamed {
  stream: ReadableStream<Uint8Array> | Uint8Array
  type: string
}

const isStreamed = (body: unknown): body is Streamed =>
  typeof body === 'object' && body !== null && 'stream' in body

export function clientOf(args: Args, env: Env): Client {
  const url = (args.text('url') ?? env.RELAIS_URL ?? 'http://127.0.0.1:8080').replace(/\/+$/, '')
  if (!/^https?:$/.test(URL.parse(url)?.protocol ?? '')) {
    throw new UsageError(`'${url}' is no address; write for example http://127.0.0.1:8080`)
  }
  const token = tokenOf(args, env)
  const call: Client['call'] = async (method, path, body, accept) => {
    const headers: Record<string, string> = {}
    if (token !== undefined) headers.authorization = `Bearer ${token}`
    if (accept !== undefined) headers.accept = accept
    if (body !== undefined)
      headers['content-type'] = isStreamed(body) ? body.type : 'application/json'
    const sent = body === undefined ? null : isStreamed(body) ? body.stream : JSON.stringify(body)
    let response: Response
    try {
      response = await fetch(`${url}${path}`, {
        method,
        headers,
        body: sent,
        timeout: false,
      } as object)
    } catch {
      throw new CommandError(
        `no answer from ${url}`,
        'Is it running? Start it with `relais serve`.',
      )
    }
    if (!response.ok) throw await refusal(response)
    return response
  }
  return {
    url,
    call,
    json: async <T>(method: string, path: string, body?: unknown) =>
      (await (await call(method, path, body)).json()) as T,
  }
}

/** Name of a model as a part of a path. Throws for dots, which URLs take for folders. */
export function namePart(name: string): string {
  if (name === '.' || name === '..') throw new UsageError(`no model can be named ${name}`)
  return encodeURIComponent(name)
}

export const modelPath = (name: string): string => `/api/v1/models/${namePart(name)}`
