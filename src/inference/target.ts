// Paths below /v1/models taken apart: what KServe's V1 and MLflow's scoring protocol ask.
import { Fault } from '../core/fault.ts'

export const prefix = '/v1/models'

export interface Target {
  model: string
  /** Version number, stage or alias; undefined is Production. */
  reference: string | undefined
  verb: 'predict' | 'invocations' | 'status'
  template: string
}

const named = (part: string): string => {
  try {
    return decodeURIComponent(part)
  } catch {
    throw new Fault('request.malformed', 'The path is not properly percent-encoded.')
  }
}

/** `/v1/models/{m}[/versions/{v}|/labels/{l}]` and what is asked of it. */
const pattern =
  /^\/v1\/models\/([^/]+?)(?:\/(versions|labels)\/([^/]+?))?(:predict|\/invocations)?$/

const nouns: Record<string, string | undefined> = { versions: 'version', labels: 'label' }

const verbs: Record<string, Target['verb'] | undefined> = {
  ':predict': 'predict',
  '/invocations': 'invocations',
}

/** Is this a path of MLflow's scoring protocol? `/v1/models/invocations` is a model of that name. */
export function asksInvocations(path: string): boolean {
  return path.endsWith('/invocations') && pattern.exec(path)?.[4] === '/invocations'
}

/** Paths taken apart before; callers use few, and a hostile one cannot make it grow. */
const targets = new Map<string, Target>()
const mostTargets = 1000

export function targetOf(path: string): Target | null {
  const known = targets.get(path)
  if (known) return known
  const target = parseTarget(path)
  if (target && targets.size < mostTargets) targets.set(path, target)
  return target
}

/** A path taken apart, or null. */
function parseTarget(path: string): Target | null {
  const parts = pattern.exec(path)
  if (!parts) return null
  const [, model = '', kind, reference = '', suffix = ''] = parts
  const verb = verbs[suffix] ?? 'status'
  if (kind === undefined) {
    const template = `${prefix}/{model}${suffix}`
    return { model: named(model), reference: undefined, verb, template }
  }
  const noun = nouns[kind]
  // A version is a number, a label never is: `labels/3` must not mean version 3.
  if (/^\d+$/.test(reference) !== (noun === 'version')) return null
  const template = `${prefix}/{model}/${kind}/{${noun}}${suffix}`
  return { model: named(model), reference: named(reference), verb, template }
}
