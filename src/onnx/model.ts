// Reads an ONNX file: what goes in, what comes out, what is refused; and drops ZipMap.
import { Fault } from '../core/fault.ts'
import {
  type AttributeProto,
  decodeLabels,
  decodeModel,
  decodeNode,
  decodeValue,
  encodeIdentity,
  encodeScores,
  fieldHead,
  type GraphProto,
  type ModelProto,
  type NodeProto,
  spansOf,
  type TensorProto,
  type ValueProto,
} from './proto.ts'
import { elementOf, type ElementType } from './tensor.ts'

/** A dimension: its size, or the name (maybe empty) of one that is free. */
export type Dim = number | string

export interface Slot {
  name: string
  type: ElementType
  /** Null when the model does not say, not even how many dimensions there are. */
  shape: Dim[] | null
  /** Class names in order of the last dimension, where a ZipMap named them. */
  classes?: (string | number)[]
}

export interface Signature {
  inputs: Slot[]
  outputs: Slot[]
  opsets: Record<string, number>
  ir_version: number
  producer: string
  domain: string
  metadata: Record<string, string>
  nodes: number
}

export interface Intake {
  signature: Signature
  /** Bytes of the rewritten model in pieces, or null when the original is served as it is. */
  rewritten: Uint8Array[] | null
}

/** Operators that ONNX Runtime's CPU build brings along. */
const knownDomains: ReadonlySet<string> = new Set([
  '',
  'ai.onnx',
  'ai.onnx.ml',
  'com.microsoft',
  'com.microsoft.nchwc',
])

const modelGraph = 7
const graphNode = 1
const graphOutput = 12

/** What `read` returns. Whatever it throws means that the bytes are no protobuf of that shape. */
function decoded<T>(read: () => T): T {
  try {
    return read()
  } catch (cause) {
    throw new Fault('model.not-onnx', 'The bytes are no ONNX protobuf; is the file complete?', {
      cause,
    })
  }
}

function parse(bytes: Uint8Array): ModelProto & { graph: GraphProto } {
  const model = decoded(() => decodeModel(bytes))
  if (model.graph === null || model.graph.node.length === 0 || model.opsetImport.length === 0) {
    throw new Fault('model.not-onnx', 'The file has no graph with operators.')
  }
  return model as ModelProto & { graph: GraphProto }
}

function refuseExternal(tensor: TensorProto | null): void {
  if (tensor && (tensor.dataLocation === 1 || tensor.externalData.length > 0)) {
    throw new Fault(
      'model.external-data',
      `Tensor ${JSON.stringify(tensor.name)} is stored outside the file; save the model in one file.`,
    )
  }
}

function visitAttribute(attribute: AttributeProto, visit: (node: NodeProto) => void): void {
  refuseExternal(attribute.t)
  attribute.tensors.forEach(refuseExternal)
  for (const sparse of [attribute.sparse, ...attribute.sparses]) {
    refuseExternal(sparse?.values ?? null)
    refuseExternal(sparse?.indices ?? null)
  }
  if (attribute.g) visitGraph(attribute.g, visit)
  for (const graph of attribute.graphs) visitGraph(graph, visit)
}

function visitNodes(nodes: readonly NodeProto[], visit: (node: NodeProto) => void): void {
  for (const node of nodes) {
    visit(node)
    for (const attribute of node.attribute) visitAttribute(attribute, visit)
  }
}

function visitGraph(graph: GraphProto, visit: (node: NodeProto) => void): void {
  graph.initializer.forEach(refuseExternal)
  for (const { values, indices } of graph.sparse) {
    refuseExternal(values)
    refuseExternal(indices)
  }
  visitNodes(graph.node, visit)
}

/** Refuses what must not reach ONNX Runtime, in every subgraph and function. Counts operators. */
function inspect(model: ModelProto & { graph: GraphProto }): number {
  const domains = new Set([...knownDomains, ...model.functions.map((f) => f.domain)])
  let nodes = 0
  const visit = (node: NodeProto): void => {
    nodes += 1
    if (!domains.has(node.domain)) {
      const domain = node.domain.slice(0, 100)
      throw new Fault('model.unknown-domain', `${node.opType} belongs to the domain ${domain}.`)
    }
  }
  visitGraph(model.graph, visit)
  for (const { node, defaults } of model.functions) {
    visitNodes(node, visit)
    for (const attribute of defaults) visitAttribute(attribute, visit)
  }
  return nodes
}

