// Rights at work: every verb asks here, and every refused change leaves an audit entry.
import type { Context } from '../core/context.ts'
import { Fault } from '../core/fault.ts'
import { can, globMatches, grants, type Principal, type Right } from '../core/principal.ts'
import type { Audit } from './audit.ts'

export interface Access {
  /**
   * Throws `access.denied` unless the caller holds the right on the model. `action` names the change
   * that was tried; reads pass none and leave no audit entry.
   */
  require(ctx: Context, right: Right, model?: string, action?: string): Promise<void>
  /** Refuses a change for a reason finer than a right. */
  refuse(ctx: Context, action: string, object: string, why: string): Promise<never>
}

/** What the caller lacks: the right itself, or that their token reaches so far. */
function shortfall({ role, models }: Principal, right: Right, model?: string): string {
  const on = model === undefined ? '' : ` on ${model}`
  const isNarrowed = models !== null && grants[role].has(right)
  if (!isNarrowed) return `Role ${role} does not carry ${right}${on}.`
  return `The token is narrowed to ${models.join(', ')}, and so does not carry ${right}${on}.`
}

export function createAccess(audit: Audit): Access {
  const refuse: Access['refuse'] = async (ctx, action, object, why) => {
    await audit.denied(ctx, action, object)
    throw new Fault('access.denied', why)
  }
  return {
    refuse,
    require: async (ctx, right, model, action) => {
      if (can(ctx.principal, right, model)) return
      const why = shortfall(ctx.principal, right, model)
      if (action === undefined) throw new Fault('access.denied', why)
      await refuse(ctx, action, model === undefined ? '*' : `model/${model}`, why)
    },
  }
}

/** Facts about a version that the finer rules look at. */
export interface VersionFacts {
  stage: string
  createdBy: string
}

const isDataScientist = (ctx: Context): boolean => ctx.principal.role === 'data-scientist'

/** §11: why a data scientist may not delete or edit this model, or null. */
export function modelRefusal(ctx: Context, hasProduction: boolean): string | null {
  return isDataScientist(ctx) && hasProduction
    ? 'The model has a version in Production; ask an ml-lead.'
    : null
}

/** §11: why a data scientist may not edit or delete this version, or null. */
export function versionRefusal(ctx: Context, version: VersionFacts): string | null {
  return isDataScientist(ctx) && version.stage === 'Production'
    ? 'The version is in Production; ask an ml-lead.'
    : null
}

/** §11: why a data scientist may not move this version to that stage, or null. */
export function moveRefusal(ctx: Context, version: VersionFacts, to: string): string | null {
  if (!isDataScientist(ctx)) return null
  if (to === 'Production') return 'Only ml-lead, ci and admin promote to Production.'
  if (version.stage === 'Production') return 'Only ml-lead, ci and admin move out of Production.'
  if (to === 'Archived' && version.createdBy !== ctx.principal.sub) {
    return `The version belongs to ${version.createdBy}; only its author may archive it.`
  }
  return null
}

/** §11: why a data scientist may not touch this alias, or null. `holder` is what it points at now. */
export function aliasRefusal(
  ctx: Context,
  alias: string,
  versions: { target?: VersionFacts | undefined; holder?: VersionFacts | undefined },
  protectedAliases: readonly string[],
): string | null {
  if (!isDataScientist(ctx)) return null
  if (protectedAliases.some((glob) => globMatches(glob.toLowerCase(), alias.toLowerCase()))) {
    return `The alias ${alias} is protected.`
  }
  const { target, holder } = versions
  if (holder?.stage === 'Production') return `The alias ${alias} points at a Production version.`
  if (target && target.stage !== 'None' && target.stage !== 'Staging') {
    return 'Aliases may be set on versions in None or Staging only.'
  }
  return null
}
