// Searches runs of some experiments, by what they are, measured, were given and read.
import { inArray, type SQL, sql } from 'drizzle-orm'

import type { Context } from '../core/context.ts'
import {
  datasets,
  latestMetrics,
  runDatasets,
  runParams,
  type RunRow,
  runs,
  runTags,
} from '../db/tables.ts'
import {
  among,
  compare,
  type Comparison,
  conditionsOf,
  type Field,
  lists,
  metricField,
  numberField,
  pairField,
  presence,
  textField,
  type Vocabulary,
} from '../search/field.ts'
import { parseFilter } from '../search/filter.ts'
import { type OrderItem, parseOrder, type Sortable, sortKeys, type Tie } from '../search/order.ts'
import { demandLimit, findRows, type Page } from '../search/page.ts'
import { inView, type SearchInput } from './search-experiments.ts'
import { experimentNumber, type Tracking } from './tracking.ts'

export interface RunSearch extends SearchInput {
  experimentIds: string[]
}

export const mostRuns = 50_000

const startTime = numberField(runs.startTime)
const runName = textField(runs.name)

const attributes: Record<string, Field> = {
  run_id: textField(runs.id, lists),
  run_name: runName,
  'run name': runName,
  'Run name': runName,
  'Run Name': runName,
  user_id: textField(runs.userId),
  status: textField(runs.status),
  artifact_uri: textField(runs.artifactUri),
  start_time: startTime,
  created: startTime,
  Created: startTime,
  end_time: numberField(runs.endTime),
}

const pairsOf = (t: typeof runTags) => ({
  key: t.key,
  value: t.value,
  owner: t.runId,
  id: runs.id,
})

const ofRun = sql`${latestMetrics.runId} = ${runs.id}`

/** NaN is a flag beside value 0: unequal to every number, and nothing else. */
const testMetric = (comparison: Comparison): SQL => {
  const passes = compare(latestMetrics.value, comparison)
  return comparison.comparator === '!='
    ? sql`(${passes} or ${latestMetrics.nan})`
    : sql`${passes} and not ${latestMetrics.nan}`
}

const datasetColumns: Record<string, SQL> = {
  name: sql`${datasets.name}`,
  digest: sql`${datasets.digest}`,
  context: sql`${runDatasets.tags} ->> 'mlflow.data.context'`,
}

function datasetField(key: string): Field | undefined {
  const column = Object.hasOwn(datasetColumns, key) ? datasetColumns[key] : undefined
  return (
    column && {
      ...textField(column, lists),
      where: (comparison) =>
        sql`exists (select 1 from ${runDatasets} inner join ${datasets} on ${datasets.id} = ${runDatasets.datasetId} where ${runDatasets.runId} = ${runs.id} and ${compare(column, comparison)})`,
    }
  )
}

const words = {
  attribute: ['attribute', 'attributes', 'attr', 'run'],
  metric: ['metric', 'metrics'],
  parameter: ['parameter', 'parameters', 'param', 'params'],
  tag: ['tag', 'tags'],
}

const vocabulary: Vocabulary = [
  { words: words.attribute, field: among(attributes) },
  {
    words: words.metric,
    field: (key) =>
      metricField(
        { key: latestMetrics.key, owner: latestMetrics.runId, id: runs.id },
        key,
        testMetric,
      ),
  },
  { words: words.parameter, field: (key) => pairField(pairsOf(runParams), key, presence) },
  { words: words.tag, field: (key) => pairField(pairsOf(runTags), key, presence) },
  { words: ['dataset', 'datasets'], field: datasetField },
]

const newest: Sortable = { name: 'start_time', by: runs.startTime, nullable: true }
const byId: Sortable = { name: 'run_id', by: runs.id }
const ties: Tie[] = [
  { ...newest, descending: true },
  { ...byId, descending: false },
]

const columns: Record<string, Sortable> = {
  run_id: byId,
  run_name: { name: 'run_name', by: runs.name },
  user_id: { name: 'user_id', by: runs.userId },
  status: { name: 'status', by: runs.status },
  artifact_uri: { name: 'artifact_uri', by: runs.artifactUri },
  start_time: newest,
  created: newest,
  Created: newest,
  end_time: { name: 'end_time', by: runs.endTime, nullable: true },
}

function sortableOf({ kind, key }: OrderItem): Sortable | undefined {
  if (kind === null || words.attribute.includes(kind)) {
    return Object.hasOwn(columns, key) ? columns[key] : undefined
  }
  const pair = (t: typeof runTags, name: string): Sortable => ({
    name: `${name}.${key}`,
    by: sql`(select ${t.value} from ${t} where ${t.runId} = ${runs.id} and ${t.key} = ${key})`,
    nullable: true,
  })
  if (words.tag.includes(kind)) return pair(runTags, 'tag')
  if (words.parameter.includes(kind)) return pair(runParams, 'parameter')
  if (!words.metric.includes(kind)) return undefined
  const metric = (column: SQL): SQL =>
    sql`(select ${column} from ${latestMetrics} where ${ofRun} and ${latestMetrics.key} = ${key})`
  return {
    name: `metric.${key}`,
    rank: metric(sql`${latestMetrics.nan}`),
    by: metric(sql`${latestMetrics.value}`),
    nullable: true,
  }
}

/** A page of runs of the experiments, newest first unless ordered otherwise. */
export async function searchRuns(
  s: Pick<Tracking, 'db' | 'access'>,
  ctx: Context,
  input: RunSearch,
): Promise<Page<RunRow>> {
  await s.access.require(ctx, 'runs:read')
  const { filter, orderBy, view, experimentIds, pageToken: token } = input
  const within = experimentIds.map(experimentNumber)
  return findRows(
    s.db.read,
    {
      id: runs.id,
      from: sql`${runs}`,
      where: [inArray(runs.experimentId, within), inView(view, runs.deletedAt)],
      filter: conditionsOf(parseFilter(filter), vocabulary),
      order: sortKeys(parseOrder(orderBy), sortableOf, ties),
    },
    {
      scope: ['runs', within, view, filter ?? '', orderBy],
      limit: demandLimit(input.limit, mostRuns),
      token,
    },
    {
      load: (some: string[]) => s.db.read.select().from(runs).where(inArray(runs.id, some)),
      idOf: (row) => row.id,
    },
  )
}
