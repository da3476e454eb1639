// What the endpoints of experiments, runs and logged models share: their rights and key-value pairs.
import type { Pair } from '../tracking/loading.ts'
import type { Endpoint } from './door.ts'
import type { Fields } from './fields.ts'

type Handle = Endpoint['handle']

export const reading = (path: string, handle: Handle): Endpoint => ({
  method: 'GET',
  path,
  need: 'runs:read',
  handle,
})

/** `action` is the audit's name for what is tried, `place` the method and path. */
export function writing(place: string, action: string, handle: Handle): Endpoint {
  const [method, path] = place.split(' ') as [Endpoint['method'], string]
  return { method, path, need: 'runs:write', action, handle }
}

/** `key` and `value` of a call; a value that is missing is empty. */
export const pairIn = (fields: Fields): Pair => ({
  key: fields.text('key'),
  value: fields.optionalText('value') ?? '',
})

export const pairsIn = (fields: Fields, name: string): Pair[] => fields.objects(name).map(pairIn)
