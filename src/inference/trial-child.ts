// The throw-away child of a trial: reads, rewrites, loads, warms, times a model and proves batching.
import { closeSync, fsyncSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs'

import { Fault } from '../core/fault.ts'
import { inlineExternal } from '../onnx/external.ts'
import { type Intake, readModel, type Signature } from '../onnx/model.ts'
import { drawSchema, type FeatureSchema, readSchema } from '../onnx/signature.ts'
import { agree, element, type Tensor } from '../onnx/tensor.ts'
import { freeSizes, randomFrom, sampleSize, sampleTensors, sliceRows } from './sample.ts'
import { confine } from './sandbox.ts'
import {
  CorruptArtifactError,
  isMemoryError,
  type Loaded,
  loadRuntime,
  openSession,
  safeReason,
} from './session.ts'
import { limitsOf } from './spawn.ts'
import type { TrialMessage, TrialOrder, TrialReport } from './trial.ts'

const proofRows = 8
const timedRuns = 20
const timedMillis = 300
const mostSampled = 1 << 21

function tell(message: TrialMessage): void {
  writeSync(1, `${JSON.stringify(message)}\n`)
}

function residentBytes(): number {
  return Number(readFileSync('/proc/self/statm', 'utf8').split(' ')[1]) * 4096
}

interface Written {
  sha256: string
  size: number
}

function writePieces(path: string, pieces: readonly Uint8Array[]): Written {
  const hasher = new Bun.CryptoHasher('sha256')
  const fd = openSync(path, 'wx', 0o600)
  let size = 0
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; at += 1 << 22) {
      const part = piece.subarray(at, at + (1 << 22))
      hasher.update(part)
      size += writeSync(fd, part)
    }
  }
  fsyncSync(fd)
  closeSync(fd)
  return { sha256: hasher.digest('hex'), size }
}

interface Candidate {
  signature: Signature
  schema: FeatureSchema
  path: string
  sha256: string
}

/** A file without bytes cannot be mapped. */
const mapped = (path: string): Uint8Array =>
  statSync(path).size === 0 ? new Uint8Array() : Bun.mmap(path)

/** Writes the model with its external tensors inside; null when they are inside already. */
function makeWhole({ path, rewriteTo, beside }: TrialOrder): Written | null {
  if (!beside) return null
  const open = (name: string): Uint8Array | undefined =>
    Object.hasOwn(beside.paths, name) ? mapped(beside.paths[name] as string) : undefined
  const pieces = inlineExternal(mapped(path), open, beside.most)
  return pieces && writePieces(rewriteTo, pieces)
}

function schemaFor({ schema, lenient }: TrialOrder, signature: Signature): FeatureSchema {
  if (schema === undefined) return drawSchema(signature)
  try {
    return readSchema(schema, signature)
  } catch (error) {
    if (lenient && error instanceof Fault) return drawSchema(signature)
    throw error
  }
}

/** Reads the upload, or throws the fault that refuses it. */
function intake(order: TrialOrder): Candidate {
  if (order.known) return { ...order.known, path: order.path, sha256: order.sha256 }
  let rewritten = makeWhole(order)
  const read: Intake = readModel(mapped(rewritten ? order.rewriteTo : order.path))
  const { signature } = read
  const schema = schemaFor(order, signature)
  if (read.rewritten) {
    // The map keeps the bytes of the file that gives its name away.
    rmSync(order.rewriteTo, { force: true })
    rewritten = writePieces(order.rewriteTo, read.rewritten)
  }
  tell({ phase: 'read', signature, schema, rewritten })
  return rewritten
    ? { signature, schema, path: order.rewriteTo, sha256: rewritten.sha256 }
    : { signature, schema, path: order.path, sha256: order.sha256 }
}

/** Finds a size for free dimensions with which the model runs. */
async function firstRun(
  session: Loaded,
  model: Candidate,
): Promise<{ free: number } | { why: string }> {
  const { inputs } = model.signature
  const hasFree = inputs.some((slot) => slot.shape?.slice(1).some((dim) => typeof dim === 'string'))
  let why = ''
  for (const free of hasFree ? freeSizes : [1]) {
    // A tensor of many free dimensions would only measure the machine.
    if (free > 1 && sampleSize(model.signature, free) > mostSampled) break
    try {
      await session.run(sampleTensors(model, 1, free, randomFrom(1)))
      return { free }
    } catch (error) {
      why = safeReason(error)
    }
  }
  return { why }
}

