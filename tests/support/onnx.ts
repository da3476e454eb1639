// Small ONNX files written by hand, so that a test can say exactly which byte is odd.
import protobuf from 'protobufjs'

/** A varint, a text, bytes, or a 32-bit float. */
type Value = number | string | Uint8Array | { float: number }
export type Field = [id: number, value: Value]

export function message(...fields: Field[]): Uint8Array {
  const writer = new protobuf.Writer()
  for (const [id, value] of fields) {
    if (typeof value === 'number') writer.uint32(id << 3).int64(value)
    else if (typeof value === 'string') writer.uint32((id << 3) | 2).string(value)
    else if (value instanceof Uint8Array) writer.uint32((id << 3) | 2).bytes(value)
    else writer.uint32((id << 3) | 5).float(value.float)
  }
  return writer.finish()
}

/** Numbers of TensorProto.DataType. */
export const types = { float: 1, int32: 6, int64: 7, string: 8, bool: 9, double: 11 } as const

/** A value of a graph; `dims`: sizes, or names of free dimensions. */
export function value(name: string, type: number, dims: (number | string)[] | null): Uint8Array {
  const shape = (dims ?? []).map((dim): Field => [
    1,
    typeof dim === 'number' ? message([1, dim]) : message([2, dim]),
  ])
  const tensor = message([1, type], ...(dims ? [[2, message(...shape)] as Field] : []))
  return message([1, name], [2, message([1, tensor])])
}

export interface TensorOptions {
  type?: number
  dims?: number[]
  raw?: Uint8Array
  /** Makes it external: the file that is said to hold it. */
  location?: string
  more?: Field[]
}

export function tensor(name: string, options: TensorOptions = {}): Uint8Array {
  const { type = types.float, dims = [1], raw = new Uint8Array(4), location, more = [] } = options
  return message(
    ...dims.map((dim): Field => [1, dim]),
    [2, type],
    [8, name],
    ...(location === undefined
      ? [[9, raw] as Field]
      : ([
          [13, message([1, 'location'], [2, location])],
          [14, 1],
        ] as Field[])),
    ...more,
  )
}

/** An attribute: the field that holds its value, and its number in AttributeType. */
export const attribute = (name: string, type: number, ...fields: Field[]): Uint8Array =>
  message([1, name], ...fields, [20, type])

export function node(
  operator: string,
  inputs: string[],
  outputs: string[],
  options: { domain?: string; attributes?: Uint8Array[] } = {},
): Uint8Array {
  const { domain = '', attributes = [] } = options
  return message(
    ...inputs.map((name): Field => [1, name]),
    ...outputs.map((name): Field => [2, name]),
    [4, operator],
    ...attributes.map((bytes): Field => [5, bytes]),
    ...(domain === '' ? [] : [[7, domain] as Field]),
  )
}

export interface GraphOptions {
  nodes?: Uint8Array[]
  inputs?: Uint8Array[]
  outputs?: Uint8Array[]
  initializers?: Uint8Array[]
  more?: Field[]
}

export function graph(options: GraphOptions = {}): Uint8Array {
  const { nodes = [], inputs = [], outputs = [], initializers = [], more = [] } = options
  return message(
    ...nodes.map((bytes): Field => [1, bytes]),
    [2, 'g'],
    ...initializers.map((bytes): Field => [5, bytes]),
    ...inputs.map((bytes): Field => [11, bytes]),
    ...outputs.map((bytes): Field => [12, bytes]),
    ...more,
  )
}

/** A model file around a graph. */
export function model(body: Uint8Array | GraphOptions, more: Field[] = []): Uint8Array {
  const bytes = body instanceof Uint8Array ? body : graph(body)
  return message(
    [1, 8],
    [2, 'test'],
    [7, bytes],
    [8, message([1, ''], [2, 17])],
    [8, message([1, 'ai.onnx.ml'], [2, 3])],
    ...more,
  )
}

/** `y` = operator(`x`) on float32 [N, width]. */
export function unary(operator: string, width = 2): Uint8Array {
  return model({
    nodes: [node(operator, ['x'], ['y'])],
    inputs: [value('x', types.float, ['N', width])],
    outputs: [value('y', types.float, ['N', width])],
  })
}
