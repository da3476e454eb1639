// A version's inputs as MLflow sees them, ColSpec or TensorSpec, and how payloads become tensors.
import { Fault } from '../core/fault.ts'
import { isObject } from '../core/object.ts'
import type { Deployment } from '../inference/deployment.ts'
import type { Slot } from '../onnx/model.ts'
import { namedColumns } from '../onnx/signature.ts'
import { countOf, type ElementType, type Tensor } from '../onnx/tensor.ts'
import { type Frame, invalid } from './frame.ts'

/** MLflow's names of column types; what it has no name for shows as ONNX's. */
const typeNames: Partial<Record<ElementType, string>> = {
  bool: 'boolean',
  int8: 'integer',
  int16: 'integer',
  int32: 'integer',
  int64: 'long',
  float32: 'float',
  float64: 'double',
}

const mostShown = 20

/** Tensors to run, and the shape of the answer: a DataFrame's rows, or whole outputs by name. */
export interface Fed {
  tensors: Tensor[]
  form: 'rows' | 'outputs'
}

type Named = Record<string, unknown>

const isNested = (value: unknown): boolean => Array.isArray(value) && Array.isArray(value[0])

const shown = (names: readonly string[]): string =>
  `[${names.slice(0, mostShown).join(', ')}${names.length > mostShown ? ', …' : ''}]`

function tensorSpec({ name, type, shape }: Slot): string {
  const dims = shape?.map((dim) => (typeof dim === 'number' ? dim : -1)).join(', ') ?? '?'
  return `'${name}': Tensor('${type}', (${dims}))`
}

/** Folds a flat list into the shape, in C order. */
function folded(list: unknown[], dims: readonly number[]): unknown {
  const [size, ...inner] = dims
  if (size === undefined) return list[0]
  const stride = countOf(inner)
  return Array.from({ length: size }, (_, at) =>
    folded(list.slice(at * stride, (at + 1) * stride), inner),
  )
}

/** The payloads of MLflow's scoring protocol for one version. Made once per deployment. */
export class InputSchema {
  private readonly deployment: Deployment
  private readonly inputs: readonly Slot[]
  private readonly inputNames: readonly string[]
  /** Columns that somebody named; empty where the signature is one of tensors. */
  private readonly columns: readonly string[]
  /** Those of them that take no null. */
  private readonly demanded: ReadonlySet<string>
  private readonly types: ReadonlyMap<string, ElementType>

  constructor(deployment: Deployment) {
    const { signature, schema } = deployment
    this.deployment = deployment
    this.inputs = signature.inputs
    this.inputNames = signature.inputs.map((slot) => slot.name)
    const columns = namedColumns(signature, schema)
    this.columns = columns.map((column) => column.name)
    this.demanded = new Set(columns.filter((c) => c.nullable !== true).map((c) => c.name))
    this.types = new Map(
      (columns.length > 0 ? columns : signature.inputs).map(({ name, type }) => [name, type]),
    )
  }

  /** How the cells of a CSV column are read. */
  typeOf(name: string): ElementType | undefined {
    const [only] = this.inputs.length === 1 && this.columns.length === 0 ? this.inputs : []
    return this.types.get(name) ?? only?.type
  }

  /** A DataFrame: columns by name, or by position where it names none. Extra ones are ignored. */
  frame(frame: Frame): Fed {
    const { columns } = this
    if (columns.length === 0) return this.tensors(this.cells(frame))
    if (frame.names === null) {
      if (frame.width !== columns.length) throw this.missing(columns)
      return this.rows(frame.rows())
    }
    this.demandAll(columns, new Set(frame.names))
    return this.rows(frame.pick(columns, this.demanded))
  }

  /** `instances`: a tensor in row form, or a list of objects by column or input name. */
  instances(value: unknown): Fed {
    if (!Array.isArray(value) || !isObject(value[0])) return this.values(value)
    if (!value.every(isObject)) throw invalid('Instances must be all objects or all lists.')
    const wanted = new Set([...this.columns, ...this.inputNames])
    const collected = new Map<string, unknown[]>()
    // What items have is looked through, not what they could have: `{}` must cost no more than it is.
    for (const item of value) {
      for (const name of Object.keys(item)) {
        if (!wanted.has(name)) continue
        const list = collected.get(name)
        if (list) list.push(item[name])
        else collected.set(name, [item[name]])
      }
    }
    if (new Set([...collected.values()].map((list) => list.length)).size > 1) {
      throw invalid('The length of values for each input/column name are not the same')
    }
    return this.named(Object.fromEntries(collected))
  }

  /** `inputs`: an object by column or input name, or the tensor of a model with one input. */
  values(value: unknown): Fed {
    const { columns, inputs } = this
    if (isObject(value)) return this.named(value)
    const [column] = columns
    if (columns.length === 1 && column !== undefined && Array.isArray(value) && !isNested(value)) {
      return this.columnLists({ [column]: value })
    }
    if (inputs.length === 1) return this.tensors(value)
    throw this.missing(columns.length > 0 ? columns : this.inputNames)
  }

