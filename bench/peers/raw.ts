// ONNX Runtime in a loop, as an engine runs it, without HTTP: the ceiling in rows per second.
// Usage: bun raw.ts '{"file":…,"threads":…,"input":…,"outputs":[…],"data":…,"features":…,"batch":…,"seconds":…}'
import { readFileSync } from 'node:fs'

import { openSession } from '../../src/inference/session.ts'
import { digestFile } from '../../src/storage/fs.ts'

export interface RawOrder {
  file: string
  threads: number
  input: string
  outputs: readonly string[]
  /** File of float32 rows, one more than `batch` at least. */
  data: string
  features: number
  /** Rows per run; between two whole numbers, both are run in turn so that the mean is met. */
  batch: number
  seconds: number
}

const order = JSON.parse(process.argv[2] ?? '') as RawOrder
const { file, threads, input, outputs, data, features, batch, seconds } = order
const sha256 = await digestFile(file)
const session = await openSession({ path: file, sha256, threads, inputs: [input], outputs })

const values = new Float32Array(Uint8Array.from(readFileSync(data)).buffer)
const inputOf = (rows: number) => ({
  type: 'float32' as const,
  data: values.slice(0, rows * features),
  dims: [rows, features],
})
const low = Math.max(1, Math.floor(batch))
const small = inputOf(low)
const large = inputOf(low + 1)

let rows = 0
let runs = 0
async function loop(milliseconds: number): Promise<number> {
  rows = runs = 0
  const began = performance.now()
  while (performance.now() - began < milliseconds) {
    const next = rows + low < (runs + 1) * batch - 0.5 ? large : small
    await session.run([next])
    rows += next.dims[0] ?? 0
    runs += 1
  }
  return (performance.now() - began) / 1000
}
await loop(Math.min(500, seconds * 200))
const took = await loop(seconds * 1000)
console.log(JSON.stringify({ rows, runs, rate: rows / took }))
process.exit(0)
