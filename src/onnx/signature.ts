// Feature schemas: named columns over a model's inputs, given by the user or drawn from the model.
import { Fault, type Flaw } from '../core/fault.ts'
import type { Dim, Signature, Slot } from './model.ts'
import { elements, type ElementType, elementTypes } from './tensor.ts'

export interface Column {
  name: string
  type: ElementType
  /** The model input that takes it, and its place within the input's second dimension. */
  input: string
  index: number
  min?: number
  max?: number
  allowed?: (string | number | boolean)[]
  nullable?: boolean
  description?: string
  example?: string | number | boolean
}

export interface OutputNote {
  name: string
  role: 'label' | 'scores' | 'value'
  classes?: (string | number)[]
}

export interface FeatureSchema {
  /** `columns`: rows of named values. `tensors`: inputs too wide or too odd for columns. */
  form: 'columns' | 'tensors'
  columns: Column[]
  outputs: OutputNote[]
  task: string
  extra_columns: 'forbid' | 'ignore'
}

const mostColumns = 10_000
const tasks = ['classification', 'regression', 'clustering', 'other']
const isFree = (dim: Dim | undefined): boolean => typeof dim === 'string'

/** Width of an input that holds columns: 1 for [N], F for [N, F]; undefined for any other shape. */
function widthOf(slot: Slot): number | undefined {
  const [batch, width] = slot.shape ?? []
  if (!isFree(batch)) return undefined
  if (slot.shape?.length === 1) return 1
  if (slot.shape?.length !== 2) return undefined
  return typeof width === 'number' && width <= mostColumns ? width : undefined
}

/** True when every input is a table of columns with a free number of rows. */
export function isColumnar(signature: Pick<Signature, 'inputs'>): boolean {
  const widths = signature.inputs.map(widthOf)
  const total = widths.reduce<number>((sum, width) => sum + (width ?? Number.NaN), 0)
  return total > 0 && total <= mostColumns
}

function drawColumns(inputs: readonly Slot[]): Column[] {
  return inputs.flatMap((slot) => {
    const width = widthOf(slot) ?? 0
    const { type } = slot
    if (width === 1) return [{ name: slot.name, type, input: slot.name, index: 0 }]
    const prefix = inputs.length === 1 ? 'f' : `${slot.name}_`
    return Array.from({ length: width }, (_, index) => ({
      name: `${prefix}${index}`,
      type,
      input: slot.name,
      index,
    }))
  })
}

/** Gives columns whose drawn name is taken (an input may be called `a_0` too) another one. */
function distinct(columns: Column[]): Column[] {
  const taken = new Set<string>()
  return columns.map((column) => {
    let { name } = column
    while (taken.has(name)) name += '_'
    taken.add(name)
    return { ...column, name }
  })
}

function drawOutputs(signature: Signature): OutputNote[] {
  const scores = signature.outputs.find((output) => output.classes !== undefined)
  return signature.outputs.map((output): OutputNote => {
    if (output.classes) return { name: output.name, role: 'scores', classes: output.classes }
    const isLabel = scores !== undefined && ['int64', 'string'].includes(output.type)
    return { name: output.name, role: isLabel ? 'label' : 'value' }
  })
}

/** §23: the schema of a model that came without a file. */
export function drawSchema(signature: Signature): FeatureSchema {
  const columnar = isColumnar(signature)
  const outputs = drawOutputs(signature)
  return {
    form: columnar ? 'columns' : 'tensors',
    columns: columnar ? distinct(drawColumns(signature.inputs)) : [],
    outputs,
    task: outputs.some((output) => output.role === 'scores') ? 'classification' : 'other',
    extra_columns: 'forbid',
  }
}

/** Columns that somebody named. Names made up for the places of a matrix say no more than the tensor. */
export function namedColumns(
  { inputs }: Pick<Signature, 'inputs'>,
  { columns }: FeatureSchema,
): Column[] {
  const drawn = isColumnar({ inputs }) ? distinct(drawColumns(inputs)) : []
  const isMadeUp =
    columns.every(({ name }, at) => name === drawn[at]?.name) &&
    columns.some(({ name, input }) => name !== input)
  return isMadeUp ? [] : columns
}

/** Collects what is wrong with a schema file, so that all of it is reported at once. */
class Checker {
  readonly flaws: Flaw[] = []

  fail(pointer: string, message: string): void {
    this.flaws.push({ pointer, code: 'schema', message })
  }

