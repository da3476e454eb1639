// One engine process as the server sees it: start, send frames, hear answers, learn why it ended.
import { readFileSync } from 'node:fs'

import type { Socket, Subprocess } from 'bun'

import { type Frame, FrameReader } from './frames.ts'
import { childCommand, type ChildHome, type ChildLimits, diedOfMemory, tailOf } from './spawn.ts'

/** Why an engine ended. Only `crash` and `hang` put blame on a version (RULES §6). */
export type EndCause = 'crash' | 'hang' | 'memory' | 'killed' | 'stopped'

export interface ProcessEvents {
  frame: (frame: Frame) => void
  ended: (cause: EndCause, lifetime: number) => void
}

/** Linux shows times of processes in hundredths of a second, whatever its own clock does. */
const ticksPerSecond = 100

const outsideSignals: ReadonlySet<string> = new Set(['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGHUP'])

export class EngineProcess {
  private readonly child: Subprocess<'ignore', 'ignore', 'pipe'>
  private readonly started = performance.now()
  private readonly reader = new FrameReader()
  private socket: Socket<undefined> | null = null
  private unsent: Uint8Array[] = []
  private cause: EndCause | null = null

  constructor(home: ChildHome, limits: ChildLimits, events: ProcessEvents) {
    this.child = Bun.spawn(childCommand('__engine', limits, home), {
      cwd: home.empty,
      env: {},
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    }) as Subprocess<'ignore', 'ignore', 'pipe'>
    const words = tailOf(this.child.stderr)
    void this.connect(events)
    void this.child.exited.then(async () => {
      const why = this.cause ?? this.causeOfDeath(await words)
      events.ended(why, performance.now() - this.started)
    })
  }

  get pid(): number {
    return this.child.pid
  }

  /** Queues the parts of a frame for the engine. */
  send(frame: readonly Uint8Array[]): void {
    const isFirst = this.unsent.length === 0
    this.unsent.push(...frame)
    if (isFirst) this.drain()
  }

  /** Ends the process at once. SIGTERM would not be heard during a run. */
  kill(cause: 'hang' | 'stopped' | 'crash'): void {
    this.cause ??= cause
    this.child.kill('SIGKILL')
  }

  /** Resident memory in bytes, 0 when it is gone. */
  memory(): number {
    try {
      return Number(readFileSync(`/proc/${this.pid}/statm`, 'utf8').split(' ')[1]) * 4096
    } catch {
      return 0
    }
  }

  /** CPU seconds so far; once it has ended, all that it took. */
  cpu(): number {
    const total = this.child.resourceUsage()?.cpuTime.total
    if (total !== undefined) return Number(total) / 1e6
    try {
      // The name in parentheses may hold spaces; user and system time are the 12th and 13th behind it.
      const stat = readFileSync(`/proc/${this.pid}/stat`, 'utf8')
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
    } catch {
      return 0
    }
  }

  private async connect(events: ProcessEvents): Promise<void> {
    const fd = this.child.stdio[3] as unknown as number
    // Types of Bun lag behind: a descriptor is accepted in place of an address.
    const target = { fd } as unknown as { unix: string }
    await Bun.connect<undefined>({
      ...target,
      socket: {
        open: (socket) => {
          this.socket = socket
          this.drain()
        },
        data: (_socket, chunk) => this.hear(chunk, events),
        drain: () => this.drain(),
        error: () => undefined,
        close: () => {
          this.socket = null
        },
      },
    }).catch(() => undefined)
  }

  /** An engine that a model has taken over may say anything: what is no frame ends it. */
  private hear(chunk: Uint8Array, events: ProcessEvents): void {
    try {
      this.reader.push(chunk, events.frame)
    } catch {
      this.kill('crash')
    }
  }

  private drain(): void {
    while (this.socket !== null && this.unsent.length > 0) {
      const part = this.unsent[0] as Uint8Array
      const written = this.socket.write(part)
      if (written < part.length) {
        if (written > 0) this.unsent[0] = part.subarray(written)
        return
      }
      this.unsent.shift()
    }
  }

  private causeOfDeath(words: string): EndCause {
    if (diedOfMemory(words)) return 'memory'
    return outsideSignals.has(String(this.child.signalCode)) ? 'killed' : 'crash'
  }
}
