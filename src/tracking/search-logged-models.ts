// Searches logged models of some experiments, by what they are, were given and measured on which data.
import { and, eq, inArray, isNull, or, type SQL, sql } from 'drizzle-orm'

import type { Context } from '../core/context.ts'
import {
  loggedModelMetrics,
  loggedModelParams,
  type LoggedModelRow,
  loggedModels,
  loggedModelTags,
} from '../db/tables.ts'
import {
  among,
  compare,
  conditionsOf,
  type Field,
  lists,
  metricField,
  numberField,
  pairField,
  textField,
  type Vocabulary,
} from '../search/field.ts'
import { parseFilter } from '../search/filter.ts'
import { type OrderItem, type Sortable, sortKeys } from '../search/order.ts'
import { demandLimit, findRows, type Page } from '../search/page.ts'
import { malformed } from '../search/tokens.ts'
import { experimentNumber, type Tracking } from './tracking.ts'

/** A dataset by name, and by digest where one is given. */
export interface DatasetFilter {
  name: string
  digest?: string | undefined
}

export interface LoggedModelOrder {
  /** An attribute or `metrics.<key>`. */
  field: string
  ascending: boolean
  /** Only values measured on this dataset count. */
  dataset?: DatasetFilter | undefined
}

export interface LoggedModelSearch {
  experimentIds: string[]
  filter?: string | undefined
  datasets: DatasetFilter[]
  orderBy: LoggedModelOrder[]
  limit: number
  pageToken?: string | undefined
}

export const mostLoggedModels = 50_000

const metrics = loggedModelMetrics
const ofModel = sql`${metrics.modelId} = ${loggedModels.id}`

/** MLflow's words for a status, in both of its spellings. */
const status: Field = {
  ...textField(loggedModels.status, lists),
  read: ({ type, text }) => {
    const word = text.replace(/^LOGGED_MODEL_/, '')
    return type === 'text' ? (word === 'FAILED' ? 'UPLOAD_FAILED' : word) : null
  },
}

const created = numberField(loggedModels.createdAt)
const updated = numberField(loggedModels.updatedAt)

const attributes: Record<string, Field> = {
  name: textField(loggedModels.name, lists),
  model_id: textField(loggedModels.id, lists),
  model_type: textField(loggedModels.modelType, lists),
  source_run_id: textField(loggedModels.sourceRunId, lists),
  status,
  creation_time: created,
  creation_timestamp: created,
  last_updated_timestamp: updated,
}

const pairsOf = (t: typeof loggedModelTags) => ({
  key: t.key,
  value: t.value,
  owner: t.modelId,
  id: loggedModels.id,
})

const isOn = ({ name, digest }: DatasetFilter): SQL | undefined =>
  and(
    eq(metrics.datasetName, name),
    digest === undefined ? undefined : eq(metrics.datasetDigest, digest),
  )

/** NaN passes no comparison. */
const vocabularyOn = (onDatasets: SQL): Vocabulary => [
  { words: ['attributes'], field: among(attributes) },
  {
    words: ['metrics'],
    field: (key) =>
      metricField(
        { key: metrics.key, owner: metrics.modelId, id: loggedModels.id },
        key,
        (comparison) =>
          sql`${compare(metrics.value, comparison)} and not ${metrics.nan} and ${onDatasets}`,
      ),
  },
  { words: ['params'], field: (key) => pairField(pairsOf(loggedModelParams), key, lists) },
  { words: ['tags'], field: (key) => pairField(pairsOf(loggedModelTags), key, lists) },
]

const newest: Sortable = { name: 'creation_timestamp', by: loggedModels.createdAt }
const columns: Record<string, Sortable> = {
  creation_time: newest,
  creation_timestamp: newest,
  last_updated_timestamp: { name: 'last_updated_timestamp', by: loggedModels.updatedAt },
  name: { name: 'name', by: loggedModels.name },
  model_id: { name: 'model_id', by: loggedModels.id },
  model_type: { name: 'model_type', by: loggedModels.modelType, nullable: true },
  source_run_id: { name: 'source_run_id', by: loggedModels.sourceRunId, nullable: true },
  status: { name: 'status', by: loggedModels.status },
}

type Item = OrderItem & Pick<LoggedModelOrder, 'dataset'>

function itemOf({ field, ascending, dataset }: LoggedModelOrder): Item {
  const dot = field.indexOf('.')
  const kind = dot < 0 ? null : field.slice(0, dot)
  return { kind, key: field.slice(dot + 1).trim(), descending: !ascending, dataset }
}

/** A metric is sorted by the value that was measured last; NaN counts as none. */
function sortableOf({ kind, key, dataset }: Item): Sortable | undefined {
  if (kind === null) return Object.hasOwn(columns, key) ? columns[key] : undefined
  if (kind !== 'metrics') return undefined
  const where = and(ofModel, eq(metrics.key, key), dataset && isOn(dataset))
  return {
    name: `metrics.${key} ${JSON.stringify(dataset ?? null)}`,
    by: sql`(select case when ${metrics.nan} then null else ${metrics.value} end from ${metrics} where ${where} order by ${metrics.timestamp} desc, ${metrics.step} desc, ${metrics.runId} limit 1)`,
    nullable: true,
  }
}

/** What holds for the rows beside the filter, and the filter. */
function conditions({ experimentIds, datasets, filter }: LoggedModelSearch) {
  if (experimentIds.length === 0) {
    throw malformed("Missing value for required parameter 'experiment_ids'.")
  }
  const clauses = parseFilter(filter)
  const onDatasets = datasets.length > 0 ? or(...datasets.map(isOn)) : undefined
  const where = [
    isNull(loggedModels.deletedAt),
    inArray(loggedModels.experimentId, experimentIds.map(experimentNumber)),
  ]
  if (onDatasets && !clauses.some(({ kind }) => kind === 'metrics')) {
    where.push(sql`exists (select 1 from ${metrics} where ${ofModel} and ${onDatasets})`)
  }
  return { where, filter: conditionsOf(clauses, vocabularyOn(onDatasets ?? sql`1 = 1`)) }
}

/** A page of logged models of the experiments, newest first unless ordered otherwise. */
export async function searchLoggedModels(
  s: Pick<Tracking, 'db' | 'access'>,
  ctx: Context,
  input: LoggedModelSearch,
): Promise<Page<LoggedModelRow>> {
  await s.access.require(ctx, 'runs:read')
  const { experimentIds, datasets, filter, orderBy, pageToken: token } = input
  return findRows(
    s.db.read,
    {
      id: loggedModels.id,
      from: sql`${loggedModels}`,
      ...conditions(input),
      order: sortKeys(orderBy.map(itemOf), sortableOf, [
        { ...newest, descending: true },
        { name: 'model_id', by: loggedModels.id, descending: false },
      ]),
    },
    {
      scope: ['logged-models', experimentIds, datasets, filter ?? '', orderBy],
      limit: demandLimit(input.limit, mostLoggedModels),
      token,
    },
    {
      load: (some: string[]) =>
        s.db.read.select().from(loggedModels).where(inArray(loggedModels.id, some)),
      idOf: (row) => row.id,
    },
  )
}
