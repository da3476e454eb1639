// Fills the README's tables from the code (settings, commands, roles, errors) and the benchmarks.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { commands } from '../cli/cli.ts'
import { envName, settings } from '../config.ts'
import { faults } from '../core/fault.ts'
import { grants, rights, roles } from '../core/principal.ts'
import {
  benchTables,
  type Measurements,
  type RegistryMeasurements,
  registryTable,
} from './bench-tables.ts'

const path = join(import.meta.dir, '../../README.md')
const bench = join(import.meta.dir, '../../bench')
const measured = join(bench, 'results.json')

const read = (file: string): unknown => JSON.parse(readFileSync(file, 'utf8'))

function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(headings), `|${headings.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n')
}

const sections: Record<string, () => string> = {
  settings: () =>
    table(
      ['Flag', 'Variable', 'Default', 'What it does'],
      Object.entries(settings).map(([name, { fallback, help }]) => {
        return [`\`--${name}\``, `\`${envName(name)}\``, fallback, help]
      }),
    ),
  commands: () =>
    table(
      ['Command', 'What it does'],
      commands.map(({ name, usage, summary }) => [
        `\`relais ${`${name} ${usage}`.trim()}\``,
        summary,
      ]),
    ),
  roles: () =>
    table(
      ['Right', ...roles],
      rights.map((right) => [
        `\`${right}\``,
        ...roles.map((role) => (grants[role].has(right) ? 'yes' : '')),
      ]),
    ),
  errors: () =>
    table(
      ['Code', 'Status', 'Meaning'],
      Object.entries(faults).map(([code, [status, title]]) => [
        `\`${code}\``,
        String(status),
        title,
      ]),
    ),
  bench: () =>
    existsSync(measured) ? benchTables(read(measured) as Measurements, table) : 'Not measured yet.',
  'bench-mlflow': () =>
    registryTable(read(join(bench, 'results/mlflow.json')) as RegistryMeasurements, table),
}

/** The text with every generated section filled anew. */
export function filled(text: string): string {
  let result = text
  for (const [name, make] of Object.entries(sections)) {
    const [open, close] = [`<!-- ${name} -->`, `<!-- /${name} -->`]
    const [from, to] = [result.indexOf(open) + open.length, result.indexOf(close)]
    result = `${result.slice(0, from)}\n${make()}\n${result.slice(to)}`
  }
  return result
}

if (import.meta.main) writeFileSync(path, filled(readFileSync(path, 'utf8')))
