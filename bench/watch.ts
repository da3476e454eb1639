// What a round of load costs in CPU beside ONNX Runtime, and how large its runs were (RULES §35).
import { familyOf } from '../tests/support/binary.ts'
import type { Model } from './models.ts'
import { cpuSeconds } from './process.ts'
import type { Measured } from './relais.ts'

export interface Watched<T> {
  result: T
  /** CPU in cores of each process of the server but the one engine that runs the model. */
  beside: number[]
  /** CPU in cores of that engine. */
  engine: number
  /** Mean rows per run of the model. */
  batch: number
}

/** Runs `work` and watches the server meanwhile; `engine` is the one that runs the model. */
export async function watch<T>(
  relais: Measured,
  { name }: Model,
  engine: number,
  work: () => Promise<T>,
): Promise<Watched<T>> {
  const runs = async (): Promise<[number, number]> => [
    await relais.metric('prediction_batch_size_sum', { model: name }),
    await relais.metric('prediction_batch_size_count', { model: name }),
  ]
  const processes = familyOf(relais.pid)
  const used = (): number[] => processes.map(cpuSeconds)
  const [rows, count] = await runs()
  const before = used()
  const began = performance.now()
  const result = await work()
  const took = (performance.now() - began) / 1000
  const cores = used().map((seconds, at) => (seconds - (before[at] ?? 0)) / took)
  const [rowsAfter, countAfter] = await runs()
  return {
    result,
    beside: cores.filter((share, at) => processes[at] !== engine && share > 0.01),
    engine: cores[processes.indexOf(engine)] ?? Number.NaN,
    batch: (rowsAfter - rows) / (countAfter - count),
  }
}

/** Where the CPU went, in cores. */
export function costOf(
  { batch, engine, beside }: Watched<unknown>,
  ...generators: number[]
): string {
  const sum = (shares: readonly number[]): string => shares.reduce((a, b) => a + b, 0).toFixed(2)
  const cores = `cores: engine ${engine.toFixed(2)}, other processes of the server ${sum(beside)}`
  return `${batch.toFixed(1)} rows per run; ${cores}, load ${sum(generators)}`
}
