// POST …:score: rows as CSV or JSON lines in, results out while they come, as many as there are.
import { Fault, problemOf, toFault } from '../core/fault.ts'
import { passedThrough } from '../core/garbage.ts'
import { parseJson } from '../http/json.ts'
import { problemResponse } from '../http/problem.ts'
import { demandPlain, type Exchange } from '../http/request.ts'
import type { Door } from '../http/server.ts'
import type { Deployment } from '../inference/deployment.ts'
import { type Predictor, withDeployment } from '../inference/predict.ts'
import { prefix, type Target, targetOf } from '../inference/target.ts'
import type { Log } from '../telemetry/log.ts'
import type { RowReader } from './batch.ts'
import { CsvReader } from './csv.ts'
import { JsonReader } from './jsonl.ts'
import {
  csvWriter,
  type Form,
  jsonWriter,
  type ResultColumn,
  resultColumns,
  type ResultWriter,
} from './result.ts'
import { score, type ScoreJob, type Scoring } from './score.ts'
import { Sink } from './sink.ts'
import { wireFrame, wireJson, wireType } from './wire.ts'

export interface ScoreDoorOptions extends Predictor {
  /** Longest pause within an upload in milliseconds. */
  pause: number
  log: Log
}

const forms: ReadonlyMap<string, Form> = new Map([
  ['text/csv', 'csv'],
  ['application/x-ndjson', 'jsonl'],
  ['application/jsonl', 'jsonl'],
])
const known = [...forms.keys()].join(', ')
const types: Record<Form, string> = {
  csv: 'text/csv; charset=utf-8; header=present',
  jsonl: 'application/x-ndjson',
}
const wireForms: ReadonlyMap<string, Form> = new Map([
  [`${wireType}+csv`, 'csv'],
  [`${wireType}+jsonl`, 'jsonl'],
])

const mediaType = (part: string): string => part.split(';', 1)[0]?.trim().toLowerCase() ?? ''

interface Wish {
  input: Form
  output: Form
  /** The answer goes to `relais score`. */
  framed: boolean
  skip: boolean
  keep: string[]
}

function outputOf(accept: string | null, input: Form): Pick<Wish, 'output' | 'framed'> {
  for (const part of (accept ?? '*/*').split(',')) {
    const type = mediaType(part)
    const form = forms.get(type)
    const framed = wireForms.get(type)
    if (framed) return { output: framed, framed: true }
    if (form) return { output: form, framed: false }
    if (type === '*/*') return { output: input, framed: false }
  }
  throw new Fault('request.media-type', `The result can be ${known}: see Accept.`)
}

function wishOf({ request }: Exchange): Wish {
  demandPlain(request)
  const input = forms.get(mediaType(request.headers.get('content-type') ?? ''))
  if (!input) {
    throw new Fault('request.media-type', `Send rows as ${known}, with Content-Type.`)
  }
  const query = new URL(request.url).searchParams
  const onError = query.get('on-error') ?? 'stop'
  if (onError !== 'stop' && onError !== 'skip') {
    const errors = [{ pointer: '/query/on-error', code: 'schema', message: 'one of skip, stop' }]
    throw new Fault('request.invalid', 'See errors for each place that is wrong.', { errors })
  }
  const keep = [...new Set(query.getAll('keep').filter((name) => name !== ''))]
  return {
    input,
    ...outputOf(request.headers.get('accept'), input),
    skip: onError === 'skip',
    keep,
  }
}

/** Columns that cannot be kept, or models whose rows cannot come as CSV. */
function demandSense({ schema, signature }: Deployment, wish: Wish): ResultColumn[] {
  if (wish.input === 'csv' && schema.form === 'tensors') {
    throw new Fault(
      'request.media-type',
      'The inputs of this model are no columns: send JSON lines.',
    )
  }
  const columns = resultColumns(signature, schema, wish.keep)
  const taken = columns.slice(wish.keep.length).map(({ name }) => name)
  const clash = wish.keep.find((name) => taken.includes(name) || name === 'prediction')
  if (clash === undefined) return columns
  const message = `the result has a column ${clash} already`
  throw new Fault('request.invalid', 'See errors for each place that is wrong.', {
    errors: [{ pointer: '/query/keep', code: 'schema', message }],
  })
}