function slotOf(value: ValueProto, what: 'input' | 'output'): Slot {
  const tensor = value.type?.tensor
  const unsupported = (why: string): never => {
    throw new Fault('model.unsupported', `The ${what} ${JSON.stringify(value.name)} ${why}.`)
  }
  if (!tensor) return unsupported('is no tensor')
  const type = elementOf(tensor.elemType)
  if (!type) return unsupported(`has element type ${tensor.elemType}, which cannot be served`)
  const dims = tensor.shape?.dim.map((dim) => {
    const size = Number(dim.value)
    return size > 0 && dim.param === '' ? size : dim.param
  })
  return { name: value.name, type, shape: dims ?? null }
}

interface Zip {
  output: string
  node: Uint8Array
  value: (old: ValueProto) => Uint8Array
  classes: (string | number)[]
}

/** ZipMap nodes become Identity: the binding cannot return the maps they make. */
function zipOf(bytes: Uint8Array): Zip | null {
  const node = decodeNode(bytes)
  if (node.opType !== 'ZipMap' || node.domain !== 'ai.onnx.ml') return null
  const [input] = node.input
  const [output] = node.output
  if (input === undefined || output === undefined) return null
  const classes = decodeLabels(bytes)
  return {
    output,
    node: encodeIdentity(input, output),
    value: () => encodeScores(output, classes.length),
    classes,
  }
}

/** Replaces fields of the graph by place, leaving every other byte of the file as it was. */
function rewrite(bytes: Uint8Array, zips: Map<string, Zip>): Uint8Array[] {
  const pieces: Uint8Array[] = []
  for (const field of spansOf(bytes, 0, bytes.length)) {
    if (field.id !== modelGraph) {
      pieces.push(bytes.subarray(field.start, field.end))
      continue
    }
    const graph: Uint8Array[] = []
    let copied = field.value
    const replace = (span: { start: number; end: number }, id: number, by: Uint8Array): void => {
      graph.push(bytes.subarray(copied, span.start), fieldHead(id, by.length), by)
      copied = span.end
    }
    for (const inner of spansOf(bytes, field.value, field.end)) {
      const content = bytes.subarray(inner.value, inner.end)
      if (inner.id === graphNode) {
        const zip = zipOf(content)
        if (zip) replace(inner, graphNode, zip.node)
      } else if (inner.id === graphOutput) {
        const value = decodeValue(content)
        const zip = zips.get(value.name)
        if (zip) replace(inner, graphOutput, zip.value(value))
      }
    }
    graph.push(bytes.subarray(copied, field.end))
    const length = graph.reduce((sum, piece) => sum + piece.length, 0)
    pieces.push(fieldHead(modelGraph, length), ...graph)
  }
  return pieces
}

function findZips(bytes: Uint8Array, graph: GraphProto): Map<string, Zip> {
  const zips = new Map<string, Zip>()
  if (!graph.node.some((node) => node.opType === 'ZipMap')) return zips
  for (const field of spansOf(bytes, 0, bytes.length)) {
    if (field.id !== modelGraph) continue
    for (const inner of spansOf(bytes, field.value, field.end)) {
      if (inner.id !== graphNode) continue
      const zip = zipOf(bytes.subarray(inner.value, inner.end))
      if (zip) zips.set(zip.output, zip)
    }
  }
  return zips
}

/**
 * Reads a model file. Throws `model.not-onnx`, `model.external-data`, `model.unknown-domain` or
 * `model.unsupported`. `bytes` may be a memory map: weights are never copied.
 */
export function readModel(bytes: Uint8Array): Intake {
  const model = parse(bytes)
  const nodes = inspect(model)
  const { graph } = model
  const zips = decoded(() => findZips(bytes, graph))
  const constants = new Set(graph.initializer.map((tensor) => tensor.name))
  const inputs = graph.input.filter((value) => !constants.has(value.name))
  const outputs = graph.output.map((value): Slot => {
    const zip = zips.get(value.name)
    if (!zip) return slotOf(value, 'output')
    const { classes } = zip
    return { name: value.name, type: 'float32', shape: ['', classes.length], classes }
  })
  if (outputs.length === 0) throw new Fault('model.unsupported', 'The model has no output.')
  return {
    signature: {
      inputs: inputs.map((value) => slotOf(value, 'input')),
      outputs,
      opsets: Object.fromEntries(model.opsetImport.map((o) => [o.domain, Number(o.version)])),
      ir_version: Number(model.irVersion),
      producer: `${model.producerName} ${model.producerVersion}`.trim().slice(0, 200),
      domain: model.domain.slice(0, 200),
      metadata: Object.fromEntries(
        model.metadataProps.slice(0, 100).map(({ key, value }) => [key, value.slice(0, 10_000)]),
      ),
      nodes,
    },
    rewritten: zips.size > 0 ? rewrite(bytes, zips) : null,
  }
}
