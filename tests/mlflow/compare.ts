// What two servers made of one script: which lines differ, and which of those are known and why.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** One call of the script, as steps/recorder.py writes it. */
export interface Step {
  step: string
  call: string
  arguments: unknown[]
  result?: unknown
  error?: { class: string; code: string | null; message: string | null; status?: number }
}

/** The script's last line: the client's methods, and why it leaves some out. */
export interface Methods {
  methods: number
  called: number
  'left out': Record<string, string>
}

export function readSteps(file: string): { steps: Step[]; methods: Methods } {
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n')
  const parsed = lines.map((line) => JSON.parse(line) as unknown)
  const methods = parsed.pop() as Methods
  return { steps: parsed as Step[], methods }
}

/** Constants that clients look for in messages (facts/mlflow.md): where MLflow says one, so must we. */
const phrases = [
  /Missing value for required parameter '[^']*'/,
  /Invalid value .{1,200} for parameter '[^']*'/,
  /must be in the 'active' state/,
  /Registered Model with name=\S+ not found/,
  /Model Version \(name=\S+, version=\d+\) not found/,
  /Parameter 'version' must be an integer/,
  /Registered model alias \S* not found\./,
  /Registered Model .{0,300}already exists/,
]

/** The client has given up on a status that it would repeat seven times. */
const repeated = /too many (\d)\d\d error responses/

/** `ok`, an error code of MLflow, or the class of an error that the client raised by itself. */
export function outcomeOf({ error }: Step): string {
  if (!error) return 'ok'
  if (repeated.test(error.message ?? '') || (error.status ?? 0) >= 500) return '5xx'
  return error.code ?? error.class
}

function sameError(theirs: NonNullable<Step['error']>, ours: NonNullable<Step['error']>): boolean {
  // Where MLflow says nothing but a status there is no more to compare.
  if (theirs.class === 'HTTP' && theirs.code === null) return theirs.status === ours.status
  const said = ours.message ?? ''
  return (
    theirs.class === ours.class &&
    theirs.code === ours.code &&
    theirs.status === ours.status &&
    phrases.every((phrase) => {
      const quoted = phrase.exec(theirs.message ?? '')?.[0]
      return quoted === undefined || plain(said).includes(plain(quoted))
    })
  )
}

/** Whether a value is quoted, and how, is no matter. */
const plain = (text: string): string => text.replaceAll(/["']/g, '')

export interface Difference {
  theirs: Step
  ours: Step
  /** `ok → INVALID_PARAMETER_VALUE` */
  change: string
}

/** Every step that came out otherwise. Both ran the same script, so steps must pair up. */
export function differencesOf(theirs: Step[], ours: Step[]): Difference[] {
  const byName = new Map(ours.map((step) => [step.step, step]))
  return theirs.flatMap((step) => {
    const other = byName.get(step.step) ?? { ...step, error: missing, result: undefined }
    const same =
      step.error && other.error
        ? sameError(step.error, other.error)
        : !step.error && !other.error && Bun.deepEquals(step.result, other.result)
    if (same) return []
    return { theirs: step, ours: other, change: `${outcomeOf(step)} → ${outcomeOf(other)}` }
  })
}

const missing = { class: 'missing', code: null, message: 'the step was not run' }

/** One step, or pattern of steps, that a line of differences.md allows. */
export interface Known {
  line: string
  name: string
  covers: (difference: Difference) => boolean
}

/** ``- `step`, `other step` (ok → CODE|OTHER): reason #123``; `*` is anything, but never our ok. */
const lineForm = /^- ((?:`[^`]+`(?:, )?)+) \((\S+) → (\S+)\): .{20,}(?:#\d+|⚠ §[\d.]+)\.?$/

const matches = (pattern: string, text: string): boolean =>
  new RegExp(`^${RegExp.escape(pattern).replaceAll('\\*', '.*')}$`, 's').test(text)

export function readKnown(): Known[] {
  const text = readFileSync(join(import.meta.dir, 'differences.md'), 'utf8')
  const lines = text.split('\n').filter((line) => line.startsWith('- '))
  return lines.flatMap((line) => {
    const [, names, from, to] = lineForm.exec(line) ?? []
    if (!names) throw new Error(`differences.md has a line without reason and number: ${line}`)
    const changes = (to ?? '').split('|').map((one) => `${from} → ${one}`)
    return [...names.matchAll(/`([^`]+)`/g)].map(([, name = '']) => ({
      line,
      name,
      covers: (one: Difference) =>
        matches(name, one.theirs.step) &&
        changes.some((change) => matches(change, one.change)) &&
        !(to === '*' && one.change.endsWith('→ ok')),
    }))
  })
}

/** Members in one order, so that what is shown differs only where the values do. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  const members = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(members.map(([key, member]) => [key, sorted(member)]))
}

/** A difference as it is printed. */
export function shown({ theirs, ours, change }: Difference): string {
  const told = ({ result, error }: Step): string =>
    error ? `${error.class} ${error.code}: ${error.message}` : JSON.stringify(sorted(result))
  const call = `${theirs.call}(${theirs.arguments.map((one) => JSON.stringify(one)).join(', ')})`
  const [before, after] = [told(theirs), told(ours)]
  let apart = 0
  while (apart < before.length && before[apart] === after[apart]) apart += 1
  const from = Math.max(0, apart - 100)
  const cut = (text: string): string => text.slice(from, from + 400)
  return [
    `${theirs.step} (${change})`,
    `  ${call.slice(0, 200)}`,
    `  MLflow: ${cut(before)}`,
    `  Relais: ${cut(after)}`,
  ].join('\n')
}