function readerOf({ schema, validator }: Deployment, { input, keep }: Wish): RowReader {
  if (input === 'csv') return new CsvReader({ schema, validator, keep })
  const parse = (line: Uint8Array): unknown => parseJson(line, validator.wide)
  return new JsonReader({ schema, validator, keep, parse })
}

/** Chunks of a body, each within the time that a pause may take and as long as the sender is there. */
function chunksOf(request: Request, pause: number): { read: ScoreJob['read']; cancel: () => void } {
  const reader = request.body?.getReader()
  const late = new Fault('request.malformed', `Nothing came for ${pause} ms; send without pauses.`)
  const gone = new Fault('request.malformed', 'The sender has left.')
  let giveUp: ((fault: Fault) => void) | null = null
  // A read that is under way does not end by itself when the connection does.
  request.signal.addEventListener('abort', () => giveUp?.(gone), { once: true })
  return {
    read: async () => {
      if (!reader) return null
      if (request.signal.aborted) throw gone
      const { promise, reject } = Promise.withResolvers<never>()
      giveUp = reject
      const timer = setTimeout(() => reject(late), pause)
      try {
        const { done, value } = await Promise.race([reader.read(), promise])
        if (done) return null
        passedThrough(value.byteLength)
        return value
      } finally {
        clearTimeout(timer)
      }
    },
    cancel: () => void reader?.cancel().catch(() => undefined),
  }
}

/** How what happens is told: in frames, or as lines in the places of the rows. */
interface Shape {
  start: () => Uint8Array | null
  show: (scoring: Scoring) => Uint8Array
  end: (rows: number) => Uint8Array | null
  /** Last bytes of an answer that fails after it has begun. */
  fail: (fault: Fault) => Uint8Array
}

function lineShape(writer: ResultWriter, requestId: string): Shape {
  const sink = new Sink()
  return {
    start: () => null,
    show: (scoring) => {
      if (scoring.kind === 'data') return scoring.bytes
      writer.bad(sink, scoring.bad)
      return sink.take()
    },
    end: () => null,
    fail: (fault) => {
      writer.fault(sink, problemOf(fault, requestId))
      return sink.take()
    },
  }
}

function frameShape(deployment: Deployment, columns: ResultColumn[], requestId: string): Shape {
  const { model, version } = deployment
  return {
    start: () => wireJson('start', { model, version, columns }),
    show: (scoring) => {
      if (scoring.kind === 'data') return wireFrame('data', scoring.bytes)
      const { row, errors } = scoring.bad
      return wireJson('bad', { row, errors })
    },
    end: (rows) => wireJson('end', { rows }),
    fail: (fault) => wireJson('fault', problemOf(fault, requestId)),
  }
}

/** Everything that an answer says, from what a job does. The first of it may still throw. */
async function* told(scored: AsyncGenerator<Scoring>, shape: Shape): AsyncGenerator<Uint8Array> {
  let rows = 0
  let begun = false
  try {
    for await (const out of scored) {
      const start = begun ? null : shape.start()
      if (start) yield start
      begun = true
      rows += out.kind === 'data' ? out.rows : 1
      yield shape.show(out)
    }
    const last = [begun ? null : shape.start(), shape.end(rows)]
    for (const bytes of last) if (bytes) yield bytes
  } catch (error) {
    if (begun) yield shape.fail(toFault(error))
    throw error
  }
}

/** Milliseconds for the last bytes of an answer that is cut off to leave. */
const lastWords = 100

