// Paths below /v1/models taken apart: what KServe's V1, MLflow's scoring and our own ask.
import { decodeSegment, rememberPaths } from '../core/path.ts'

export const prefix = '/v1/models'

export interface Target {
  model: string
  /** Version number, stage or alias; undefined is Production. */
  reference: string | undefined
  verb: 'predict' | 'score' | 'invocations' | 'status'
  template: string
}

/** `/v1/models/{m}[/versions/{v}|/labels/{l}]` and what is asked of it. */
const pattern =
  /^\/v1\/models\/([^/]+?)(?:\/(versions|labels)\/([^/]+?))?(:predict|:score|\/invocations)?$/

const nouns: Record<string, string | undefined> = { versions: 'version', labels: 'label' }

const verbs: Record<string, Target['verb'] | undefined> = {
  ':predict': 'predict',
  ':score': 'score',
  '/invocations': 'invocations',
}

/** Is this a path of MLflow's scoring protocol? `/v1/models/invocations` is a model of that name. */
export function asksInvocations(path: string): boolean {
  return path.endsWith('/invocations') && pattern.exec(path)?.[4] === '/invocations'
}

/** A path taken apart, or null. */
function parseTarget(path: string): Target | null {
  const parts = pattern.exec(path)
  if (!parts) return null
  const [, model = '', kind, reference = '', suffix = ''] = parts
  const verb = verbs[suffix] ?? 'status'
  if (kind === undefined) {
    const template = `${prefix}/{model}${suffix}`
    return { model: decodeSegment(model), reference: undefined, verb, template }
  }
  const noun = nouns[kind]
  // A version is a number, a label never is: `labels/3` must not mean version 3.
  if (/^\d+$/.test(reference) !== (noun === 'version')) return null
  const template = `${prefix}/{model}/${kind}/{${noun}}${suffix}`
  return { model: decodeSegment(model), reference: decodeSegment(reference), verb, template }
}

export const targetOf = rememberPaths(parseTarget)
