// The log line of an audit entry: what happened as a dotted event, to which model and version, by whom.
import type { Context } from '../core/context.ts'
import type { AuditRow } from '../db/tables.ts'

/** Actions whose event is no plain past tense. */
const events: Record<string, string | undefined> = {
  'model.rollback': 'model.rolled-back',
  'alias.set': 'alias.set',
  'version.quarantine-clear': 'version.quarantine-cleared',
}

const served: ReadonlySet<unknown> = new Set(['Production', 'Staging'])

/** `model.promoted`, `model.rolled-back`, `version.created`: the action in the past tense. */
export function eventOf({
  action,
  outcome,
  details,
}: Pick<AuditRow, 'action' | 'outcome' | 'details'>): string {
  if (outcome === 'denied') return 'access.denied'
  if (action === 'version.stage')
    return served.has(details['to']) ? 'model.promoted' : 'version.moved'
  return events[action] ?? `${action}${action.endsWith('e') ? 'd' : 'ed'}`
}

/** A version is a number in some entries and a list in others, which names none. */
const versionOf = (value: unknown): string | undefined =>
  typeof value === 'number' || typeof value === 'string' ? String(value) : undefined

/** `model/iris/version/3`; names may hold slashes, so the last part counts. */
function partsOf(object: string): { model?: string; version?: string } {
  const match = /^model\/(.+?)(?:\/version\/(\d+)|\/alias\/[^/]+)?$/.exec(object)
  if (!match?.[1]) return {}
  return { model: match[1], ...(match[2] === undefined ? {} : { version: match[2] }) }
}

/** Members of the line. Details stay in the trail: they may hold whatever people wrote. */
export function auditLine(
  row: AuditRow,
  ctx: Context,
): { event: string } & Record<string, unknown> {
  const { action, object, outcome, details } = row
  const { model, version } = partsOf(object)
  const { live_version: live, rolled_back_from: before, version: named } = details
  // `to` of a rename is a name that somebody made up.
  const { from, to } = action === 'version.stage' ? details : {}
  return {
    msg: `${action} ${outcome}`,
    event: eventOf(row),
    log_type: 'audit',
    audit_seq: row.seq,
    action,
    outcome,
    count: row.count,
    user: row.actor,
    role: row.role,
    object,
    model,
    model_version: version ?? versionOf(live ?? named),
    stage: versionOf(to ?? details['stage']),
    before: versionOf(before ?? from),
    request_id: row.requestId,
    trace_id: ctx.traceId,
  }
}
