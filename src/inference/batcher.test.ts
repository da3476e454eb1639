import { describe, expect, test } from 'bun:test'

import type { Fault } from '../core/fault.ts'
import {
  type Answer,
  type Batch,
  Batcher,
  mostWaiting,
  type PredictRequest,
  settle,
} from './batcher.ts'
import {
  type Frame,
  headBytes,
  kinds,
  readTensors,
  type RunTimes,
  stampTimes,
  tensorFrame,
} from './frames.ts'

interface Asked extends PredictRequest {
  answer: Answer | null
  fault: Fault | null
}

function ask(values: number[][], options: { deadline?: number; other?: number[][] } = {}): Asked {
  const table = (rows: number[][], name: string) => ({
    name,
    type: 'float32' as const,
    dims: [rows.length, rows[0]?.length ?? 0],
    data: new Float32Array(rows.flat()),
  })
  const { deadline = 1000, other } = options
  const asked: Asked = {
    tensors: [table(values, 'x'), ...(other ? [table(other, 'z')] : [])],
    rows: values.length,
    principal: 'p',
    arrived: 0,
    deadline,
    attempts: 0,
    deaths: 0,
    answer: null,
    fault: null,
    resolve: (answer) => (asked.answer = answer),
    reject: (fault) => (asked.fault = fault),
  }
  return asked
}

const runs: { rows: number; times: RunTimes }[] = []
const owner = { settled: ({ rows }: Batch, times: RunTimes) => void runs.push({ rows, times }) }

const batcherOf = (mergeable: boolean, fixedShape = true): Batcher =>
  new Batcher(3, owner, { mergeable, fixedShape, longestWait: 1000 })

const payloadOf = (frame: Uint8Array[]): Uint8Array =>
  Uint8Array.from(Buffer.concat(frame)).subarray(headBytes)

/** The tensors of a batch as an engine would read them. */
const sent = (batch: Batch | null) => readTensors(payloadOf((batch as Batch).frame(9)))

function answerOf(outputs: number[][]): Frame {
  const frame = tensorFrame({ id: 9, kind: kinds.tensors, argument: 1500 }, [
    {
      type: 'float32',
      dims: [outputs.length, outputs[0]?.length ?? 0],
      pieces: [new Float32Array(outputs.flat())],
    },
  ])
  stampTimes(frame, { input: 10, infer: 1500, output: 20 })
  return { id: 9, kind: kinds.tensors, argument: 1500, payload: payloadOf(frame) }
}

describe('what travels together', () => {
  test('rows of several requests, each answered with its own', () => {
    const batcher = batcherOf(true)
    const asked = [
      ask([[1, 2]]),
      ask([
        [3, 4],
        [5, 6],
      ]),
      ask([[7, 8]]),
    ]
    asked.forEach((one) => batcher.push(one))
    const batch = batcher.take(0) as Batch
    expect(batch.rows).toBe(4)
    const tensor = sent(batch)[0]!
    expect([tensor.dims, [...(tensor.data as Float32Array)]]).toEqual([
      [4, 2],
      [1, 2, 3, 4, 5, 6, 7, 8],
    ])
    settle(batch, answerOf([[1], [3], [5], [7]]))
    expect(asked.map(({ answer }) => [answer?.from, answer?.rows, answer?.batchRows])).toEqual([
      [0, 1, 4],
      [1, 2, 4],
      [3, 1, 4],
    ])
    expect(runs.at(-1)).toEqual({ rows: 4, times: { input: 10, infer: 1500, output: 20 } })
  })

  test('nothing where the trial did not prove it', () => {
    const batcher = batcherOf(false)
    batcher.push(ask([[1]]))
    batcher.push(ask([[2]]))
    expect([batcher.take(0)?.requests.length, batcher.take(0)?.requests.length]).toEqual([1, 1])
    expect(batcher.take(0)).toBeNull()
  })

  test('only equal shapes behind the first dimension', () => {
    const batcher = batcherOf(true, false)
    for (const width of [2, 2, 3, 2]) batcher.push(ask([Array(width).fill(1)]))
    expect(
      [batcher.take(0), batcher.take(0), batcher.take(0)].map((b) => b?.requests.length),
    ).toEqual([2, 1, 1])
  })

  test('a request whose inputs differ in rows travels alone', () => {
    const batcher = batcherOf(true)
    const odd = ask([[1], [2]], { other: [[10], [20], [30]] })
    const even = ask([[3]], { other: [[40]] })
    const next = ask([[4]], { other: [[50]] })
    for (const one of [odd, even, next]) batcher.push(one)
    const first = batcher.take(0) as Batch
    expect(first.requests).toEqual([odd])
    expect(sent(first).map(({ dims }) => dims)).toEqual([
      [2, 1],
      [3, 1],
    ])
    const second = batcher.take(0) as Batch
    expect(second.requests).toEqual([even, next])
    expect(sent(second).map(({ data }) => [...(data as Float32Array)])).toEqual([
      [3, 4],
      [40, 50],
    ])
    const late = batcherOf(true)
    for (const one of [ask([[3]], { other: [[40]] }), odd]) late.push(one)
    expect(late.take(0)?.requests.length).toBe(1)
  })

  test('at most 1024 rows and 256 requests, but a large request is not cut', () => {
    const rows = batcherOf(true)
    for (let at = 0; at < 5; at += 1) rows.push(ask(Array(300).fill([1])))
    expect(rows.take(0)?.rows).toBe(900)
    const requests = batcherOf(true)
    for (let at = 0; at < 300; at += 1) requests.push(ask([[1]]))
    expect(requests.take(0)?.requests.length).toBe(256)
    const large = batcherOf(true)
    large.push(ask(Array(5000).fill([1])))
    expect(large.take(0)?.rows).toBe(5000)
  })

  test('an answer that has not one entry per row is no answer for a merged batch', () => {
    const batcher = batcherOf(true)
    const asked = [ask([[1]]), ask([[2]])]
    asked.forEach((one) => batcher.push(one))
    settle(batcher.take(0) as Batch, answerOf([[1], [2], [3]]))
    expect(asked.map(({ answer, fault }) => [answer, fault?.status])).toEqual([
      [null, 503],
      [null, 503],
    ])
  })
})

