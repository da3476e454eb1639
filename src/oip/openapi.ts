// The V2 entry of a live model in the OpenAPI document, with an example that runs.
import type { Deployment } from '../inference/deployment.ts'
import { exampleTensors, type Json, refusals } from '../inference/openapi.ts'
import { datatypeOf } from './datatype.ts'

function exampleOf(deployment: Deployment): Json {
  const inputs = exampleTensors(deployment).map(({ name, type, dims, list }) => ({
    name,
    datatype: datatypeOf(type),
    shape: dims,
    data: [list].flat(dims.length),
  }))
  return { inputs }
}

function tensorSchema(slots: Deployment['signature']['inputs']): Json {
  const datatypes = [...new Set(slots.map(({ type }) => datatypeOf(type)))]
  return {
    type: 'object',
    required: ['name', 'datatype', 'shape', 'data'],
    properties: {
      name: { type: 'string', enum: slots.map(({ name }) => name) },
      datatype: { type: 'string', enum: datatypes },
      shape: { type: 'array', items: { type: 'integer', minimum: 0 } },
      data: { type: 'array', items: {}, description: 'Flat in row-major order, or nested' },
      parameters: { type: 'object' },
    },
  }
}

/**
 * Path and path item of a model's Production version in the Open Inference Protocol; none for a model
 * with float16, which has no form in JSON there.
 */
export function inferEntry(deployment: Deployment): [string, Json] | null {
  const { model, version, signature } = deployment
  if ([...signature.inputs, ...signature.outputs].some(({ type }) => type === 'float16'))
    return null
  const list = (slots: typeof signature.inputs): Json => ({
    type: 'array',
    items: tensorSchema(slots),
  })
  const schema = {
    type: 'object',
    required: ['inputs'],
    properties: { id: { type: 'string' }, inputs: list(signature.inputs) },
  }
  const answer = {
    type: 'object',
    properties: {
      model_name: { type: 'string' },
      model_version: { type: 'string' },
      id: { type: 'string' },
      outputs: list(signature.outputs),
    },
  }
  const content = { 'application/json': { schema: answer } }
  const { 422: misfit, ...others } = refusals
  return [
    `/v2/models/${encodeURIComponent(model)}/infer`,
    {
      post: {
        tags: ['predict'],
        summary: `Open Inference Protocol: infer with ${model} (version ${version})`,
        operationId: `infer-${encodeURIComponent(model)}`,
        security: [{ bearer: [] }],
        requestBody: {
          required: true,
          content: { 'application/json': { schema, example: exampleOf(deployment) } },
        },
        responses: { 200: { description: 'Output tensors', content }, 400: misfit, ...others },
      },
    },
  ]
}
