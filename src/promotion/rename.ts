// A model gets another name and goes on serving.
import { eq } from 'drizzle-orm'

import type { Context } from '../core/context.ts'
import { models, versions } from '../db/tables.ts'
import { demandFree, modelView, refuseFor } from '../registry/models.ts'
import { demandName, findModel } from '../registry/registry.ts'
import type { Promotion } from './promotion.ts'

/** Versions, tags and aliases go with the model; as in MLflow its versions count as updated. */
export async function renameModel(
  s: Promotion,
  ctx: Context,
  name: string,
  newName: string,
): Promise<object> {
  const action = 'model.rename'
  await s.access.require(ctx, 'models:write', name, action)
  await s.access.require(ctx, 'models:create', newName, action)
  demandName(newName)
  const intent = { action, input: { name, newName } }
  const earlier = await s.audit.replay<object>(ctx, intent)
  if (earlier) return earlier
  await refuseFor(s, ctx, await findModel(s.db.read, name), action)
  const result = await s.audit.change(ctx, intent, async (tx) => {
    const model = await findModel(tx, name)
    if (newName !== name) await demandFree(tx, newName)
    const updatedAt = Date.now()
    const change = { name: newName, updatedAt }
    await tx.update(models).set(change).where(eq(models.id, model.id))
    await tx.update(versions).set({ updatedAt }).where(eq(versions.modelId, model.id))
    const view = await modelView(tx, { ...model, ...change })
    return { result: view, object: `model/${name}`, details: { to: newName } }
  })
  // The old name serves until the new one does, unless memory is too short for both.
  await s.deployments.reconcile(newName)
  await s.deployments.reconcile(name)
  s.changed(newName)
  return result
}
