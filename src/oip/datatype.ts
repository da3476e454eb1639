// Datatype names of the Open Inference Protocol for the element types that ONNX Runtime carries.
// https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
import { Fault } from '../core/fault.ts'
import type { ElementType } from '../onnx/tensor.ts'

const names: Record<ElementType, string> = {
  bool: 'BOOL',
  uint8: 'UINT8',
  uint16: 'UINT16',
  uint32: 'UINT32',
  uint64: 'UINT64',
  int8: 'INT8',
  int16: 'INT16',
  int32: 'INT32',
  int64: 'INT64',
  float16: 'FP16',
  float32: 'FP32',
  float64: 'FP64',
  string: 'BYTES',
}

const types = new Map(Object.entries(names).map(([type, name]) => [name, type as ElementType]))

export const datatypeOf = (type: ElementType): string => names[type]

/** Throws `request.invalid` for a datatype that is not served. `input`: whose it is. */
export function elementTypeOf(datatype: unknown, input: string): ElementType {
  const type = types.get(datatype as string)
  if (type !== undefined) return type
  const why =
    datatype === 'BF16'
      ? 'BF16 is not served, because ONNX Runtime for Node cannot carry it.'
      : `The datatype is one of ${Object.values(names).join(', ')}.`
  throw new Fault('request.invalid', `Input ${JSON.stringify(input)}: ${why}`)
}
