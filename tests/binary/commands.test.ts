import { Database } from 'bun:sqlite'
// Every client command against a server of the same binary: its table, its JSON, its exit code.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import {
  cleanUp,
  example,
  promoteExample,
  relais,
  serve,
  type Served,
  temporary,
} from '../support/binary.ts'
import { agrees, referenceOf } from '../support/relais.ts'

let server: Served
let scientist: string
let lead: string
const folder = temporary()

const iris = example('iris', 'model.onnx')
const schema = ['--schema', example('iris', 'schema.json')]

beforeAll(async () => {
  server = await serve()
  scientist = await server.token('data-scientist', 'alice')
  lead = await server.token('ml-lead', 'bob')
})
afterAll(async () => {
  await server.stop()
  cleanUp()
})

/** Types a command with --json and reads its answer. */
async function json(args: string[], token?: string): Promise<any> {
  const { code, out, err } = await server.cli([...args, '--json'], token)
  expect([code, err]).toEqual([0, ''])
  return JSON.parse(out)
}

/** Writes rows where the ordinary user can read them. */
function rowsFile(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text, { mode: 0o644 })
  return path
}

test('push tells version, speed and stage, and keeps what was said about it', async () => {
  const about = ['--metric', 'accuracy=0.95', '--metric', 'f1=0.94', '--param', 'trees=20']
  const more = ['--tag', 'team=growth', '--commit', '0123abcd', '--description', 'a forest']
  const args = ['push', 'iris', iris, ...schema, ...about, ...more]
  const { code, out, err } = await server.cli(args, scientist)
  expect([code, err]).toEqual([0, ''])
  expect(out).toMatch(/^iris version 1 in None, [\d.]+ ms a row, rows travel together\n$/)
  const view = (await json(['models', 'iris'])).versions[0]
  expect(view).toMatchObject({
    version: 1,
    stage: 'None',
    metrics: { accuracy: 0.95, f1: 0.94 },
    params: { trees: '20' },
    tags: { team: 'growth' },
    git_commit: '0123abcd',
    description: 'a forest',
    created_by: 'alice',
  })
})

test('push --stage moves the version there; --json is the answer of the API', async () => {
  const pushed = await json(['push', 'iris', iris, ...schema, '--stage', 'Staging'], scientist)
  expect(pushed).toMatchObject({ name: 'iris', version: 2, stage: 'Staging' })
  expect(pushed.servability).toBe('servable')
})

test('push of a file that crashes its trial exits 1 and keeps the version for inspection', async () => {
  const crash = rowsFile('crash.onnx', '')
  writeFileSync(crash, readFileSync(join(import.meta.dir, '../models/crash-load-split.onnx')))
  const { code, out, err } = await server.cli(['push', 'crash', crash])
  expect([code, out]).toEqual([1, ''])
  expect(err).toContain('crash version 1 failed its trial: ')
  expect(err).toContain('push a repaired file')
  const asJson = await server.cli(['push', 'crash', crash, '--json'])
  expect([asJson.code, JSON.parse(asJson.out).servability]).toEqual([1, 'failed'])
  const refused = await server.cli(['promote', 'crash', '1', '--to', 'Production'])
  expect([refused.code, refused.err.includes('version.failed')]).toEqual([1, true])
})

test('push of what is not ONNX exits 1 with advice', async () => {
  const { code, err } = await server.cli(['push', 'pickle', rowsFile('model.pkl', 'not a model')])
  expect(code).toBe(1)
  expect(err).toContain('model.not-onnx')
  expect(err).toContain('Export the model to ONNX')
})

test('promote is refused to a data scientist, with advice and, on demand, the problem', async () => {
  const args = ['promote', 'iris', '1', '--to', 'Production']
  const { code, out, err } = await server.cli(args, scientist)
  expect([code, out]).toEqual([1, ''])
  expect(err).toContain('access.denied')
  expect(err).toContain('Use a token with that right')
  const asJson = await server.cli([...args, '--json'], scientist)
  expect([asJson.code, JSON.parse(asJson.out)]).toMatchObject([
    1,
    { status: 403, code: 'access.denied' },
  ])
})