  private named(given: Named): Fed {
    const { columns, inputNames } = this
    const has = (name: string): boolean => Object.hasOwn(given, name)
    const byColumns = columns.length > 0 && columns.every(has)
    const byInputs = inputNames.every(has)
    // A model's inputs may be called like its columns: a column is a plain list, an input a tensor.
    if (byColumns && !(byInputs && inputNames.some((name) => isNested(given[name])))) {
      return this.columnLists(given)
    }
    if (!byInputs && columns.length > 0) this.demandAll(columns, new Set(Object.keys(given)))
    this.demandAll(inputNames, new Set(Object.keys(given)))
    return this.tensors(Object.fromEntries(inputNames.map((name) => [name, given[name]])))
  }

  private columnLists(given: Named): Fed {
    const lists = this.columns.map((name): unknown[] => {
      const list = given[name]
      return Array.isArray(list) ? list : [list]
    })
    const count = lists[0]?.length ?? 0
    if (lists.some((list) => list.length !== count)) {
      throw this.mismatch('the lists of the columns must be of the same length')
    }
    return this.rows(Array.from({ length: count }, (_, row) => lists.map((list) => list[row])))
  }

  private rows(rows: unknown[][]): Fed {
    try {
      return { tensors: this.deployment.validator.rows(rows), form: 'rows' }
    } catch (error) {
      throw error instanceof Fault ? this.withNames(error) : error
    }
  }

  /** The rows were put in order here, so what is wrong in them is named by column, not by place. */
  private withNames(fault: Fault): Fault {
    const errors = fault.errors?.map((flaw) => {
      const [, , row, at] = flaw.pointer.split('/')
      if (row === undefined) return { ...flaw, pointer: '' }
      const column = at === undefined ? '' : `, column '${this.columns[Number(at)]}'`
      return { ...flaw, pointer: `row ${row}${column}` }
    })
    return new Fault(fault.code, fault.message, errors ? { errors } : {})
  }

  private tensors(given: unknown): Fed {
    return { tensors: this.deployment.validator.tensors(given), form: 'outputs' }
  }

  /** A DataFrame over tensors: all columns are one matrix, or a column holds each input's slices. */
  private cells(frame: Frame): Named {
    const { inputs, inputNames } = this
    const [only] = inputs
    if (inputs.length === 1 && only) {
      if (frame.width === 1) {
        return { [only.name]: frame.rows().map(([cell]) => this.slice(only, cell)) }
      }
      if (only.shape?.length !== 2 || only.shape[1] !== frame.width) {
        throw this.mismatch(`the DataFrame has ${frame.width} columns`)
      }
      return { [only.name]: frame.rows() }
    }
    this.demandAll(inputNames, new Set(frame.names ?? []))
    const rows = frame.pick(inputNames)
    return Object.fromEntries(
      inputs.map((slot, at) => [slot.name, rows.map((row) => this.slice(slot, row[at]))]),
    )
  }

  /** A cell as one slice of an input: a value, or the flattened list of a slice. */
  private slice(slot: Slot, cell: unknown): unknown {
    const [batch, ...dims] = slot.shape ?? [0]
    if (typeof batch === 'number' || dims.some((dim) => typeof dim !== 'number')) {
      throw this.mismatch('a DataFrame needs a free first dimension, the others fixed')
    }
    const list: unknown[] = Array.isArray(cell) ? cell : [cell]
    if (list.length !== countOf(dims as number[]) || isNested(list)) {
      throw this.mismatch(`a cell of ${slot.name} must hold the flat list of its values`)
    }
    return folded(list, dims as number[])
  }

  private demandAll(wanted: readonly string[], given: ReadonlySet<string>): void {
    const lacking = wanted.filter((name) => !given.has(name))
    if (lacking.length === 0) return
    const extra = [...given].filter((name) => !wanted.includes(name))
    throw this.missing(lacking, extra)
  }

  private missing(names: readonly string[], extra: readonly string[] = []): Fault {
    const note = extra.length > 0 ? ` Note that there were extra inputs: ${shown(extra)}.` : ''
    return this.mismatch(`Model is missing inputs ${shown(names)}.${note}`, 'missing')
  }

  /** `check`: what the metrics call it. */
  private mismatch(why: string, check = 'shape'): Fault {
    const { columns, inputs, types } = this
    const specs =
      columns.length > 0
        ? columns.map((name) => {
            const type = types.get(name) ?? 'string'
            return `'${name}': ${typeNames[type] ?? type} (required)`
          })
        : inputs.map(tensorSpec)
    return new Fault(
      'input.invalid',
      `Failed to enforce schema of data with schema '${shown(specs)}'. Error: ${why}`,
      { members: { check } },
    )
  }
}
