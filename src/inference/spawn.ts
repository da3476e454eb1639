// Starts children of this same program.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'

/** Hidden commands of the binary. */
export type ChildCommand = '__engine' | '__trial' | '__snapshot'

export interface ChildHome {
  /** Empty folder in which children run, so that relative paths in a model lead nowhere. */
  empty: string
  /** Where the compiled binary unpacks its native library. */
  native: string
}

/** Makes the folders that children need under the data folder. */
export function prepareChildHome(data: string): ChildHome {
  const home = { empty: join(data, 'empty'), native: join(data, 'native') }
  mkdirSync(home.empty, { recursive: true, mode: 0o700 })
  mkdirSync(home.native, { recursive: true, mode: 0o700 })
  return home
}

const isCompiled = Bun.main.startsWith('/$bunfs/')

function self(command: ChildCommand): string[] {
  const program = isCompiled ? [] : [join(import.meta.dir, '../main.ts')]
  return [process.execPath, ...program, command]
}

/** Command line of a child with a memory cap in bytes. */
export function childCommand(command: ChildCommand, memory: number, home: ChildHome): string[] {
  return [...self(command), String(Math.floor(memory)), home.native]
}

/** Copies a database in a child: it would block this process. */
export async function runSnapshot(from: string, to: string): Promise<void> {
  const child = Bun.spawn([...self('__snapshot'), from, to], { env: {}, stderr: 'pipe' })
  const words = tailOf(child.stderr)
  if ((await child.exited) !== 0) throw new Error(`snapshot failed: ${await words}`)
}

const mostKept = 4096

/** Collects the end of a stream, for telling why a child died. */
export async function tailOf(stream: ReadableStream<Uint8Array>): Promise<string> {
  let text = ''
  const decoder = new TextDecoder()
  for await (const chunk of stream) text = (text + decoder.decode(chunk)).slice(-mostKept)
  return text
}

/** Did a child say that memory ran out before it died? */
export const diedOfMemory = (words: string): boolean =>
  /bad_alloc|out of memory|oom|allocation (?:failed|failure)/i.test(words)
