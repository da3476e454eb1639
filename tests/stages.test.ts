// Stages: what is live, how versions move, where a rollback leads, what a quarantine does.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'

import { models } from '../src/cli/stages.ts'
import { quarantine } from '../src/promotion/rollback.ts'
import { flipByte, until } from './support/faults.ts'
import { examples, type Relais, startRelais, testModels } from './support/relais.ts'

const identity = join(testModels, 'identity-float32.onnx')
const row = [[1, 2]]
let relais: Relais

beforeAll(async () => {
  relais = await startRelais()
})
afterAll(() => relais.close())

/** Pushes `count` versions of the same small model. */
async function pushed(name: string, count: number, server = relais): Promise<void> {
  for (let at = 0; at < count; at += 1) {
    expect((await server.push(name, identity)).status).toBe(201)
  }
}

/** Pushes as many versions and promotes each to Production, one after the other. */
async function promoted(name: string, count: number, server = relais): Promise<void> {
  await pushed(name, count, server)
  for (let version = 1; version <= count; version += 1) {
    expect((await server.promote(name, version, 'Production')).status).toBe(200)
  }
}

const rollback = (name: string, body: object = {}, headers: Record<string, string> = {}) =>
  relais.call('POST', `/api/v1/models/${name}/rollback`, { body, headers })

/** version → stage */
async function stagesOf(name: string): Promise<Record<string, string>> {
  const { body } = await relais.call('GET', `/api/v1/models/${name}/versions`)
  return Object.fromEntries(
    body.versions.map(({ version, stage }: { version: number; stage: string }) => [version, stage]),
  )
}

async function served(name: string, at?: string): Promise<string> {
  const answer = await relais.predict(name, row, at === undefined ? {} : { at })
  return answer.body.model_version ?? `${answer.status} ${answer.body.code}`
}

/** As the server itself does it when blame is proven. */
async function putAside(name: string, version: number, reason: string): Promise<void> {
  const { audit } = relais.app.foundation
  await quarantine({ audit } as never, { name, version }, reason)
  await relais.app.deployments.reconcile(name)
}

test('§1 the highest servable version of a stage is live, and each answer names it', async () => {
  await pushed('live', 3)
  const moves: [number, string, Record<string, unknown>, number][] = [
    [2, 'Staging', {}, 2],
    [3, 'Staging', {}, 3],
    [1, 'Staging', {}, 3],
    [3, 'Production', {}, 3],
    [2, 'Production', { archive_existing: false }, 3],
  ]
  for (const [version, stage, options, live] of moves) {
    const { status, body } = await relais.promote('live', version, stage, options)
    expect([status, body.live_version, body.version.stage]).toEqual([200, live, stage])
  }
  expect(await served('live')).toBe('3')
  expect(await served('live', 'labels/Staging')).toBe('1')
})

test('§2 Production archives what it held, Staging does not, unless told otherwise', async () => {
  await pushed('defaults', 3)
  const moves: [number, string, Record<string, unknown>, number[]][] = [
    [1, 'Production', {}, []],
    [2, 'Production', {}, [1]],
    [1, 'Production', { archive_existing: false }, []],
    [1, 'Staging', {}, []],
    [3, 'Staging', {}, []],
    [2, 'Staging', { archive_existing: true }, [1, 3]],
  ]
  for (const [version, stage, options, archived] of moves) {
    const { status, body } = await relais.promote('defaults', version, stage, options)
    expect([status, body.archived]).toEqual([200, archived])
  }
  expect(await stagesOf('defaults')).toEqual({ 1: 'Archived', 2: 'Staging', 3: 'Archived' })
})

test('§2 one of several promotions at once wins, the others learn the present state', async () => {
  await pushed('race', 3)
  const answers = await Promise.all([1, 2, 3].map((v) => relais.promote('race', v, 'Production')))
  const won = answers.filter(({ status }) => status === 200)
  const lost = answers.filter(({ status }) => status === 409)
  expect([won.length, lost.length]).toEqual([1, 2])
  for (const { body } of lost) {
    expect(body).toMatchObject({
      code: 'stage.conflict',
      stage: 'Production',
      revision: 1,
      live_version: won[0]!.body.live_version,
    })
  }
  expect(Object.values(await stagesOf('race')).filter((s) => s === 'Production')).toHaveLength(1)
})

