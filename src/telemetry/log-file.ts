// The log as a file: appended to, turned over at a size, opened again when somebody moved it away.
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises'

import { countLines, type Sink } from './sink.ts'

export interface LogFileOptions {
  path: string
  /** Bytes after which the next piece begins a new file. */
  size: number
  /** Earlier files kept beside it: PATH.1 is the latest. None: what is full is removed. */
  keep: number
}

/** For the group, so that a collector can read it. */
const mode = 0o640

const isMissing = (error: unknown): boolean => (error as { code?: string }).code === 'ENOENT'

/** Opens for appending; a new file gets its mode whatever the umask, an old one keeps its own. */
async function openToAppend(path: string): Promise<FileHandle> {
  try {
    const made = await open(path, 'ax+', mode)
    await made.chmod(mode)
    return made
  } catch (error) {
    if ((error as { code?: string }).code !== 'EEXIST') throw error
    return open(path, 'a+')
  }
}

/** Writes all of it; the number of bytes that went out before it failed comes with the error. */
async function append(
  file: FileHandle,
  bytes: Uint8Array,
): Promise<{ at: number; error?: unknown }> {
  let at = 0
  try {
    while (at < bytes.length) at += (await file.write(bytes, at, bytes.length - at)).bytesWritten
    return { at }
  } catch (error) {
    return { at, error }
  }
}

export class LogFile implements Sink {
  dropped = 0
  private readonly options: LogFileOptions
  private file: FileHandle | null = null
  private size = 0
  private inode = 0

  private constructor(options: LogFileOptions) {
    this.options = options
  }

  /** Throws when the file cannot be opened: at start that is a wrong setting. */
  static async open(options: LogFileOptions): Promise<LogFile> {
    const made = new LogFile(options)
    await made.reopen()
    return made
  }

  /** Never rejects: what a full disk or a missing folder refuses is counted, and tried anew next time. */
  async write(bytes: Uint8Array): Promise<number> {
    try {
      await this.settle(bytes.length)
      const { at, error } = await append(this.file as FileHandle, bytes)
      this.size += at
      if (error !== undefined) await this.cut(bytes, at)
    } catch {
      this.dropped += countLines(bytes)
      await this.shut()
    }
    return bytes.length
  }

  flush(): number {
    return 0
  }

  async close(): Promise<void> {
    await this.shut()
  }

  /** Makes the open file the one of that name, with room for what comes. */
  private async settle(coming: number): Promise<void> {
    const { path, size } = this.options
    const there = await stat(path).catch((error: unknown) => {
      if (isMissing(error)) return null
      throw error
    })
    // Somebody else may turn it over (logrotate), or cut it short.
    if (this.file === null || there?.ino !== this.inode) await this.reopen()
    else this.size = there.size
    if (this.size === 0 || this.size + coming <= size) return
    if (
      await this.turnOver().then(
        () => true,
        () => false,
      )
    )
      await this.reopen()
  }

  private async turnOver(): Promise<void> {
    const { path, keep } = this.options
    if (keep === 0) await rm(path, { force: true })
    else await this.shift(1)
  }

  /** Renames the file before PATH.n to that name, after what is there has moved on. */
  private async shift(n: number): Promise<void> {
    const { path, keep } = this.options
    const target = `${path}.${n}`
    const isTaken = await stat(target).then(
      () => true,
      () => false,
    )
    // What stands in the last place is replaced. A gap, which an interruption leaves, moves nothing.
    if (isTaken && n < keep) await this.shift(n + 1)
    await rename(n === 1 ? path : `${path}.${n - 1}`, target)
  }

  private async reopen(): Promise<void> {
    await this.shut()
    this.file = await openToAppend(this.options.path)
    const { size, ino } = await this.file.stat()
    this.size = size
    this.inode = ino
    if (size > 0) await this.endLine(this.file)
  }

  /** A process that was killed may have left half a line. */
  private async endLine(file: FileHandle): Promise<void> {
    const last = Buffer.alloc(1)
    await file.read(last, 0, 1, this.size - 1)
    if (last[0] === 10) return
    this.size += (await file.write('\n')).bytesWritten
  }

  /** Takes back the line that was cut off, so that the file holds whole lines only. */
  private async cut(bytes: Uint8Array, at: number): Promise<void> {
    const whole = bytes.subarray(0, at).lastIndexOf(10) + 1
    this.dropped += countLines(bytes.subarray(whole))
    this.size -= at - whole
    if (at > whole) await this.file?.truncate(this.size)
  }

  private async shut(): Promise<void> {
    const { file } = this
    this.file = null
    await file?.close().catch(() => undefined)
  }
}