test('promote, promote on top, rollback: the command line names what is live', async () => {
  const args = ['promote', 'iris', '1', '--to', 'Production', '--reason', 'passed review']
  const first = await server.cli(args, lead)
  expect([first.code, first.out]).toEqual([
    0,
    'iris version 1 is in Production; live there: version 1\n',
  ])
  const moved = await json(['promote', 'iris', '2', '--to', 'Production'], lead)
  expect(moved).toMatchObject({ stage: 'Production', live_version: 2, archived: [1] })
  const back = await server.cli(['rollback', 'iris', '--demote-to', 'Staging'], lead)
  expect(back.code).toBe(0)
  expect(back.out).toBe('iris serves version 1, was 2\nversion 2 is in Staging\n')
  const again = await server.cli(['rollback', 'iris'], lead)
  expect([again.code, again.err.includes('rollback.nothing-earlier')]).toEqual([1, true])
  expect((await json(['promote', 'iris', '2', '--to', 'Production'], lead)).live_version).toBe(2)
  const asJson = await json(['rollback', 'iris', '--reason', 'worse'], lead)
  expect(asJson).toMatchObject({ live_version: 1, rolled_back_from: 2 })
})

test('promote --keep-existing leaves the holder where it is', async () => {
  const moved = await json(['promote', 'iris', '2', '--to', 'Production', '--keep-existing'], lead)
  expect(moved).toMatchObject({ live_version: 2, archived: [] })
  expect((await json(['rollback', 'iris'], lead)).live_version).toBe(1)
})

test('models lists models, models NAME its versions', async () => {
  const { code, out } = await server.cli(['models'])
  expect(code).toBe(0)
  expect(out).toMatch(/^MODEL +LATEST +PRODUCTION +STAGING +ALIASES\n/)
  expect(out).toMatch(/^iris +2 +1 +- +-$/m)
  const { out: versions } = await server.cli(['models', 'iris'])
  expect(versions).toMatch(/^VERSION +STAGE +STATE +ALIASES +METRICS +BY +CREATED +COMMIT\n/)
  expect(versions).toMatch(
    /^1 +Production +servable +- +accuracy=0.95 f1=0.94 +alice .* 0123abcd$/m,
  )
  const all = await json(['models'])
  expect(all.models.map(({ name }: { name: string }) => name)).toEqual(['crash', 'iris'])
  const none = await server.cli(['models', 'absent'])
  expect([none.code, none.err.includes('`relais models` lists')]).toEqual([1, true])
})

