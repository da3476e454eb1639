// Fields that many calls of MLflow's registry share, within the limits of its own database.
import { Fault, type FaultCode } from '../core/fault.ts'
import { type Fields, invalid } from './fields.ts'

const most = { key: 250, value: 100_000, description: 5000 }

/** A version number, as text or as a number. */
export function versionIn(fields: Fields): number {
  if (!fields.has('version')) throw fields.missing('version')
  try {
    return fields.integer('version')
  } catch {
    throw invalid('/version', "Parameter 'version' must be an integer.")
  }
}

export function descriptionIn(fields: Fields): string | undefined {
  const text = fields.optionalText('description')
  if ((text?.length ?? 0) > most.description) throw fields.misfit('description', text)
  return text
}

export function keyIn(fields: Fields): string {
  const key = fields.text('key')
  if (key.length > most.key) throw fields.misfit('key', key)
  return key
}

/** `key` and `value` of a call as one tag; a value that is missing is empty. */
export function tagIn(fields: Fields): Record<string, string> {
  const value = fields.optionalText('value') ?? ''
  if (value.length > most.value) throw fields.misfit('value', value)
  return { [keyIn(fields)]: value }
}

/** The list `tags` of a call; of a key that comes twice the last one counts. */
export function tagsIn(fields: Fields): Record<string, string> {
  const tags = fields.objects('tags').flatMap((tag) => Object.entries(tagIn(tag)))
  return Object.fromEntries(tags)
}

/** Waits for a verb and takes one fault for success, where MLflow does. */
export async function unless(code: FaultCode, done: Promise<unknown>): Promise<void> {
  try {
    await done
  } catch (error) {
    if (!(error instanceof Fault) || error.code !== code) throw error
  }
}
