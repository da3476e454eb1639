// The parts of ONNX's protobuf schema that intake looks at; field numbers as in onnx.proto.
// Tensor contents are left out on purpose: a decoder skips them, so a file of a gigabyte is read
// without copying its weights.
import protobuf from 'protobufjs'

type Field = [id: number, type: string, rule?: 'repeated']

const message = (fields: Record<string, Field>) => ({
  fields: Object.fromEntries(
    Object.entries(fields).map(([name, [id, type, rule]]) => [
      name,
      rule ? { id, type, rule, options: { packed: false } } : { id, type },
    ]),
  ),
})

const root = protobuf.Root.fromJSON({
  nested: {
    Entry: message({ key: [1, 'string'], value: [2, 'string'] }),
    Opset: message({ domain: [1, 'string'], version: [2, 'int64'] }),
    Tensor: message({
      dims: [1, 'int64', 'repeated'],
      dataType: [2, 'int32'],
      name: [8, 'string'],
      externalData: [13, 'Entry', 'repeated'],
      dataLocation: [14, 'int32'],
    }),
    Sparse: message({ values: [1, 'Tensor'], indices: [2, 'Tensor'] }),
    Dim: message({ value: [1, 'int64'], param: [2, 'string'] }),
    Shape: message({ dim: [1, 'Dim', 'repeated'] }),
    TensorType: message({ elemType: [1, 'int32'], shape: [2, 'Shape'] }),
    ValueType: message({ tensor: [1, 'TensorType'], sequence: [4, 'bytes'], map: [5, 'bytes'] }),
    Value: message({ name: [1, 'string'], type: [2, 'ValueType'] }),
    Attribute: message({
      name: [1, 'string'],
      t: [5, 'Tensor'],
      g: [6, 'Graph'],
      tensors: [10, 'Tensor', 'repeated'],
      graphs: [11, 'Graph', 'repeated'],
      sparse: [22, 'Sparse'],
      sparses: [23, 'Sparse', 'repeated'],
    }),
    Node: message({
      input: [1, 'string', 'repeated'],
      output: [2, 'string', 'repeated'],
      name: [3, 'string'],
      opType: [4, 'string'],
      attribute: [5, 'Attribute', 'repeated'],
      domain: [7, 'string'],
    }),
    Labels: message({
      name: [1, 'string'],
      ints: [8, 'int64', 'repeated'],
      strings: [9, 'string', 'repeated'],
    }),
    ZipMap: message({ attribute: [5, 'Labels', 'repeated'] }),
    Graph: message({
      node: [1, 'Node', 'repeated'],
      initializer: [5, 'Tensor', 'repeated'],
      sparse: [15, 'Sparse', 'repeated'],
      input: [11, 'Value', 'repeated'],
      output: [12, 'Value', 'repeated'],
    }),
    Function: message({
      name: [1, 'string'],
      node: [7, 'Node', 'repeated'],
      domain: [10, 'string'],
      defaults: [11, 'Attribute', 'repeated'],
    }),
    Model: message({
      irVersion: [1, 'int64'],
      producerName: [2, 'string'],
      producerVersion: [3, 'string'],
      domain: [4, 'string'],
      modelVersion: [5, 'int64'],
      graph: [7, 'Graph'],
      opsetImport: [8, 'Opset', 'repeated'],
      metadataProps: [14, 'Entry', 'repeated'],
      training: [20, 'bytes', 'repeated'],
      functions: [25, 'Function', 'repeated'],
    }),
  },
})

export interface Entry {
  key: string
  value: string
}
export interface TensorProto {
  dims: unknown[]
  dataType: number
  name: string
  externalData: Entry[]
  dataLocation: number
}
interface SparseProto {
  values: TensorProto | null
  indices: TensorProto | null
}
export interface ValueProto {
  name: string
  type: {
    tensor: { elemType: number; shape: { dim: { value: unknown; param: string }[] } | null } | null
  } | null
}
export interface AttributeProto {
  name: string
  t: TensorProto | null
  g: GraphProto | null
  tensors: TensorProto[]
  graphs: GraphProto[]
  sparse: SparseProto | null
  sparses: SparseProto[]
}
export interface NodeProto {
  input: string[]
  output: string[]
  opType: string
  domain: string
  attribute: AttributeProto[]
}
export interface GraphProto {
  node: NodeProto[]
  initializer: TensorProto[]
  sparse: SparseProto[]
  input: ValueProto[]
  output: ValueProto[]
}
export interface ModelProto {
  irVersion: unknown
  producerName: string
  producerVersion: string
  domain: string
  graph: GraphProto | null
  opsetImport: { domain: string; version: unknown }[]
  metadataProps: Entry[]
  functions: { domain: string; node: NodeProto[]; defaults: AttributeProto[] }[]
}

const model = root.lookupType('Model')
const tensor = root.lookupType('Tensor')
const node = root.lookupType('Node')
const value = root.lookupType('Value')
const zipMap = root.lookupType('ZipMap')

/** Throws on anything that is no protobuf of this shape. */
export const decodeModel = (bytes: Uint8Array): ModelProto =>
  model.decode(bytes) as unknown as ModelProto

export const decodeTensor = (bytes: Uint8Array): TensorProto =>
  tensor.decode(bytes) as unknown as TensorProto

export const decodeNode = (bytes: Uint8Array): NodeProto =>
  node.decode(bytes) as unknown as NodeProto

export const decodeValue = (bytes: Uint8Array): ValueProto =>
  value.decode(bytes) as unknown as ValueProto

/** Class labels of a ZipMap node. */
export function decodeLabels(bytes: Uint8Array): (string | number)[] {
  const { attribute } = zipMap.decode(bytes) as unknown as {
    attribute: { name: string; ints: unknown[]; strings: string[] }[]
  }
  for (const { name, ints, strings } of attribute) {
    if (name === 'classlabels_strings') return strings
    if (name === 'classlabels_int64s') return ints.map(Number)
  }
  return []
}

/** A float32 tensor output [batch, width]. */
export function encodeScores(name: string, width: number): Uint8Array {
  const dim = [{ param: 'batch' }, { value: width }]
  return value.encode({ name, type: { tensor: { elemType: 1, shape: { dim } } } }).finish()
}

export function encodeIdentity(input: string, output: string): Uint8Array {
  return node.encode({ input: [input], output: [output], opType: 'Identity' }).finish()
}

export interface FieldSpan {
  id: number
  /** Where the tag starts, where the value starts, where it ends. */
  start: number
  value: number
  end: number
}

/** The length-delimited and scalar fields of one message, with their places in `bytes`. */
export function* spansOf(bytes: Uint8Array, from: number, to: number): Generator<FieldSpan> {
  const reader = protobuf.Reader.create(bytes)
  reader.pos = from
  while (reader.pos < to) {
    const start = reader.pos
    const tag = reader.uint32()
    const wire = tag & 7
    let begin = reader.pos
    if (wire === 2) {
      const length = reader.uint32()
      begin = reader.pos
      reader.skip(length)
    } else reader.skipType(wire)
    yield { id: tag >>> 3, start, value: begin, end: reader.pos }
  }
}

/** Tag and length of a length-delimited field. */
export function fieldHead(id: number, length: number): Uint8Array {
  return new protobuf.Writer()
    .uint32((id << 3) | 2)
    .uint32(length)
    .finish()
}
