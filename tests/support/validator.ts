// Validators over signatures written in a line, and what they find wrong.
import { Fault, type Flaw } from '../../src/core/fault.ts'
import type { Dim, Signature, Slot } from '../../src/onnx/model.ts'
import {
  type Column,
  drawSchema,
  type FeatureSchema,
  readSchema,
} from '../../src/onnx/signature.ts'
import { element, type ElementType, type Tensor } from '../../src/onnx/tensor.ts'
import { Validator } from '../../src/onnx/validate.ts'

export function signatureOf(...inputs: [name: string, type: ElementType, shape: Dim[] | null][]) {
  const slots = inputs.map(([name, type, shape]): Slot => ({ name, type, shape }))
  const outputs: Slot[] = [{ name: 'y', type: 'float32', shape: ['N', 1] }]
  const rest = { opsets: {}, ir_version: 8, producer: '', domain: '', metadata: {}, nodes: 1 }
  return { inputs: slots, outputs, ...rest } satisfies Signature
}

type Partial = Omit<Column, 'type' | 'input' | 'index'> & { type?: ElementType; input?: string }

export function validatorOf(
  signature: Signature,
  columns?: Partial[],
  more: object = {},
): Validator {
  const schema: FeatureSchema = columns
    ? readSchema({ columns, ...more }, signature)
    : { ...drawSchema(signature), ...more }
  return new Validator(signature, schema)
}

/** What is wrong, as [pointer, code] pairs. */
export function flawsOf(work: () => unknown): [string, string][] {
  return listOf(work).map(({ pointer, code }) => [pointer, code])
}

export function listOf(work: () => unknown): Flaw[] {
  try {
    work()
  } catch (error) {
    if (error instanceof Fault && error.code === 'input.invalid') return error.errors ?? []
    throw error
  }
  return []
}

export const valuesOf = (tensors: Tensor[]): unknown[][] =>
  tensors.map((tensor) =>
    Array.from({ length: tensor.data.length }, (_, at) => element(tensor, at)),
  )
