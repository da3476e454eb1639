// The engine: a child process that holds sessions and answers frames, one after the other.
// It has nothing else to do, so it reads with blocking calls: no event loop between frame and run.
import { writeSync } from 'node:fs'

import {
  type Frame,
  FrameSource,
  jsonFrame,
  kinds,
  readJson,
  readTensors,
  stampTimes,
  tensorFrame,
} from './frames.ts'
import { confine } from './sandbox.ts'
import {
  CorruptArtifactError,
  isMemoryError,
  type Loaded,
  openSession,
  readBlocking,
  safeReason,
  type SessionOptions,
} from './session.ts'
import { limitsOf } from './spawn.ts'

const socket = 3

export interface LoadOrder extends SessionOptions {
  handle: number
}

export interface LoadAnswer {
  ok: boolean
  reason?: string
  corrupt?: boolean
  memory?: boolean
}

function send(frame: readonly Uint8Array[]): void {
  for (const part of frame) {
    for (let at = 0; at < part.length;) {
      try {
        at += writeSync(socket, part, at, part.length - at)
      } catch (error) {
        if ((error as { code?: string }).code !== 'EAGAIN') throw error
        Bun.sleepSync(1)
      }
    }
  }
}

class Engine {
  private readonly sessions = new Map<number, Loaded>()

  async handle(frame: Frame): Promise<void> {
    const { id } = frame
    switch (frame.kind) {
      case kinds.load:
        send(
          jsonFrame({ id, kind: kinds.json }, await this.load(readJson<LoadOrder>(frame.payload))),
        )
        return
      case kinds.unload: {
        const { handle } = readJson<{ handle: number }>(frame.payload)
        await this.sessions.get(handle)?.release()
        this.sessions.delete(handle)
        send(jsonFrame({ id, kind: kinds.json }, { ok: true }))
        return
      }
      default:
        await this.run(frame)
    }
  }

  private async load(order: LoadOrder): Promise<LoadAnswer> {
    try {
      this.sessions.set(order.handle, await openSession(order))
      return { ok: true }
    } catch (error) {
      const corrupt = error instanceof CorruptArtifactError
      return { ok: false, reason: safeReason(error), corrupt, memory: isMemoryError(error) }
    }
  }

  private async run({ id, argument, payload }: Frame): Promise<void> {
    const started = performance.now()
    try {
      const session = this.sessions.get(argument)
      if (!session) throw new Error('the version is not loaded')
      const inputs = readTensors(payload, true)
      const ready = performance.now()
      const outputs = await session.run(inputs)
      const done = performance.now()
      const pieces = outputs.map(({ type, dims, data }) => ({ type, dims, pieces: [data] }))
      const answer = tensorFrame({ id, kind: kinds.tensors, argument: 0 }, pieces)
      stampTimes(answer, {
        input: (ready - started) * 1000,
        infer: (done - ready) * 1000,
        output: (performance.now() - done) * 1000,
      })
      send(answer)
    } catch (error) {
      const missing = !this.sessions.has(argument)
      const refusal = { message: safeReason(error), memory: isMemoryError(error), missing }
      send(jsonFrame({ id, kind: kinds.refused }, refusal))
    }
  }
}

/** Serves frames on descriptor 3 until the server closes it. */
export async function runEngine(limits: readonly string[]): Promise<void> {
  confine(limitsOf(limits))
  const engine = new Engine()
  const source = new FrameSource((into, from) => readBlocking(socket, into, from))
  send(jsonFrame({ id: 0, kind: kinds.json }, { ok: true }))
  // A frame is done with before the next is read: both lie in the same memory.
  for (let frame = source.next(); frame; frame = source.next()) await engine.handle(frame)
}
