// relais score: every row of a file to predictions, in pieces, so that a killed job goes on.
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

import type { ResultColumn } from '../scoring/result.ts'
import { wireFrames, wireType } from '../scoring/wire.ts'
import { type Client, clientOf, namePart } from './client.ts'
import {
  type Args,
  clientOptions,
  type Command,
  CommandError,
  type Output,
  print,
  UsageError,
} from './command.ts'
import { Meter } from './meter.ts'
import { csvInput, identityOf, type Input, jsonInput, type Piece } from './score-input.ts'
import { type JobKey, Journal, type Progress, restart } from './score-journal.ts'
import { csvToParquet, parquetInput } from './score-parquet.ts'

/** Pieces at the server at once: while one is answered, the next is on its way. */
const inFlight = 2
const saveEvery = 250
const retries = 5
const shownBad = 10

type Form = 'csv' | 'jsonl' | 'parquet'

function formOf(path: string): Form {
  const ending = /\.(csv|jsonl|ndjson|parquet)$/i.exec(path)?.[1]?.toLowerCase()
  if (ending === undefined) throw new UsageError(`${path}: name it .csv, .jsonl or .parquet`)
  return ending === 'ndjson' ? 'jsonl' : (ending as Form)
}

const opens = { csv: csvInput, jsonl: jsonInput, parquet: parquetInput }

interface BadRow {
  row: number
  errors: { column?: string; code: string; message: string }[]
}

/** What came of one piece. */
interface Result {
  version: string
  columns: ResultColumn[]
  text: Uint8Array[]
  bad: BadRow[]
  rows: number
}

interface Job {
  client: Client
  path: string
  query: string
  type: Input['type']
  accept: string
  /** Bytes of the header that each answer repeats; unknown before the first. */
  header: number
}

/** Reads the answer to a piece. Throws when it is not whole, or when the server gave up. */
async function readResult(response: Response): Promise<Result> {
  const result: Result = { version: '', columns: [], text: [], bad: [], rows: -1 }
  for await (const { kind, payload } of wireFrames(response.body ?? new ReadableStream())) {
    if (kind === 'data') result.text.push(payload.slice())
    else {
      const value = JSON.parse(new TextDecoder().decode(payload)) as Record<string, unknown>
      if (kind === 'bad') result.bad.push(value as unknown as BadRow)
      else if (kind === 'fault') throw refused(value)
      else Object.assign(result, value)
    }
  }
  if (result.rows < 0) throw new CommandError('the answer ended too early')
  return result
}

function refused(problem: Record<string, unknown>): CommandError {
  return new CommandError(`${String(problem.code)}: ${String(problem.detail)}`, undefined, problem)
}

/** May the same piece succeed later? */
function isPassing(error: unknown): boolean {
  if (!(error instanceof CommandError)) return true
  const { status } = (error.problem ?? { status: 503 }) as { status?: number }
  return status === 503 || status === 504
}

async function send({ client, path, query, type, accept }: Job, body: Uint8Array): Promise<Result> {
  for (let tries = 0; ; tries += 1) {
    try {
      const stream = { stream: body, type }
      return await readResult(await client.call('POST', `${path}:score${query}`, stream, accept))
    } catch (error) {
      if (tries >= retries || !isPassing(error)) throw error
      await pause(500 * 2 ** tries)
    }
  }
}

/** Row numbers of a piece count from its beginning; this is the row of the file. */
function inFile(error: unknown, before: number): unknown {
  const problem = (error as CommandError).problem as Partial<BadRow> | undefined
  if (!(error instanceof CommandError) || problem?.row === undefined) return error
  const bad = { row: problem.row + before, errors: problem.errors ?? [] }
  const flaws = bad.errors.map(({ message, ...flaw }) => {
    const { pointer = '' } = flaw as { pointer?: string }
    const [, , , column] = pointer.split('/')
    return column === undefined ? message : `${column}: ${message}`
  })
  const what = `row ${bad.row} does not fit: ${flaws.join('; ')}`
  return new CommandError(what, 'Correct it, or pass --on-error skip.', {
    ...problem,
    row: bad.row,
  })
}

const percent = (part: number, whole: number): string =>
  whole === 0 ? '100' : ((100 * part) / whole).toFixed(0)