test('§2 a version that moved meanwhile is not moved on from where it was not', async () => {
  await pushed('moved', 1)
  const scientist = await relais.token('data-scientist', { sub: 'admin' })
  const [up, aside] = await Promise.all([
    relais.promote('moved', 1, 'Production'),
    relais.promote('moved', 1, 'Staging', {}, scientist),
  ])
  // Both were allowed when they began; the loser must not take the version out of where it went.
  expect(Math.min(up.status, aside.status)).toBe(200)
  expect(Math.max(up.status, aside.status)).toBe(409)
})

test('§26 If-Match is compared with the revision of the stage', async () => {
  await pushed('match', 2)
  const move = (version: number, match: string) =>
    relais.call('POST', `/api/v1/models/match/versions/${version}/stage`, {
      body: { stage: 'Production' },
      headers: { 'if-match': match },
    })
  expect((await move(1, '"0"')).status).toBe(200)
  const stale = await move(2, '"0"')
  expect([stale.status, stale.body.code, stale.body.revision]).toEqual([
    412,
    'precondition.failed',
    1,
  ])
  expect(await stagesOf('match')).toEqual({ 1: 'Production', 2: 'None' })
  expect((await move(2, '"1"')).status).toBe(200)
  expect((await rollback('match', {}, { 'if-match': '"1"' })).status).toBe(412)
  expect((await rollback('match', {}, { 'if-match': '"2"' })).body.live_version).toBe(1)
  expect((await move(2, '*')).status).toBe(200)
})

test('§3 rollback walks back, never to and fro, and says when nothing is left', async () => {
  await promoted('walk', 3)
  const back = async () => {
    const { status, body } = await rollback('walk')
    return status === 200 ? [body.rolled_back_from, body.live_version] : [status, body.code]
  }
  expect(await back()).toEqual([3, 2])
  // Promoted again by hand it counts again, also as a goal later; 2 was not rolled back from.
  expect((await relais.promote('walk', 3, 'Production')).body.live_version).toBe(3)
  expect((await relais.promote('walk', 2, 'Production')).body.live_version).toBe(2)
  expect(await back()).toEqual([2, 3])
  expect(await back()).toEqual([3, 1])
  expect(await back()).toEqual([409, 'rollback.nothing-earlier'])
  expect(await served('walk')).toBe('1')
  expect(await stagesOf('walk')).toEqual({ 1: 'Production', 2: 'Archived', 3: 'Archived' })
})

test('§3 rollback skips deleted and quarantined versions', async () => {
  await promoted('skip', 4)
  expect((await relais.call('DELETE', '/api/v1/models/skip/versions/3')).status).toBe(200)
  await putAside('skip', 2, 'test')
  expect((await rollback('skip')).body.live_version).toBe(1)
})

test('§3 rollback --demote-to Staging keeps the bad version for analysis', async () => {
  await promoted('demote', 2)
  const { body } = await rollback('demote', { demote_to: 'Staging', reason: 'drifts' })
  expect(body).toMatchObject({ live_version: 1, demoted: [{ version: 2, to: 'Staging' }] })
  expect(await stagesOf('demote')).toEqual({ 1: 'Production', 2: 'Staging' })
  expect(await served('demote', 'labels/Staging')).toBe('2')
  const { moves } = (await relais.call('GET', '/api/v1/models/demote/history')).body
  expect(moves.slice(0, 2)).toMatchObject([
    { version: 1, to: 'Production', kind: 'rollback', reason: 'drifts', actor: 'admin' },
    { version: 2, from: 'Production', to: 'Staging', kind: 'demote' },
  ])
})

test('§3 rollback among several holders goes to what was live, and the rest is archived', async () => {
  await pushed('beside', 4)
  const beside = { archive_existing: false }
  await relais.promote('beside', 1, 'Production')
  await relais.promote('beside', 4, 'Production', beside)
  await relais.promote('beside', 3, 'Production', beside)
  const { body } = await rollback('beside')
  expect(body).toMatchObject({ live_version: 1, rolled_back_from: 4 })
  // Version 3 lay beside 4 and never was live, so it is no goal.
  expect(await stagesOf('beside')).toEqual({
    1: 'Production',
    2: 'None',
    3: 'Archived',
    4: 'Archived',
  })
  expect(await served('beside')).toBe('1')
})

