// Native API of the registry: models, versions, aliases, history.
import { Elysia, t } from 'elysia'

import { Fault } from '../core/fault.ts'
import { iso } from '../core/time.ts'
import { fileResponse } from '../http/file.ts'
import type { Guard } from '../http/guard.ts'
import { cursorOf, defaultLimit, numericCursorOf, pageOf } from '../http/page.ts'
import { exchangeOf } from '../http/request.ts'
import type { Storage } from '../storage/storage.ts'
import { deleteAlias, setAlias } from './aliases.ts'
import type { BlobKeeper } from './blobs.ts'
import { deleteModel, deleteVersion, restoreModel, restoreVersion } from './deletion.ts'
import { createModel, getModel, listModels, modelView, updateModel } from './models.ts'
import { findModel, hasArtifact, type Registry } from './registry.ts'
import { historyOf } from './stages.ts'
import { listVersions, readVersion, updateVersion, viewVersion } from './versions.ts'

export interface RegistryRouteDeps extends Registry {
  guard: Guard
  storage: Storage
  blobs: BlobKeeper
}

const strict = { additionalProperties: false }
const text = (most: number) => t.String({ maxLength: most })
const tagMap = t.Record(text(250), text(5000), { examples: [{ team: 'risk' }] })
const tagEdit = t.Record(text(250), t.Union([text(5000), t.Null()]))
const edit = t.Object({ description: t.Optional(text(5000)), tags: t.Optional(tagEdit) }, strict)
const numbered = t.Object({ model: t.String(), version: t.Integer({ minimum: 1 }) })
const purging = t.Object({ purge: t.Optional(t.BooleanString()) })
const paging = {
  limit: t.Optional(t.Integer({ minimum: 1, maximum: 100 })),
  page_token: t.Optional(text(1000)),
}

function modelRoutes(s: RegistryRouteDeps) {
  return new Elysia({ normalize: false, detail: { tags: ['models'] } })
    .use(s.guard)
    .post(
      '/api/v1/models',
      ({ request, body, set }) => {
        set.status = 201
        return createModel(s, exchangeOf(request), body)
      },
      {
        body: t.Object(
          {
            name: t.String({ examples: ['iris'] }),
            description: t.Optional(text(5000)),
            tags: t.Optional(tagMap),
          },
          strict,
        ),
        need: { right: 'models:create', action: 'model.create' },
        detail: { summary: 'Register a model' },
      },
    )
    .get(
      '/api/v1/models',
      async ({ request, query }) => {
        const limit = query.limit ?? defaultLimit
        const after = cursorOf(query.page_token)
        const rows = await listModels(s, exchangeOf(request), {
          filter: query.filter,
          after,
          limit,
        })
        const { items, ...next } = pageOf(rows, limit, (row) => row.name)
        const shown = await Promise.all(items.map((row) => modelView(s.db.read, row, s.serving)))
        return { models: shown, ...next }
      },
      {
        query: t.Object({ ...paging, filter: t.Optional(text(255)) }),
        need: { right: 'models:read' },
        detail: { summary: 'List models; filter is a part of the name' },
      },
    )
    .get(
      '/api/v1/models/:model',
      ({ request, params }) => getModel(s, exchangeOf(request), params.model),
      { need: { right: 'models:read' }, detail: { summary: 'One model' } },
    )
}

function modelChangeRoutes(s: RegistryRouteDeps) {
  return new Elysia({ normalize: false, detail: { tags: ['models'] } })
    .use(s.guard)
    .patch(
      '/api/v1/models/:model',
      ({ request, params, body }) => updateModel(s, exchangeOf(request), params.model, body),
      {
        body: edit,
        need: { right: 'models:write', action: 'model.update' },
        detail: { summary: 'Edit description and tags' },
      },
    )
    .delete(
      '/api/v1/models/:model',
      async ({ request, params, query }) => {
        const purge = query.purge ?? false
        const gone = await deleteModel(
          s,
          exchangeOf(request),
          params.model,
          purge ? 'purge' : 'keep',
        )
        if (purge) await s.blobs.sweep()
        return gone
      },
      {
        query: purging,
        need: { right: 'models:delete', action: 'model.delete' },
        detail: {
          summary: 'Delete a model without live versions; it can be restored unless purged',
        },
      },
    )
    .post(
      '/api/v1/models/:model/restore',
      ({ request, params }) => restoreModel(s, exchangeOf(request), params.model),
      {
        need: { right: 'models:delete', action: 'model.restore' },
        detail: { summary: 'Undo the deletion of a model' },
      },
    )
}

