// §28 The model repository extension: index, load, unload, who may, and what is kept of it.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'

import type { Role } from '../src/core/principal.ts'
import { file, loop, serve, stopLoops, until } from './support/load.ts'
import { type Relais, startRelais } from './support/relais.ts'
import { infer } from './support/v2.ts'

let relais: Relais
const input = { name: 'x', datatype: 'FP32', shape: [1, 2], data: [1, 2] }

const change = (verb: string, name: string, parameters?: object, token = relais.admin) =>
  relais.call<any>('POST', `/v2/repository/models/${name}/${verb}`, {
    token,
    ...(parameters === undefined ? {} : { body: { parameters } }),
  })
const index = async (body?: object, token = relais.admin): Promise<any[]> =>
  (
    await relais.call<any>('POST', '/v2/repository/index', {
      token,
      ...(body === undefined ? {} : { body }),
    })
  ).body
/** `1 READY`, `2 UNAVAILABLE unloaded`, … of one model. */
const states = async (name: string): Promise<string[]> =>
  (await index())
    .filter((row) => row.name === name)
    .map(({ version, state, reason }) => `${version} ${state} ${reason}`.trim())
const asked = async (at: string): Promise<[number, string | undefined]> => {
  const { status, body } = await infer(relais, at, [input])
  return [status, body.model_version ?? body.code]
}
const notLoaded = 'UNAVAILABLE not loaded; a request loads it'

/** A model with versions in Production (1), Staging (2), under an alias (3) and beside (4). */
async function fleet(name: string): Promise<void> {
  for (let count = 0; count < 4; count += 1) {
    expect((await relais.push(name, file('identity-float32'))).status).toBe(201)
  }
  await relais.promote(name, 1, 'Production')
  await relais.promote(name, 2, 'Staging')
  const alias = { body: { version: 3 } }
  await relais.call('PUT', `/api/v1/models/${name}/aliases/blue`, alias)
  await until(async () => (await states(name)).includes('3 READY'))
}

beforeAll(async () => {
  relais = await startRelais()
}, 30_000)
afterAll(async () => {
  stopLoops()
  await relais.close()
})

describe('§28 index', () => {
  test('a row per servable version, with its state', async () => {
    await fleet('index')
    await relais.push('index', file('crash-load-split'))
    expect(await states('index')).toEqual(['1 READY', '2 READY', '3 READY', `4 ${notLoaded}`])
    const ready = await index({ ready: true })
    expect(ready.map(({ version, reason }) => [version, reason])).toEqual([
      ['1', ''],
      ['2', ''],
      ['3', ''],
    ])
    expect((await index({ ready: false })).length).toBe(4)
    expect((await asked('index/versions/4'))[0]).toBe(200)
    expect(await states('index')).toContain('4 READY')
  })
  test('of the models that the caller may know of', async () => {
    const token = await relais.token('predictor', { sub: 'narrow', models: ['other-*'] })
    expect(await index(undefined, token)).toEqual([])
    const wrong = await relais.call<any>('POST', '/v2/repository/index', { body: { ready: 'yes' } })
    expect([wrong.status, typeof wrong.body.error]).toEqual([400, 'string'])
  })
  test('a version that is put aside says why', async () => {
    await serve(relais, 'aside', file('identity-float32'), 'Staging')
    const id = relais.app.deployments.route('aside')?.stages.Staging.serving?.row.id
    const { db } = relais.app.foundation
    const { versions } = await import('../src/db/tables.ts')
    const { eq } = await import('drizzle-orm')
    await db.tx(async (tx) => {
      const mark = { quarantinedAt: 1, quarantineReason: 'crashed for 3 callers' }
      await tx.update(versions).set(mark).where(eq(versions.id, id!))
    })
    await relais.app.deployments.reconcile('aside')
    await until(async () => (await states('aside'))[0] !== '1 READY')
    expect(await states('aside')).toEqual(['1 UNAVAILABLE crashed for 3 callers'])
    expect((await change('load', 'aside')).body.code).toBe('version.quarantined')
  })
})

