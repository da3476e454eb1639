// Rows and tensors from JSON to typed arrays, with every fault named by its place.
import { isObject } from '../core/object.ts'
import { checkColumn, escapePointer, Flaws, type Verdict } from './check.ts'
import type { Signature, Slot } from './model.ts'
import { fill, floatFor, raggedAt, shapeFlaw, shapeOf } from './nested.ts'
import { type PlainColumn, PlainRows } from './plain-rows.ts'
import type { Column, FeatureSchema } from './signature.ts'
import {
  allocate,
  countOf,
  elements,
  type ElementType,
  fromHalf,
  grown,
  store,
  type Tensor,
  toHalf,
} from './tensor.ts'
import { ValueCheck } from './values.ts'

/** A column with what the hot path needs of it. */
interface Place {
  column: Column
  /** The column with its limits rounded as the tensor's elements are. */
  rounded: Column
  pointer: string
  /** Index of its input, and whether plain float32 storing and range checks suffice. */
  slot: number
  low: number
  high: number
  plain: boolean
  /** Object.prototype has a member of that name, so plain property access would find it. */
  inherited: boolean
}

/** What becomes of a number that is stored in such a tensor. */
const roundings: Partial<Record<ElementType, (value: number) => number>> = {
  float32: Math.fround,
  float16: (value) => fromHalf(toHalf(value)),
}

function placeOf(column: Column, signature: Signature): Place {
  const slot = signature.inputs.findIndex((input) => input.name === column.input)
  const type = signature.inputs[slot]?.type ?? 'float32'
  const { min, max } = elements[column.type]
  const round = roundings[type] ?? ((limit: number): number => limit)
  const limits = {
    ...(column.min === undefined ? {} : { min: round(column.min) }),
    ...(column.max === undefined ? {} : { max: round(column.max) }),
    ...(column.allowed === undefined
      ? {}
      : { allowed: column.allowed.map((one) => (typeof one === 'number' ? round(one) : one)) }),
  }
  return {
    column,
    rounded: { ...column, ...limits },
    pointer: escapePointer(column.name),
    slot,
    low: Math.max(Number(min), column.min ?? Number.NEGATIVE_INFINITY),
    high: Math.min(Number(max), column.max ?? Number.POSITIVE_INFINITY),
    plain:
      elements[column.type].kind === 'float' &&
      (type === 'float32' || type === 'float64') &&
      column.allowed === undefined,
    inherited: column.name in Object.prototype,
  }
}

/** Turns parsed JSON into the tensors of one model version. Compiled once per version. */
/**
 * Rows that memory is there for before one was looked at: a short text can hold millions that have
 * nothing in them, so more is taken only for rows that were good.
 */
const roomAtFirst = 4096

export class Validator {
  readonly signature: Signature
  private readonly schema: FeatureSchema
  private readonly places: readonly Place[]
  private readonly names: ReadonlySet<string>
  private readonly widths: readonly number[]
  /** Inputs as whole tensors must fit them: those of a table have equally many rows. */
  private readonly slots: readonly Slot[]
  /** Per input: places within its rows where null stands for NaN. */
  private readonly nullable: readonly ReadonlySet<number>[]
  private readonly values: readonly ValueCheck[]
  private readonly plainRows: PlainRows | null
  /** True when integers beyond 2^53 can occur, so JSON must be parsed without doubles. */
  readonly wide: boolean

  constructor(signature: Signature, schema: FeatureSchema) {
    this.signature = signature
    this.schema = schema
    this.places = schema.columns.map((column) => placeOf(column, signature))
    this.names = new Set(schema.columns.map((column) => column.name))
    this.widths = signature.inputs.map((slot) =>
      slot.shape?.length === 1 ? 1 : Number(slot.shape?.[1]),
    )
    const asTable = (slot: Slot): Slot => ({
      ...slot,
      shape: ['rows', ...(slot.shape ?? []).slice(1)],
    })
    this.slots = schema.form === 'columns' ? signature.inputs.map(asTable) : signature.inputs
    this.nullable = signature.inputs.map(
      ({ name }) =>
        new Set(schema.columns.filter((c) => c.nullable && c.input === name).map((c) => c.index)),
    )
    this.values = signature.inputs.map((slot, at) => {
      const own = this.places.filter((place) => place.slot === at)
      const columns = own.map(({ rounded, pointer }) => ({ column: rounded, pointer }))
      return new ValueCheck(slot, columns)
    })
    this.plainRows = this.makePlainRows()
    this.wide = signature.inputs.some((slot) => elements[slot.type].kind === 'wide')
  }

  /** The columns in order when storing numbers within their ranges is all there is to do, else null. */
  get plain(): PlainColumn[] | null {
    if (this.places.length === 0 || !this.places.every((place) => place.plain)) return null
    return this.places.map(({ slot, low, high, column: { index, nullable = false } }) => {
      return { slot, low, high, index, width: this.widths[slot] as number, nullable }
    })
  }