  object(value: unknown, pointer: string, keys: readonly string[]): Record<string, unknown> {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.fail(pointer, 'must be an object')
      return {}
    }
    for (const key of Object.keys(value)) {
      if (!keys.includes(key))
        this.fail(`${pointer}/${key}`, `unknown key; known: ${keys.join(', ')}`)
    }
    return value as Record<string, unknown>
  }

  list(value: unknown, pointer: string): unknown[] {
    if (value === undefined) return []
    if (Array.isArray(value)) return value
    this.fail(pointer, 'must be a list')
    return []
  }

  optional<T>(
    value: unknown,
    pointer: string,
    type: 'string' | 'number' | 'boolean',
  ): T | undefined {
    if (value === undefined || value === null) return undefined
    if (typeof value === type) return value as T
    this.fail(pointer, `must be a ${type}`)
    return undefined
  }

  oneOf<T extends string>(value: unknown, pointer: string, all: readonly T[]): T | undefined {
    if (all.includes(value as T)) return value as T
    this.fail(pointer, `must be one of ${all.join(', ')}`)
    return undefined
  }
}

const columnKeys = [
  'name',
  'type',
  'input',
  'index',
  'min',
  'max',
  'allowed',
  'nullable',
  'description',
  'example',
]

/** Does a value of the column's type always fit the input's element type? */
function fits(column: ElementType, input: ElementType): boolean {
  const from = elements[column].kind
  const to = elements[input].kind
  if (from === to || (from !== 'string' && to === 'float')) return true
  return from === 'int' && to === 'wide'
}

/** Drops members that are undefined, so that stored schemas hold only what was said. */
function compact<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, v]) => v !== undefined)) as T
}

function suits(type: ElementType, value: unknown): boolean {
  const { kind } = elements[type]
  if (kind === 'string') return typeof value === 'string'
  if (kind === 'bool') return typeof value === 'boolean'
  return kind === 'float' ? Number.isFinite(value) : Number.isInteger(value)
}

interface Range {
  min: number | undefined
  max: number | undefined
  allowed: unknown[] | undefined
}

function allows({ min = -Infinity, max = Infinity, allowed }: Range, value: unknown): boolean {
  const outside = Number(value) < min || Number(value) > max
  return !outside && (allowed?.includes(value) ?? true)
}

/** Range, set and example of a column, which must fit its type and each other. */
function readRange(
  check: Checker,
  value: Record<string, unknown>,
  pointer: string,
  type: ElementType,
): object {
  const min = check.optional<number>(value.min, `${pointer}/min`, 'number')
  const max = check.optional<number>(value.max, `${pointer}/max`, 'number')
  if ((min ?? -Infinity) > (max ?? Infinity)) check.fail(`${pointer}/min`, 'lies above max')
  const allowed =
    value.allowed === undefined ? undefined : check.list(value.allowed, `${pointer}/allowed`)
  allowed?.forEach((item, at) => {
    if (!suits(type, item)) check.fail(`${pointer}/allowed/${at}`, `is no ${type}`)
  })
  const { example } = value
  if (example === undefined) return { min, max, allowed }
  if (!suits(type, example)) check.fail(`${pointer}/example`, `is no ${type}`)
  else if (!allows({ min, max, allowed }, example)) {
    check.fail(`${pointer}/example`, 'would be refused')
  }
  return { min, max, allowed, example }
}

interface ColumnPlace {
  signature: Signature
  /** Next free place per input, for columns that name none. */
  next: Map<string, number>
}

/** The input that takes a column, by name or because there is only one, and the place within it. */
function readPlace(
  check: Checker,
  value: Record<string, unknown>,
  pointer: string,
  { signature, next }: ColumnPlace,
): { input: string; index: number; slot: Slot | undefined } {
  const { inputs } = signature
  const [only] = inputs.length === 1 ? inputs : []
  const own = inputs.find((slot) => slot.name === value.name) ?? only
  const input = check.optional<string>(value.input, `${pointer}/input`, 'string') ?? own?.name ?? ''
  const slot = inputs.find((candidate) => candidate.name === input)
  if (!slot) check.fail(`${pointer}/input`, `names none of ${inputs.map((s) => s.name).join(', ')}`)
  const given = check.optional<number>(value.index, `${pointer}/index`, 'number')
  const index = given ?? next.get(input) ?? 0
  next.set(input, index + 1)
  return { input, index, slot }
}

