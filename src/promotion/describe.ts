// An upload gets the files that MLflow's clients expect of a version: its model and an `MLmodel`.
import type { Queries } from '../db/db.ts'
import type { VersionRow } from '../db/tables.ts'
import type { Signature, Slot } from '../onnx/model.ts'
import { type FeatureSchema, namedColumns } from '../onnx/signature.ts'
import type { ElementType } from '../onnx/tensor.ts'
import { folderOfVersion, writeFile } from '../registry/files.ts'
import type { VersionFindings } from '../registry/versions.ts'
import { receiveFile } from '../storage/receive.ts'
import type { Promotion } from './promotion.ts'

/** What the model file is called beside its `MLmodel`. */
const onnxName = 'model.onnx'
const mlmodelName = 'MLmodel'

/**
 * MLflow's names for columns of an input. It makes exactly these types of what it is given, so other
 * inputs have none; and for floats it casts doubles, which pandas has, but refuses them as `float`.
 */
const columnTypes: Partial<Record<ElementType, string>> = {
  bool: 'boolean',
  int32: 'integer',
  int64: 'long',
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
  const types = new Map(inputs.map(({ name, type }) => [name, columnTypes[type]]))
  const specs = columns
    .toSorted((a, b) => a.index - b.index)
    .map(({ name, input }) => ({ type: types.get(input), name, required: true }))
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

interface Described {
  signature: Signature
  schema: FeatureSchema
  /** Bytes of the model file. */
  size: number
  runId?: string | undefined
}

/** The text of an `MLmodel` file with the flavours `onnx` and `python_function`. */
function mlmodelOf({ signature, schema, size, runId }: Described): string {
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

export interface Kept {
  /** Records both files of the version. */
  write(tx: Queries, row: VersionRow): Promise<void>
  /** Call it after the transaction: until then no sweep frees the bytes. */
  release(): void
}

/** Stores the `MLmodel` of an upload; the upload itself is in storage already. */
export async function keepMlmodel(
  s: Promotion,
  found: VersionFindings & { runId: string | undefined },
): Promise<Kept> {
  const { originalSha256, originalSize, runId } = found
  const signature = found.signature as unknown as Signature
  const schema = found.schema as unknown as FeatureSchema
  const text = Buffer.from(mlmodelOf({ signature, schema, size: originalSize, runId }))
  const { upload, sha256, size } = await receiveFile(s.storage, (to) => to.write(text))
  const release = s.blobs.pin(sha256)
  try {
    await s.storage.commit(upload.path, sha256)
  } catch (error) {
    release()
    await upload.discard()
    throw error
  }
  const model = { sha256: originalSha256, size: originalSize }
  return {
    release,
    write: async (tx, { id, createdBy }) => {
      const folder = folderOfVersion(id)
      await writeFile(tx, { path: `${folder}/${onnxName}`, ...model, createdBy })
      await writeFile(tx, { path: `${folder}/${mlmodelName}`, sha256, size, createdBy })
    },
  }
}
