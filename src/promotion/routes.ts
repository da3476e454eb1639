// Native API of promotion: upload, stage, rollback, quarantine.
import { Elysia, t } from 'elysia'

import type { Guard } from '../http/guard.ts'
import { exchangeOf } from '../http/request.ts'
import { demandStage } from '../registry/stages.ts'
import { promote } from './promote.ts'
import type { Promotion } from './promotion.ts'
import { admitUpload, register } from './register.ts'
import { clearQuarantine, rollback } from './rollback.ts'
import { receiveUpload } from './upload.ts'

export interface PromotionRouteDeps extends Promotion {
  guard: Guard
}

const strict = { additionalProperties: false }
const stage = t.Union(
  ['None', 'Staging', 'Production', 'Archived'].map((name) => t.Literal(name)),
  { examples: ['Staging'] },
)
const numbered = t.Object({ model: t.String(), version: t.Integer({ minimum: 1 }) })
const reason = t.Optional(t.String({ maxLength: 1000, examples: ['passed review'] }))

const uploadDetail = {
  summary: 'Upload a model as the next version',
  description:
    'multipart/form-data: a field `metadata` (JSON: description, tags, metrics, params, git_commit, ' +
    'run_id, stage, schema), then the file `model`. Or the bare bytes as application/octet-stream ' +
    'with metric=k=v, param=k=v, tag=k=v, commit, stage in the query.',
  requestBody: {
    content: {
      'multipart/form-data': {
        schema: {
          type: 'object' as const,
          required: ['model'],
          properties: {
            metadata: { type: 'string' as const, example: '{"metrics":{"accuracy":0.97}}' },
            model: { type: 'string' as const, format: 'binary' },
          },
        },
      },
    },
  },
}

function uploadRoute(s: PromotionRouteDeps) {
  // `parse: none` leaves the body unread: it streams to disk, however large it is.
  return new Elysia({ detail: { tags: ['versions'] } }).use(s.guard).post(
    '/api/v1/models/:model/versions',
    async ({ request, params, set }) => {
      const ctx = exchangeOf(request)
      const { searchParams } = new URL(request.url)
      await admitUpload(s, ctx, params.model, searchParams.get('stage'))
      const received = await receiveUpload(request, s.storage, s.config['max-model'])
      set.status = 201
      return register(s, ctx, params.model, received)
    },
    {
      parse: 'none',
      need: { right: 'versions:create', action: 'version.create', class: 'stream' },
      detail: uploadDetail,
    },
  )
}

export function promotionRoutes(s: PromotionRouteDeps) {
  return new Elysia({ normalize: false, detail: { tags: ['versions'] } })
    .use(s.guard)
    .use(uploadRoute(s))
    .post(
      '/api/v1/models/:model/versions/:version/stage',
      ({ request, params: { model: name, version }, body }) => {
        const target = demandStage(body.stage, '/stage')
        const { reason: why, archive_existing: archiveExisting } = body
        const move = { name, version, stage: target, reason: why, archiveExisting }
        return promote(s, exchangeOf(request), move)
      },
      {
        params: numbered,
        body: t.Object({ stage, reason, archive_existing: t.Optional(t.Boolean()) }, strict),
        need: { right: 'stage:None', action: 'version.stage' },
        detail: { summary: 'Move a version to a stage' },
      },
    )
    .post(
      '/api/v1/models/:model/rollback',
      ({ request, params, body }) =>
        rollback(s, exchangeOf(request), {
          name: params.model,
          stage: body.stage ?? 'Production',
          demoteTo: body.demote_to ?? 'Archived',
          reason: body.reason,
        }),
      {
        body: t.Object(
          {
            stage: t.Optional(t.Union([t.Literal('Production'), t.Literal('Staging')])),
            demote_to: t.Optional(
              t.Union([t.Literal('Archived'), t.Literal('Staging'), t.Literal('None')]),
            ),
            reason,
          },
          strict,
        ),
        need: { right: 'stage:Archived', action: 'model.rollback' },
        detail: { summary: 'Serve the last good version of a stage again' },
      },
    )
    .delete(
      '/api/v1/models/:model/versions/:version/quarantine',
      ({ request, params: { model: name, version } }) =>
        clearQuarantine(s, exchangeOf(request), { name, version }),
      {
        params: numbered,
        need: { right: 'models:write', action: 'version.quarantine-clear' },
        detail: { summary: 'Try a quarantined version again and lift the quarantine' },
      },
    )
}
