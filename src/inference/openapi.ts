// The predict entry of a live model in the OpenAPI document: typed columns and an example that runs.
import type { Slot } from '../onnx/model.ts'
import type { Column } from '../onnx/signature.ts'
import { countOf, element, elements, type ElementType, type Tensor } from '../onnx/tensor.ts'
import type { Deployment } from './deployment.ts'
import { randomFrom, sampleTensors } from './sample.ts'
import type { TrialReport } from './trial.ts'

export type Json = Record<string, unknown>

/** Larger examples would only make the page slow. */
const mostExampleValues = 2000

function valueSchema(type: ElementType): Json {
  const { kind, min, max } = elements[type]
  switch (kind) {
    case 'string':
      return { type: 'string' }
    case 'bool':
      return { type: 'boolean' }
    case 'float':
      return { type: 'number', format: type === 'float64' ? 'double' : 'float' }
    case 'int':
      return { type: 'integer', minimum: min, maximum: max }
    case 'wide':
      return { type: 'integer', format: 'int64' }
  }
}

function columnSchema(column: Column): Json {
  const { min, max, allowed, description, nullable, example } = column
  return {
    ...valueSchema(column.type),
    ...(min === undefined ? {} : { minimum: min }),
    ...(max === undefined ? {} : { maximum: max }),
    ...(allowed === undefined ? {} : { enum: nullable ? [...allowed, null] : allowed }),
    ...(nullable ? { nullable: true } : {}),
    ...(description === undefined ? {} : { description }),
    ...(example === undefined ? {} : { example }),
  }
}

export function tensorSchema(slot: Slot): Json {
  let schema = valueSchema(slot.type)
  for (const dim of (slot.shape ?? []).toReversed()) {
    const fixed = typeof dim === 'number' ? { minItems: dim, maxItems: dim } : {}
    schema = { type: 'array', items: schema, ...fixed }
  }
  return schema
}

/** The values of a tensor as nested lists that JSON can hold. */
function nestedList(tensor: ReturnType<typeof sampleTensors>[number], axis = 0, at = 0): unknown {
  if (axis === tensor.dims.length) {
    const value = element(tensor, at)
    if (typeof value === 'bigint') return Number(value)
    return typeof value === 'number' ? Number(value.toPrecision(4)) : value
  }
  const stride = countOf(tensor.dims.slice(axis + 1))
  return Array.from({ length: tensor.dims[axis] ?? 0 }, (_, i) =>
    nestedList(tensor, axis + 1, at + i * stride),
  )
}

function sampleOf(deployment: Deployment) {
  const free = (deployment.row.trial as TrialReport | null)?.free_size ?? 1
  return sampleTensors(deployment, 1, free, randomFrom(1))
}

/** The tensors of one made-up row that the model takes; none where they would be too long. */
export function exampleTensors(deployment: Deployment): (Tensor & { list: unknown })[] {
  const tensors = sampleOf(deployment)
  const values = tensors.reduce((sum, { data }) => sum + data.length, 0)
  if (values > mostExampleValues) return []
  return tensors.map((tensor) => ({ ...tensor, list: nestedList(tensor) }))
}

/** The same as nested lists by name. */
export function tensorsExample(deployment: Deployment): Json {
  return Object.fromEntries(exampleTensors(deployment).map(({ name, list }) => [name, list]))
}

/** A row by column names, with the examples of the schema. */
export function rowExample(deployment: Deployment): Json {
  const tensors = sampleOf(deployment)
  const row: Json = {}
  for (const column of deployment.schema.columns) {
    const tensor = tensors.find((candidate) => candidate.name === column.input)
    const width = tensor?.dims[1] ?? 1
    const drawn = tensor ? element(tensor, column.index % width) : 0
    const plain = typeof drawn === 'bigint' || typeof drawn === 'number' ? Number(drawn) : drawn
    const rounded = typeof plain === 'number' ? Number(plain.toPrecision(4)) : plain
    row[column.name] = column.example ?? rounded
  }
  return row
}

