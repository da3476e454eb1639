// Reads the `MLmodel` file that MLflow writes beside a model: where its ONNX lies, what it takes.
import { isObject } from '../core/object.ts'

export interface MlModel {
  flavors: string[]
  /** Path of the ONNX file below the folder, if there is one. */
  onnx: string | null
  /** Columns of the signature as a schema file (§23), if it names any. */
  schema: { columns: object[] } | null
}

/** Larger ones are not read; a signature of 10,000 columns takes half of it. */
export const mostMlModel = 1 << 20

const member = (value: unknown, name: string): unknown =>
  isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined

/** MLflow's column types as element types; those that no ONNX input takes are left out. */
const columnTypes = new Map([
  ['boolean', 'bool'],
  ['integer', 'int32'],
  ['long', 'int64'],
  ['float', 'float32'],
  ['double', 'float64'],
  ['string', 'string'],
])

function columnOf(spec: unknown): object | null {
  const name = member(spec, 'name')
  const type = columnTypes.get(String(member(spec, 'type')))
  if (typeof name !== 'string' || name === '' || type === undefined) return null
  // A column that may be missing is one that may be null, where the type has a null.
  const isOptional = member(spec, 'required') === false && type.startsWith('float')
  return { name, type, ...(isOptional ? { nullable: true } : {}) }
}

/** The inputs of a signature, a JSON text within the YAML, where all of them are named columns. */
function schemaOf(signature: unknown): MlModel['schema'] {
  const text = member(signature, 'inputs')
  if (typeof text !== 'string') return null
  let specs: unknown
  try {
    specs = JSON.parse(text)
  } catch {
    return null
  }
  if (!Array.isArray(specs) || specs.length === 0) return null
  const columns = specs.map(columnOf)
  return columns.every((column) => column !== null) ? { columns } : null
}

/** Null for a text that is no YAML mapping. */
export function parseMlModel(text: string): MlModel | null {
  let file: unknown
  try {
    file = Bun.YAML.parse(text)
  } catch {
    return null
  }
  const flavors = member(file, 'flavors')
  if (!isObject(flavors)) return null
  const data = member(member(flavors, 'onnx'), 'data')
  return {
    flavors: Object.keys(flavors),
    onnx: typeof data === 'string' && data !== '' ? data : null,
    schema: schemaOf(member(file, 'signature')),
  }
}
