// From words to a command to an exit code: 0 done, 1 refused or failed, 2 wrong usage.
import { type Command, CommandError, type Output, readArgs, UsageError } from './command.ts'
import { audit, backup, doctor, restore, version } from './operation.ts'
import { predict } from './predict.ts'
import { push } from './push.ts'
import { serve } from './serve.ts'
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
  tokenCreate,
  tokenRevoke,
  tokenList,
  keysRotate,
  audit,
  doctor,
  backup,
  restore,
  version,
]

const isPerson = process.stderr.isTTY

const output: Output = {
  line: (text) => void process.stdout.write(`${text}\n`),
  note: (text) => void process.stderr.write(`${text}\n`),
  progress: (text) => {
    if (isPerson) process.stderr.write(`\r\u001b[K${text}`)
  },
}

export function overview(): string {
  const width = Math.max(...commands.map(({ name, usage }) => `${name} ${usage}`.length))
  const lines = commands.map(
    ({ name, usage, summary }) => `  relais ${`${name} ${usage}`.padEnd(width)}  ${summary}`,
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
  const usage = `relais ${command.name} ${command.usage}`.trim()
  return [
    `${usage}: ${command.summary}`,
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

/** Runs the command line and returns the exit code. */
export async function runCli(
  argv: readonly string[],
  env: Record<string, string | undefined>,
): Promise<number> {
  const [first] = argv
  if (first === undefined || first === '--help' || first === '-h' || first === 'help') {
    output.line(overview())
    return 0
  }
  const command = find(argv)
  if (!command) return unknown(argv)
  const rest = argv.slice(command.name.split(' ').length)
  if (rest.includes('--help') || rest.includes('-h')) {
    output.line(helpOf(command))
    return 0
  }
  try {
    return await command.run(readArgs(command, rest), output, env)
  } catch (error) {
    if (error instanceof UsageError) {
      output.note(`relais ${command.name}: ${error.message}`)
      output.note(`usage: relais ${command.name} ${command.usage}; see --help`)
      return 2
    }
    if (error instanceof CommandError) {
      output.note(`relais ${command.name}: ${error.message}`)
      if (error.next !== undefined) output.note(error.next)
      return 1
    }
    output.note(`relais ${command.name}: ${error instanceof Error ? error.message : String(error)}`)
    return 1
  }
}
