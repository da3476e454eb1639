// The scoring entry of a live model in the OpenAPI document, with an example that runs.
import type { Deployment } from '../inference/deployment.ts'
import {
  type Json,
  refusals,
  rowExample,
  tensorSchema,
  tensorsExample,
} from '../inference/openapi.ts'

/** Rows by column where there is one input, else each input as a tensor. */
function bodyOf(deployment: Deployment): Json {
  const { schema, signature } = deployment
  if (schema.form === 'columns' && signature.inputs.length === 1) {
    const records = { type: 'array', items: { type: 'object' }, minItems: 1 }
    return {
      schema: { type: 'object', properties: { dataframe_records: records } },
      example: { dataframe_records: [rowExample(deployment)] },
    }
  }
  const properties = Object.fromEntries(
    signature.inputs.map((slot) => [slot.name, tensorSchema(slot)]),
  )
  return {
    schema: { type: 'object', properties: { inputs: { type: 'object', properties } } },
    example: { inputs: tensorsExample(deployment) },
  }
}

/** Path and path item of a model's Production version in MLflow's scoring protocol. */
export function invocationsEntry(deployment: Deployment): [string, Json] {
  const { model, version } = deployment
  const schema = { type: 'object', properties: { predictions: {} } }
  const { 422: misfit, ...others } = refusals
  return [
    `/v1/models/${encodeURIComponent(model)}/invocations`,
    {
      post: {
        tags: ['predict'],
        summary: `MLflow scoring: invoke ${model} (version ${version})`,
        operationId: `invoke-${encodeURIComponent(model)}`,
        security: [{ bearer: [] }],
        requestBody: { required: true, content: { 'application/json': bodyOf(deployment) } },
        responses: {
          200: { description: 'Predictions', content: { 'application/json': { schema } } },
          400: misfit,
          ...others,
        },
      },
    },
  ]
}