/** What is done of a file of `size` bytes since `from`, how fast, and how long the rest will take. */
function progressText(now: Progress, from: Progress, size: number, seconds: number): string {
  const rate = Math.round((now.rows - from.rows) / seconds)
  const done = now.offset - from.offset
  const left = done > 0 ? Math.ceil(((size - now.offset) * seconds) / done) : 0
  return `${now.rows} rows, ${percent(now.offset, size)} %, ${rate} rows/s, ${left} s left`
}

/** Sends pieces ahead and hands out their results in order. */
async function* results(
  job: Job,
  pieces: AsyncGenerator<Piece>,
): AsyncGenerator<{ piece: Piece; result: Promise<Result> }> {
  const flights: { piece: Piece; result: Promise<Result> }[] = []
  for await (const piece of pieces) {
    const result = send(job, piece.body)
    // Heard when its turn comes; the job may have failed before.
    result.catch(() => undefined)
    flights.push({ piece, result })
    if (flights.length >= inFlight) yield flights.shift() as (typeof flights)[number]
  }
  yield* flights
}

/** Bytes of a result without the header that it begins with. */
function bodyOf(text: readonly Uint8Array[], header: number): Uint8Array {
  return Buffer.concat(text).subarray(header)
}

interface Wish {
  name: string
  input: string
  output: string
  errors: string | undefined
  at: string | undefined
  skip: boolean
  keep: string[]
}

function wishOf(args: Args): Wish {
  const [name] = args.words as [string]
  const input = args.text('input')
  const output = args.text('output')
  if (input === undefined || output === undefined) {
    throw new UsageError('--input and --output are required')
  }
  const onError = args.text('on-error') ?? 'stop'
  if (onError !== 'stop' && onError !== 'skip') throw new UsageError('--on-error is skip or stop')
  const keep = args.list('keep').flatMap((names) => names.split(','))
  const skip = onError === 'skip'
  return { name, input, output, errors: args.text('errors'), at: args.text('at'), skip, keep }
}

function pathOf(name: string, at: string | undefined): string {
  const path = `/v1/models/${namePart(name)}`
  if (at === undefined) return path
  return `${path}/${/^\d+$/.test(at) ? 'versions' : 'labels'}/${encodeURIComponent(at)}`
}

/** Where an earlier run of the same job stopped, or its beginning. */
function resumeAt(journal: Journal, key: JobKey, start: Progress): Progress {
  const state = journal.load()
  if (state === null) return start
  const { key: before, ...progress } = state
  if (JSON.stringify(before.input) !== JSON.stringify(key.input)) {
    throw new CommandError('the input has changed since this job was interrupted', restart)
  }
  if (JSON.stringify(before) !== JSON.stringify(key)) {
    throw new CommandError('this job was interrupted with other arguments', restart)
  }
  if (progress.version !== start.version) {
    const now = `this job began with version ${progress.version}; now it would be ${start.version}`
    throw new CommandError(now, `Pass --at ${progress.version} to go on with it. ${restart}`)
  }
  return progress
}

interface Run {
  job: Job
  input: Input
  journal: Journal
  key: JobKey
  progress: Progress
}

/** Scores what is left of the input. */
async function scoreRest(
  { job, input, journal, key, progress }: Run,
  output: Output,
): Promise<Meter> {
  const from = { ...progress }
  // A job of a second needs no words.
  const meter = new Meter(output, 1_000)
  let saved = performance.now()
  for await (const { piece, result } of results(job, input.pieces(progress.offset))) {
    let done: Result
    try {
      done = await result
    } catch (error) {
      await journal.save(key, progress)
      throw inFile(error, progress.rows)
    }
    const text = bodyOf(done.text, job.header)
    journal.write(text)
    for (const { row, errors } of done.bad) {
      const line = Buffer.from(`${JSON.stringify({ row: row + progress.rows, errors })}\n`)
      journal.writeError(line)
      progress.errors += line.length
      if (progress.bad < shownBad) output.note(sentence(row + progress.rows, errors))
      progress.bad += 1
    }
    progress.rows += done.rows
    progress.offset = piece.next
    progress.output += text.length
    meter.show(() => progressText(progress, from, input.size, meter.seconds))
    if (performance.now() - saved < saveEvery) continue
    journal.saveBeside(key, progress)
    saved = performance.now()
  }
  await journal.save(key, progress)
  return meter
}

