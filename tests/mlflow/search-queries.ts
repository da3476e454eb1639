// Random searches: filters that fit the grammar, filters that do not quite, orders, small pages.
import {
  contexts,
  type Data,
  keys,
  metricValues,
  modelTypes,
  promptTag,
  type Random,
  statuses,
  texts,
  times,
  users,
} from './search-data.ts'

export const entities = ['experiments', 'runs', 'logged-models', 'models', 'versions'] as const
export type Entity = (typeof entities)[number]

export interface Query {
  entity: Entity
  /** Was something done to the filter that may break it? */
  damaged: boolean
  body: {
    filter?: string
    order_by?: unknown[]
    max_results: number
    page_token?: string
    [other: string]: unknown
  }
}

/** How a kind of key is compared. */
interface Kind {
  words: string[]
  keys: (r: Random) => string
  compare: (r: Random, key: string) => string
}

const equal = ['=', '!=', 'LIKE', 'ILIKE']
const order = ['=', '!=', '<', '<=', '>', '>=']

/** Texts in the quotes that they can stand in. */
function quoted(r: Random, text: string, onlySingle = false): string {
  if (text.includes('"')) return `'${text}'`
  return onlySingle || r.chance(0.7) ? `'${text}'` : `"${text}"`
}

const spaced = (r: Random, operator: string): string =>
  /\w/.test(operator) ? ` ${operator} ` : r.pick([` ${operator} `, operator, `\t${operator}\n`])

/** A pattern that may well match a text. */
function pattern(r: Random, text: string): string {
  if (r.chance(0.3)) return r.pick(['%', '_', '', 'x%', '%Y', 'X%', '%é%', '[%', '*', '%?%'])
  const at = r.below(text.length + 1)
  return r.pick([
    `${text.slice(0, at)}%`,
    `%${text.slice(at)}`,
    text,
    text.toUpperCase(),
    text.replace(/./s, '_'),
  ])
}

interface Options {
  lists?: boolean
  presence?: boolean
  onlySingle?: boolean
}

