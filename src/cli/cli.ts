// From words to a command to an exit code: 0 done, 1 refused or failed, 2 wrong usage.
import { writeSync } from 'node:fs'

import {
  type Command,
  CommandError,
  type Output,
  readArgs,
  synopsisOf,
  UsageError,
} from './command.ts'
import { dashboardsExport } from './dashboards.ts'
import { healthcheck } from './healthcheck.ts'
import { importMlflow } from './import.ts'
import { audit, backup, doctor, restore, version } from './operation.ts'
import { predict } from './predict.ts'
import { push } from './push.ts'
import { score } from './score.ts'
import { serve } from './serve.ts'
import { stackExport, stackInit } from './stack.ts'
import { models, promote, quarantineClear, rollback } from './stages.ts'
import { keysRotate, tokenCreate, tokenList, tokenRevoke } from './tokens.ts'

export const commands: readonly Command[] = [
  serve,
  push,
  promote,
  rollback,
  quarantineClear,
  models,
  predict,
  score,
  importMlflow,
  tokenCreate,
  tokenRevoke,
  tokenList,
  keysRotate,
  audit,
  doctor,
  backup,
  restore,
  dashboardsExport,
  stackExport,
  stackInit,
  healthcheck,
  version,
]

const isPerson = process.stderr.isTTY

/** Writes all of it before it returns: a pipe takes 64 KB, and what waits is lost when we end. */
function writeOut(text: string): void {
  let rest = Buffer.from(text)
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(1, rest))
    } catch (error) {
      const { code } = error as { code?: string }
      // The reader has seen enough, as `head` does.
      if (code === 'EPIPE') return
      if (code !== 'EAGAIN') throw error
      Bun.sleepSync(5)
    }
  }
}

const output: Output = {
  line: (text) => writeOut(`${text}\n`),
  note: (text) => void process.stderr.write(`${text}\n`),
  progress: (text) => {
    if (isPerson) process.stderr.write(`\r\u001b[K${text}`)
  },
}

export function overview(): string {
  const width = Math.max(...commands.map((command) => synopsisOf(command).length))
  const lines = commands.map(
    (command) => `  ${synopsisOf(command).padEnd(width)}  ${command.summary}`,
  )
  return [
    'Relais: model registry and ONNX inference in one binary.',
    '',
    ...lines,
    '',
    'Every command has --help with an example. Client commands read RELAIS_URL and RELAIS_TOKEN.',
    'First steps: relais serve, then relais push with the token in DIR/admin.token.',
  ].join('\n')
}

export function helpOf(command: Command): string {
  const heads = Object.entries(command.options).map(([name, { value, type }]) => {
    return `  --${name}${type === 'string' ? ` ${value ?? 'VALUE'}` : ''}`
  })
  const width = Math.max(0, ...heads.map((head) => head.length))
  const lines = Object.values(command.options).map(
    ({ help, multiple }, at) =>
      `${(heads[at] ?? '').padEnd(width)}  ${help}${multiple ? ' (repeatable)' : ''}`,
  )
  return [
    `${synopsisOf(command)}: ${command.summary}`,
    '',
    ...lines,
    '',
    'Example:',
    `  ${command.example}`,
  ].join('\n')
}

/** The command whose words begin `argv`, longest name first. */
function find(argv: readonly string[]): Command | undefined {
  const pair = argv.slice(0, 2).join(' ')
  return commands.find(({ name }) => name === pair) ?? commands.find(({ name }) => name === argv[0])
}

function unknown(argv: readonly string[]): number {
  const [first] = argv
  const group = commands.filter(({ name }) => name.startsWith(`${first} `)).map(({ name }) => name)
  const hint = group.length > 0 ? `did you mean ${group.join(', ')}?` : 'relais --help lists them'
  output.note(`relais: there is no command '${argv.slice(0, 2).join(' ')}'; ${hint}`)
  return 2
}

/** Tells what went wrong and what to do about it; returns the exit code. */
function failed(command: Command, error: unknown, asJson: boolean): number {
  const text = error instanceof Error ? error.message : String(error)
  output.note(`relais ${command.name}: ${text}`)
  if (error instanceof UsageError) {
    output.note(`usage: ${synopsisOf(command)}; see --help`)
    return 2
  }
  if (!(error instanceof CommandError)) return 1
  if (error.next !== undefined) output.note(error.next)
  if (asJson && error.problem !== undefined) output.line(JSON.stringify(error.problem))
  return 1
}

const asksForHelp = (word: string | undefined): boolean =>
  word === '--help' || word === '-h' || word === 'help'

/** Runs the command line and returns the exit code. */
export async function runCli(
  argv: readonly string[],
  env: Record<string, string | undefined>,
): Promise<number> {
  const [first] = argv
  const topic = asksForHelp(first) ? find(argv.slice(1)) : undefined
  if (first === undefined || asksForHelp(first)) {
    output.line(topic ? helpOf(topic) : overview())
    return 0
  }
  const command = first === '--version' ? version : find(argv)
  if (!command) return unknown(argv)
  const rest = argv.slice(command.name.split(' ').length)
  if (rest.includes('--help') || rest.includes('-h')) {
    output.line(helpOf(command))
    return 0
  }
  try {
    return await command.run(readArgs(command, rest), output, env)
  } catch (error) {
    return failed(command, error, rest.includes('--json'))
  }
}