describe('§28 load and unload', () => {
  test('a version on demand is dropped, and comes back by load or by a request', async () => {
    await fleet('demand')
    const loaded = await change('load', 'demand', { version: 4 })
    expect([loaded.status, loaded.text]).toEqual([200, ''])
    expect(await states('demand')).toContain('4 READY')
    expect((await change('load', 'demand', { version: '4' })).status).toBe(200)
    const gone = await change('unload', 'demand', { version: '4', unload_dependents: true })
    expect([gone.status, gone.text]).toEqual([200, ''])
    await until(async () => (await states('demand')).includes(`4 ${notLoaded}`))
    const ready = await relais.call('GET', '/v2/models/demand/versions/4/ready')
    expect([ready.status, ready.body]).toEqual([503, { name: 'demand', ready: false }])
    expect((await relais.call('GET', '/v2/models/demand/versions/4/stats')).status).toBe(404)
    expect((await relais.call('GET', '/v2/models/demand/versions/4/config')).status).toBe(200)
    expect(await asked('demand/versions/4')).toEqual([200, '4'])
  })

  test('the live Staging version stays out until it is loaded', async () => {
    await fleet('staging')
    expect((await change('unload', 'staging', { version: 'Staging' })).status).toBe(200)
    await until(async () => (await states('staging')).includes('2 UNAVAILABLE unloaded'))
    for (const at of ['staging/versions/2', 'staging/versions/Staging']) {
      expect([at, await asked(at)]).toEqual([at, [503, 'model.unavailable']])
    }
    await relais.app.deployments.reconcile('staging')
    expect(await states('staging')).toContain('2 UNAVAILABLE unloaded')
    expect(await asked('staging')).toEqual([200, '1'])
    expect((await change('load', 'staging', { version: 2 })).status).toBe(200)
    expect(await asked('staging/versions/Staging')).toEqual([200, '2'])
    expect(await states('staging')).toContain('2 READY')
  })

  test('a version under an alias likewise', async () => {
    await fleet('alias')
    expect((await change('unload', 'alias', { version: 'blue' })).status).toBe(200)
    await until(async () => (await states('alias')).includes('3 UNAVAILABLE unloaded'))
    expect(await asked('alias/versions/blue')).toEqual([503, 'model.unavailable'])
    expect((await change('load', 'alias', { version: 'blue' })).status).toBe(200)
    expect(await asked('alias/versions/blue')).toEqual([200, '3'])
  })

  test('a stage change or a restart brings it back', async () => {
    await fleet('moved')
    const out = async (version: number): Promise<void> => {
      expect((await change('unload', 'moved', { version })).status).toBe(200)
      await until(async () => (await states('moved')).includes(`${version} UNAVAILABLE unloaded`))
    }
    await out(2)
    await relais.promote('moved', 2, 'Staging')
    expect(await asked('moved/versions/Staging')).toEqual([200, '2'])
    await out(2)
    await relais.promote('moved', 2, 'Production')
    expect(await asked('moved')).toEqual([200, '2'])
    await out(3)
    await relais.promote('moved', 3, 'Staging')
    expect(await asked('moved/versions/Staging')).toEqual([200, '3'])
    await out(3)
    await relais.restart()
    expect(await asked('moved/versions/Staging')).toEqual([200, '3'])
  })

  test('without a version: Production, else Staging, else the highest', async () => {
    await fleet('usual')
    const unload = await change('unload', 'usual')
    expect([unload.status, unload.body.code]).toEqual([409, 'version.live'])
    expect((await change('load', 'usual')).status).toBe(200)
    for (const name of ['only-staging', 'only-none']) {
      for (let count = 0; count < 2; count += 1) await relais.push(name, file('identity-float32'))
    }
    await relais.promote('only-staging', 1, 'Staging')
    expect((await change('unload', 'only-staging')).status).toBe(200)
    await until(async () => (await states('only-staging'))[0] === '1 UNAVAILABLE unloaded')
    expect((await change('load', 'only-none')).status).toBe(200)
    expect(await states('only-none')).toEqual([`1 ${notLoaded}`, '2 READY'])
  })

  test('the live Production version is 409, by number, stage and alias', async () => {
    await serve(relais, 'live', file('identity-float32'))
    await relais.call('PUT', '/api/v1/models/live/aliases/best', { body: { version: 1 } })
    for (const version of [1, '1', 'Production', 'best']) {
      const answer = await change('unload', 'live', { version })
      expect([version, answer.status, answer.body.code]).toEqual([version, 409, 'version.live'])
    }
    expect(await asked('live')).toEqual([200, '1'])
  })

  test('requests in flight are answered before the version goes', async () => {
    await relais.pushExample('busy', 'iris')
    await relais.promote('busy', 1, 'Production')
    await relais.pushExample('busy', 'iris-v2')
    const clients = loop(relais, 4, 'busy/versions/2')
    await until(() => clients.answers.length > 20)
    for (let turn = 0; turn < 5; turn += 1) {
      expect((await change('unload', 'busy', { version: 2 })).status).toBe(200)
      await Bun.sleep(20)
    }
    const answers = await clients.end()
    expect(answers.filter(({ status }) => status !== 200).length).toBe(0)
  })

  test('config, files, and what is no body are 400', async () => {
    for (const [parameters, says] of [
      [{ config: '{}' }, /config/],
      [{ config: '{}', 'file:1/model.onnx': 'AAAA' }, /config/],
      [{ 'file:1/model.onnx': 'AAAA' }, /file:1/],
      [{ colour: 'red' }, /colour/],
      [{ version: [1] }, /version/],
      [[], /object/],
    ] as const) {
      for (const verb of ['load', 'unload']) {
        const answer = await change(verb, 'usual', parameters)
        expect([answer.status, answer.body.error]).toEqual([400, expect.stringMatching(says)])
      }
    }
    const path = '/v2/repository/models/usual/load'
    for (const raw of ['[]', '{', 'null']) {
      expect([raw, (await relais.call('POST', path, { raw })).status]).toEqual([raw, 400])
    }
    expect((await change('load', 'usual', { version: 9 })).status).toBe(404)
    expect((await change('load', 'usual', { version: 'nobody' })).status).toBe(404)
  })

  test('a version that cannot serve is 409', async () => {
    await relais.push('failed', file('crash-load-split'))
    expect((await change('load', 'failed')).body.code).toBe('version.not-found')
    const answer = await change('load', 'failed', { version: 1 })
    expect([answer.status, answer.body.code]).toEqual([409, 'version.failed'])
  })
})