test('§4 an emptied stage goes on serving, but not what was deleted', async () => {
  const graceful = await startRelais({ 'stage-grace': '1s' })
  try {
    await promoted('grace', 2, graceful)
    const seen = new Set<string>()
    let asking = true
    const caller = (async () => {
      while (asking) {
        const { status, body } = await graceful.predict('grace', row)
        seen.add(status === 200 ? body.model_version : `${status} ${body.code}`)
      }
    })()
    try {
      expect((await graceful.promote('grace', 2, 'Archived')).status).toBe(200)
      await Bun.sleep(50)
      expect((await graceful.promote('grace', 1, 'Production')).status).toBe(200)
      await until(() => seen.has('1'))
    } finally {
      asking = false
      await caller
    }
    expect([...seen].sort()).toEqual(['1', '2'])

    const emptied = Date.now()
    await graceful.promote('grace', 1, 'Archived')
    expect((await graceful.predict('grace', row)).body.model_version).toBe('1')
    await until(async () => (await graceful.predict('grace', row)).status === 404, 4000)
    expect(Date.now() - emptied).toBeGreaterThan(900)

    await graceful.promote('grace', 2, 'Production')
    await graceful.promote('grace', 2, 'Archived')
    expect((await graceful.predict('grace', row)).status).toBe(200)
    expect((await graceful.call('DELETE', '/api/v1/models/grace/versions/2')).status).toBe(200)
    await until(async () => (await graceful.predict('grace', row)).status === 404, 500)
  } finally {
    await graceful.close()
  }
})

const poison = '{"inputs":{"a":[-9223372036854775808],"b":[-1]}}'
const json = { 'content-type': 'application/json' }
const quotient = async (): Promise<string> => {
  const body = { inputs: { a: [6], b: [3] } }
  return (await relais.call('POST', '/v1/models/div:predict', { body })).body.model_version
}
const shownStage = async () =>
  (await relais.call('GET', '/api/v1/models/div')).body.stages.Production

test('§5 a version that kills engines is put aside; its stage stays, an older one serves', async () => {
  for (const version of [1, 2]) {
    await relais.push('div', join(testModels, 'div.onnx'))
    await relais.promote('div', version, 'Production')
  }
  for (const sub of ['a', 'b', 'c']) {
    const token = await relais.token('predictor', { sub })
    const { status, body } = await relais.call('POST', '/v1/models/div:predict', {
      token,
      raw: poison,
      headers: json,
    })
    expect([status, body.code]).toEqual([500, 'inference.poison-request'])
  }
  await until(async () => (await quotient()) === '1')
  const version = (await relais.call('GET', '/api/v1/models/div/versions/2')).body
  expect([version.stage, version.quarantine.reason]).toEqual([
    'Production',
    'crashed for 3 callers within a minute',
  ])
  const { entries } = (await relais.call('GET', '/api/v1/audit?limit=10')).body
  expect(entries[0]).toMatchObject({
    action: 'version.quarantine',
    actor: 'system',
    object: 'model/div/version/2',
  })
  await expectFallback()
})

async function expectFallback(): Promise<void> {
  expect(await quotient()).toBe('1')
  expect(await shownStage()).toMatchObject({
    live_version: 2,
    serving: 1,
    why: expect.stringContaining('crashed'),
  })
  const health = (await relais.call('GET', '/health')).body
  expect(health.models.fallback).toBe(1)
  expect(health.notes).toMatchObject([{ model: 'div', stage_version: 2, serving: 1 }])
  const open = (await relais.call('GET', '/health', { token: null })).body
  expect([open.status, open.notes]).toEqual(['degraded', undefined])
  const elsewhere = await relais.token('viewer', { sub: 'elsewhere', models: ['other-*'] })
  expect((await relais.call('GET', '/health', { token: elsewhere })).body.notes).toEqual([])
  const metrics = (await relais.call('GET', '/metrics')).text
  expect(metrics).toContain('model_fallback{model="div",stage="Production"} 1')
  const lines: string[] = []
  const output = { line: (text: string) => lines.push(text), note: () => undefined }
  const env = { RELAIS_URL: relais.url, RELAIS_TOKEN: relais.admin }
  const args = { words: [], flag: () => false, text: () => undefined }
  await models.run(args as never, output as never, env)
  expect(lines.find((line) => line.startsWith('div'))).toMatch(/2, serving 1: crashed/)
}

