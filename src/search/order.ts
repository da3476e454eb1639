// MLflow's orders, `key [ASC|DESC]`, as keys to sort by.
import type { SQLWrapper } from 'drizzle-orm'

import { isWord, type Reference, referenceOf } from './filter.ts'
import type { SortKey } from './page.ts'
import { malformed, tokensOf } from './tokens.ts'

export interface OrderItem extends Reference {
  descending: boolean
}

/** What can be sorted by. */
export interface Sortable {
  /** The same for every way to say it. */
  name: string
  by: SQLWrapper
  /** Rows without a value come last. */
  nullable?: boolean
  /** Goes before, in ascending order always. */
  rank?: SQLWrapper
}

/** What decides between rows that are equal so far. */
export type Tie = Sortable & { descending: boolean }

const mostItems = 20

function parseItem(text: string): OrderItem {
  const [first, direction, ...more] = tokensOf(text)
  const reference = referenceOf(first)
  const descending = isWord(direction, 'DESC')
  const isDirection = direction === undefined || descending || isWord(direction, 'ASC')
  if (reference === null || !isDirection || more.length > 0) {
    throw malformed(`Invalid order_by clause '${text.slice(0, 100)}'. Could not be parsed.`)
  }
  return { ...reference, descending }
}

/** The items of an order, or `request.invalid`. */
export const parseOrder = (order: readonly string[]): OrderItem[] => order.map(parseItem)

const keysOf = ({ by, nullable = false, rank }: Sortable, descending: boolean): SortKey[] => [
  ...(rank === undefined ? [] : [{ by: rank, nullable }]),
  { by, descending, nullable },
]

/** Keys for the items, then for the ties that no item names. `request.invalid` for unknown or repeated ones. */
export function sortKeys<Item extends OrderItem>(
  items: readonly Item[],
  sortableOf: (item: Item) => Sortable | undefined,
  ties: readonly Tie[],
): SortKey[] {
  if (items.length > mostItems) throw malformed(`order_by has at most ${mostItems} items.`)
  const seen = new Set<string>()
  const keys = items.flatMap((item) => {
    const sortable = sortableOf(item)
    if (!sortable) throw malformed(`Invalid order by key '${item.key.slice(0, 100)}' specified.`)
    if (seen.has(sortable.name)) throw malformed('`order_by` contains duplicate fields.')
    seen.add(sortable.name)
    return keysOf(sortable, item.descending)
  })
  const left = ties.filter(({ name }) => !seen.has(name))
  return [...keys, ...left.flatMap((tie) => keysOf(tie, tie.descending))]
}
