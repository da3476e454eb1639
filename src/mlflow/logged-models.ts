// The endpoints of logged models, but their search and their files.
import * as verbs from '../tracking/logged-models.ts'
import type { MlflowParts } from './api.ts'
import type { Endpoint } from './door.ts'
import type { Fields } from './fields.ts'
import { pairsIn, reading, writing } from './tracking-endpoint.ts'
import { loggedModelWire } from './wire.ts'

const idIn = ({ model_id: id = '' }: Record<string, string>): string => id

const inputOf = (fields: Fields): verbs.LoggedModelInput => ({
  experimentId: fields.text('experiment_id'),
  name: fields.optionalText('name') || undefined,
  modelType: fields.optionalText('model_type') || undefined,
  sourceRunId: fields.optionalText('source_run_id') || undefined,
  params: pairsIn(fields, 'params'),
  tags: pairsIn(fields, 'tags'),
})

const one = 'logged-models/{model_id}'

export const loggedModelEndpoints = (s: MlflowParts): Endpoint[] => [
  writing('POST logged-models', 'logged-model.create', async (ctx, fields) => ({
    model: loggedModelWire(await verbs.createLoggedModel(s, ctx, inputOf(fields))),
  })),
  reading(one, async (ctx, fields, at) => {
    const allowDeleted = fields.boolean('allow_deleted')
    return { model: loggedModelWire(await verbs.getLoggedModel(s, ctx, idIn(at), allowDeleted)) }
  }),
  writing(`PATCH ${one}`, 'logged-model.update', async (ctx, fields, at) => {
    const status = fields.numbered('status', verbs.loggedModelStatuses, 'LOGGED_MODEL_')
    if (status === undefined) throw fields.missing('status')
    return { model: loggedModelWire(await verbs.finalizeLoggedModel(s, ctx, idIn(at), status)) }
  }),
  writing(`DELETE ${one}`, 'logged-model.delete', (ctx, _fields, at) =>
    verbs.deleteLoggedModel(s, ctx, idIn(at)),
  ),
  writing(`PATCH ${one}/tags`, 'logged-model.update', async (ctx, fields, at) => {
    const tags = pairsIn(fields, 'tags')
    return { model: loggedModelWire(await verbs.setLoggedModelTags(s, ctx, idIn(at), tags)) }
  }),
  writing(`DELETE ${one}/tags/{key}`, 'logged-model.update', (ctx, _fields, at) =>
    verbs.deleteLoggedModelTag(s, ctx, idIn(at), at.key ?? ''),
  ),
  writing(`POST ${one}/params`, 'logged-model.update', (ctx, fields, at) =>
    verbs.logLoggedModelParams(s, ctx, idIn(at), pairsIn(fields, 'params')),
  ),
]
