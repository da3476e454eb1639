// Paths of the prediction door taken apart.
import { Fault } from '../core/fault.ts'

export const prefix = '/v1/models'

export interface Target {
  model: string
  /** Version number, stage or alias; undefined is Production. */
  reference: string | undefined
  verb: 'predict' | 'score' | 'status'
  template: string
}

const named = (part: string): string => {
  try {
    return decodeURIComponent(part)
  } catch {
    throw new Fault('request.malformed', 'The path is not properly percent-encoded.')
  }
}

const verbs = ['predict', 'score'] as const

const nouns: Record<string, string | undefined> = { versions: 'version', labels: 'label' }

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

/** `/v1/models/{m}[/versions/{v}|/labels/{l}][:predict|:score]` taken apart, or null. */
function parseTarget(path: string): Target | null {
  const verb = verbs.find((name) => path.endsWith(`:${name}`)) ?? 'status'
  const suffix = verb === 'status' ? '' : `:${verb}`
  const parts = path.slice(prefix.length + 1, path.length - suffix.length).split('/')
  const [model = '', kind = '', reference = ''] = parts
  if (model === '') return null
  if (parts.length === 1) {
    return {
      model: named(model),
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
  return { model: named(model), reference: named(reference), verb, template }
}