describe('§28 rights and audit', () => {
  const table: [Role, production: number, staging: number][] = [
    ['viewer', 403, 403],
    ['predictor', 403, 403],
    ['auditor', 403, 403],
    ['data-scientist', 403, 200],
    ['ml-lead', 200, 200],
    ['ci', 200, 200],
    ['admin', 200, 200],
  ]
  beforeAll(() => fleet('rights'))
  for (const [role, production, staging] of table) {
    test(`${role} needs the right of the version's stage`, async () => {
      const token = await relais.token(role)
      for (const [version, expected] of [
        [1, production],
        [2, staging],
      ]) {
        const load = await change('load', 'rights', { version }, token)
        expect([version, load.status]).toEqual([version, expected!])
        const unload = await change('unload', 'rights', { version }, token)
        const status = version === 1 && expected === 200 ? 409 : expected
        expect([version, unload.status]).toEqual([version, status!])
      }
    })
  }

  test('§11 under a protected alias nobody unloads who could not remove it', async () => {
    const sub = 'off-line'
    const token = await relais.token('data-scientist', { sub })
    const lead = await relais.token('ml-lead')
    await fleet('guarded')
    for (const alias of ['champion', 'prod-eu']) {
      await relais.call('PUT', `/api/v1/models/guarded/aliases/${alias}`, { body: { version: 3 } })
      for (const version of [3, 'blue', alias]) {
        const { status, body } = await change('unload', 'guarded', { version }, token)
        expect([alias, version, status, body.code]).toEqual([alias, version, 403, 'access.denied'])
        expect(body.error).toContain('is protected')
      }
      expect(await asked(`guarded/versions/${alias}`)).toEqual([200, '3'])
      expect((await change('load', 'guarded', { version: 3 }, token)).status).toBe(200)
      if (alias === 'champion')
        await relais.call('DELETE', `/api/v1/models/guarded/aliases/${alias}`)
    }
    // Later refusals of one caller are folded into one entry.
    const { body } = await relais.call<any>('GET', '/api/v1/audit?limit=100')
    const first = body.entries.findLast(({ actor }: any) => actor === sub)
    expect([first.action, first.object, first.outcome]).toEqual([
      'version.unload',
      'model/guarded/version/3',
      'denied',
    ])
    expect((await change('unload', 'guarded', { version: 3 }, lead)).status).toBe(200)
    await relais.call('DELETE', '/api/v1/models/guarded/aliases/prod-eu')
    expect((await change('load', 'guarded', { version: 3 })).status).toBe(200)
    expect((await change('unload', 'guarded', { version: 'blue' }, token)).status).toBe(200)
  })

  test('every change has an entry, every refusal too, and what changed nothing has none', async () => {
    const sub = 'audited'
    const token = await relais.token('ml-lead', { sub })
    const entries = async (): Promise<any[]> =>
      (await relais.call<any>('GET', '/api/v1/audit?limit=100')).body.entries
        .filter(({ actor }: any) => actor === sub)
        .map(({ action, object, outcome, details }: any) => [action, object, outcome, details])
    await change('load', 'rights', { version: 4 }, token)
    await change('unload', 'rights', { version: 4 }, token)
    await change('unload', 'rights', { version: 1 }, token)
    await change('load', 'rights', { version: 99 }, token)
    const object = 'model/rights/version/4'
    expect((await entries()).toReversed()).toEqual([
      ['version.load', object, 'done', { stage: 'None' }],
      ['version.unload', object, 'done', { stage: 'None' }],
    ])
    const viewer = await relais.token('viewer', { sub: 'curious' })
    await change('unload', 'rights', { version: 2 }, viewer)
    const { body } = await relais.call<any>('GET', '/api/v1/audit?limit=5')
    const denied = body.entries.find(({ actor }: any) => actor === 'curious')
    expect([denied.action, denied.object, denied.outcome]).toEqual([
      'version.unload',
      'model/rights',
      'denied',
    ])
    expect((await relais.call('GET', '/api/v1/audit/verify')).status).toBe(200)
  })

  test('§26 a repeated call under one Idempotency-Key leaves one entry', async () => {
    const token = await relais.token('ci', { sub: 'twice' })
    const count = async (): Promise<number> =>
      (await relais.call<any>('GET', '/api/v1/audit?limit=100')).body.entries.filter(
        ({ actor }: any) => actor === 'twice',
      ).length
    for (let turn = 0; turn < 2; turn += 1) {
      const { status } = await relais.call('POST', '/v2/repository/models/rights/load', {
        token,
        body: { parameters: { version: 4 } },
        headers: { 'idempotency-key': 'once' },
      })
      expect(status).toBe(200)
    }
    expect(await count()).toBe(1)
  })
})