/** A stream over the rest of a generator, and what became of it. It ends when its reader leaves or stops. */
function streamed(
  first: IteratorResult<Uint8Array, void>,
  rest: AsyncGenerator<Uint8Array>,
  { gone, pause }: { gone: AbortSignal; pause: number },
): { stream: ReadableStream<Uint8Array>; done: Promise<void> } {
  const { promise: done, resolve, reject } = Promise.withResolvers<void>()
  let waiting: IteratorResult<Uint8Array, void> | null = first
  let stalled: ReturnType<typeof setTimeout> | undefined
  let left = false
  const leave = (): void => {
    left = true
    clearTimeout(stalled)
    // The version is held until nothing runs on it any more.
    const ended = rest.return(undefined).catch(() => undefined)
    void ended.then(() => resolve())
  }
  const pull = async (controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> => {
    clearTimeout(stalled)
    try {
      const next = waiting ?? (await rest.next())
      waiting = null
      if (left) return
      if (!next.done) {
        controller.enqueue(next.value)
        // The end of a connection is not always heard of while nothing is written.
        stalled = setTimeout(() => {
          leave()
          controller.error()
        }, pause)
        return
      }
      controller.close()
      resolve()
    } catch (error) {
      if (left) return
      reject(error as Error)
      // What was written last would be lost with the connection.
      await Bun.sleep(lastWords)
      // Cuts the connection, so that nobody takes it for the end. An argument would be printed.
      controller.error()
    }
  }
  gone.addEventListener('abort', leave, { once: true })
  const stream = new ReadableStream<Uint8Array>({ pull, cancel: leave }, { highWaterMark: 2 })
  return { stream, done }
}

const middles = ['', '/versions/{version}', '/labels/{label}']

/** Scores a body; `begun` gets the answer with the first results, the rest follows behind it. */
async function work(
  { timeout, pause }: ScoreDoorOptions,
  exchange: Exchange,
  deployment: Deployment,
  begun: (response: Response) => void,
): Promise<void> {
  const { request, requestId, principal } = exchange
  const wish = wishOf(exchange)
  const columns = demandSense(deployment, wish)
  const { signature } = deployment
  const { keep, output, framed, skip } = wish
  const write = output === 'csv' ? csvWriter : jsonWriter
  const writer = write({ signature, columns, keep, errors: !framed })
  const { read, cancel } = chunksOf(request, pause)
  const reader = readerOf(deployment, wish)
  const job = { deployment, reader, writer, read, principal: principal.sub, timeout, skip }
  const shape = framed ? frameShape(deployment, columns, requestId) : lineShape(writer, requestId)
  const bytes = told(score(job), shape)
  try {
    const { stream, done } = streamed(await bytes.next(), bytes, { gone: request.signal, pause })
    const type = framed ? `${wireType}+${output}` : types[output]
    const headers = { 'content-type': type, 'x-relais-model-version': deployment.version }
    begun(new Response(stream, { headers }))
    await done
  } finally {
    cancel()
  }
}

export function scoreDoor(options: ScoreDoorOptions): Door {
  const answer = async (exchange: Exchange, target: Target): Promise<Response> => {
    const { promise, resolve, reject } = Promise.withResolvers<Response>()
    let answered = false
    const begun = (response: Response): void => {
      answered = true
      resolve(response)
    }
    exchange.rest = withDeployment(options, exchange, target, (deployment) =>
      work(options, exchange, deployment, begun),
    ).catch((error: unknown) => {
      if (!answered) reject(error as Error)
      else if (toFault(error).status === 500) {
        const { ids, route } = exchange
        options.log.write('error', 'request.failed', { ...ids, method: 'POST', route, error })
      }
    })
    return promise
  }

  return {
    owns: (path) => path.endsWith(':score') && path.startsWith(`${prefix}/`),
    routes: middles.map((middle) => {
      return { method: 'POST', path: `${prefix}/{model}${middle}:score`, class: 'stream' }
    }),
    handle: (exchange) => {
      const target = targetOf(exchange.path)
      if (!target) throw new Fault('route.not-found', 'See /docs for the routes there are.')
      exchange.route = target.template
      exchange.routeClass = 'stream'
      if (exchange.request.method !== 'POST') {
        throw new Fault('request.method', 'Use POST.', { members: { allow: ['POST'] } })
      }
      return answer(exchange, target)
    },
    refuse: (fault, requestId) => problemResponse(fault, requestId, { error: fault.message }),
  }
}
