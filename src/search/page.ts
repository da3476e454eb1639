// Pages of a search: found by the keys of the last row before, never by counting rows from the start.
import { type SQL, sql, type SQLWrapper } from 'drizzle-orm'

import { chunksOf } from '../core/chunks.ts'
import { Fault } from '../core/fault.ts'
import { canonical, sha256 } from '../core/ids.ts'
import type { Queries } from '../db/db.ts'
import type { Condition } from './field.ts'
import { malformed } from './tokens.ts'

export interface SortKey {
  by: SQLWrapper
  descending?: boolean
  /** Rows without a value come last in either direction. */
  nullable?: boolean
}

export interface Search {
  /** What identifies a row: unique, and never null. */
  id: SQLWrapper
  from: SQL
  /** Where the database shall start, when no condition narrows the search to a few rows. */
  fromInOrder?: SQL
  where: readonly SQL[]
  filter: readonly Condition[]
  /** The last ones must tell any two rows apart. */
  order: readonly SortKey[]
}

export interface PageRequest {
  /** All that the page token is bound to: a token of one search does not go on with another. */
  scope: unknown
  limit: number
  token: string | undefined
}

export interface Page<T> {
  rows: T[]
  next: string | undefined
}

/** A limit within 1 and `most`, or `request.invalid`. */
export function demandLimit(limit: number, most: number): number {
  if (limit >= 1 && limit <= most) return limit
  const range = `It must be a positive integer, at most ${most}`
  throw malformed(`Invalid value ${limit} for parameter 'max_results' supplied. ${range}.`)
}

type Value = string | number | null

const badToken = (): Fault =>
  new Fault('request.page-token', 'Pass next_page_token of the page before, with the same search.')

const isValue = (value: unknown): value is Value =>
  value === null || typeof value === 'string' || typeof value === 'number'

const encode = (mark: string, values: readonly Value[]): string =>
  Buffer.from(JSON.stringify([mark, ...values])).toString('base64url')

/** The keys inside a token of this search. It may hold any values: they are bound like a filter's. */
function decode(token: string, mark: string, count: number): Value[] {
  let content: unknown
  try {
    content = JSON.parse(Buffer.from(token, 'base64url').toString())
  } catch {
    throw badToken()
  }
  if (!Array.isArray(content)) throw badToken()
  const [found, ...values] = content as unknown[]
  const isSound = found === mark && values.length === count && values.every(isValue)
  if (!isSound || encode(mark, values) !== token) throw badToken()
  return values
}

/** Rows that come after the one with these values: beyond in the first key, or equal and so on. */
function after(order: readonly SortKey[], values: readonly Value[]): SQL {
  let condition = sql`0 = 1`
  for (const [at, { by, descending = false, nullable = false }] of [...order.entries()].reverse()) {
    const value = values[at] ?? null
    if (value === null) {
      condition = sql`(${by} is null and ${condition})`
      continue
    }
    const beyond = descending ? sql`${by} < ${value}` : sql`${by} > ${value}`
    const orNone = nullable ? sql` or ${by} is null` : sql``
    // The equality repeated as a bound lets the database start in the middle of an index.
    const bound = descending ? sql`${by} <= ${value}` : sql`${by} >= ${value}`
    const rest = sql`(${beyond}${orNone} or (${by} = ${value} and ${condition}))`
    condition = nullable ? rest : sql`(${bound} and ${rest})`
  }
  return condition
}

const orderOf = ({ by, descending, nullable }: SortKey): SQL =>
  sql`${by} ${sql.raw(descending ? 'desc' : 'asc')}${sql.raw(nullable ? ' nulls last' : '')}`

/** This driver answers raw SQL at once, others later. */
const raw = async <Row extends unknown[]>(q: Queries, statement: SQL): Promise<Row[]> =>
  q.values<Row>(statement)

/** So many rows are found and sorted sooner than the order is walked in search of them. */
const few = 500

/** The conditions of a filter, each as a list of ids where these are few. */
async function narrowed(
  q: Queries,
  filter: readonly Condition[],
): Promise<{ isNarrow: boolean; where: SQL[] }> {
  let isNarrow = false
  const where: SQL[] = []
  for (const { holds, narrowing } of filter) {
    const ids = narrowing && (await raw<[string]>(q, sql`${narrowing.ids} limit ${few + 1}`)).flat()
    const isFew = ids !== undefined && ids.length <= few
    isNarrow ||= isFew
    const among = ids?.length === 0 ? sql`0 = 1` : sql`${narrowing?.column} in ${ids}`
    where.push(isFew ? among : holds)
  }
  return { isNarrow, where }
}

/** The ids of one page in order, and the token of the next. */
async function findPage<Id>(
  q: Queries,
  { id, from, fromInOrder, where, filter, order }: Search,
  { scope, limit, token }: PageRequest,
): Promise<Page<Id>> {
  const mark = sha256(canonical(scope)).slice(0, 16)
  const start = token ? [after(order, decode(token, mark, order.length))] : []
  const keys = sql.join(
    order.map(({ by }) => by),
    sql`, `,
  )
  const { isNarrow, where: filtered } = await narrowed(q, filter)
  const all = sql.join([...where, ...filtered, ...start], sql` and `)
  const source = isNarrow ? from : (fromInOrder ?? from)
  const sorted = sql.join(order.map(orderOf), sql`, `)
  const found = await raw<[Id, ...Value[]]>(
    q,
    sql`select ${id}, ${keys} from ${source} where ${all} order by ${sorted} limit ${limit + 1}`,
  )
  const page = found.slice(0, limit)
  const last = page.at(-1)
  const next = found.length > limit && last ? encode(mark, last.slice(1) as Value[]) : undefined
  return { rows: page.map(([one]) => one), next }
}

/** Parameters of one statement: databases have a limit. */
const mostIds = 5000

/** How the rows of a search are loaded once their ids are known. */
export interface Loading<Id, Row> {
  load: (some: Id[]) => Promise<Row[]>
  idOf: (row: Row) => Id
}

/** One page of rows in order, and the token of the next; rows that are gone meanwhile are left out. */
export async function findRows<Id, Row>(
  q: Queries,
  search: Search,
  request: PageRequest,
  { load, idOf }: Loading<Id, Row>,
): Promise<Page<Row>> {
  const { rows: ids, next } = await findPage<Id>(q, search, request)
  const rows = new Map<Id, Row>()
  for (const some of chunksOf(ids, mostIds)) {
    for (const row of await load(some)) rows.set(idOf(row), row)
  }
  return { rows: ids.flatMap((id) => rows.get(id) ?? []), next }
}
