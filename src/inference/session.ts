// One ONNX Runtime session. Only engines and trials import this: it blocks and can take down its
// process. It owns onnxruntime-node.
import { readSync } from 'node:fs'

import type * as Ort from 'onnxruntime-node'

import type { Tensor, TensorData } from '../onnx/tensor.ts'
import { digestFile } from '../storage/fs.ts'

export interface SessionOptions {
  path: string
  sha256: string
  threads: number
  /** Names in the order in which tensors are given and wanted. */
  inputs: readonly string[]
  outputs: readonly string[]
}

export interface Loaded {
  /** Runs once. Outputs in the order asked for, each with its own dims. */
  run(inputs: readonly Omit<Tensor, 'name'>[]): Promise<Omit<Tensor, 'name'>[]>
  release(): Promise<void>
}

let runtime: typeof Ort | null = null

/** Loads the native library. float16 needs care: Bun's Float16Array is unknown to the binding. */
export async function loadRuntime(): Promise<typeof Ort> {
  if (runtime) return runtime
  const loaded = await import('onnxruntime-node')
  Reflect.deleteProperty(globalThis, 'Float16Array')
  // The first tensor makes the library decide which array stands for float16: now Uint16Array.
  new loaded.Tensor('float32', new Float32Array(1), [1])
  loaded.env.logLevel = 'fatal'
  runtime = loaded
  return loaded
}

export class CorruptArtifactError extends Error {}

/**
 * Opens a model file after comparing its SHA-256. ONNX Runtime knows nothing of CPU quotas and spins
 * while idle, so threads are given and spinning is off.
 */
export async function openSession(options: SessionOptions): Promise<Loaded> {
  const { path, sha256, threads, inputs: inputNames, outputs: outputNames } = options
  if ((await digestFile(path)) !== sha256) throw new CorruptArtifactError('artifact is damaged')
  const { InferenceSession, Tensor: OrtTensor } = await loadRuntime()
  const session = await InferenceSession.create(path, {
    executionProviders: ['cpu'],
    graphOptimizationLevel: 'all',
    executionMode: 'sequential',
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    logSeverityLevel: 4,
    extra: { session: { intra_op: { allow_spinning: '0' }, inter_op: { allow_spinning: '0' } } },
  })
  return {
    run: async (inputs) => {
      const feeds: Record<string, Ort.Tensor> = {}
      for (const [at, { type, data, dims }] of inputs.entries()) {
        feeds[inputNames[at] as string] = new OrtTensor(
          type as 'float32',
          data as Float32Array,
          dims,
        )
      }
      const outputs = await session.run(feeds, outputNames)
      return outputNames.map((name) => {
        const { type, dims, data } = outputs[name] as Ort.Tensor
        return { type: type as Tensor['type'], dims: [...dims], data: data as TensorData }
      })
    },
    release: () => session.release(),
  }
}

/** ONNX Runtime's texts name files; what a caller may see is shortened to its reason. */
export function safeReason(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  return text
    .replaceAll(/(?:\/[\w.@+-]+){2,}(?::\d+)?/g, '…')
    .replaceAll(/\s+/g, ' ')
    .trim()
    .slice(0, 300)
}

/** Did the allocation of memory fail, rather than the model? */
export function isMemoryError(error: unknown): boolean {
  const text = error instanceof Error ? error.message : String(error)
  return /bad_alloc|failed to allocate|out of memory|BFCArena/i.test(text)
}

/** Blocks until bytes arrive on a descriptor; 0 when the other side has closed. */
export function readBlocking(fd: number, into: Uint8Array, from: number): number {
  for (;;) {
    try {
      return readSync(fd, into, from, into.length - from, null)
    } catch (error) {
      const { code } = error as { code?: string }
      if (code !== 'EAGAIN' && code !== 'EINTR') throw error
      Bun.sleepSync(1)
    }
  }
}
