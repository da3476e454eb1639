// How far a score job got, beside its output, so that a killed job goes on where it was.
import {
  closeSync,
  existsSync,
  fsync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { promisify } from 'node:util'

import { CommandError } from './command.ts'
import type { Identity } from './score-input.ts'

/** All that must be as it was for a job to go on. */
export interface JobKey {
  model: string
  input: Identity
  options: Record<string, unknown>
}

/** What is on the disk for sure. */
export interface Progress {
  version: string
  /** Where the rest of the input begins. */
  offset: number
  rows: number
  bad: number
  /** Lengths of the files written so far. */
  output: number
  errors: number
}

interface State extends Progress {
  key: JobKey
}

export const restart = 'Pass --restart to begin anew; what was scored so far is thrown away.'

/** Opens a file to go on behind `length` bytes; what follows them is cut off. */
function openAt(path: string, length: number): number {
  const there = existsSync(path) ? statSync(path).size : 0
  // Cutting would fill it up with zeros.
  if (there < length) throw new CommandError(`${path} is not as this job left it`, restart)
  const descriptor = openSync(path, 'a', 0o644)
  ftruncateSync(descriptor, length)
  return descriptor
}

/** Writes all bytes at the end of a file. */
function append(descriptor: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += writeSync(descriptor, bytes, at, bytes.length - at)
}

const sync = promisify(fsync)

function syncFolder(path: string): void {
  const folder = openSync(dirname(path), 'r')
  fsyncSync(folder)
  closeSync(folder)
}

/** The files of one job. Their names come from the output's, so the same command finds them again. */
export class Journal {
  readonly partial: string
  private readonly statePath: string
  private readonly errorsPath: string | undefined
  private output = -1
  private errors = -1
  private saving: Promise<void> | null = null

  constructor(output: string, errors: string | undefined) {
    this.partial = `${output}.partial`
    this.statePath = `${output}.partial.state`
    this.errorsPath = errors
  }

  /** What an earlier run left: null when nothing usable is there. */
  load(): State | null {
    if (!existsSync(this.statePath) || !existsSync(this.partial)) return null
    try {
      return JSON.parse(readFileSync(this.statePath, 'utf8')) as State
    } catch {
      return null
    }
  }

  /** Opens the files and cuts off what was written after the last `save`. Throws when that is gone. */
  open({ output, errors }: Progress): void {
    this.output = openAt(this.partial, output)
    if (this.errorsPath !== undefined) this.errors = openAt(`${this.errorsPath}.partial`, errors)
  }

  write(bytes: Uint8Array): void {
    append(this.output, bytes)
  }

  writeError(bytes: Uint8Array): void {
    if (this.errors >= 0) append(this.errors, bytes)
  }

  /** Makes sure of everything written so far, and then of how far that is. */
  async save(key: JobKey, progress: Progress): Promise<void> {
    await this.saving
    await this.store({ key, ...progress })
  }

  /** The same while the work goes on; nothing when the last one is not through. `save` tells a failure. */
  saveBeside(key: JobKey, progress: Progress): void {
    if (this.saving !== null) return
    const saving = this.store({ key, ...progress }).then(() => void (this.saving = null))
    saving.catch(() => undefined)
    this.saving = saving
  }

  /** A disk takes its time (10 ms and more each), in which the server would run out of rows. */
  private async store(state: State): Promise<void> {
    await sync(this.output)
    if (this.errors >= 0) await sync(this.errors)
    const next = `${this.statePath}.next`
    const descriptor = openSync(next, 'w', 0o644)
    append(descriptor, Buffer.from(JSON.stringify(state)))
    await sync(descriptor)
    closeSync(descriptor)
    renameSync(next, this.statePath)
    syncFolder(this.statePath)
  }

  /** Gives the results their names; the state goes last, so that a kill in between is repaired. */
  finish(from: string, output: string): void {
    this.close()
    renameSync(from, output)
    if (this.errorsPath !== undefined && existsSync(`${this.errorsPath}.partial`)) {
      renameSync(`${this.errorsPath}.partial`, this.errorsPath)
    }
    this.discard()
    syncFolder(output)
  }

  /** Forgets what an earlier run left. */
  discard(): void {
    rmSync(this.statePath, { force: true })
    rmSync(this.partial, { force: true })
  }

  close(): void {
    for (const descriptor of [this.output, this.errors]) if (descriptor >= 0) closeSync(descriptor)
    this.output = -1
    this.errors = -1
  }
}
