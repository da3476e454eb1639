// Native API of imports: takes MLflow's own shapes with the ids and times that they had elsewhere.
import { Elysia, t, type TSchema } from 'elysia'

import type { Guard } from '../http/guard.ts'
import { exchangeOf } from '../http/request.ts'
import type { Promotion } from '../promotion/promotion.ts'
import { importExperiment } from './experiments.ts'
import { importLoggedModel } from './logged-models.ts'
import { importModel } from './models.ts'
import { importMetrics, importRun, runAction } from './runs.ts'
import { importVersion } from './versions.ts'

export interface ImportRouteDeps extends Promotion {
  guard: Guard
}

/** Members that are not named are passed over: MLflow has more, and other versions of it have others. */
const given = <T extends Record<string, TSchema>>(members: T) =>
  t.Object(members, { additionalProperties: true })
const text = (most: number) => t.String({ maxLength: most })
const optionalText = (most: number) => t.Optional(text(most))
const name = (most: number) => t.String({ minLength: 1, maxLength: most })
const time = t.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const step = t.Integer({ minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER })
const tags = t.Optional(
  t.Array(given({ key: name(250), value: optionalText(100_000) }), { maxItems: 10_000 }),
)
const lifecycle = t.Optional(t.Union([t.Literal('active'), t.Literal('deleted')]))
const runId = t.String({ pattern: String.raw`^[A-Za-z0-9][\w-]{0,255}$` })
const modelId = t.String({ pattern: String.raw`^m-[\w-]{1,64}$` })
const experimentId = t.String({ pattern: String.raw`^[A-Za-z0-9][\w-]{0,63}$` })
const metric = {
  key: name(250),
  value: t.Union([t.Number(), t.Literal('NaN'), t.Literal('Infinity'), t.Literal('-Infinity')]),
  timestamp: time,
  step: t.Optional(step),
}

const experiment = given({
  experiment_id: experimentId,
  name: name(500),
  lifecycle_stage: lifecycle,
  creation_time: t.Optional(time),
  last_update_time: t.Optional(time),
  tags,
})

const pairs = { params: tags, tags }
const dataset = given({
  name: text(500),
  digest: text(36),
  source_type: text(1000),
  source: text(65_535),
  schema: optionalText(1_048_575),
  profile: optionalText(16_777_215),
})
const run = given({
  info: given({
    run_id: runId,
    run_name: optionalText(8000),
    experiment_id: experimentId,
    user_id: optionalText(256),
    status: t.Union([
      t.Literal('RUNNING'),
      t.Literal('SCHEDULED'),
      t.Literal('FINISHED'),
      t.Literal('FAILED'),
      t.Literal('KILLED'),
    ]),
    start_time: t.Optional(time),
    end_time: t.Optional(time),
    lifecycle_stage: lifecycle,
  }),
  data: t.Optional(given(pairs)),
  inputs: t.Optional(
    given({
      dataset_inputs: t.Optional(t.Array(given({ tags, dataset }))),
      model_inputs: t.Optional(t.Array(given({ model_id: modelId }))),
    }),
  ),
  outputs: t.Optional(
    given({
      model_outputs: t.Optional(t.Array(given({ model_id: modelId, step: t.Optional(step) }))),
    }),
  ),
})

const metrics = given({
  run_id: runId,
  metrics: t.Array(given(metric), { maxItems: 1000 }),
})

const measure = given({
  ...metric,
  run_id: runId,
  dataset_name: optionalText(500),
  dataset_digest: optionalText(36),
})
const loggedModel = given({
  info: given({
    model_id: modelId,
    experiment_id: experimentId,
    name: name(500),
    creation_timestamp_ms: time,
    last_updated_timestamp_ms: time,
    status: t.Union([
      t.Literal('LOGGED_MODEL_PENDING'),
      t.Literal('LOGGED_MODEL_READY'),
      t.Literal('LOGGED_MODEL_UPLOAD_FAILED'),
    ]),
    status_message: optionalText(1000),
    model_type: optionalText(500),
    source_run_id: optionalText(256),
    tags,
  }),
  data: t.Optional(given({ params: tags, metrics: t.Optional(t.Array(measure)) })),
})

const model = given({
  name: name(256),
  creation_timestamp: time,
  last_updated_timestamp: time,
  description: optionalText(5000),
  tags,
})

const version = given({
  name: name(256),
  version: t.Integer({ minimum: 1, maximum: 999_999_999 }),
  creation_timestamp: time,
  last_updated_timestamp: time,
  current_stage: t.Union([
    t.Literal('None'),
    t.Literal('Staging'),
    t.Literal('Production'),
    t.Literal('Archived'),
  ]),
  description: optionalText(5000),
  source: optionalText(2000),
  run_id: optionalText(256),
  run_link: optionalText(2000),
  model_id: optionalText(66),
  tags,
  aliases: t.Optional(t.Array(name(256), { maxItems: 1000 })),
  folder: optionalText(1100),
})

const need = (action: string) => ({ right: 'settings:manage', action }) as const

function trackingRoutes(s: ImportRouteDeps) {
  return new Elysia({ normalize: false, detail: { tags: ['operation'] } })
    .use(s.guard)
    .post(
      '/api/v1/import/experiments',
      ({ request, body }) => importExperiment(s, exchangeOf(request), body),
      {
        body: experiment,
        need: need('experiment.import'),
        detail: { summary: 'Take over an experiment; its name is what it is known by' },
      },
    )
    .post('/api/v1/import/runs', ({ request, body }) => importRun(s, exchangeOf(request), body), {
      body: run,
      need: need(runAction),
      detail: { summary: 'Take over a run with its id, parameters, tags and lineage' },
    })
    .post(
      '/api/v1/import/metrics',
      ({ request, body }) => importMetrics(s, exchangeOf(request), body),
      {
        body: metrics,
        need: need(runAction),
        detail: { summary: 'Take over a part of the history of metrics of a run' },
      },
    )
    .post(
      '/api/v1/import/logged-models',
      ({ request, body }) => importLoggedModel(s, exchangeOf(request), body),
      {
        body: loggedModel,
        need: need('logged-model.import'),
        detail: { summary: 'Take over a logged model with its id and metrics' },
      },
    )
}

export function importRoutes(s: ImportRouteDeps) {
  return new Elysia({ normalize: false, detail: { tags: ['operation'] } })
    .use(s.guard)
    .use(trackingRoutes(s))
    .post(
      '/api/v1/import/models',
      ({ request, body }) => importModel(s, exchangeOf(request), body),
      {
        body: model,
        need: need('model.import'),
        detail: { summary: 'Take over a registered model' },
      },
    )
    .post(
      '/api/v1/import/versions',
      ({ request, body }) => importVersion(s, exchangeOf(request), body),
      {
        body: version,
        need: need('version.import'),
        detail: {
          summary:
            'Take over a version with its number, times, stage and aliases; it is tried first',
        },
      },
    )
}