function versionRoutes(s: RegistryRouteDeps) {
  return new Elysia({ normalize: false, detail: { tags: ['versions'] } })
    .use(s.guard)
    .get(
      '/api/v1/models/:model/versions',
      async ({ request, params, query }) => {
        const limit = query.limit ?? defaultLimit
        const before = numericCursorOf(query.page_token)
        const { stage } = query
        const ctx = exchangeOf(request)
        const { rows, views } = await listVersions(s, ctx, params.model, { before, limit, stage })
        const { items: _rows, ...next } = pageOf(rows, limit, (row) => String(row.version))
        return { versions: views.slice(0, limit), ...next }
      },
      {
        query: t.Object({ ...paging, stage: t.Optional(text(20)) }),
        need: { right: 'models:read' },
        detail: { summary: 'Versions of a model, newest first' },
      },
    )
    .get(
      '/api/v1/models/:model/versions/:version',
      async ({ request, params }) => {
        const { model, row } = await readVersion(
          s,
          exchangeOf(request),
          params.model,
          params.version,
        )
        return viewVersion(s.db.read, model, row)
      },
      {
        need: { right: 'models:read' },
        detail: { summary: 'One version, by number, stage or alias' },
      },
    )
    .get(
      '/api/v1/models/:model/versions/:version/model',
      async ({ request, params, query }) => {
        const { row } = await readVersion(s, exchangeOf(request), params.model, params.version)
        const digest = query.original ? row.originalSha256 : row.sha256
        if (!hasArtifact(row) || !s.storage.exists(digest)) {
          throw new Fault('artifact.not-found', 'There are no bytes of this version.')
        }
        const headers = {
          'content-type': 'application/octet-stream',
          'content-disposition': `attachment; filename="model-${row.version}.onnx"`,
          etag: `"${digest}"`,
        }
        return fileResponse(request, s.storage.path(digest), headers)
      },
      {
        query: t.Object({ original: t.Optional(t.BooleanString()) }),
        need: { right: 'models:read', class: 'stream' },
        detail: { summary: 'Download the model as it is served, or as it was uploaded' },
      },
    )
}

function versionChangeRoutes(s: RegistryRouteDeps) {
  return new Elysia({ normalize: false, detail: { tags: ['versions'] } })
    .use(s.guard)
    .patch(
      '/api/v1/models/:model/versions/:version',
      ({ request, params: { model: name, version }, body }) =>
        updateVersion(s, exchangeOf(request), { name, version }, body),
      {
        params: numbered,
        body: edit,
        need: { right: 'models:write', action: 'version.update' },
        detail: { summary: 'Edit description and tags of a version' },
      },
    )
    .delete(
      '/api/v1/models/:model/versions/:version',
      async ({ request, params: { model: name, version }, query }) => {
        const purge = query.purge ?? false
        const how = purge ? 'purge' : 'keep'
        const gone = await deleteVersion(s, exchangeOf(request), { name, version }, how)
        if (purge) await s.blobs.sweep()
        return gone
      },
      {
        params: numbered,
        query: purging,
        need: { right: 'models:delete', action: 'version.delete' },
        detail: { summary: 'Delete a version that is not live; purge frees its bytes at once' },
      },
    )
    .post(
      '/api/v1/models/:model/versions/:version/restore',
      ({ request, params: { model: name, version } }) =>
        restoreVersion(s, exchangeOf(request), { name, version }),
      {
        params: numbered,
        need: { right: 'models:delete', action: 'version.restore' },
        detail: { summary: 'Undo the deletion of a version' },
      },
    )
}

function aliasRoutes(s: RegistryRouteDeps) {
  return new Elysia({ normalize: false, detail: { tags: ['versions'] } })
    .use(s.guard)
    .put(
      '/api/v1/models/:model/aliases/:alias',
      ({ request, params: { model: name, alias }, body }) =>
        setAlias(s, exchangeOf(request), { name, alias }, body.version),
      {
        body: t.Object({ version: t.Integer({ minimum: 1, examples: [1] }) }, strict),
        need: { right: 'aliases:write', action: 'alias.set' },
        detail: { summary: 'Point an alias at a version' },
      },
    )
    .delete(
      '/api/v1/models/:model/aliases/:alias',
      ({ request, params: { model: name, alias } }) =>
        deleteAlias(s, exchangeOf(request), { name, alias }),
      {
        need: { right: 'aliases:write', action: 'alias.delete' },
        detail: { summary: 'Remove an alias' },
      },
    )
    .get(
      '/api/v1/models/:model/history',
      async ({ params, query }) => {
        const limit = query.limit ?? defaultLimit
        const before = numericCursorOf(query.page_token) ?? Number.MAX_SAFE_INTEGER
        const model = await findModel(s.db.read, params.model)
        const rows = await historyOf(s.db.read, model.id, before, limit + 1)
        const { items, ...next } = pageOf(rows, limit, (row) => String(row.id))
        const moves = items.map(({ modelId: _id, at, requestId, ...move }) => ({
          ...move,
          at: iso(at),
          request_id: requestId,
        }))
        return { moves, ...next }
      },
      {
        query: t.Object(paging),
        need: { right: 'models:read' },
        detail: { summary: 'Every move between stages, newest first' },
      },
    )
}

export function registryRoutes(s: RegistryRouteDeps) {
  return new Elysia()
    .use(modelRoutes(s))
    .use(modelChangeRoutes(s))
    .use(versionRoutes(s))
    .use(versionChangeRoutes(s))
    .use(aliasRoutes(s))
}