describe('predict', () => {
  const reference = referenceOf('iris')
  const rows = reference.rows.slice(0, 5)
  const expected = rows.map((_, at) => ({
    output_label: reference.outputs.output_label![at],
    output_probability: reference.outputs.output_probability![at],
  }))
  const objects = rows.map((row) =>
    Object.fromEntries(reference.columns.map((name, at) => [name, row[at]])),
  )
  const csv = [reference.columns, ...rows].map((row) => row.join(',')).join('\n')
  const files: [name: string, text: string][] = [
    ['rows.csv', csv],
    ['windows.csv', `\ufeff${csv.replaceAll('\n', '\r\n')}\r\n`],
    ['objects.json', JSON.stringify(objects)],
    ['arrays.json', JSON.stringify(rows)],
    ['instances.json', JSON.stringify({ instances: objects })],
  ]
  for (const [name, text] of files) {
    test(name, async () => {
      const answer = await json(['predict', 'iris', '--input', rowsFile(name, text)])
      expect(agrees(answer.predictions, expected)).toBe(true)
      expect(answer.model_version).toBe('1')
    })
  }

  test('a person reads a table', async () => {
    const { code, out, err } = await server.cli([
      'predict',
      'iris',
      '--input',
      rowsFile('t.csv', csv),
    ])
    expect([code, err]).toEqual([0, 'iris version 1\n'])
    expect(out).toMatch(/^ROW +output_label +output_probability\n1 +1 +\[/)
  })

  test('CSV of text, numbers and empty cells', async () => {
    await promoteExample(server, 'customers')
    const customers = referenceOf('customers')
    const lines = [customers.columns, ...customers.rows.slice(0, 20)]
    const text = lines.map((row) => row.map((cell) => cell ?? '').join(',')).join('\n')
    const answer = await json(['predict', 'customers', '--input', rowsFile('c.csv', text)])
    const labels = answer.predictions.map((p: { output_label: string }) => p.output_label)
    expect(labels).toEqual(customers.outputs.output_label!.slice(0, 20))
  })

  test('64-bit integers are exact on the way in and out, and no notation is guessed at', async () => {
    const model = join(import.meta.dir, '../models/identity-int64.onnx')
    expect((await server.cli(['push', 'wide', model])).code).toBe(0)
    expect((await server.cli(['promote', 'wide', '1', '--to', 'Production'])).code).toBe(0)
    const cells = ['9007199254740993', '-9223372036854775808']
    for (const [file, text] of [
      ['wide.csv', `f0,f1\n${cells.join(',')}\n`],
      ['wide.json', `[[${cells.join(',')}]]`],
    ] as const) {
      const args = ['predict', 'wide', '--input', rowsFile(file, text)]
      expect((await server.cli(args)).out).toContain(`[${cells.join(',')}]`)
      expect((await server.cli([...args, '--json'])).out).toContain(`[[${cells.join(',')}]]`)
    }
    const odd = rowsFile('odd.csv', 'f0,f1\n0x10,Infinity\n')
    const { code, err } = await server.cli(['predict', 'wide', '--input', odd])
    expect([code, err.includes('/instances/0/f0'), err.includes('null')]).toEqual([1, true, false])
  })

  test('an answer longer than a pipe holds arrives whole', async () => {
    const many = Array.from({ length: 3000 }, () => rows[0])
    const answer = await json([
      'predict',
      'iris',
      '--input',
      rowsFile('l.json', JSON.stringify(many)),
    ])
    expect(answer.predictions.length).toBe(3000)
  })

  test('faults name the place', async () => {
    const file = rowsFile('bad.json', JSON.stringify([{ ...objects[0], petal_width: 'wide' }]))
    const { code, err } = await server.cli(['predict', 'iris', '--input', file])
    expect(code).toBe(1)
    expect(err).toContain('input.invalid')
    expect(err).toContain('/instances/0/petal_width')
    const broken = await server.cli(['predict', 'iris', '--input', rowsFile('x.json', '{"a":')])
    expect([broken.code, broken.err.includes('cannot read')]).toEqual([1, true])
    const other = await server.cli(['predict', 'iris', '--input', rowsFile('y.json', '{"a": 1}')])
    expect([other.code, other.err.includes('neither a list of rows')]).toEqual([1, true])
  })
})

describe('where the server and the token come from', () => {
  test('--url and --token-file win over RELAIS_URL and RELAIS_TOKEN', async () => {
    const env = { RELAIS_URL: 'http://127.0.0.1:9', RELAIS_TOKEN: 'nonsense' }
    const flags = ['--url', `${server.url}/`, '--token-file', join(server.data, 'admin.token')]
    expect((await relais(['models', ...flags], { env })).code).toBe(0)
    expect((await relais(['models', ...flags.slice(0, 2)], { env })).code).toBe(1)
    expect((await relais(['models', ...flags.slice(2)], { env })).code).toBe(1)
  })
  test('no token and a wrong one are told apart', async () => {
    const none = await relais(['models'], { env: { RELAIS_URL: server.url } })
    expect([none.code, none.err.includes('RELAIS_TOKEN or pass --token-file')]).toEqual([1, true])
    const wrong = await server.cli(['models'], 'nonsense')
    expect([wrong.code, wrong.err.includes('auth.invalid')]).toEqual([1, true])
  })
})

describe('tokens', () => {
  test('create over HTTP prints only the token, which works within its models', async () => {
    const args = ['token', 'create', '--sub', 'app', '--role', 'predictor', '--models', 'iris, x-*']
    const { code, out, err } = await server.cli([...args, '--ttl', '1h'])
    expect([code, err]).toEqual([0, ''])
    expect(out).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/)
    const me = await (await server.call('GET', '/api/v1/me', undefined, out.trim())).json()
    expect(me).toMatchObject({ sub: 'app', role: 'predictor', models: ['iris', 'x-*'] })
  })
  test('create needs the right to it', async () => {
    const { code, err } = await server.cli(
      ['token', 'create', '--sub', 'x', '--role', 'admin'],
      lead,
    )
    expect([code, err.includes('access.denied')]).toEqual([1, true])
  })
  test('create --data works beside the running server and leaves its audit entry', async () => {
    const args = ['token', 'create', '--sub', 'beside', '--role', 'viewer', '--data', server.data]
    const { code, out, err } = await relais(args)
    expect([code, err]).toEqual([0, ''])
    expect((await server.call('GET', '/api/v1/me', undefined, out.trim())).status).toBe(200)
    const { entries } = await json(['audit'])
    const entry = entries.find(({ action }: { action: string }) => action === 'token.create')
    expect(entry).toMatchObject({ actor: 'system', outcome: 'done' })
    expect(await json(['audit', '--verify'])).toMatchObject({ valid: true })
    // The server goes on writing after the other process did.
    expect((await server.cli(['token', 'create', '--sub', 'after', '--role', 'viewer'])).code).toBe(
      0,
    )
    expect(await json(['audit', '--verify'])).toMatchObject({ valid: true })
  })
  test('create --data by root leaves nothing that the owner cannot read', async () => {
    const args = ['token', 'create', '--sub', 'by-root', '--role', 'viewer', '--data', server.data]
    const { code, out } = await relais(args, { asTester: true })
    expect(code).toBe(0)
    expect((await server.call('GET', '/api/v1/me', undefined, out.trim())).status).toBe(200)
    expect((await server.cli(['doctor'])).code).toBe(0)
    expect((await server.cli(['token', 'create', '--sub', 'more', '--role', 'viewer'])).code).toBe(
      0,
    )
  })
  test('revoke works within a second', async () => {
    const token = await server.token('viewer', 'gone')
    const { tokens } = await json(['token', 'list'])
    const { jti } = tokens.find(({ sub }: { sub: string }) => sub === 'gone')
    const { code, out } = await server.cli(['token', 'revoke', jti])
    expect([code, out]).toEqual([0, 'revoked the token of gone\n'])
    await Bun.sleep(1000)
    const refused = await server.cli(['models'], token)
    expect([refused.code, refused.err.includes('auth.revoked')]).toEqual([1, true])
    const { out: list } = await server.cli(['token', 'list'])
    expect(list).toMatch(/^JTI +SUB +ROLE +MODELS +EXPIRES\n/)
    expect(list).toMatch(new RegExp(`^${jti} +gone +viewer +all +revoked$`, 'm'))
    const unknown = await server.cli(['token', 'revoke', 'nothing'])
    expect([unknown.code, unknown.err.includes('token list')]).toEqual([1, true])
  })
  test('keys rotate leaves earlier tokens valid', async () => {
    const { code, out } = await server.cli(['keys', 'rotate'])
    expect([code, /^signing with key [0-9a-f]{16}\n$/.test(out)]).toEqual([0, true])
    expect((await server.cli(['models'], scientist)).code).toBe(0)
    expect(Object.keys(await json(['keys', 'rotate']))).toEqual(['kid'])
  })
})