function requestOf(deployment: Deployment): { schema: Json; example: unknown } {
  const { schema, signature } = deployment
  if (schema.form === 'columns') {
    const properties = Object.fromEntries(schema.columns.map((c) => [c.name, columnSchema(c)]))
    const required = schema.columns.map((column) => column.name)
    const row = {
      type: 'object',
      properties,
      required,
      additionalProperties: schema.extra_columns === 'ignore',
    }
    return {
      schema: {
        type: 'object',
        required: ['instances'],
        properties: { instances: { type: 'array', minItems: 1, items: row } },
      },
      example: { instances: [rowExample(deployment)] },
    }
  }
  const properties = Object.fromEntries(
    signature.inputs.map((slot) => [slot.name, tensorSchema(slot)]),
  )
  const inputs = { type: 'object', properties, required: Object.keys(properties) }
  return {
    schema: { type: 'object', required: ['inputs'], properties: { inputs } },
    example: { inputs: tensorsExample(deployment) },
  }
}

function answerOf(deployment: Deployment): Json {
  const { signature, schema } = deployment
  const form = schema.form === 'columns' ? 'predictions' : 'outputs'
  const outputs = signature.outputs.map((slot): [string, Json] => {
    const note = schema.outputs.find((output) => output.name === slot.name)
    const shape = form === 'predictions' ? (slot.shape?.slice(1) ?? null) : slot.shape
    const classes = note?.classes ? { description: `In the order ${note.classes.join(', ')}` } : {}
    return [slot.name, { ...tensorSchema({ ...slot, shape }), ...classes }]
  })
  const [only] = outputs
  const value =
    outputs.length === 1 && only
      ? only[1]
      : { type: 'object', properties: Object.fromEntries(outputs) }
  return {
    type: 'object',
    properties: {
      [form]: form === 'predictions' ? { type: 'array', items: value } : value,
      id: { type: 'string' },
      model_name: { type: 'string' },
      model_version: { type: 'string' },
    },
  }
}

const fault = (description: string): Json => ({ description })

export const refusals = {
  401: fault('No valid token'),
  403: fault('The token may not predict with this model'),
  422: fault('The input does not fit; errors names each place'),
  503: fault('Not ready or too busy; see Retry-After'),
}

/** Path and path item of a model's Production entry. */
export function predictEntry(deployment: Deployment): [string, Json] {
  const { schema, example } = requestOf(deployment)
  const { model, version } = deployment
  const content = { 'application/json': { schema: answerOf(deployment) } }
  return [
    `/v1/models/${encodeURIComponent(model)}:predict`,
    {
      post: {
        tags: ['predict'],
        summary: `Predict with ${model} (version ${version})`,
        operationId: `predict-${encodeURIComponent(model)}`,
        security: [{ bearer: [] }],
        requestBody: { required: true, content: { 'application/json': { schema, example } } },
        responses: { 200: { description: 'Predictions', content }, ...refusals },
      },
    },
  ]
}

/** Rows as text, with one that runs where the model has columns. */
function rowsContent(deployment: Deployment): Json {
  const text = { type: 'string' }
  if (deployment.schema.form !== 'columns') return { 'application/x-ndjson': { schema: text } }
  const row = rowExample(deployment)
  const csv = `${Object.keys(row).join(',')}\n${Object.values(row).join(',')}\n`
  return {
    'text/csv': { schema: text, example: csv },
    'application/x-ndjson': { schema: text, example: `${JSON.stringify(row)}\n` },
  }
}

/** Path and path item of scoring a stream with a model's Production version. */
export function scoreEntry(deployment: Deployment): [string, Json] {
  const { model, version } = deployment
  const text = { schema: { type: 'string' } }
  const parameter = (name: string, description: string, schema: Json): Json => {
    return { name, in: 'query', description, schema }
  }
  return [
    `/v1/models/${encodeURIComponent(model)}:score`,
    {
      post: {
        tags: ['predict'],
        summary: `Score a stream of rows with ${model} (version ${version})`,
        operationId: `score-${encodeURIComponent(model)}`,
        security: [{ bearer: [] }],
        parameters: [
          parameter('on-error', 'Tell bad rows in their places, or stop at the first', {
            type: 'string',
            enum: ['stop', 'skip'],
            default: 'stop',
          }),
          parameter('keep', 'Input columns to copy to the result', {
            type: 'array',
            items: { type: 'string' },
          }),
        ],
        requestBody: { required: true, content: rowsContent(deployment) },
        responses: {
          200: {
            description: 'A line for each row',
            content: { 'text/csv': text, 'application/x-ndjson': text },
          },
          ...refusals,
        },
      },
    },
  ]
}