function sentence(row: number, errors: BadRow['errors']): string {
  const flaws = errors.map(
    ({ column, message }) => (column === undefined ? '' : `${column}: `) + message,
  )
  return `row ${row} left out: ${flaws.join('; ')}`
}

export const score: Command = {
  name: 'score',
  usage: 'NAME',
  needs: '--input FILE --output FILE',
  summary: 'predict every row of a large file',
  options: {
    ...clientOptions,
    input: {
      type: 'string',
      value: 'FILE',
      help: 'rows: .csv (with a header), .jsonl or .parquet',
    },
    output: { type: 'string', value: 'FILE', help: 'predictions: .csv, .jsonl or .parquet' },
    at: { type: 'string', value: 'VERSION', help: 'version, stage or alias [Production]' },
    'on-error': {
      type: 'string',
      value: 'WHAT',
      help: 'skip bad rows, or stop at the first [stop]',
    },
    errors: { type: 'string', value: 'FILE', help: 'where skipped rows are told (.jsonl)' },
    keep: {
      type: 'string',
      multiple: true,
      value: 'COLUMNS',
      help: 'input columns to copy to the output, e.g. id,name',
    },
    restart: { type: 'boolean', help: 'do not go on with an interrupted job' },
  },
  example: 'relais score iris --input rows.csv --output predictions.csv --keep id --on-error skip',
  run: async (args, output, env) => {
    const wish = wishOf(args)
    const [from, to] = [formOf(wish.input), formOf(wish.output)]
    if (!existsSync(wish.input)) throw new CommandError(`there is no file ${wish.input}`)
    const input = await opens[from](wish.input)
    const journal = new Journal(wish.output, wish.errors)
    const parameters = [
      ['on-error', wish.skip ? 'skip' : 'stop'],
      ...wish.keep.map((k) => ['keep', k]),
    ]
    const job: Job = {
      client: clientOf(args, env),
      path: pathOf(wish.name, wish.at),
      query: `?${new URLSearchParams(parameters as [string, string][]).toString()}`,
      type: input.type,
      accept: `${wireType}+${to === 'jsonl' ? 'jsonl' : 'csv'}`,
      header: 0,
    }
    try {
      // No rows yet: whether the file, the token and the model go together.
      const { version, columns, text } = await send(job, input.empty)
      const header = Buffer.concat(text)
      job.header = header.length
      job.path = pathOf(wish.name, version)
      const errors = wish.errors === undefined ? null : resolve(wish.errors)
      const options = { to, skip: wish.skip, keep: wish.keep, errors }
      const key = { model: wish.name, input: identityOf(wish.input), options }
      if (args.flag('restart')) journal.discard()
      const start = {
        version,
        offset: input.first,
        rows: 0,
        bad: 0,
        output: header.length,
        errors: 0,
      }
      const progress = resumeAt(journal, key, start)
      const resumed = progress.rows
      journal.open(progress === start ? { ...start, output: 0 } : progress)
      if (progress === start) journal.write(header)
      const meter = await scoreRest({ job, input, journal, key, progress }, output)
      output.progress('')
      const built = to === 'parquet' ? `${journal.partial}.parquet` : journal.partial
      if (to === 'parquet') await csvToParquet(journal.partial, built, columns)
      journal.finish(built, wish.output)
      const { rows, bad } = progress
      const seconds = Number(meter.seconds.toFixed(3))
      const summary = { name: wish.name, version, rows, scored: rows - bad, bad, resumed, seconds }
      print(args, output, { ...summary, output: wish.output }, () => [
        `${wish.output}: ${rows - bad} rows scored with ${wish.name} version ${version} in ${seconds} s`,
        ...(bad > 0 ? [`${bad} rows left out${wish.errors ? `, see ${wish.errors}` : ''}`] : []),
        ...(resumed > 0 ? [`went on behind row ${resumed}`] : []),
      ])
      return 0
    } finally {
      output.progress('')
      journal.close()
      input.close()
    }
  },
}
