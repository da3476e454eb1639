// The searches of MLflow's API: experiments, runs, logged models, registered models and their versions.
import { searchModels, searchVersions } from '../registry/search.ts'
import { loadExperiments, loadLoggedModels, loadRuns } from '../tracking/loading.ts'
import { searchDatasets } from '../tracking/search-datasets.ts'
import { searchExperiments } from '../tracking/search-experiments.ts'
import { type LoggedModelOrder, searchLoggedModels } from '../tracking/search-logged-models.ts'
import { searchRuns } from '../tracking/search-runs.ts'
import type { MlflowParts } from './api.ts'
import type { Endpoint } from './door.ts'
import type { Fields } from './fields.ts'
import { modelVersionWire } from './model-versions.ts'
import { registeredModelWire } from './registered-models.ts'
import { experimentWire, loggedModelWire, runWire } from './wire.ts'

const views = ['ACTIVE_ONLY', 'DELETED_ONLY', 'ALL'] as const

/** What every search is asked with; `limit` stands where none is sent. */
const common = (fields: Fields, limit: number) => ({
  filter: fields.optionalText('filter'),
  limit: fields.optionalInteger('max_results') ?? limit,
  pageToken: fields.optionalText('page_token'),
})

/** An answer's list under its name, and the way to the next page. */
const answer = (name: string, list: object[], next: string | undefined): object => ({
  ...(list.length > 0 && { [name]: list }),
  ...(next !== undefined && { next_page_token: next }),
})

const datasetOf = (fields: Fields, required: boolean) => {
  const name = required ? fields.text('dataset_name') : fields.optionalText('dataset_name')
  const digest = fields.optionalText('dataset_digest')
  return name ? { name, digest: digest || undefined } : undefined
}

const orderOf = (fields: Fields): LoggedModelOrder => ({
  field: fields.text('field_name'),
  ascending: fields.boolean('ascending', true),
  dataset: datasetOf(fields, fields.has('dataset_digest')),
})

const experimentSearch = (s: MlflowParts, method: 'GET' | 'POST'): Endpoint => ({
  method,
  path: 'experiments/search',
  need: 'runs:read',
  handle: async (ctx, fields) => {
    const { rows, next } = await searchExperiments(s, ctx, {
      ...common(fields, 1000),
      orderBy: fields.texts('order_by'),
      view: fields.choice('view_type', views, 'ACTIVE_ONLY'),
    })
    return answer('experiments', (await loadExperiments(s.db.read, rows)).map(experimentWire), next)
  },
})

const datasetSearch = (s: MlflowParts): Endpoint => ({
  method: 'POST',
  path: 'experiments/search-datasets',
  need: 'runs:read',
  handle: async (ctx, fields) => {
    const found = await searchDatasets(s, ctx, fields.texts('experiment_ids'))
    const summaries = found.map(({ experimentId, context, ...dataset }) => ({
      experiment_id: String(experimentId),
      ...dataset,
      context: context ?? undefined,
    }))
    return answer('dataset_summaries', summaries, undefined)
  },
})

const runSearch = (s: MlflowParts): Endpoint => ({
  method: 'POST',
  path: 'runs/search',
  need: 'runs:read',
  handle: async (ctx, fields) => {
    const { rows, next } = await searchRuns(s, ctx, {
      ...common(fields, 1000),
      orderBy: fields.texts('order_by'),
      view: fields.choice('run_view_type', views, 'ACTIVE_ONLY'),
      experimentIds: fields.texts('experiment_ids'),
    })
    return answer('runs', (await loadRuns(s.db.read, rows)).map(runWire), next)
  },
})

const loggedModelSearch = (s: MlflowParts): Endpoint => ({
  method: 'POST',
  path: 'logged-models/search',
  need: 'runs:read',
  handle: async (ctx, fields) => {
    const { rows, next } = await searchLoggedModels(s, ctx, {
      ...common(fields, 50),
      experimentIds: fields.texts('experiment_ids'),
      datasets: fields.objects('datasets').flatMap((one) => datasetOf(one, true) ?? []),
      orderBy: fields.objects('order_by').map(orderOf),
    })
    return answer('models', (await loadLoggedModels(s.db.read, rows)).map(loggedModelWire), next)
  },
})

const modelSearch = (s: MlflowParts): Endpoint => ({
  method: 'GET',
  path: 'registered-models/search',
  need: 'models:read',
  handle: async (ctx, fields) => {
    const orderBy = fields.texts('order_by')
    const { rows, next } = await searchModels(s, ctx, { ...common(fields, 100), orderBy })
    return answer('registered_models', await registeredModelWire(s.db.read, rows), next)
  },
})

const versionSearch = (s: MlflowParts): Endpoint => ({
  method: 'GET',
  path: 'model-versions/search',
  need: 'models:read',
  handle: async (ctx, fields) => {
    const orderBy = fields.texts('order_by')
    const { rows, next } = await searchVersions(s, ctx, { ...common(fields, 200_000), orderBy })
    return answer('model_versions', await modelVersionWire(s.db.read, rows), next)
  },
})

export const searchEndpoints = (s: MlflowParts): Endpoint[] => [
  experimentSearch(s, 'POST'),
  experimentSearch(s, 'GET'),
  datasetSearch(s),
  runSearch(s),
  loggedModelSearch(s),
  modelSearch(s),
  versionSearch(s),
]