const textOf =
  (
    values: (r: Random) => string,
    { lists = false, presence = false, onlySingle = false }: Options = {},
  ) =>
  (r: Random): string => {
    if (presence && r.chance(0.25))
      return r.pick([' IS NULL', ' IS NOT NULL', ' is null', ' is not null'])
    if (lists && r.chance(0.3)) {
      // Python reads these lists: what has escapes there is left to the malformed ones.
      const plain = (): string => values(r).replaceAll(/[\\'"\n]/g, '')
      const list = Array.from({ length: 1 + r.below(4) }, () => quoted(r, plain()))
      return `${r.pick([' IN ', ' NOT IN ', ' in ', ' IN'])}(${list.join(r.pick([', ', ',']))})`
    }
    const operator = r.pick([...equal, 'like', 'ilike'])
    const value = /like$/i.test(operator) ? pattern(r, values(r)) : values(r)
    return `${spaced(r, operator)}${quoted(r, value, onlySingle)}`
  }

const numberOf =
  (values: readonly (number | 'NaN')[], whole = false) =>
  (r: Random): string => {
    const value = r.pick(values.filter((one) => one !== 'NaN'))
    const text = whole ? String(value) : r.pick([String(value), value.toFixed(1), `${value}`])
    return `${spaced(r, r.pick(order))}${text.replace('e+', 'e')}`
  }

const isPlain = (key: string): boolean => /^[A-Za-zé_]\w*$/u.test(key) && key !== 'from'

const keyOf = (r: Random, key: string, backticks = false): string =>
  isPlain(key) && r.chance(0.7)
    ? key
    : r.pick(backticks ? [`\`${key}\``] : [`\`${key}\``, `"${key}"`])

const pairs = (words: string[], options: Options, more: string[] = []): Kind => ({
  words,
  keys: (r) => r.pick([...keys, ...more]),
  compare: textOf((r) => r.pick(texts), options),
})

const attributes = (words: string[], table: Record<string, (r: Random) => string>): Kind => ({
  words: ['', '', ...words],
  keys: (r) => r.pick(Object.keys(table)),
  compare: (r, key) => table[key]!(r),
})

/** Prompts are asked for by exact values, too. */
function withPrompts(kind: Kind): Kind {
  return {
    ...kind,
    keys: (r) => (r.chance(0.15) ? promptTag : kind.keys(r)),
    compare: (r, key) =>
      key === promptTag
        ? `${r.pick([' = ', ' != ', ' LIKE '])}'${r.pick(['true', 'false', 'True', 'x', '%'])}'`
        : kind.compare(r, key),
  }
}

/** The kinds of keys of each entity, weighted by how often they stand here. */
function grammar(data: Data): Record<Entity, Kind[]> {
  const names = (list: readonly { name: string }[]) => (r: Random) =>
    r.pick([...texts, r.pick(list).name])
  const runIds = (r: Random): string => r.pick([...data.runs.slice(0, 20), r.pick(data.runs)]).id
  const whole = numberOf(times, true)
  const tags = pairs(['tag', 'tags'], { presence: true })
  const registryTags = withPrompts(pairs(['tag', 'tags'], {}))
  const single = { onlySingle: true, lists: true }
  const datasetNames = (r: Random): string => r.pick(['d', 'D', 'da_ta', 'other'])
  return {
    experiments: [
      attributes(['attribute'], {
        name: textOf(names(data.experiments)),
        creation_time: whole,
        last_update_time: whole,
        experiment_id: (r) =>
          r.pick([
            ` = '${r.below(9)}'`,
            ` != "${r.below(9)}"`,
            ` IN ('1', '${r.below(30)}')`,
            " NOT IN ('2')",
          ]),
      }),
      tags,
    ],
    runs: [
      attributes(['attribute', 'attributes', 'attr', 'run'], {
        run_id: textOf(runIds, { lists: true }),
        run_name: textOf((r) => r.pick(texts)),
        '`Run name`': textOf((r) => r.pick(texts)),
        user_id: textOf((r) => r.pick(users)),
        status: textOf((r) => r.pick(statuses)),
        start_time: numberOf(times),
        created: numberOf(times),
        end_time: numberOf(times),
        artifact_uri: textOf((r) => r.pick(data.runs).artifact_uri),
      }),
      { words: ['metric', 'metrics'], keys: (r) => r.pick(keys), compare: numberOf(metricValues) },
      pairs(['param', 'params', 'parameter', 'parameters'], { presence: true }),
      { ...tags, keys: (r) => r.pick([...keys, 'mlflow.runName']) },
      {
        words: ['dataset', 'datasets'],
        keys: (r) => r.pick(['name', 'digest', 'context']),
        compare: (r, key) =>
          textOf(
            key === 'name'
              ? datasetNames
              : (s) => s.pick(key === 'digest' ? ['1', '2', '3'] : contexts),
            { lists: true },
          )(r),
      },
    ],
    'logged-models': [
      attributes(['attributes'], {
        name: textOf(names(data.loggedModels), single),
        model_id: textOf((r) => r.pick(data.loggedModels).id, single),
        model_type: textOf((r) => r.pick(modelTypes) ?? 'x', single),
        source_run_id: textOf(runIds, single),
      }),
      // Its aliases of columns are known without a prefix only.
      {
        ...attributes([], {
          creation_time: whole,
          creation_timestamp: whole,
          last_updated_timestamp: whole,
        }),
      },
      { words: ['metrics'], keys: (r) => r.pick(keys), compare: numberOf(metricValues) },
      pairs(['params'], single),
      pairs(['tags'], single),
    ],
    models: [
      attributes(['attribute'], { name: textOf(names(data.models), { lists: true }) }),
      registryTags,
    ],
    versions: [
      attributes(['attribute'], {
        name: textOf(names(data.models), { lists: true }),
        run_id: textOf((r) => r.pick(['', runIds(r)]), { lists: true }),
        source_path: textOf((r) => r.pick(data.versions).source),
        version_number: (r) => `${spaced(r, r.pick(order))}${r.pick(['1', '2', '3', "'2'", '-1'])}`,
      }),
      registryTags,
    ],
  }
}

function clauseOf(r: Random, kinds: Kind[], entity: Entity): string {
  const kind = r.pick(kinds)
  const key = kind.keys(r)
  const word = r.pick(kind.words)
  const isAttribute = kind.words.includes('')
  const onlyBackticks = entity === 'logged-models'
  const name = isAttribute || word.startsWith('dataset') ? key : keyOf(r, key, onlyBackticks)
  return `${word === '' ? '' : `${word}.`}${name}${kind.compare(r, key)}`
}

const broken = [
  'AND',
  'OR',
  'NOT',
  '(',
  ')',
  "'",
  '"',
  '`',
  ';',
  '--',
  '=',
  '==',
  '<>',
  '~',
  ',',
  '.',
  'null',
  '5',
  "'x'",

  'IN',
  'LIKE',
  'BETWEEN',
  'IS NULL',
  '/*',
  'x',
  '$1',
  '?',
  '\\',
  ' ',
  '%',
  'foo.bar',
  '[',
  '+',
  'é',
  '*',
]

/** One small thing done to a filter, which may or may not break it. */
function damage(r: Random, filter: string): string {
  const words = filter.split(' ')
  const at = r.below(words.length)
  const place = r.below(filter.length + 1)
  switch (r.below(5)) {
    case 0:
      return words.toSpliced(at, 1).join(' ')
    case 1:
      return words.toSpliced(at, 0, r.pick(broken)).join(' ')
    case 2:
      return words.toSpliced(at, 1, r.pick(broken)).join(' ')
    case 3:
      return filter.slice(0, place) + filter.slice(place + 1)
    default:
      return filter.slice(0, place) + r.pick(broken) + filter.slice(place)
  }
}

const orderKeys: Record<Entity, string[]> = {
  experiments: ['name', 'experiment_id', 'creation_time', 'last_update_time', 'attribute.name'],
  runs: [
    'run_id',
    'run_name',
    'user_id',
    'status',
    'start_time',
    'created',
    'end_time',
    'artifact_uri',

    'metrics.a',
    'metrics.b',
    'metric.`a b`',
    'params.a',
    'param.Team',
    'tags.a',
    'tag."x.y"',
    'attributes.status',
  ],
  'logged-models': [
    'name',
    'model_id',
    'creation_time',
    'creation_timestamp',
    'last_updated_timestamp',
    'model_type',
    'source_run_id',
    'metrics.a',
    'metrics.b',
    'metrics.Team',
    'metrics.a b',
  ],
  models: ['name', 'timestamp', 'last_updated_timestamp'],
  versions: [
    'name',
    'version_number',
    'creation_timestamp',
    'last_updated_timestamp',
    'attribute.name',
  ],
}

function orderOf(r: Random, entity: Entity): unknown[] {
  const chosen = r.some(orderKeys[entity], 0.25)
  if (entity === 'logged-models') {
    return chosen.map((field_name) => ({
      field_name,
      ...(r.chance(0.6) && { ascending: r.chance(0.5) }),
      ...(field_name.startsWith('metrics.') &&
        r.chance(0.4) && { dataset_name: 'd', ...(r.chance(0.5) && { dataset_digest: '1' }) }),
    }))
  }
  return chosen.map((key) => `${key}${r.pick(['', ' ASC', ' DESC', ' asc', '  desc'])}`)
}

const views = ['ACTIVE_ONLY', 'DELETED_ONLY', 'ALL']

function moreOf(r: Random, entity: Entity): Partial<Query['body']> {
  const within = { experiment_ids: r.pick([['0'], ['0', '1', '2'], ['1', '2'], ['0', '1', '99']]) }
  switch (entity) {
    case 'experiments':
      return { view: r.pick(views) }
    case 'runs':
      return { ...within, view: r.pick(views) }
    case 'logged-models':
      return {
        ...within,
        ...(r.chance(0.2) && {
          datasets: [{ dataset_name: r.pick(['d', 'D']), dataset_digest: r.pick(['1', '2']) }],
        }),
      }
    case 'models':
    case 'versions':
      return {}
  }
}

/** `count` searches per entity; a fifth of the filters is damaged. */
export function makeQueries(r: Random, data: Data, count: number): Query[] {
  const kinds = grammar(data)
  return entities.flatMap((entity) =>
    Array.from({ length: count }, () => {
      const clauses = Array.from({ length: r.pick([0, 1, 1, 1, 2, 2, 3, 4]) }, () =>
        clauseOf(r, kinds[entity], entity),
      )
      const filter = clauses.join(r.pick([' AND ', ' and ', '  AND\n']))
      const damaged = r.chance(0.2)
      return {
        entity,
        damaged,
        body: {
          filter: damaged ? damage(r, filter) : filter,
          order_by: r.chance(0.6) ? orderOf(r, entity) : [],
          max_results: r.pick([1, 2, 3, 5, 10, 20, 100]),
          ...moreOf(r, entity),
        },
      }
    }),
  )
}
