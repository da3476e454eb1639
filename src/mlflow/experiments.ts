// The endpoints of experiments, but their search.
import * as verbs from '../tracking/experiments.ts'
import type { MlflowParts } from './api.ts'
import type { Endpoint } from './door.ts'
import type { Fields } from './fields.ts'
import { pairIn, pairsIn, reading, writing } from './tracking-endpoint.ts'
import { experimentWire } from './wire.ts'

const idIn = (fields: Fields): string => fields.text('experiment_id')

export const experimentEndpoints = (s: MlflowParts): Endpoint[] => [
  writing('POST experiments/create', 'experiment.create', async (ctx, fields) => {
    const { id } = await verbs.createExperiment(s, ctx, {
      name: fields.text('name'),
      artifactLocation: fields.optionalText('artifact_location') || undefined,
      tags: pairsIn(fields, 'tags'),
    })
    return { experiment_id: String(id) }
  }),
  reading('experiments/get', async (ctx, fields) => ({
    experiment: experimentWire(await verbs.getExperiment(s, ctx, idIn(fields))),
  })),
  reading('experiments/get-by-name', async (ctx, fields) => {
    const name = fields.text('experiment_name')
    return { experiment: experimentWire(await verbs.getExperimentByName(s, ctx, name)) }
  }),
  writing('POST experiments/update', 'experiment.update', (ctx, fields) =>
    verbs.renameExperiment(s, ctx, idIn(fields), fields.text('new_name')),
  ),
  writing('POST experiments/delete', 'experiment.delete', (ctx, fields) =>
    verbs.deleteExperiment(s, ctx, idIn(fields)),
  ),
  writing('POST experiments/restore', 'experiment.restore', (ctx, fields) =>
    verbs.restoreExperiment(s, ctx, idIn(fields)),
  ),
  writing('POST experiments/set-experiment-tag', 'experiment.tag', (ctx, fields) =>
    verbs.setExperimentTag(s, ctx, idIn(fields), pairIn(fields)),
  ),
  writing('POST experiments/delete-experiment-tag', 'experiment.tag', (ctx, fields) =>
    verbs.deleteExperimentTag(s, ctx, idIn(fields), fields.text('key')),
  ),
]