/** The column's type, which must fit the input's, and whether it may be null. */
function readType(
  check: Checker,
  value: Record<string, unknown>,
  pointer: string,
  slot: Slot | undefined,
): { type: ElementType; nullable: boolean | undefined } {
  const wanted = value.type ?? slot?.type
  const type = check.oneOf(wanted, `${pointer}/type`, elementTypes) ?? 'float32'
  if (slot && !fits(type, slot.type)) {
    check.fail(`${pointer}/type`, `${type} does not fit the input's ${slot.type}`)
  }
  const nullable = check.optional<boolean>(value.nullable, `${pointer}/nullable`, 'boolean')
  const kinds = slot ? [elements[type].kind, elements[slot.type].kind] : []
  if (nullable && !(slot && kinds.every((kind) => kind === 'float'))) {
    check.fail(`${pointer}/nullable`, 'only float columns can be null (null becomes NaN)')
  }
  return { type, nullable }
}

function readColumn(check: Checker, raw: unknown, pointer: string, place: ColumnPlace): Column {
  const value = check.object(raw, pointer, columnKeys)
  const name = check.optional<string>(value.name, `${pointer}/name`, 'string') ?? ''
  if (name === '') check.fail(`${pointer}/name`, 'is required')
  const { input, index, slot } = readPlace(check, value, pointer, place)
  const { type, nullable } = readType(check, value, pointer, slot)
  return compact({
    name,
    type,
    input,
    index,
    ...readRange(check, value, pointer, type),
    nullable,
    description: check.optional<string>(value.description, `${pointer}/description`, 'string'),
  } as Column)
}

function checkCoverage(check: Checker, columns: readonly Column[], signature: Signature): void {
  const names = new Set<string>()
  const places = new Set<string>()
  columns.forEach((column, at) => {
    if (names.has(column.name)) check.fail(`/columns/${at}/name`, 'is used twice')
    names.add(column.name)
    const place = JSON.stringify([column.input, column.index])
    if (places.has(place)) check.fail(`/columns/${at}/index`, 'two columns share one place')
    places.add(place)
  })
  for (const slot of signature.inputs) {
    const width = widthOf(slot) ?? 0
    for (let index = 0; index < width; index += 1) {
      if (places.delete(JSON.stringify([slot.name, index]))) continue
      check.fail('/columns', `no column for place ${index} of input ${slot.name}`)
      break
    }
  }
  if (places.size > 0 && check.flaws.length === 0) {
    check.fail('/columns', 'a column lies outside its input')
  }
}

function readOutput(check: Checker, raw: unknown, at: number, signature: Signature): OutputNote {
  const pointer = `/outputs/${at}`
  const value = check.object(raw, pointer, ['name', 'role', 'classes'])
  const name = check.optional<string>(value.name, `${pointer}/name`, 'string') ?? ''
  if (!signature.outputs.some((output) => output.name === name)) {
    const all = signature.outputs.map((output) => output.name).join(', ')
    check.fail(`${pointer}/name`, `names none of ${all}`)
  }
  const role = check.oneOf(value.role, `${pointer}/role`, ['label', 'scores', 'value'] as const)
  const classes = value.classes as OutputNote['classes']
  return compact({ name, role: role ?? 'value', classes } as OutputNote)
}

/**
 * §23: reads a schema file against the model it describes. Throws `schema.invalid` with every place
 * that is wrong. Outputs that the file leaves out are drawn from the model.
 */
export function readSchema(raw: unknown, signature: Signature): FeatureSchema {
  const check = new Checker()
  const file = check.object(raw, '', ['columns', 'outputs', 'task', 'extra_columns'])
  const drawn = drawSchema(signature)
  const place = { signature, next: new Map<string, number>() }
  const given = check.list(file.columns, '/columns')
  const columns = given.map((c, at) => readColumn(check, c, `/columns/${at}`, place))
  if (columns.length > 0 && drawn.form === 'tensors') {
    check.fail('/columns', 'the inputs of this model are no table of columns; leave them out')
  } else if (columns.length > 0) checkCoverage(check, columns, signature)
  const notes = check
    .list(file.outputs, '/outputs')
    .map((o, at) => readOutput(check, o, at, signature))
  const task = file.task === undefined ? drawn.task : check.oneOf(file.task, '/task', tasks)
  const extra = ['forbid', 'ignore'] as const
  const extraColumns = check.oneOf(file.extra_columns ?? 'forbid', '/extra_columns', extra)
  if (check.flaws.length > 0) {
    throw new Fault('schema.invalid', 'See errors for each place that is wrong.', {
      errors: check.flaws,
    })
  }
  return {
    form: drawn.form,
    columns: columns.length > 0 ? columns : drawn.columns,
    outputs: drawn.outputs.map((own) => notes.find((note) => note.name === own.name) ?? own),
    task: task ?? 'other',
    extra_columns: extraColumns ?? 'forbid',
  }
}
