import { describe, expect, test } from 'bun:test'

import type { Context } from '../core/context.ts'
import type { AuditRow } from '../db/tables.ts'
import { auditLine, eventOf } from './audit-line.ts'

const row = (members: Partial<AuditRow>): AuditRow => ({
  seq: 7,
  at: 0,
  actor: 'lena',
  role: 'ml-lead',
  action: 'version.stage',
  object: 'model/iris/version/3',
  outcome: 'done',
  count: 1,
  details: {},
  requestId: 'r',
  ip: '',
  prevHash: '',
  hash: '',
  ...members,
})
const ctx = { traceId: 't' } as Context

describe('the event of an audit entry', () => {
  const past: Record<string, string> = {
    'model.create': 'model.created',
    'model.rename': 'model.renamed',
    'model.restore': 'model.restored',
    'model.import': 'model.imported',
    'model.rollback': 'model.rolled-back',
    'version.update': 'version.updated',
    'version.load': 'version.loaded',
    'version.quarantine': 'version.quarantined',
    'version.quarantine-clear': 'version.quarantine-cleared',
    'alias.set': 'alias.set',
    'alias.delete': 'alias.deleted',
    'token.revoke': 'token.revoked',
    'keys.rotate': 'keys.rotated',
  }
  for (const [action, event] of Object.entries(past)) {
    test(`${action} is ${event}`, () => expect(eventOf(row({ action }))).toBe(event))
  }

  test('a stage that serves is a promotion, any other a move, a refusal neither', () => {
    const to = (stage: string): string => eventOf(row({ details: { to: stage } }))
    expect([to('Production'), to('Staging')]).toEqual(['model.promoted', 'model.promoted'])
    expect([to('Archived'), to('None')]).toEqual(['version.moved', 'version.moved'])
    const denied = { outcome: 'denied', details: { to: 'Production' } }
    expect(eventOf(row(denied))).toBe('access.denied')
  })
})

describe('the line of an audit entry', () => {
  test('names model and version wherever the entry holds them', () => {
    const shown = (members: Partial<AuditRow>) => {
      const { model, model_version, stage, before } = auditLine(row(members), ctx)
      return { model, model_version, stage, before }
    }
    expect(shown({ details: { from: 'None', to: 'Staging' } })).toEqual({
      model: 'iris',
      model_version: '3',
      stage: 'Staging',
      before: 'None',
    })
    const rollback = { stage: 'Production', live_version: 1, rolled_back_from: 2 }
    expect(shown({ object: 'model/iris', details: rollback })).toEqual({
      model: 'iris',
      model_version: '1',
      stage: 'Production',
      before: '2',
    })
    const alias = shown({ object: 'model/iris/alias/best', details: { version: 4 } })
    expect(alias).toMatchObject({ model: 'iris', model_version: '4' })
    const renamed = shown({ action: 'model.rename', object: 'model/iris', details: { to: 'rose' } })
    expect([renamed.model, renamed.stage, renamed.before]).toEqual(['iris', undefined, undefined])
    expect(shown({ object: 'token/abc' }).model).toBeUndefined()
    expect(shown({ object: '*', details: { live: [1, 2] } }).model_version).toBeUndefined()
  })

  test('what people wrote stays in the trail', () => {
    const details = { to: 'Production', reason: 'secret', description: 'secret' }
    expect(JSON.stringify(auditLine(row({ details }), ctx))).not.toInclude('secret')
  })
})
