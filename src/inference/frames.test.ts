import { describe, expect, test } from 'bun:test'

import { allocate, countOf, elementTypes, store, type Tensor } from '../onnx/tensor.ts'
import {
  type Frame,
  FrameReader,
  FrameSource,
  headBytes,
  jsonFrame,
  kinds,
  readJson,
  readTensors,
  tensorFrame,
} from './frames.ts'

function tensorOf(type: Tensor['type'], dims: number[]): Omit<Tensor, 'name'> {
  const tensor = { type, dims, data: allocate(type, countOf(dims)) }
  for (let at = 0; at < tensor.data.length; at += 1) {
    store(tensor, at, type === 'string' ? `Zoë ${at} "\n` : type === 'bool' ? at % 2 === 0 : at + 1)
  }
  return tensor
}

const outgoing = ({ type, dims, data }: Omit<Tensor, 'name'>) => ({ type, dims, pieces: [data] })
const head = { id: 7, kind: kinds.run, argument: 42 } as const

/** The parts of a frame as they arrive. */
const joined = (parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(Buffer.concat(parts))

/** The same frames through the reader that asks for bytes; it gets them as they are cut. */
function readFrom(pieces: readonly Uint8Array[]): Frame[] {
  let rest = pieces.filter(({ length }) => length > 0)
  const source = new FrameSource((into, from) => {
    const [piece] = rest
    if (!piece) return 0
    const count = Math.min(piece.length, into.length - from)
    into.set(piece.subarray(0, count), from)
    rest = count < piece.length ? [piece.subarray(count), ...rest.slice(1)] : rest.slice(1)
    return count
  })
  const frames: Frame[] = []
  for (let frame = source.next(); frame; frame = source.next()) {
    frames.push({ ...frame, payload: frame.payload.slice() })
  }
  return frames
}

/** All frames of a stream, their payloads copied, cut as the given sizes say. */
function readIn(pieces: Uint8Array[]): Frame[] {
  const reader = new FrameReader()
  const frames: Frame[] = []
  const others = readFrom(pieces)
  for (const piece of pieces) {
    reader.push(piece, (frame) => frames.push({ ...frame, payload: frame.payload.slice() }))
    // The bytes belong to the socket again as soon as push returns.
    piece.fill(255)
  }
  expect(others).toEqual(frames)
  return frames
}

describe('tensors on the wire', () => {
  test('every type and rank comes back as it went', () => {
    const tensors = elementTypes.flatMap((type) => [
      tensorOf(type, []),
      tensorOf(type, [3]),
      tensorOf(type, [2, 1, 3]),
      tensorOf(type, [0, 4]),
    ])
    const frame = joined(tensorFrame(head, tensors.map(outgoing)))
    expect(frame.length % 8).toBe(0)
    const [read] = readIn([frame])
    expect([read?.id, read?.kind, read?.argument]).toEqual([7, kinds.run, 42])
    expect(readTensors((read as Frame).payload)).toEqual(tensors)
  })

  test('pieces follow each other along dimension 0', () => {
    const parts = [tensorOf('int64', [2, 3]), tensorOf('int64', [1, 3])]
    const pieces = parts.map(({ data }) => data)
    const frame = joined(tensorFrame(head, [{ type: 'int64', dims: [3, 3], pieces }]))
    const tensor = readTensors(frame.subarray(headBytes))[0]!
    expect([...(tensor.data as BigInt64Array)]).toEqual([1n, 2n, 3n, 4n, 5n, 6n, 1n, 2n, 3n])
    const words = [['a', 'b'], ['c']]
    const text = joined(tensorFrame(head, [{ type: 'string', dims: [3], pieces: words }]))
    expect(readTensors(text.subarray(headBytes))[0]?.data).toEqual(['a', 'b', 'c'])
  })

  test('what is read does not change when the bytes are used again', () => {
    const frame = joined(tensorFrame(head, [outgoing(tensorOf('float32', [4]))]))
    const tensor = readTensors(frame.subarray(headBytes))[0]!
    frame.fill(0)
    expect([...(tensor.data as Float32Array)]).toEqual([1, 2, 3, 4])
  })
})

test('JSON of any length comes back as it went', () => {
  for (const length of [0, 1, 5, 1000, 100_000]) {
    const value = { text: 'ü'.repeat(length), list: [1, null] }
    const [frame] = readIn([joined(jsonFrame({ id: 1, kind: kinds.json }, value))])
    expect(readJson<typeof value>((frame as Frame).payload)).toEqual(value)
  }
})

test('long data goes out where it lies, and comes back beside short', () => {
  const tensors = [
    tensorOf('float32', [3]),
    tensorOf('float32', [1 << 14]),
    tensorOf('int8', [40_001]),
    tensorOf('float64', [1 << 13]),
  ]
  const parts = tensorFrame(head, tensors.map(outgoing))
  const lent = tensors.map(({ data }) =>
    parts.some(({ buffer }) => buffer === (data as Float32Array).buffer),
  )
  expect(lent).toEqual([false, true, false, true])
  const bytes = joined(parts)
  expect(new DataView(bytes.buffer).getUint32(0, true)).toBe(bytes.length)
  const [read] = readIn([bytes.slice(0, 70_000), bytes.slice(70_000)])
  expect(readTensors((read as Frame).payload)).toEqual(tensors)
  expect(readTensors((read as Frame).payload, true)).toEqual(tensors)
})

describe('a stream', () => {
  const frames = [
    jsonFrame({ id: 1, kind: kinds.json }, { ok: true }),
    tensorFrame({ ...head, id: 2 }, [outgoing(tensorOf('float32', [2, 3]))]),
    tensorFrame({ ...head, id: 3 }, []),
    jsonFrame({ id: 4, kind: kinds.refused }, { message: 'no' }),
  ].map(joined)
  const stream = Buffer.concat(frames)
  const expected = frames.map((frame) => Buffer.from(frame.subarray(headBytes)).toString('hex'))
  const summary = (read: Frame[]) =>
    read.map(({ id, payload }) => [id, Buffer.from(payload).toString('hex')])
  const whole = expected.map((payload, at) => [at + 1, payload])

  test('cut at every position gives the same frames', () => {
    for (let at = 0; at <= stream.length; at += 1) {
      const pieces = [stream.subarray(0, at), stream.subarray(at)]
      expect(summary(readIn(pieces.map((piece) => Uint8Array.from(piece))))).toEqual(whole)
    }
  })

  test('byte by byte, in threes, and all at once', () => {
    for (const size of [1, 3, 8, 17, stream.length]) {
      const pieces: Uint8Array[] = []
      for (let at = 0; at < stream.length; at += size) {
        pieces.push(Uint8Array.from(stream.subarray(at, at + size)))
      }
      expect(summary(readIn(pieces))).toEqual(whole)
    }
  })

  test('a frame is handed over as soon as it is complete, not before', () => {
    const reader = new FrameReader()
    let seen = 0
    const first = frames[0] as Uint8Array
    reader.push(first.subarray(0, first.length - 1), () => (seen += 1))
    expect(seen).toBe(0)
    reader.push(first.subarray(first.length - 1), () => (seen += 1))
    expect(seen).toBe(1)
  })

  test('a large frame in small pieces costs linear time', () => {
    const big = joined(tensorFrame(head, [outgoing(tensorOf('float32', [1 << 20]))]))
    const reader = new FrameReader()
    let seen = 0
    const started = performance.now()
    for (let at = 0; at < big.length; at += 1024) {
      reader.push(big.subarray(at, at + 1024), () => (seen += 1))
    }
    expect(seen).toBe(1)
    expect(performance.now() - started).toBeLessThan(1000)
  })

  test('a length that no frame has is an error, not an endless loop', () => {
    for (const length of [0, 1, 8, 15, 17, 31]) {
      const bytes = new Uint8Array(64)
      new DataView(bytes.buffer).setUint32(0, length, true)
      expect(() => new FrameReader().push(bytes, () => undefined)).toThrow()
    }
  })
})
