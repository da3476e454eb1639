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

/** Is this the binary, and not its sources? */
export const isCompiled = Bun.main.startsWith('/$bunfs/')

function self(command: ChildCommand): string[] {
  const program = isCompiled ? [] : [join(import.meta.dir, '../main.ts')]
  return [process.execPath, ...program, command]
}

export interface ChildLimits {
  /** Most bytes it may map beyond what it starts with. */
  memory: number
  /** 0 for what answers quickly; higher gives way to it when the cores are busy. */
  niceness: number
}

/** How far heavy models, trials and what is only tried out stand back. */
export const background = 5

/** Command line of a child. */
export function childCommand(
  command: ChildCommand,
  limits: ChildLimits,
  home: ChildHome,
): string[] {
  const { memory, niceness } = limits
  return [...self(command), home.native, String(Math.floor(memory)), String(niceness)]
}

/** The limits in what follows the command and the folder. */
export const limitsOf = ([memory, niceness]: readonly string[]): ChildLimits => ({
  memory: Number(memory),
  niceness: Number(niceness),
})

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
