// Paths of the prediction door taken apart.
import { decodeSegment, rememberPaths } from '../core/path.ts'

export const prefix = '/v1/models'

export interface Target {
  model: string
  /** Version number, stage or alias; undefined is Production. */
  reference: string | undefined
  verb: 'predict' | 'status'
  template: string
}

const nouns: Record<string, string | undefined> = { versions: 'version', labels: 'label' }

/** `/v1/models/{m}[/versions/{v}|/labels/{l}][:predict]` taken apart, or null. */
function parseTarget(path: string): Target | null {
  const suffix = path.endsWith(':predict') ? ':predict' : ''
  const verb = suffix === '' ? 'status' : 'predict'
  const parts = path.slice(prefix.length + 1, path.length - suffix.length).split('/')
  const [model = '', kind = '', reference = ''] = parts
  if (model === '') return null
  if (parts.length === 1) {
    return {
      model: decodeSegment(model),
      reference: undefined,
      verb,
      template: `${prefix}/{model}${suffix}`,
    }
  }
  const noun = nouns[kind]
  if (parts.length !== 3 || reference === '' || noun === undefined) return null
  // A version is a number, a label never is: `labels/3` must not mean version 3.
  if (/^\d+$/.test(reference) !== (noun === 'version')) return null
  const template = `${prefix}/{model}/${kind}/{${noun}}${suffix}`
  return { model: decodeSegment(model), reference: decodeSegment(reference), verb, template }
}

export const targetOf = rememberPaths(parseTarget)