  private makePlainRows(): PlainRows | null {
    const { plain } = this
    if (plain === null) return null
    const inputs = this.signature.inputs.map(({ name, type, shape }, at) => ({
      name,
      type: type as 'float32' | 'float64',
      isMatrix: shape?.length !== 1,
      width: this.widths[at] as number,
    }))
    return new PlainRows(plain, inputs)
  }

  /**
   * The rows of a body that is nothing but `{"instances": [[numbers]]}` and fits; null when it must be
   * parsed, which also tells what is wrong.
   */
  scan(bytes: Uint8Array): Tensor[] | null {
    return this.plainRows?.read(bytes) ?? null
  }

  /** `instances`: one entry per row. Throws `input.invalid` with every fault, at most 50. */
  rows(instances: unknown): Tensor[] {
    const flaws = new Flaws()
    if (!Array.isArray(instances) || instances.length === 0) {
      flaws.add('/instances', { code: 'type', message: 'expected a list of at least one row' })
      flaws.demandNone()
    }
    const rows = instances as unknown[]
    const tensors =
      this.schema.form === 'columns' ? this.columnRows(rows, flaws) : this.tensorRows(rows, flaws)
    flaws.demandNone()
    return tensors
  }

  /** `inputs`: whole tensors by input name (or bare, for a model with one input). */
  tensors(inputs: unknown): Tensor[] {
    const flaws = new Flaws()
    const { slots } = this
    const named = this.byName(inputs, slots)
    if (!named) {
      flaws.add('/inputs', {
        code: 'type',
        message: `expected ${slots.map((s) => s.name).join(', ')}`,
      })
      flaws.demandNone()
    }
    const given = named as Record<string, unknown>
    for (const name of Object.keys(given)) {
      if (slots.some((slot) => slot.name === name)) continue
      flaws.add(`/inputs/${escapePointer(name)}`, { code: 'unknown', message: 'no such input' })
    }
    const free = new Map<string, number>()
    const tensors = slots.map((slot) => {
      const pointer = `/inputs/${escapePointer(slot.name)}`
      return this.nested(slot, Object.hasOwn(given, slot.name) ? given[slot.name] : undefined, {
        pointer,
        flaws,
        free,
      })
    })
    return this.withSoundValues(tensors, flaws)
  }

  /**
   * Whole tensors that have their types already, in any order. Returns them in the model's order.
   * Throws `input.invalid` like `tensors`; strings must have been checked where they were decoded.
   */
  typed(given: readonly Tensor[]): Tensor[] {
    const flaws = new Flaws()
    const byName = new Map<string, Tensor>()
    for (const tensor of given) {
      const pointer = `/inputs/${escapePointer(tensor.name)}`
      const isKnown = this.slots.some(({ name }) => name === tensor.name)
      if (!isKnown) flaws.add(pointer, { code: 'unknown', message: 'no such input' })
      else if (byName.has(tensor.name)) {
        flaws.add(pointer, { code: 'twice', message: 'the input is given twice' })
      }
      byName.set(tensor.name, tensor)
    }
    const free = new Map<string, number>()
    const tensors = this.slots.flatMap((slot) => {
      const tensor = byName.get(slot.name)
      const wrong = typedFlaw(slot, tensor, free)
      if (wrong) flaws.add(`/inputs/${escapePointer(slot.name)}`, wrong)
      return tensor ?? []
    })
    return this.withSoundValues(tensors, flaws)
  }

  private withSoundValues(tensors: Tensor[], flaws: Flaws): Tensor[] {
    flaws.demandNone()
    for (const [at, tensor] of tensors.entries()) this.values[at]?.check(tensor, flaws)
    flaws.demandNone()
    return tensors
  }

  private byName(inputs: unknown, slots: readonly Slot[]): Record<string, unknown> | null {
    if (typeof inputs === 'object' && inputs !== null && !Array.isArray(inputs)) {
      return inputs as Record<string, unknown>
    }
    const [only] = slots
    return slots.length === 1 && only && inputs !== undefined ? { [only.name]: inputs } : null
  }

  private columnRows(rows: readonly unknown[], flaws: Flaws): Tensor[] {
    const count = rows.length
    let room = Math.min(count, roomAtFirst)
    const tensors = this.signature.inputs.map((slot, at) => ({
      name: slot.name,
      type: slot.type,
      dims: slot.shape?.length === 1 ? [count] : [count, this.widths[at] as number],
      data: allocate(slot.type, room * (this.widths[at] as number)),
    }))
    for (let row = 0; row < count && !flaws.full; row += 1) {
      if (row === room) {
        room = Math.min(count, 2 * room)
        for (const [at, tensor] of tensors.entries()) {
          tensor.data = grown(tensor, room * (this.widths[at] as number))
        }
      }
      const value = rows[row]
      if (Array.isArray(value)) this.byPosition(value, row, tensors, flaws)
      else if (typeof value === 'object' && value !== null) {
        this.byColumn(value as Record<string, unknown>, row, tensors, flaws)
      } else if (this.places.length === 1) this.byPosition([value], row, tensors, flaws)
      else flaws.add(`/instances/${row}`, { code: 'type', message: 'expected an object or a list' })
    }
    return tensors
  }