describe('the queue', () => {
  test('is bounded: 503 with a time to come back', () => {
    const batcher = batcherOf(true)
    for (let at = 0; at < mostWaiting; at += 1) batcher.push(ask([[1]]))
    try {
      batcher.push(ask([[1]]))
      expect.unreachable()
    } catch (error) {
      expect((error as Fault).code).toBe('engine.busy')
      expect((error as Fault).retryAfter).toBeGreaterThan(0)
    }
    expect(batcher.waiting).toBe(mostWaiting)
  })

  test('what waited past its deadline is refused and not sent', () => {
    const batcher = batcherOf(true)
    const asked = [
      ask([[1]], { deadline: 10 }),
      ask([[2]], { deadline: 100 }),
      ask([[3]], { deadline: 10 }),
    ]
    asked.forEach((one) => batcher.push(one))
    const batch = batcher.take(50) as Batch
    expect(batch.requests).toEqual([asked[1] as Asked])
    expect(asked.map(({ fault }) => fault?.code)).toEqual([
      'inference.deadline',
      undefined,
      'inference.deadline',
    ])
    expect(batcher.take(50)).toBeNull()
    expect(batcher.waiting).toBe(0)
  })

  test('deadlines are kept in any order, and what is left keeps its own', () => {
    const batcher = batcherOf(true)
    const asked = [1000, 5, 500].map((deadline, at) => ask([[at]], { deadline }))
    for (const one of asked) batcher.push(one)
    batcher.expire(100)
    expect(asked.map(({ fault }) => fault?.code)).toEqual([
      undefined,
      'inference.deadline',
      undefined,
    ])
    expect((batcher.take(100) as Batch).requests).toEqual([asked[0]!, asked[2]!])
  })

  test('a wait that will be too long is refused, but never on an estimate alone', () => {
    const batcher = batcherOf(true)
    // 100 ms a row; 1 s is the longest wait, of which the oldest must have waited a quarter.
    batcher.learn(4, { input: 0, infer: 400_000, output: 0 })
    for (let at = 0; at < 10; at += 1) batcher.push(ask([[at]]))
    expect(() => batcher.demandRoom(900)).not.toThrow()
    batcher.push(ask([[10]]))
    expect(() => batcher.demandRoom(250)).not.toThrow()
    let fault: Fault | null = null
    try {
      batcher.demandRoom(251)
    } catch (error) {
      fault = error as Fault
    }
    expect([fault?.code, fault?.retryAfter]).toEqual(['engine.busy', 2])
    batcher.take(0)
    expect(() => batcher.demandRoom(900)).not.toThrow()
  })

  test('is full with as many rows as a frame may carry, and not before', () => {
    const batcher = batcherOf(true)
    batcher.learn(1, { input: 0, infer: 2000, output: 0 })
    for (let at = 0; at < 99; at += 1) batcher.push(ask([[at]]))
    expect(batcher.isFull).toBe(false)
    batcher.push(ask([[99]]))
    expect(batcher.isFull).toBe(true)
    batcher.take(0)
    expect(batcher.isFull).toBe(false)
  })

  test('a slow model gets fewer rows a frame, but 64 at least', () => {
    const rowsAfter = (millis: number): number => {
      const batcher = batcherOf(true)
      batcher.learn(1, { input: 0, infer: millis * 1000, output: 0 })
      for (let at = 0; at < 256; at += 1) batcher.push(ask([[at]]))
      return (batcher.take(0) as Batch).rows
    }
    expect([0.01, 2, 50].map(rowsAfter)).toEqual([256, 100, 64])
  })

  test('10,000 requests in turns neither get lost nor repeat', () => {
    const batcher = batcherOf(true)
    const seen: number[] = []
    let next = 0
    while (seen.length < 10_000) {
      for (let at = 0; at < 700 && next < 10_000; at += 1) {
        batcher.push(ask([[next]]))
        next += 1
      }
      for (let turn = 0; turn < 3; turn += 1) {
        const batch = batcher.take(0)
        if (batch) seen.push(...(sent(batch)[0]!.data as Float32Array))
      }
    }
    expect(seen).toEqual(Array.from({ length: 10_000 }, (_, at) => at))
  })

  test('takeAll empties it', () => {
    const batcher = batcherOf(true)
    batcher.push(ask([[1]]))
    batcher.push(ask([[2]]))
    expect(batcher.takeAll().length).toBe(2)
    expect([batcher.waiting, batcher.take(0)]).toEqual([0, null])
  })
})
