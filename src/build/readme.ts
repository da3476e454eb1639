// Fills the tables of the README and of docs/ from the code (settings, commands, roles, errors, metrics)
// and the benchmarks.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { commands } from '../cli/cli.ts'
import { envName, settings } from '../config.ts'
import { faults } from '../core/fault.ts'
import { grants, rights, roles } from '../core/principal.ts'
import { type Entry, subjects } from '../telemetry/catalogue.ts'
import {
  benchTables,
  type Measurements,
  type RegistryMeasurements,
  registryTable,
} from './bench-tables.ts'

const root = join(import.meta.dir, '../..')
/** The pages that have generated sections; each section stands in one of them. */
export const pages = ['README.md', 'docs/observability.md'].map((name) => join(root, name))
const bench = join(root, 'bench')
const measured = join(bench, 'results.json')

const read = (file: string): unknown => JSON.parse(readFileSync(file, 'utf8'))

function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(headings), `|${headings.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n')
}

function metricsTable(entries: readonly Entry[]): string {
  return table(
    ['Name', 'Type', 'Labels', 'What it says'],
    entries.map(({ name, type, labels, help }) => [
      `\`${name}\``,
      type,
      labels.map((label) => `\`${label}\``).join(', '),
      help,
    ]),
  )
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
  metrics: () =>
    Object.entries<Record<string, Entry>>(subjects)
      .map(([subject, entries]) => `### ${subject}\n\n${metricsTable(Object.values(entries))}\n`)
      .join('\n'),
  bench: () =>
    existsSync(measured) ? benchTables(read(measured) as Measurements, table) : 'Not measured yet.',
  'bench-mlflow': () =>
    registryTable(read(join(bench, 'results/mlflow.json')) as RegistryMeasurements, table),
}

export const sectionNames = Object.keys(sections)

/** The text with every generated section that it has filled anew. */
export function filled(text: string): string {
  let result = text
  for (const [name, make] of Object.entries(sections)) {
    const [open, close] = [`<!-- ${name} -->`, `<!-- /${name} -->`]
    if (!result.includes(open)) continue
    const [from, to] = [result.indexOf(open) + open.length, result.indexOf(close)]
    result = `${result.slice(0, from)}\n${make()}\n${result.slice(to)}`
  }
  return result
}

if (import.meta.main) {
  for (const page of pages) writeFileSync(page, filled(readFileSync(page, 'utf8')))
}
