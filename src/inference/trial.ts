// A trial: the first load of a version, in a throw-away process that may crash, hang or eat memory.
import type { FaultCode, Flaw } from '../core/fault.ts'
import { Fault } from '../core/fault.ts'
import type { Signature } from '../onnx/model.ts'
import type { FeatureSchema } from '../onnx/signature.ts'
import { background, childCommand, type ChildHome, diedOfMemory, tailOf } from './spawn.ts'

export interface TrialOrder {
  path: string
  sha256: string
  /** Where a rewritten model goes. */
  rewriteTo: string
  /** Files beside the model by name, where tensors may be stored, and the largest whole (§24). */
  beside?: { paths: Record<string, string>; most: number }
  /** The user's schema file as parsed JSON; absent: drawn from the model. */
  schema?: unknown
  /** A schema that does not fit is not refused, but left aside. */
  lenient?: boolean
  /** Given for a version that was read before: only load and warm. */
  known?: { signature: Signature; schema: FeatureSchema }
  threads: number
}

export interface TrialReport {
  load_ms: number
  /** Median time of one row, null when made-up inputs were refused. */
  run_ms: number | null
  batchable: boolean
  batch_note: string | null
  sample_note: string | null
  /** Size of free dimensions with which made-up inputs ran. */
  free_size: number
  memory_bytes: number
}

export type TrialMessage =
  | {
      phase: 'read'
      signature: Signature
      schema: FeatureSchema
      rewritten: { sha256: string; size: number } | null
    }
  | { phase: 'refused'; code: FaultCode; detail: string; errors: Flaw[] | null }
  | { phase: 'loading' }
  | { phase: 'warming' }
  | { phase: 'failed'; reason: string; corrupt: boolean }
  | { phase: 'done'; report: TrialReport }

export interface TrialOutcome {
  signature: Signature | null
  schema: FeatureSchema | null
  rewritten: { sha256: string; size: number } | null
  /** Null when the version failed; then `reason` says how. */
  report: TrialReport | null
  reason: string | null
}

export interface TrialOptions {
  home: ChildHome
  /** Memory cap of the child in bytes. */
  memory: number
  /** Milliseconds after which it is killed. */
  timeout: number
}

const phaseWords: Record<string, string> = {
  start: 'while the file was read',
  read: 'while the file was read',
  loading: 'while ONNX Runtime loaded it',
  warming: 'while it ran for the first time',
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<TrialMessage> {
  let held = ''
  const decoder = new TextDecoder()
  for await (const chunk of stream) {
    held += decoder.decode(chunk, { stream: true })
    const lines = held.split('\n')
    held = lines.pop() ?? ''
    for (const line of lines) yield JSON.parse(line) as TrialMessage
  }
}

/**
 * Runs a trial. Throws the fault for files that are refused outright; a crash, hang or load error is
 * an outcome with a reason, for the version's record.
 */
export async function runTrialChild(
  order: TrialOrder,
  options: TrialOptions,
): Promise<TrialOutcome> {
  const { home, memory } = options
  const child = Bun.spawn(childCommand('__trial', { memory, niceness: background }, home), {
    cwd: home.empty,
    env: {},
    stdin: Buffer.from(JSON.stringify(order)),
    stdout: 'pipe',
    stderr: 'pipe',
  })
  let late = false
  // SIGTERM is never handled during a hung run; only SIGKILL ends it.
  const timer = setTimeout(() => {
    late = true
    child.kill('SIGKILL')
  }, options.timeout)
  const words = tailOf(child.stderr)
  const outcome: TrialOutcome = {
    signature: null,
    schema: null,
    rewritten: null,
    report: null,
    reason: null,
  }
  let phase = 'start'
  try {
    for await (const message of linesOf(child.stdout)) {
      phase = message.phase
      if (message.phase === 'refused') {
        const errors = message.errors ? { errors: message.errors } : {}
        throw new Fault(message.code, message.detail, errors)
      }
      if (message.phase === 'read') Object.assign(outcome, withoutPhase(message))
      else if (message.phase === 'done') outcome.report = message.report
      else if (message.phase === 'failed') outcome.reason = message.reason
    }
    await child.exited
    if (outcome.report || outcome.reason !== null) return outcome
    outcome.reason = causeOf(
      late,
      String(child.signalCode ?? ''),
      await words,
      phaseWords[phase] ?? '',
    )
    return outcome
  } finally {
    clearTimeout(timer)
    child.kill('SIGKILL')
  }
}

function withoutPhase<T extends { phase: string }>(message: T): Omit<T, 'phase'> {
  const { phase: _phase, ...rest } = message
  return rest
}

function causeOf(late: boolean, signal: string, words: string, when: string): string {
  if (late) return `hung ${when}`
  if (diedOfMemory(words)) return `ran out of memory ${when}`
  return `crashed ${when}${signal ? ` (${signal})` : ''}`
}
