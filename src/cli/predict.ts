// relais predict: rows from a CSV or JSON file to predictions.
import { readFileSync } from 'node:fs'

import { parse } from 'csv-parse/sync'

import { type CellKind, cellValue } from '../scoring/cells.ts'
import { clientOf, namePart } from './client.ts'
import { clientOptions, type Command, CommandError, table, UsageError } from './command.ts'

/** Numbers that a double would change travel as they are written. */
const { rawJSON, isRawJSON } = JSON as unknown as {
  rawJSON: (text: string) => object
  isRawJSON: (value: unknown) => boolean
}

const parseExactly = JSON.parse as (
  text: string,
  reviver: (key: string, value: unknown, context: { source?: string }) => unknown,
) => unknown

function exactly(text: string): unknown {
  return parseExactly(text, (_key, value, { source }) => {
    const isChanged =
      typeof value === 'number' && Math.abs(value) > Number.MAX_SAFE_INTEGER && source !== undefined
    return isChanged ? rawJSON(source) : value
  })
}

type Row = Record<string, unknown> | unknown[]
type Properties = Record<string, { type?: string }>

interface Docs {
  paths: Record<string, { post: { requestBody: { content: Content } } } | undefined>
}

interface Content {
  'application/json': {
    schema: { properties: { instances?: { items: { properties: Properties } } } }
  }
}

/** A CSV cell as the column's type in the documentation wants it; the server checks. */
function cell(text: string, type: string | undefined): unknown {
  const kinds: Record<string, CellKind> = { string: 'string', boolean: 'bool' }
  const value = cellValue(text, type === undefined ? undefined : (kinds[type] ?? 'number'))
  return typeof value === 'bigint' ? rawJSON(String(value)) : value
}

function fromCsv(text: string, properties: Properties): Row[] {
  const rows = parse(text, { columns: true, skip_empty_lines: true, bom: true, trim: true })
  return (rows as Record<string, string>[]).map((row) =>
    Object.fromEntries(
      Object.entries(row).map(([name, value]) => [name, cell(value, properties[name]?.type)]),
    ),
  )
}

function fromJson(text: string): Row[] {
  const value = exactly(text)
  if (Array.isArray(value)) return value as Row[]
  const { instances } = value as { instances?: unknown }
  if (Array.isArray(instances)) return instances as Row[]
  throw new CommandError('the JSON is neither a list of rows nor {"instances": [...]}')
}

/** With several outputs, a prediction is an object by output name. */
const isNamed = (prediction: unknown): prediction is object =>
  typeof prediction === 'object' &&
  prediction !== null &&
  !Array.isArray(prediction) &&
  !isRawJSON(prediction)

function shownRow(prediction: unknown, at: number): string[] {
  if (!isNamed(prediction)) {
    return [String(at + 1), JSON.stringify(prediction)]
  }
  return [String(at + 1), ...Object.values(prediction).map((value) => JSON.stringify(value))]
}

function headingsOf(first: unknown): string[] {
  return ['ROW', ...(isNamed(first) ? Object.keys(first) : ['prediction'])]
}

interface Answer {
  predictions: unknown[]
  model_version: string
}

export const predict: Command = {
  name: 'predict',
  usage: 'NAME',
  needs: '--input FILE',
  summary: 'predict the rows of a file',
  options: {
    ...clientOptions,
    input: { type: 'string', value: 'FILE', help: 'rows.csv (with headings) or rows.json' },
  },
  example: 'relais predict iris --input rows.csv',
  run: async (args, output, env) => {
    const [name] = args.words as [string]
    const file = args.text('input')
    if (file === undefined) throw new UsageError('--input is required')
    const client = clientOf(args, env)
    const path = `/v1/models/${namePart(name)}:predict`
    let instances: Row[]
    try {
      const text = readFileSync(file, 'utf8')
      if (file.endsWith('.json')) instances = fromJson(text)
      else {
        const docs = await client.json<Docs>('GET', '/docs/json')
        const content = docs.paths[path]?.post.requestBody.content['application/json']
        const properties = content?.schema.properties.instances?.items.properties ?? {}
        instances = fromCsv(text, properties)
      }
    } catch (error) {
      if (error instanceof CommandError) throw error
      throw new CommandError(`cannot read ${file}: ${(error as Error).message}`)
    }
    const text = await (await client.call('POST', path, { instances })).text()
    if (args.flag('json')) {
      output.line(text)
      return 0
    }
    const answer = exactly(text) as Answer
    output.note(`${name} version ${answer.model_version}`)
    const rows = answer.predictions.map(shownRow)
    for (const line of table(headingsOf(answer.predictions[0]), rows)) output.line(line)
    return 0
  },
}
