// Checks a dashboard against the JSON schema of Grafana's SDK (grafana-foundation-sdk, commit f178d5a4, Apache-2.0).
import Ajv from 'ajv'

import schema from './dashboard.schema.json'

type Node = { [key: string]: unknown }

const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** "Anything" is written as an object of nothing in particular there; here it is anything. */
function relaxed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(relaxed)
  if (!isNode(value)) return value
  const { type, additionalProperties, properties } = value
  const isAnything =
    type === 'object' &&
    properties === undefined &&
    isNode(additionalProperties) &&
    Object.keys(additionalProperties).length === 0
  if (isAnything) return {}
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, relaxed(inner)]))
}

const validate = new Ajv({ strict: false, validateFormats: false }).compile(
  relaxed(schema) as object,
)

/** What is wrong with a dashboard; empty when nothing is. */
export function flawsOf(dashboard: unknown): string[] {
  validate(dashboard)
  return (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`)
}