  // max-params counts the hot path's four plain arguments: an options object per row would cost more.
  private byPosition(value: unknown[], row: number, tensors: Tensor[], flaws: Flaws): void {
    const { places } = this
    if (value.length !== places.length) {
      const message = `expected ${places.length} values, got ${value.length}`
      flaws.add(`/instances/${row}`, { code: 'length', message })
      return
    }
    for (let at = 0; at < places.length; at += 1) {
      const verdict = this.put(places[at] as Place, value[at], row, tensors)
      if (verdict) flaws.add(`/instances/${row}/${at}`, verdict)
    }
  }

  private byColumn(
    value: Record<string, unknown>,
    row: number,
    tensors: Tensor[],
    flaws: Flaws,
  ): void {
    const { places } = this
    let present = 0
    for (let at = 0; at < places.length; at += 1) {
      const place = places[at] as Place
      const { name } = place.column
      const cell = place.inherited && !Object.hasOwn(value, name) ? undefined : value[name]
      const verdict = this.put(place, cell, row, tensors)
      if (cell !== undefined) present += 1
      if (verdict) flaws.add(`/instances/${row}/${place.pointer}`, verdict)
    }
    if (this.schema.extra_columns === 'ignore') return
    const keys = Object.keys(value)
    if (keys.length === present) return
    for (const key of keys) {
      if (this.names.has(key)) continue
      const unknown = { code: 'unknown', message: 'the model has no such column' }
      flaws.add(`/instances/${row}/${escapePointer(key)}`, unknown)
    }
  }

  /** Checks one value and stores it at its place; returns what is wrong with it. */
  private put(place: Place, value: unknown, row: number, tensors: Tensor[]): Verdict {
    const { column, slot } = place
    const tensor = tensors[slot] as Tensor
    const at = row * (this.widths[slot] as number) + column.index
    if (place.plain && typeof value === 'number' && value >= place.low && value <= place.high) {
      ;(tensor.data as Float32Array)[at] = value
      return null
    }
    if (value === undefined) return { code: 'missing', message: 'the value is missing' }
    if (value === null) {
      if (!column.nullable) return { code: 'null', message: 'must not be null' }
      store(tensor, at, Number.NaN)
      return null
    }
    const verdict = checkColumn(column, value)
    if (!verdict) store(tensor, at, floatFor(tensor.type, value))
    return verdict
  }

  /** Models without columns: an instance is one slice of the input, or an object of slices. */
  private tensorRows(rows: readonly unknown[], flaws: Flaws): Tensor[] {
    const { inputs } = this.signature
    const fixed = inputs.find((slot) => typeof slot.shape?.[0] !== 'string')
    if (fixed) {
      const message = `input ${fixed.name} has no free first dimension; send {"inputs": {…}} instead`
      flaws.add('/instances', { code: 'shape', message })
      return []
    }
    const free = new Map<string, number>()
    return inputs.map((slot) => {
      const slices = rows.map((row) => {
        if (isObject(row)) return Object.hasOwn(row, slot.name) ? row[slot.name] : undefined
        return inputs.length === 1 ? row : undefined
      })
      return this.nested(slot, slices, { pointer: '/instances', flaws, free })
    })
  }

  /** A nested list as a tensor, its shape compared with the model's. */
  private nested(
    slot: Slot,
    value: unknown,
    where: { pointer: string; flaws: Flaws; free: Map<string, number> },
  ): Tensor {
    const { pointer, flaws, free } = where
    const empty = { name: slot.name, type: slot.type, dims: [], data: allocate(slot.type, 0) }
    if (value === undefined) {
      flaws.add(pointer, { code: 'missing', message: 'the input is missing' })
      return empty
    }
    const dims = shapeOf(value)
    const wrong = shapeFlaw(dims, slot.shape, free)
    if (wrong !== null) {
      flaws.add(pointer, { code: 'shape', message: wrong })
      return empty
    }
    const ragged = raggedAt(value, dims, pointer)
    if (ragged !== null) {
      flaws.add(ragged, { code: 'shape', message: 'all lists of a level are equally long' })
      return empty
    }
    const tensor = {
      name: slot.name,
      type: slot.type,
      dims,
      data: allocate(slot.type, countOf(dims)),
    }
    const slotAt = this.signature.inputs.findIndex((input) => input.name === slot.name)
    const places = this.nullable[slotAt] ?? new Set()
    fill(tensor, value, { pointer, flaws, nulls: { places, width: this.widths[slotAt] ?? 1 } })
    return tensor
  }
}

/** What is wrong with a whole tensor apart from its values. */
function typedFlaw(slot: Slot, tensor: Tensor | undefined, free: Map<string, number>): Verdict {
  if (!tensor) return { code: 'missing', message: 'the input is missing' }
  if (tensor.type !== slot.type) {
    return { code: 'type', message: `expected ${slot.type}, got ${tensor.type}` }
  }
  const wrong = shapeFlaw(tensor.dims, slot.shape, free)
  return wrong === null ? null : { code: 'shape', message: wrong }
}