test('audit shows who did what, --verify checks the chain', async () => {
  const { code, out } = await server.cli(['audit'])
  expect(code).toBe(0)
  expect(out).toMatch(/^SEQ +AT +ACTOR +ACTION +OBJECT +OUTCOME\n/)
  expect(out).toMatch(/ alice +\S+ +\S+ +denied/)
  const verified = await server.cli(['audit', '--verify'])
  expect([verified.code, /^the chain of \d+ entries is whole\n$/.test(verified.out)]).toEqual([
    0,
    true,
  ])
  expect((await server.cli(['audit'], scientist)).code).toBe(1)
})

test('quarantine clear lets a version serve again', async () => {
  const own = await serve()
  await promoteExample(own, 'iris')
  const data = join(temporary(), 'data')
  const file = join(folder, 'quarantine.tar')
  expect((await own.cli(['backup', file])).code).toBe(0)
  await own.stop()
  expect((await relais(['restore', file, '--data', data])).code).toBe(0)
  const db = new Database(join(data, 'relais.db'))
  db.run("UPDATE versions SET quarantined_at = created_at, quarantine_reason = 'it hung'")
  db.close()
  const after = await serve({ data })
  const listed = await after.cli(['models', 'iris'])
  expect(listed.out).toContain('quarantined: it hung')
  expect((await after.cli(['doctor'])).code).toBe(1)
  const { code, out } = await after.cli(['quarantine', 'clear', 'iris', '1'])
  expect([code, out]).toEqual([0, 'iris version 1 may serve again\n'])
  const rows = rowsFile('q.json', JSON.stringify(referenceOf('iris').rows.slice(0, 1)))
  let predicted = await after.cli(['predict', 'iris', '--input', rows])
  for (let tries = 0; predicted.code !== 0 && tries < 20; tries += 1) {
    await Bun.sleep(50)
    predicted = await after.cli(['predict', 'iris', '--input', rows])
  }
  expect([predicted.code, predicted.err]).toEqual([0, 'iris version 1\n'])
  await after.stop()
})
