// Fields that many calls of MLflow's registry share, with its own words for what is wrong.
import { Fault, type FaultCode } from '../core/fault.ts'
import type { Exchange } from '../http/request.ts'
import { demandKey } from '../tracking/limits.ts'
import type { Endpoint } from './door.ts'
import { type Fields, invalid } from './fields.ts'

const most = { value: 100_000, description: 5000 }

/** A model's name. One that no model can have is refused before any is looked for. */
export function nameIn(fields: Fields, field = 'name'): string {
  const name = fields.text(field)
  if (name.trim() === '') throw fields.missing(field)
  if (name === '.' || name === '..') throw fields.misfit(field)
  if (!/[/:]/.test(name)) return name
  const message = `Invalid model name '${name.slice(0, 100)}'. Names cannot contain '/' or ':'.`
  throw invalid(`/${field}`, message)
}

export function versionIn(fields: Fields): number {
  const text = fields.text('version')
  if (/^-?\d{1,9}$/.test(text)) return Number(text)
  const message = `Parameter 'version' must be an integer, got '${text.slice(0, 100)}'.`
  throw invalid('/version', message)
}

export function descriptionIn(fields: Fields): string | undefined {
  const text = fields.optionalText('description')
  if ((text?.length ?? 0) > most.description) throw fields.misfit('description', text)
  return text
}

function keyIn(fields: Fields): string {
  const key = fields.text('key')
  demandKey('key', key)
  return key
}

/** `key` and `value` of a call as one tag; a value that is missing is empty. */
function tagIn(fields: Fields): Record<string, string> {
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

/** `tags` are read when they are asked for: what is wrong with the place is told first. */
type Edit = (
  ctx: Exchange,
  fields: Fields,
  tags: () => Record<string, string | null>,
) => Promise<unknown>

/** `set-tag` and `delete-tag` below a path, as one edit of tags; a tag that is not there is no fault. */
export function tagEndpoints(path: string, action: string, edit: Edit): Endpoint[] {
  const need = 'models:write'
  return [
    {
      method: 'POST',
      path: `${path}/set-tag`,
      need,
      action,
      handle: async (ctx, fields) => {
        await edit(ctx, fields, () => tagIn(fields))
      },
    },
    {
      method: 'DELETE',
      path: `${path}/delete-tag`,
      need,
      action,
      handle: async (ctx, fields) => {
        await edit(ctx, fields, () => ({ [keyIn(fields)]: null }))
      },
    },
  ]
}
