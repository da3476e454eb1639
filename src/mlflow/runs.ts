// The endpoints of runs and their metrics, but the search.
import type { Exchange } from '../http/request.ts'
import * as lineage from '../tracking/lineage.ts'
import { logBatch } from '../tracking/log.ts'
import { metricHistory, metricIntervals } from '../tracking/metric-history.ts'
import type { Metric } from '../tracking/metrics.ts'
import { deleteRunTag } from '../tracking/run-tags.ts'
import * as verbs from '../tracking/runs.ts'
import type { MlflowParts } from './api.ts'
import type { Endpoint } from './door.ts'
import { type Fields, invalid } from './fields.ts'
import { pairIn, pairsIn, reading, writing } from './tracking-endpoint.ts'
import { metricWire, runInfoWire, runWire, some } from './wire.ts'

const idIn = (fields: Fields): string => fields.text('run_id')

const changing = (path: string, action: string, handle: Endpoint['handle']): Endpoint =>
  writing(`POST runs/${path}`, action, handle)

const logging = (path: string, handle: Endpoint['handle']): Endpoint =>
  changing(path, 'run.log', handle)

const metricIn = (fields: Fields): Metric => ({
  key: fields.text('key'),
  value: fields.number('value'),
  timestamp: fields.integer('timestamp'),
  step: fields.optionalInteger('step') ?? 0,
  modelId: fields.optionalText('model_id') || undefined,
  datasetName: fields.optionalText('dataset_name') || undefined,
  datasetDigest: fields.optionalText('dataset_digest') || undefined,
})

function datasetIn(fields: Fields): lineage.DatasetInput {
  const dataset = fields.object('dataset')
  return {
    name: dataset.text('name'),
    digest: dataset.text('digest'),
    sourceType: dataset.text('source_type'),
    source: dataset.text('source'),
    schema: dataset.optionalText('schema') || undefined,
    profile: dataset.optionalText('profile') || undefined,
    tags: pairsIn(fields, 'tags'),
  }
}

const mostBatchBytes = 1_000_000

/** MLflow's limit for a batch, far below that of other bodies. */
function demandBatchSize({ request }: Exchange): void {
  const size = Number(request.headers.get('content-length'))
  if (size > mostBatchBytes) {
    throw invalid('', `A batch has at most ${mostBatchBytes} bytes; this one has ${size}.`)
  }
}

const stateEndpoints = (s: MlflowParts): Endpoint[] => [
  changing('create', 'run.create', async (ctx, fields) => {
    const view = await verbs.createRun(s, ctx, {
      experimentId: fields.optionalText('experiment_id') || '0',
      userId: fields.optionalText('user_id') ?? '',
      name: fields.optionalText('run_name'),
      startTime: fields.optionalInteger('start_time'),
      tags: pairsIn(fields, 'tags'),
    })
    return { run: runWire(view) }
  }),
  reading('runs/get', async (ctx, fields) => ({
    run: runWire(await verbs.getRun(s, ctx, idIn(fields))),
  })),
  changing('update', 'run.update', async (ctx, fields) => {
    const run = await verbs.updateRun(s, ctx, idIn(fields), {
      status: fields.numbered('status', verbs.runStatuses),
      endTime: fields.optionalInteger('end_time'),
      name: fields.optionalText('run_name'),
    })
    return { run_info: runInfoWire(run) }
  }),
  changing('delete', 'run.delete', (ctx, fields) => verbs.deleteRun(s, ctx, idIn(fields))),
  changing('restore', 'run.restore', (ctx, fields) => verbs.restoreRun(s, ctx, idIn(fields))),
]

const logEndpoints = (s: MlflowParts): Endpoint[] => [
  logging('log-metric', (ctx, fields) =>
    logBatch(s, ctx, idIn(fields), { metrics: [metricIn(fields)], params: [], tags: [] }),
  ),
  logging('log-parameter', (ctx, fields) =>
    logBatch(s, ctx, idIn(fields), { metrics: [], params: [pairIn(fields)], tags: [] }),
  ),
  logging('set-tag', (ctx, fields) =>
    logBatch(s, ctx, idIn(fields), { metrics: [], params: [], tags: [pairIn(fields)] }),
  ),
  logging('delete-tag', (ctx, fields) => deleteRunTag(s, ctx, idIn(fields), fields.text('key'))),
  logging('log-batch', (ctx, fields) => {
    demandBatchSize(ctx)
    return logBatch(s, ctx, idIn(fields), {
      metrics: fields.objects('metrics').map(metricIn),
      params: pairsIn(fields, 'params'),
      tags: pairsIn(fields, 'tags'),
    })
  }),
  logging('log-inputs', (ctx, fields) =>
    lineage.logInputs(s, ctx, idIn(fields), {
      datasets: fields.objects('datasets').map(datasetIn),
      models: fields.objects('models').map((model) => model.text('model_id')),
    }),
  ),
  logging('outputs', (ctx, fields) => {
    if (!fields.has('models')) throw fields.missing('models')
    const models = fields.objects('models').map((model) => ({
      modelId: model.text('model_id'),
      step: model.optionalInteger('step') ?? 0,
    }))
    return lineage.logOutputs(s, ctx, idIn(fields), models)
  }),
  logging('log-model', (ctx, fields) =>
    lineage.recordModel(s, ctx, idIn(fields), fields.text('model_json')),
  ),
]

const historyEndpoints = (s: MlflowParts): Endpoint[] => [
  reading('metrics/get-history', async (ctx, fields) => {
    const { metrics, nextPageToken } = await metricHistory(s, ctx, {
      runId: idIn(fields),
      key: fields.text('metric_key'),
      maxResults: fields.optionalInteger('max_results'),
      pageToken: fields.optionalText('page_token'),
    })
    return { metrics: some(metrics.map(metricWire)), next_page_token: nextPageToken }
  }),
  reading('metrics/get-history-bulk-interval', async (ctx, fields) => {
    const metrics = await metricIntervals(s, ctx, {
      runIds: fields.texts('run_ids'),
      key: fields.text('metric_key'),
      startStep: fields.optionalInteger('start_step'),
      endStep: fields.optionalInteger('end_step'),
      maxResults: fields.optionalInteger('max_results'),
    })
    return { metrics: some(metrics.map((row) => ({ ...metricWire(row), run_id: row.runId }))) }
  }),
]

export const runEndpoints = (s: MlflowParts): Endpoint[] => [
  ...stateEndpoints(s),
  ...logEndpoints(s),
  ...historyEndpoints(s),
]
