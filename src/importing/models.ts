// Registered models taken over from elsewhere, with their times, descriptions and tags.
import { eq } from 'drizzle-orm'

import type { Context } from '../core/context.ts'
import { type ModelRow, models } from '../db/tables.ts'
import { insertModel } from '../registry/models.ts'
import { demandName, modelNamed, type Registry } from '../registry/registry.ts'
import { demandSame, type GivenTag, tagsIn } from './given.ts'

export interface GivenModel {
  name: string
  creation_timestamp: number
  last_updated_timestamp: number
  description?: string | undefined
  tags?: GivenTag[] | undefined
}

/** Makes a model under its name. One that is here already stays as it is. */
export async function importModel(
  s: Registry,
  ctx: Context,
  given: GivenModel,
): Promise<{ created: boolean }> {
  const action = 'model.import'
  const { name, description, creation_timestamp: createdAt } = given
  await s.access.require(ctx, 'settings:manage', undefined, action)
  demandName(name)
  const found = await modelNamed(s.db.read, name)
  if (found) {
    demandSame(`The registered model ${name}`, found.createdAt === createdAt)
    return { created: false }
  }
  return s.audit.change(ctx, { action, input: given }, async (tx) => {
    const row = await insertModel(tx, ctx, { name, description, tags: tagsIn(given.tags) })
    const times: Partial<ModelRow> = { createdAt, updatedAt: given.last_updated_timestamp }
    await tx.update(models).set(times).where(eq(models.id, row.id))
    return { result: { created: true }, object: `model/${name}`, details: {} }
  })
}
