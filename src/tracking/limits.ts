// MLflow's limits on keys and values (mlflow/utils/validation.py); lengths count characters.
import { Fault } from '../core/fault.ts'

export const limits = {
  experimentName: 500,
  experimentTag: 20_000,
  location: 2048,
  key: 250,
  paramValue: 6000,
  tagValue: 8000,
  modelKey: 255,
  datasetName: 500,
  datasetDigest: 36,
  datasetSource: 65_535,
  datasetSchema: 1_048_575,
  datasetProfile: 16_777_215,
  inputTagKey: 255,
  inputTagValue: 500,
} as const

/** `request.invalid`: what was sent breaks a rule, and sending it again will not help. */
export const refused = (message: string): Fault => new Fault('request.invalid', message)

/** Longer in characters, not in UTF-16 units, of which there are never fewer. */
const isLonger = (text: string, most: number): boolean =>
  text.length > most && Array.from(text).length > most

export function demandLength(what: string, text: string, most: number): void {
  if (isLonger(text, most))
    throw refused(`'${what}' exceeds the maximum length of ${most} characters.`)
}

/** A value cut to its limit: what MLflow does to long ones, unless it is told not to. */
export const cut = (text: string, most: number): string =>
  isLonger(text, most) ? Array.from(text).slice(0, most).join('') : text

const keyCharacters = /^[/\p{L}\p{N}_.\- :]*$/u

/** Keys may become file names in a client, so none may be a path in disguise. */
const isPlainPath = (key: string): boolean =>
  !key.startsWith('..') &&
  key.split('/').every((part) => part !== '' && part !== '.' && part !== '..')

/** Refuses a key of a metric, parameter or tag; `what` names it in the message. */
export function demandKey(what: string, key: string): void {
  const wrong = !keyCharacters.test(key)
    ? 'keys hold letters, digits, spaces and _ - . : / only'
    : isPlainPath(key)
      ? null
      : 'keys must be normalised relative paths'
  if (wrong !== null) {
    const shown = JSON.stringify(key.slice(0, 100))
    throw refused(`Invalid value ${shown} for parameter '${what}' supplied: ${wrong}.`)
  }
  demandLength(what, key, limits.key)
}

/** Refuses a list in which a key stands twice. */
export function demandUnique(what: string, keys: readonly string[]): void {
  const seen = new Set<string>()
  const twice = keys.find((key) => seen.size === seen.add(key).size)
  if (twice !== undefined)
    throw refused(`Duplicate ${what} keys have been submitted: ['${twice}'].`)
}
