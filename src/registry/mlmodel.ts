// The `MLmodel` file of a version that came without one: how MLflow's clients load its ONNX.
import type { Signature, Slot } from '../onnx/model.ts'
import { type FeatureSchema, namedColumns } from '../onnx/signature.ts'
import type { ElementType } from '../onnx/tensor.ts'

/** What the model file is called beside its `MLmodel`. */
export const onnxName = 'model.onnx'
export const mlmodelName = 'MLmodel'

/**
 * MLflow's names of column types. Its ONNX flavour casts doubles down where the graph takes floats,
 * but a column declared `float` refuses the doubles that pandas makes of everything.
 */
const columnTypes: Partial<Record<ElementType, string>> = {
  bool: 'boolean',
  int8: 'integer',
  int16: 'integer',
  int32: 'integer',
  int64: 'long',
  float16: 'double',
  float32: 'double',
  float64: 'double',
  string: 'string',
}

/** Null where MLflow has no type for a column, or its flavour would not feed it by that name. */
function columnSpecs({ inputs }: Signature, schema: FeatureSchema): object[] | null {
  const columns = namedColumns({ inputs }, schema)
  // Columns of one input go in as a matrix; with several inputs each column is one, and flat.
  const isFed =
    inputs.length === 1 ||
    (columns.every(({ name, input }) => name === input) &&
      inputs.every(({ shape }) => shape?.length === 1))
  const specs = columns
    .toSorted((a, b) => a.index - b.index)
    .map(({ name, type }) => ({ type: columnTypes[type], name, required: true }))
  const isKnown = specs.length > 0 && specs.every(({ type }) => type !== undefined)
  return isFed && isKnown ? specs : null
}

/** Null for a tensor of unknown rank, which MLflow cannot describe. */
function tensorSpecs(slots: readonly Slot[]): object[] | null {
  const specs = slots.map(({ name, type, shape }) => {
    const dims = shape?.map((dim) => (typeof dim === 'number' ? dim : -1))
    const dtype = type === 'string' ? 'object' : type
    return { name, type: 'tensor', 'tensor-spec': { dtype, shape: dims } }
  })
  return slots.every(({ shape }) => shape !== null) ? specs : null
}

const jsonOf = (specs: object[] | null): string | null => specs && JSON.stringify(specs)

export interface Described {
  signature: Signature
  schema: FeatureSchema
  /** Bytes of the model file. */
  size: number
  runId?: string | undefined
}

/** The text of an `MLmodel` file with the flavours `onnx` and `python_function`. */
export function mlmodelOf({ signature, schema, size, runId }: Described): string {
  const inputs = columnSpecs(signature, schema) ?? tensorSpecs(signature.inputs)
  const outputs = tensorSpecs(signature.outputs)
  const file = {
    ...(runId === undefined ? {} : { run_id: runId }),
    flavors: {
      onnx: { data: onnxName, code: null, providers: ['CPUExecutionProvider'] },
      python_function: { loader_module: 'mlflow.onnx', data: onnxName },
    },
    model_size_bytes: size,
    // A signature without inputs would refuse them all.
    ...(inputs && {
      signature: { inputs: jsonOf(inputs), outputs: jsonOf(outputs), params: null },
    }),
  }
  return `${Bun.YAML.stringify(file, null, 2)}\n`
}
