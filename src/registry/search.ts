// Searches registered models and model versions, as far as the caller may read them.
import {
  eq,
  getTableColumns,
  inArray,
  isNull,
  or,
  type SQL,
  sql,
  type SQLWrapper,
} from 'drizzle-orm'

import type { Context } from '../core/context.ts'
import type { Queries } from '../db/db.ts'
import {
  type ModelRow,
  models,
  modelTags,
  type VersionRow,
  versions,
  versionTags,
} from '../db/tables.ts'
import {
  among,
  compare,
  type Comparison,
  type Condition,
  conditionsOf,
  type Field,
  fitsGlob,
  lists,
  numberField,
  pairField,
  patterns,
  readInteger,
  textField,
  type Vocabulary,
} from '../search/field.ts'
import { parseFilter } from '../search/filter.ts'
import { type OrderItem, parseOrder, type Sortable, sortKeys } from '../search/order.ts'
import { demandLimit, findRows, type Page } from '../search/page.ts'
import type { Registry } from './registry.ts'

export interface RegistrySearch {
  filter?: string | undefined
  /** `key [ASC|DESC]` each. */
  orderBy: string[]
  limit: number
  pageToken?: string | undefined
}

/** A version and the name of its model. */
export interface FoundVersion {
  name: string
  row: VersionRow
}

export const mostModels = 1000
export const mostVersions = 200_000

/** What the caller may read, told to the database so that pages are full. */
function readable({ principal }: Context): SQL[] {
  if (principal.models === null) return []
  return [or(...principal.models.map((glob) => fitsGlob(models.name, glob))) ?? sql`0 = 1`]
}

const promptTag = 'mlflow.prompt.is_prompt'
const isPrompt = (t: typeof modelTags | typeof versionTags): SQL =>
  sql`${t.key} = ${promptTag} and ${t.value} = 'true'`

const hasText = ({ values }: Comparison): boolean => values.every((value) => value !== '')

/** Absent is the same as empty. The bare column is asked where an index may help. */
const absentIsEmpty = (column: SQLWrapper, known = patterns): Field => ({
  ...textField(column, known),
  where: (comparison) => {
    const isIndexed = ['=', 'IN'].includes(comparison.comparator) && hasText(comparison)
    return compare(isIndexed ? column : sql`coalesce(${column}, '')`, comparison)
  },
})

const name = textField(models.name, lists)

/** Names are looked up first: a model has many versions. */
const nameOfVersion: Field = {
  ...name,
  narrowing: (comparison) => ({
    column: versions.modelId,
    ids: sql`select ${models.id} from ${models} where ${isNull(models.deletedAt)} and ${name.where(comparison)}`,
  }),
}

const modelVocabulary: Vocabulary = [
  { words: ['attribute'], field: among({ name }) },
  {
    words: ['tag', 'tags'],
    field: (key) =>
      pairField(
        { key: modelTags.key, value: modelTags.value, owner: modelTags.modelId, id: models.id },
        key,
      ),
  },
]

const versionVocabulary: Vocabulary = [
  {
    words: ['attribute'],
    field: among({
      name: nameOfVersion,
      run_id: absentIsEmpty(versions.runId, lists),
      source_path: absentIsEmpty(versions.source),
      version_number: numberField(versions.version, readInteger),
    }),
  },
  {
    words: ['tag', 'tags'],
    field: (key) =>
      pairField(
        {
          key: versionTags.key,
          value: versionTags.value,
          owner: versionTags.versionId,
          id: versions.id,
        },
        key,
      ),
  },
]

/**
 * The conditions of a filter. Prompts live in the same tables: they are found only when they are asked
 * for, and any other clause on their tag means "no prompts", whether the tag is absent or not.
 */
function wanted(filter: string | undefined, vocabulary: Vocabulary, noPrompts: SQL): Condition[] {
  const clauses = parseFilter(filter)
  const conditions = conditionsOf(clauses, vocabulary)
  const asked = clauses.find(({ key }) => key === promptTag)
  const value = asked?.values[0]?.text.toLowerCase()
  const arePrompts =
    (asked?.comparator === '=' && value === 'true') ||
    (asked?.comparator === '!=' && value === 'false')
  if (arePrompts) return conditions
  return [{ holds: noPrompts }, ...conditions.filter((_, at) => clauses[at]?.key !== promptTag)]
}