test('§5 a quarantine outlives a restart; clearing it or a promotion lifts it', async () => {
  await relais.restart()
  await expectFallback()
  const cleared = await relais.call('DELETE', '/api/v1/models/div/versions/2/quarantine')
  expect([cleared.status, cleared.body.quarantine]).toEqual([200, null])
  expect(await quotient()).toBe('2')
  expect(await shownStage()).toMatchObject({ live_version: 2, serving: 2, why: '' })
  await putAside('div', 2, 'again')
  expect(await quotient()).toBe('1')
  expect((await relais.promote('div', 2, 'Production')).body.version.quarantine).toBe(null)
  expect(await quotient()).toBe('2')
  const metrics = (await relais.call('GET', '/metrics')).text
  expect(metrics).toContain('model_fallback{model="div",stage="Production"} 0')
})

test('§8 a failed version keeps its number and may not serve', async () => {
  const failed = await relais.push('failed', join(testModels, 'crash-load-split.onnx'))
  expect([failed.status, failed.body.version]).toEqual([201, 1])
  expect(failed.body).toMatchObject({ status: 'FAILED_REGISTRATION', servability: 'failed' })
  expect(failed.body.reason).not.toBe(null)
  for (const stage of ['Staging', 'Production']) {
    const { status, body } = await relais.promote('failed', 1, stage)
    expect([status, body.code]).toEqual([409, 'version.failed'])
  }
  expect((await relais.promote('failed', 1, 'Archived')).status).toBe(200)
  expect((await relais.push('failed', identity)).body).toMatchObject({
    version: 2,
    status: 'READY',
  })
  const asked = await relais.predict('failed', row, { at: 'versions/1' })
  expect([asked.status, asked.body.code]).toEqual([409, 'version.failed'])
})

test('an artifact is verified at every load: promotion is refused, start-up falls back', async () => {
  const file = join(examples, 'iris/model.onnx')
  await relais.push('rot', identity)
  await relais.promote('rot', 1, 'Production')
  const second = await relais.push('rot', file)
  await relais.push('rot', file)
  const digest = second.body.artifact.sha256
  await relais.promote('rot', 2, 'Staging')
  await relais.promote('rot', 2, 'Production')
  flipByte(relais.data, digest)
  const { status, body } = await relais.promote('rot', 3, 'Production')
  expect([status, body.code]).toEqual([409, 'version.failed'])
  expect((await stagesOf('rot'))[2]).toBe('Production')
  const doctor = (await relais.call('GET', '/api/v1/doctor')).body
  expect(doctor.ok).toBe(false)
  expect(doctor.findings.find((f: { check: string }) => f.check === 'artifacts').ok).toBe(false)
  await relais.restart()
  expect(await served('rot')).toBe('1')
  // The same bytes again heal it.
  expect((await relais.push('rot', file)).status).toBe(201)
  expect((await relais.promote('rot', 2, 'Production')).status).toBe(200)
  expect((await relais.predict('rot', [[5, 3, 1, 0]])).body.model_version).toBe('2')
})

test('§21 training metrics appear as the first present of each list, or not at all', async () => {
  const metrics = { training_accuracy: 0.5, accuracy: 0.9, f1: 0.8, loss: 3 }
  await relais.push('metered', identity, { metrics })
  await relais.promote('metered', 1, 'Production')
  await relais.push('metered', identity)
  await relais.promote('metered', 2, 'Staging')
  const { text } = await relais.call('GET', '/metrics')
  expect(text).toContain('model_training_accuracy{model="metered",model_version="1"} 0.9')
  expect(text).toContain('f1_score{model="metered",model_version="1"} 0.8')
  expect(text).toContain('model_loaded{model="metered",model_version="2"} 1')
  expect(text).not.toMatch(/(accuracy|f1_score)\{model="metered",model_version="2"\}/)
  await relais.promote('metered', 2, 'Production')
  const after = (await relais.call('GET', '/metrics')).text
  expect(after).not.toMatch(/(accuracy|f1_score)\{model="metered"/)
})
