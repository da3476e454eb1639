// What the protocol tells of the server, of a model, and of how the model is configured.
// Config: https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_configuration.md
import type { VersionRow } from '../db/tables.ts'
import { mostRows } from '../inference/batcher.ts'
import type { TrialReport } from '../inference/trial.ts'
import type { Dim, Signature, Slot } from '../onnx/model.ts'
import { datatypeOf } from './datatype.ts'

export const extensions = [
  'model_repository',
  'model_configuration',
  'binary_tensor_data',
  'parameters',
  'statistics',
  'classification',
]

/** As Triton names ONNX models; its clients look for this. */
const platform = 'onnxruntime_onnx'

const sizeOf = (dim: Dim): number => (typeof dim === 'number' ? dim : -1)

/** Free dimensions are -1; a model that does not tell its shape is taken for a list. */
const shapeOf = ({ shape }: Slot): number[] => (shape ?? ['']).map(sizeOf)

const tensorOf = (slot: Slot): object => ({
  name: slot.name,
  datatype: datatypeOf(slot.type),
  shape: shapeOf(slot),
})

/** `versions`: those to name. */
export function modelMetadata(model: string, row: VersionRow, versions: string[]): object {
  const { inputs, outputs } = row.signature as unknown as Signature
  return {
    name: model,
    versions,
    platform,
    inputs: inputs.map(tensorOf),
    outputs: outputs.map(tensorOf),
  }
}

/** Datatypes have other names there: TYPE_STRING for BYTES. */
const configType = ({ type }: Slot): string =>
  `TYPE_${type === 'string' ? 'STRING' : datatypeOf(type)}`

/**
 * The model configuration. Where rows may travel together, `max_batch_size` says how many do, and
 * `dims` leave out the leading -1 that the metadata shows; else it is 0 and they are whole.
 */
export function modelConfig(model: string, row: VersionRow): object {
  const { inputs, outputs } = row.signature as unknown as Signature
  const isTable = [...inputs, ...outputs].every(({ shape }) => typeof shape?.[0] === 'string')
  const batchable = isTable && (row.trial as TrialReport | null)?.batchable === true
  const slotOf = (slot: Slot): object => ({
    name: slot.name,
    data_type: configType(slot),
    dims: shapeOf(slot).slice(batchable ? 1 : 0),
  })
  return {
    name: model,
    platform,
    backend: 'onnxruntime',
    max_batch_size: batchable ? mostRows : 0,
    input: inputs.map(slotOf),
    output: outputs.map(slotOf),
    instance_group: [{ name: model, kind: 'KIND_CPU', count: 1 }],
    ...(batchable ? { dynamic_batching: { max_queue_delay_microseconds: 0 } } : {}),
    model_transaction_policy: { decoupled: false },
  }
}