async function timeRuns(session: Loaded, inputs: Tensor[]): Promise<number> {
  const times: number[] = []
  const started = performance.now()
  while (times.length < timedRuns && performance.now() - started < timedMillis) {
    const before = performance.now()
    await session.run(inputs)
    times.push(performance.now() - before)
  }
  times.sort((a, b) => a - b)
  return times[times.length >> 1] ?? 0
}

const startsFree = (shape: readonly unknown[] | null): boolean => typeof shape?.[0] === 'string'

/** Why rows must not travel together, or null when alone and together gave the same answers. */
async function batchFlaw(session: Loaded, model: Candidate, free: number): Promise<string | null> {
  const { inputs, outputs } = model.signature
  if (inputs.length === 0 || ![...inputs, ...outputs].every((slot) => startsFree(slot.shape))) {
    return 'not every input and output has a free first dimension'
  }
  const rows = sampleTensors(model, proofRows, free, randomFrom(2))
  const together = await session.run(rows)
  if (together.some((output) => output.dims[0] !== proofRows)) {
    return 'an output does not have one entry per row'
  }
  for (let row = 0; row < proofRows; row += 1) {
    const alone = await session.run(sliceRows(rows, row, row + 1))
    const expected = sliceRows(together, row, row + 1)
    for (const [at, output] of alone.entries()) {
      const other = expected[at] as Omit<Tensor, 'name'>
      if (output.data.length !== other.data.length) return 'shapes differ alone and together'
      for (let i = 0; i < output.data.length; i += 1) {
        if (!agree(element(output, i), element(other, i)))
          return 'answers differ alone and together'
      }
    }
  }
  return null
}

async function tryOut(session: Loaded, model: Candidate, loadMs: number, before: number) {
  const first = await firstRun(session, model)
  const report: TrialReport = {
    load_ms: Math.round(loadMs * 10) / 10,
    run_ms: null,
    batchable: false,
    batch_note: 'not tried',
    sample_note: null,
    free_size: 1,
    memory_bytes: 0,
  }
  if ('why' in first) report.sample_note = `made-up inputs were refused: ${first.why}`
  else {
    report.free_size = first.free
    const millis = await timeRuns(session, sampleTensors(model, 1, first.free, randomFrom(3)))
    report.run_ms = Math.round(millis * 1000) / 1000
    const flaw = await batchFlaw(session, model, first.free).catch((error: unknown) =>
      safeReason(error),
    )
    report.batchable = flaw === null
    report.batch_note = flaw
  }
  report.memory_bytes = Math.max(0, residentBytes() - before)
  tell({ phase: 'done', report })
}

/** Works off the order that comes on standard input; its messages are lines on standard output. */
export async function runTrial(limits: readonly string[]): Promise<void> {
  const order = JSON.parse(await Bun.stdin.text()) as TrialOrder
  confine(limitsOf(limits))
  let model: Candidate
  try {
    model = intake(order)
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    const { code, message: detail, errors } = error
    tell({ phase: 'refused', code, detail, errors: errors ?? null })
    return
  }
  tell({ phase: 'loading' })
  await loadRuntime()
  const before = residentBytes()
  const started = performance.now()
  const { signature, path, sha256 } = model
  const names = {
    inputs: signature.inputs.map((slot) => slot.name),
    outputs: signature.outputs.map((slot) => slot.name),
  }
  try {
    const session = await openSession({ path, sha256, threads: order.threads, ...names })
    tell({ phase: 'warming' })
    await tryOut(session, model, performance.now() - started, before)
  } catch (error) {
    const corrupt = error instanceof CorruptArtifactError
    const reason = isMemoryError(error) ? 'not enough memory to load it' : safeReason(error)
    tell({ phase: 'failed', reason, corrupt })
  }
}
