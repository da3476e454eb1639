// The shape of a command, its arguments, and what it may print.
import { parseArgs } from 'node:util'

export class UsageError extends Error {}

/** A command failed in a way the user should read; `next` says what to do about it. */
export class CommandError extends Error {
  readonly next: string | undefined
  /** The server's own words, for those who asked for JSON. */
  readonly problem: object | undefined
  constructor(message: string, next?: string, problem?: object) {
    super(message)
    this.next = next
    this.problem = problem
  }
}

export interface Option {
  type: 'string' | 'boolean'
  multiple?: boolean
  /** Placeholder of the value in the help. */
  value?: string
  help: string
}

export interface Args {
  /** Positional words after the command's own. */
  words: string[]
  text(name: string): string | undefined
  list(name: string): string[]
  flag(name: string): boolean
}

export interface Output {
  /** A line for the reader, on standard output. */
  line(text: string): void
  /** Progress and advice, on standard error. */
  note(text: string): void
  /** A note that overwrites the one before; nothing unless a person watches. */
  progress(text: string): void
}

export interface Command {
  /** Words that call it: `token create`. */
  name: string
  /** Positional arguments as they appear in the help: `NAME VERSION`. */
  usage: string
  /** Options that cannot be left out, as they appear in the help: `--to STAGE`. */
  needs?: string
  summary: string
  options: Record<string, Option>
  example: string
  /** Returns the exit code. */
  run(args: Args, output: Output, env: Record<string, string | undefined>): Promise<number>
}

/** Options of every command that talks to a server. */
export const clientOptions: Record<string, Option> = {
  url: {
    type: 'string',
    value: 'URL',
    help: 'server; else RELAIS_URL, else http://127.0.0.1:8080',
  },
  'token-file': { type: 'string', value: 'FILE', help: 'file with the token; else RELAIS_TOKEN' },
  json: { type: 'boolean', help: 'print the answer as JSON' },
}

/** How a command is called: name, words, options that it needs. */
export const synopsisOf = ({ name, usage, needs = '' }: Command): string =>
  `relais ${name} ${usage} ${needs}`.replaceAll(/ +/g, ' ').trim()

/** Reads arguments; throws UsageError for unknown options and for a wrong number of words. */
export function readArgs(command: Command, argv: readonly string[]): Args {
  const options = Object.fromEntries(
    Object.entries(command.options).map(([name, { type, multiple }]) => [
      name,
      { type, multiple: multiple ?? false },
    ]),
  )
  let parsed: ReturnType<typeof parseArgs>
  try {
    parsed = parseArgs({ args: [...argv], options, allowPositionals: true, strict: true })
  } catch (error) {
    throw new UsageError((error as Error).message.split('. To specify')[0])
  }
  const { values, positionals } = parsed
  const places = command.usage.split(' ').filter((word) => /^\[?[A-Z]/.test(word))
  const required = places.filter((word) => !word.startsWith('['))
  if (positionals.length < required.length) {
    throw new UsageError(`missing ${required.slice(positionals.length).join(' ')}`)
  }
  if (positionals.length > places.length) {
    throw new UsageError(`unexpected ${positionals.slice(places.length).join(' ')}`)
  }
  const list = (name: string): string[] => [values[name] ?? []].flat().map(String)
  return {
    words: positionals,
    text: (name) => list(name).at(-1),
    list,
    flag: (name) => values[name] === true,
  }
}

/** `k=v` options as an object. */
export function pairsOf(args: Args, name: string): Record<string, string> {
  return Object.fromEntries(
    args.list(name).map((pair) => {
      const at = pair.indexOf('=')
      if (at < 1) throw new UsageError(`--${name} takes KEY=VALUE, not '${pair}'`)
      return [pair.slice(0, at), pair.slice(at + 1)]
    }),
  )
}

/** A whole positive number, or UsageError. */
export function numberOf(text: string, what: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new UsageError(`${what} is a whole number, not '${text}'`)
  return Number(text)
}

export type Cell = string | number | boolean | null | undefined

/** Rows under headings, columns aligned; long cells are cut. */
export function table(headings: readonly string[], rows: readonly (readonly Cell[])[]): string[] {
  const cell = (value: Cell): string => {
    const text = value === null || value === undefined || value === '' ? '-' : String(value)
    return text.length > 60 ? `${text.slice(0, 59)}…` : text
  }
  const lines = [[...headings], ...rows.map((row) => row.map(cell))]
  const widths = headings.map((_, at) => Math.max(...lines.map((line) => line[at]?.length ?? 0)))
  return lines.map((line) =>
    line
      .map((text, at) => text.padEnd(widths[at] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}

/** Prints an answer: exact JSON where that was asked for, else lines for a person. */
export function print(
  args: Args,
  output: Output,
  answer: unknown,
  lines: () => readonly string[],
): void {
  const shown = args.flag('json') ? [JSON.stringify(answer)] : lines()
  for (const line of shown) output.line(line)
}
