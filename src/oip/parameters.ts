// Parameters of requests, inputs and outputs: reserved ones are checked, the rest is let through.
import { Fault } from '../core/fault.ts'

export type Parameters = ReadonlyMap<string, string | number | bigint | boolean>

const wrong = (why: string): Fault => new Fault('request.invalid', why)

const scalars: ReadonlySet<string> = new Set(['string', 'number', 'bigint', 'boolean'])

/** `whose`: what the parameters belong to, for the error. Absent or null: none. */
export function readParameters(value: unknown, whose: string): Parameters {
  if (value === undefined || value === null) return new Map()
  if (typeof value !== 'object' || Array.isArray(value)) {
    throw wrong(`The parameters of ${whose} must be an object.`)
  }
  const entries = Object.entries(value as Record<string, string>)
  for (const [name, one] of entries) {
    if (scalars.has(typeof one)) continue
    throw wrong(`Parameter ${name} of ${whose} must be a string, a number or a boolean.`)
  }
  const shared = entries.find(([name]) => name.startsWith('shared_memory_'))
  if (shared) throw wrong('Shared memory is not served; send the data with the request.')
  return new Map(entries)
}

/** A boolean parameter, or undefined when it is absent. */
export function flag(parameters: Parameters, name: string): boolean | undefined {
  const value = parameters.get(name)
  if (value === undefined || typeof value === 'boolean') return value
  throw wrong(`Parameter ${name} must be true or false.`)
}

/** A whole number from 0, or undefined when it is absent. */
export function wholeNumber(parameters: Parameters, name: string): number | undefined {
  const value = parameters.get(name)
  if (value === undefined) return undefined
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number
  throw wrong(`Parameter ${name} must be a whole number of at least 0.`)
}

export interface RequestParameters {
  /** Are outputs binary that do not say so themselves? */
  binary: boolean
  /** Milliseconds the client allows; undefined: the server's own limit. */
  timeout: number | undefined
}

/** Parameters of an inference request. https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_parameters.md */
export function readRequestParameters(value: unknown): RequestParameters {
  const parameters = readParameters(value, 'the request')
  for (const name of parameters.keys()) {
    if (name.startsWith('triton_')) throw wrong(`Parameter ${name} is reserved.`)
  }
  // Clients that know no sequences may still send the values that stand for none.
  for (const name of ['sequence_id', 'sequence_start', 'sequence_end']) {
    if (parameters.get(name)) throw wrong(`Parameter ${name}: sequences are not served.`)
  }
  // There is one queue per version and no priority in it, so the parameter changes nothing.
  wholeNumber(parameters, 'priority')
  const micros = wholeNumber(parameters, 'timeout')
  return {
    binary: flag(parameters, 'binary_data_output') ?? false,
    timeout: micros ? micros / 1000 : undefined,
  }
}
