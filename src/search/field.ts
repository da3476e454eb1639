// Fields that can be searched: which comparisons they know, and the SQL of each. Values are always bound.
import { type Column, type SQL, sql, type SQLWrapper } from 'drizzle-orm'

import type { Clause, Comparator, Literal, Reference } from './filter.ts'
import { malformed } from './tokens.ts'

type Value = string | number

export interface Comparison {
  comparator: Comparator
  values: readonly Value[]
}

/** Rows whose column is among some ids, which an index lists: a search starts there when they are few. */
export interface Narrowing {
  column: SQLWrapper
  ids: SQL
}

export interface Condition {
  holds: SQL
  /** Says the same. */
  narrowing?: Narrowing | undefined
}

export interface Field {
  comparators: readonly Comparator[]
  /** The value of a literal, or null when it is of the wrong type. */
  read: (literal: Literal) => Value | null
  where: (comparison: Comparison) => SQL
  narrowing?: (comparison: Comparison) => Narrowing | undefined
}

export const identity: readonly Comparator[] = ['=', '!=', 'IN', 'NOT IN']
export const patterns: readonly Comparator[] = ['=', '!=', 'LIKE', 'ILIKE']
export const lists: readonly Comparator[] = [...patterns, 'IN', 'NOT IN']
export const presence: readonly Comparator[] = [...patterns, 'IS NULL', 'IS NOT NULL']
const numeric: readonly Comparator[] = ['=', '!=', '<', '<=', '>', '>=']

const longestPattern = 10_000

/** SQLite's LIKE ignores the case of ASCII and its GLOB does not; MLflow's LIKE does not, either. */
function like(column: SQLWrapper, pattern: string, ignoreCase: boolean): SQL {
  if (pattern.length > longestPattern) {
    throw malformed(`A pattern has at most ${longestPattern} characters.`)
  }
  if (ignoreCase) return sql`${column} like ${pattern}`
  const glob = pattern.replaceAll(/[[*?]/g, '[$&]').replaceAll('%', '*').replaceAll('_', '?')
  return sql`${column} glob ${glob}`
}

/** The condition that a column compares so with a value, or with some of a list. */
export function compare(column: SQLWrapper, { comparator, values }: Comparison): SQL {
  const [value] = values
  const isPattern = comparator === 'LIKE' || comparator === 'ILIKE'
  if (isPattern) return like(column, String(value), comparator === 'ILIKE')
  const isList = comparator === 'IN' || comparator === 'NOT IN'
  return sql`${column} ${sql.raw(comparator)} ${isList ? values : value}`
}

const readText = ({ type, text }: Literal): Value | null => (type === 'text' ? text : null)
const readNumber = ({ type, text }: Literal): Value | null =>
  type === 'number' ? Number(text) : null
export const readInteger = ({ text }: Literal): Value | null =>
  /^\s*-?\d+\s*$/.test(text) ? Number(text) : null

/** A column that holds text. */
export const textField = (column: SQLWrapper, known: readonly Comparator[] = patterns): Field => ({
  comparators: known,
  read: readText,
  where: (comparison) => compare(column, comparison),
})

/** A column that holds numbers; `read` narrows what may stand for one. */
export const numberField = (column: SQLWrapper, read: Field['read'] = readNumber): Field => ({
  comparators: numeric,
  read,
  where: (comparison) => compare(column, comparison),
})

/** Rows of key and value that belong to what is searched. */
export interface Belongings {
  key: Column
  value: Column
  owner: Column
  /** The id of what is searched. */
  id: SQLWrapper
}

/** Those that have a row of this key that passes; IS NULL means that there is none. */
export const pairField = (
  { key, value, owner, id }: Belongings,
  name: string,
  known: readonly Comparator[] = patterns,
): Field => ({
  comparators: known,
  read: readText,
  where: (comparison) => {
    const row = sql`select 1 from ${key.table} where ${owner} = ${id} and ${key} = ${name}`
    if (comparison.comparator === 'IS NULL') return sql`not exists (${row})`
    if (comparison.comparator === 'IS NOT NULL') return sql`exists (${row})`
    return sql`exists (${row} and ${compare(value, comparison)})`
  },
  narrowing: ({ comparator, values }) =>
    comparator === '='
      ? {
          column: id,
          ids: sql`select ${owner} from ${key.table} where ${key} = ${name} and ${value} = ${values[0]}`,
        }
      : undefined,
})

/** Those that have a measured value of this name that passes `test`. */
export const metricField = (
  { key, owner, id }: Omit<Belongings, 'value'>,
  name: string,
  test: (comparison: Comparison) => SQL,
): Field => ({
  comparators: numeric,
  read: readNumber,
  where: (comparison) =>
    sql`exists (select 1 from ${key.table} where ${owner} = ${id} and ${key} = ${name} and ${test(comparison)})`,
})

/** The condition of a clause on a field; `request.invalid` when they do not go together. */
function conditionOf(field: Field, { key, comparator, values }: Clause): Condition {
  if (!field.comparators.includes(comparator)) {
    const known = field.comparators.join(', ')
    throw malformed(`Invalid comparator '${comparator}' for '${key}' not one of ${known}.`)
  }
  const read = values.map((literal) => {
    const value = field.read(literal)
    if (value !== null) return value
    throw malformed(`Invalid value for '${key}': ${literal.type} '${literal.text.slice(0, 100)}'.`)
  })
  const comparison = { comparator, values: read }
  return { holds: field.where(comparison), narrowing: field.narrowing?.(comparison) }
}

/** What a search knows: the words for a kind of key, and the field of a key. Bare keys are of the first kind. */
export type Vocabulary = readonly {
  words: readonly string[]
  field: (key: string) => Field | undefined
}[]

/** The field of that name in a table of fields. */
export const among =
  (fields: Readonly<Record<string, Field>>) =>
  (key: string): Field | undefined =>
    Object.hasOwn(fields, key) ? fields[key] : undefined

function fieldOf(vocabulary: Vocabulary, { kind, key }: Reference): Field {
  const known = kind === null ? vocabulary[0] : vocabulary.find(({ words }) => words.includes(kind))
  if (!known) throw malformed(`Invalid entity type '${kind?.slice(0, 100)}'.`)
  const field = known.field(key)
  if (!field) throw malformed(`Invalid ${known.words[0]} key '${key.slice(0, 100)}' specified.`)
  return field
}

/** The conditions of clauses. `request.invalid` for a key that is unknown, or compared as it cannot be. */
export const conditionsOf = (clauses: readonly Clause[], vocabulary: Vocabulary): Condition[] =>
  clauses.map((clause) => conditionOf(fieldOf(vocabulary, clause), clause))

/** The condition that a text fits a glob in which only `*` is special. */
export const fitsGlob = (column: SQLWrapper, glob: string): SQL =>
  sql`${column} glob ${glob.replaceAll(/[[?]/g, '[$&]')}`
