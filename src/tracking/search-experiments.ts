// Searches experiments.
import { inArray, isNotNull, isNull, type SQL, sql } from 'drizzle-orm'

import type { Context } from '../core/context.ts'
import { type ExperimentRow, experiments, experimentTags } from '../db/tables.ts'
import {
  among,
  conditionsOf,
  identity,
  numberField,
  pairField,
  presence,
  readInteger,
  textField,
  type Vocabulary,
} from '../search/field.ts'
import { parseFilter } from '../search/filter.ts'
import { parseOrder, type Sortable, sortKeys } from '../search/order.ts'
import { demandLimit, findRows, type Page } from '../search/page.ts'
import type { Tracking } from './tracking.ts'

/** Rows that are there, those that were deleted softly, or both. */
export type View = 'ACTIVE_ONLY' | 'DELETED_ONLY' | 'ALL'

export interface SearchInput {
  filter?: string | undefined
  /** `key [ASC|DESC]` each. */
  orderBy: string[]
  limit: number
  pageToken?: string | undefined
  view: View
}

export const mostExperiments = 50_000

/** The condition of a view on the column that says when a row was deleted. */
export function inView(view: View, deletedAt: Parameters<typeof isNull>[0]): SQL {
  if (view === 'ALL') return sql`1 = 1`
  return view === 'ACTIVE_ONLY' ? isNull(deletedAt) : isNotNull(deletedAt)
}

const { id, name, createdAt, updatedAt } = experiments

const wholeNumber = (column: typeof createdAt) =>
  numberField(column, (literal) => (literal.type === 'number' ? readInteger(literal) : null))

const vocabulary: Vocabulary = [
  {
    words: ['attribute'],
    field: among({
      name: textField(name),
      creation_time: wholeNumber(createdAt),
      last_update_time: wholeNumber(updatedAt),
      experiment_id: {
        ...textField(id, identity),
        read: (literal) => (literal.type === 'text' ? readInteger(literal) : null),
      },
    }),
  },
  {
    words: ['tag', 'tags'],
    field: (key) =>
      pairField(
        {
          key: experimentTags.key,
          value: experimentTags.value,
          owner: experimentTags.experimentId,
          id,
        },
        key,
        presence,
      ),
  },
]

const sortables: readonly Sortable[] = [
  { name: 'name', by: name },
  { name: 'experiment_id', by: id },
  { name: 'creation_time', by: createdAt },
  { name: 'last_update_time', by: updatedAt },
]

const newestFirst = ['creation_time DESC', 'experiment_id ASC']

/** A page of experiments. */
export async function searchExperiments(
  s: Pick<Tracking, 'db' | 'access'>,
  ctx: Context,
  input: SearchInput,
): Promise<Page<ExperimentRow>> {
  await s.access.require(ctx, 'runs:read')
  const { filter, orderBy, view, pageToken: token } = input
  const items = parseOrder(orderBy.length > 0 ? orderBy : newestFirst)
  return findRows(
    s.db.read,
    {
      id,
      from: sql`${experiments}`,
      where: [inView(view, experiments.deletedAt)],
      filter: conditionsOf(parseFilter(filter), vocabulary),
      order: sortKeys(
        items,
        ({ kind, key }) =>
          kind === null || kind === 'attribute'
            ? sortables.find((one) => one.name === key)
            : undefined,
        [{ name: 'experiment_id', by: id, descending: true }],
      ),
    },
    {
      scope: ['experiments', view, filter ?? '', orderBy],
      limit: demandLimit(input.limit, mostExperiments),
      token,
    },
    {
      load: (some: number[]) => s.db.read.select().from(experiments).where(inArray(id, some)),
      idOf: (row) => row.id,
    },
  )
}
