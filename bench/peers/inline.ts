// ONNX Runtime in the handler of a Bun server, with nothing else: no token, no check, no log.
// Usage: bun inline.ts MODEL THREADS FEATURES
import { InferenceSession, Tensor } from 'onnxruntime-node'

const [path = '', threads, features] = process.argv.slice(2)
const session = await InferenceSession.create(path, {
  intraOpNumThreads: Number(threads),
  interOpNumThreads: 1,
  extra: { session: { intra_op: { allow_spinning: '0' } } },
})
const input = session.inputNames[0] ?? ''
const names = session.outputNames

const server = Bun.serve({
  port: 0,
  fetch: async (request) => {
    const { instances } = (await request.json()) as { instances: number[][] }
    const data = Float32Array.from(instances.flat())
    const feeds = { [input]: new Tensor('float32', data, [instances.length, Number(features)]) }
    const outputs = await session.run(feeds)
    const predictions = instances.map((_, row) => {
      const values = names.map((name) => {
        const { data: all, dims } = outputs[name] as Tensor
        const width = dims[1] ?? 1
        const own = Array.from(
          all.slice(row * width, (row + 1) * width) as Iterable<unknown>,
          Number,
        )
        return dims.length === 1 ? own[0] : own
      })
      if (names.length === 1) return values[0]
      return Object.fromEntries(names.map((name, at) => [name, values[at]]))
    })
    return Response.json({ predictions })
  },
})
console.log(server.port)
