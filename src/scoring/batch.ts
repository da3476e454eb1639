// Rows on their way to the model: those that fit, as tensors, and what is wrong with the others.
import { Fault, type Flaw } from '../core/fault.ts'
import type { FeatureSchema } from '../onnx/signature.ts'
import type { Tensor } from '../onnx/tensor.ts'
import type { Validator } from '../onnx/validate.ts'

/** One thing that is wrong with a row; without a column it is about the row as a whole. */
export interface RowFlaw {
  column?: string
  code: string
  message: string
}

export interface BadRow {
  /** Number of the data row, from 1. */
  row: number
  /** Good rows of its batch that stand before it. */
  after: number
  errors: RowFlaw[]
}

export interface Batch {
  tensors: Tensor[]
  /** Good rows, and the values of kept columns of each. */
  rows: number
  kept: unknown[][]
  bad: BadRow[]
  /** Number of the first data row behind it. */
  next: number
  /** To be called when nobody needs the tensors any more. */
  release?: () => void
}

/** Bytes of rows that end a batch: parsed, a row may take many times the memory of its text. */
export const batchBytes = 1 << 20

/** Reads rows from bytes. */
export interface RowReader {
  push(chunk: Uint8Array): void
  finish(): void
  /**
   * The next `most` rows, fewer at the end or once `batchBytes` were read; null when more bytes are
   * needed, or none are left.
   */
  take(most: number): Batch | null
}

const unescape = (part: string): string => part.replaceAll('~1', '/').replaceAll('~0', '~')

/** Flaws of a row alone (pointers begin with /instances/0), by column. */
export function rowFlaws(flaws: readonly Flaw[], schema: FeatureSchema, value: unknown): RowFlaw[] {
  return flaws.map(({ pointer, code, message }) => {
    const [, , , part] = pointer.split('/')
    if (part === undefined || schema.form === 'tensors') return { code, message }
    const name = Array.isArray(value) ? schema.columns[Number(part)]?.name : unescape(part)
    return name === undefined ? { code, message } : { column: name, code, message }
  })
}

/** What is wrong with a row, or its tensors. */
export function checkRow(
  validator: Validator,
  schema: FeatureSchema,
  value: unknown,
): Tensor[] | RowFlaw[] {
  try {
    return validator.rows([value])
  } catch (error) {
    if (error instanceof Fault && error.errors) return rowFlaws(error.errors, schema, value)
    throw error
  }
}

export const isFlawed = (checked: Tensor[] | RowFlaw[]): checked is RowFlaw[] =>
  'message' in (checked[0] ?? {})

/** A row that was read and not checked yet. */
export interface Pending {
  row: number
  value: unknown
  kept: unknown[]
  /** What is wrong with its notation. */
  errors?: RowFlaw[]
}

/** Checks rows together; one by one only when something is wrong, so that the time stays linear. */
export function batchOf(
  validator: Validator,
  schema: FeatureSchema,
  pending: readonly Pending[],
): Omit<Batch, 'next'> {
  const bad: BadRow[] = []
  const good: Pending[] = []
  const check = (one: Pending, alone: boolean): void => {
    const checked = one.errors ?? (alone ? checkRow(validator, schema, one.value) : [])
    if (isFlawed(checked)) bad.push({ row: one.row, after: good.length, errors: checked })
    else good.push(one)
  }
  for (const one of pending) check(one, false)
  const tensors = (): Tensor[] =>
    good.length === 0 ? [] : validator.rows(good.map(({ value }) => value))
  try {
    return { tensors: tensors(), rows: good.length, kept: good.map(({ kept }) => kept), bad }
  } catch (error) {
    if (!(error instanceof Fault) || !error.errors) throw error
  }
  good.length = 0
  bad.length = 0
  for (const one of pending) check(one, true)
  return { tensors: tensors(), rows: good.length, kept: good.map(({ kept }) => kept), bad }
}