const byName: Sortable = { name: 'name', by: models.name }
const modelUpdated: Sortable = { name: 'timestamp', by: models.updatedAt }
const modelColumns: Record<string, Sortable> = {
  name: byName,
  timestamp: modelUpdated,
  last_updated_timestamp: modelUpdated,
}

const byNumber: Sortable = { name: 'version_number', by: versions.version }
const versionColumns: Record<string, Sortable> = {
  name: byName,
  version_number: byNumber,
  creation_timestamp: { name: 'creation_timestamp', by: versions.createdAt },
  last_updated_timestamp: { name: 'last_updated_timestamp', by: versions.updatedAt },
}

const sortableIn =
  (columns: Record<string, Sortable>) =>
  ({ kind, key }: OrderItem): Sortable | undefined =>
    (kind === null || kind === 'attribute') && Object.hasOwn(columns, key)
      ? columns[key]
      : undefined

/** A page of registered models, by name unless ordered otherwise. */
export async function searchModels(
  s: Pick<Registry, 'db' | 'access'>,
  ctx: Context,
  input: RegistrySearch,
): Promise<Page<ModelRow>> {
  await s.access.require(ctx, 'models:read')
  const { filter, orderBy, pageToken: token } = input
  const prompts = sql`select ${modelTags.modelId} from ${modelTags} where ${isPrompt(modelTags)}`
  return findRows(
    s.db.read,
    {
      id: models.id,
      from: sql`${models}`,
      where: [isNull(models.deletedAt), ...readable(ctx)],
      filter: wanted(filter, modelVocabulary, sql`${models.id} not in (${prompts})`),
      order: sortKeys(parseOrder(orderBy), sortableIn(modelColumns), [
        { ...byName, descending: false },
      ]),
    },
    {
      scope: ['models', filter ?? '', orderBy],
      limit: demandLimit(input.limit, mostModels),
      token,
    },
    {
      load: (some: string[]) => s.db.read.select().from(models).where(inArray(models.id, some)),
      idOf: (row) => row.id,
    },
  )
}

const newestFirst = ['last_updated_timestamp DESC', 'name ASC', 'version_number DESC']

function namedVersions(q: Queries, ids: string[]): Promise<FoundVersion[]> {
  return q
    .select({ name: models.name, row: getTableColumns(versions) })
    .from(versions)
    .innerJoin(models, eq(models.id, versions.modelId))
    .where(inArray(versions.id, ids))
}

/** A page of versions that are not deleted, those changed last first unless ordered otherwise. */
export async function searchVersions(
  s: Pick<Registry, 'db' | 'access'>,
  ctx: Context,
  input: RegistrySearch,
): Promise<Page<FoundVersion>> {
  await s.access.require(ctx, 'models:read')
  const { filter, orderBy, pageToken: token } = input
  const ofVersion = eq(versions.id, versionTags.versionId)
  const prompts = sql`select ${versions.modelId} from ${versionTags} inner join ${versions} on ${ofVersion} where ${isPrompt(versionTags)}`
  const ofModel = eq(models.id, versions.modelId)
  const order = sortKeys(
    parseOrder(orderBy.length > 0 ? orderBy : newestFirst),
    sortableIn(versionColumns),
    [
      { ...byName, descending: false },
      { ...byNumber, descending: true },
    ],
  )
  const by = order[0]?.by ?? versions.updatedAt
  const isByName = by === models.name
  return findRows(
    s.db.read,
    {
      id: versions.id,
      from: sql`${versions} inner join ${models} on ${ofModel}`,
      // A cross join is not reordered, and a bound that every row keeps calls for the index of the order.
      fromInOrder: isByName
        ? sql`${models} cross join ${versions}`
        : sql`${versions} cross join ${models}`,
      where: [
        ofModel,
        ...(isByName ? [] : [sql`${by} >= 0`]),
        isNull(versions.deletedAt),
        isNull(models.deletedAt),
        ...readable(ctx),
      ],
      filter: wanted(filter, versionVocabulary, sql`${versions.modelId} not in (${prompts})`),
      order,
    },
    {
      scope: ['versions', filter ?? '', orderBy],
      limit: demandLimit(input.limit, mostVersions),
      token,
    },
    { load: (some: string[]) => namedVersions(s.db.read, some), idOf: ({ row }) => row.id },
  )
}
