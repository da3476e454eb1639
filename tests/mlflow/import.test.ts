// relais import mlflow against MLflow's own server: killed twice, in bad weather, then field by field.
import { Database } from 'bun:sqlite'
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { type MlflowServer, newest, pythonEnv, startMlflow } from '../support/mlflow.ts'
import { pythonWith } from '../support/python.ts'
import { type Relais, startRelais, testModels } from '../support/relais.ts'
import { root } from '../support/sources.ts'
import { dump, namesAt } from './import-dump.ts'

const folder = mkdtempSync(join(tmpdir(), 'relais-import-'))
const secret = 'ann:se cret'
const basic = `Basic ${Buffer.from(secret).toString('base64')}`
let mlflow: MlflowServer
let relais: Relais
let weather: { url: string; broken: { busy: number; cut: number }; stop: () => void }

/** Demands a password, and now and then is busy or loses a file half way. */
function badWeather(url: string): typeof weather {
  let asked = 0
  const broken = { busy: 0, cut: 0 }
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch: async (request) => {
      if (request.headers.get('authorization') !== basic) return new Response('', { status: 401 })
      asked += 1
      if (asked % 97 === 0) {
        broken.busy += 1
        return new Response('<html>busy</html>', { status: 503 })
      }
      const { pathname, search } = new URL(request.url)
      const body = request.body ? await request.text() : undefined
      const type = request.headers.get('content-type')
      const answer = await fetch(`${url}${pathname}${search}`, {
        method: request.method,
        ...(body === undefined ? {} : { body }),
        ...(type === null ? {} : { headers: { 'content-type': type } }),
      })
      if (!pathname.endsWith('data.bin') || broken.cut >= 2) return answer
      broken.cut += 1
      const half = (await answer.bytes()).slice(0, 100_000)
      return new Response(half, { status: answer.status })
    },
  })
  return { url: `http://127.0.0.1:${server.port}`, broken, stop: () => void server.stop(true) }
}

const spawnImport = (...more: string[]) =>
  Bun.spawn(
    [
      process.execPath,
      join(root, 'src/main.ts'),
      'import',
      'mlflow',
      '--from',
      weather.url,
      ...more,
    ],
    {
      env: {
        PATH: process.env['PATH'] ?? '',
        RELAIS_URL: relais.url,
        RELAIS_TOKEN: relais.admin,
        MLFLOW_TRACKING_USERNAME: 'ann',
        MLFLOW_TRACKING_PASSWORD: 'se cret',
      },
      stdout: 'pipe',
      stderr: 'pipe',
    },
  )

async function runImport(...more: string[]): Promise<{ code: number; out: any; err: string }> {
  const child = spawnImport('--json', ...more)
  const [out, err, code] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ])
  return { code, out: out === '' ? null : JSON.parse(out), err }
}

const count = (table: string): number => {
  const db = new Database(join(relais.data, 'relais.db'), { readonly: true })
  const { n } = db.query(`select count(*) as n from ${table}`).get() as { n: number }
  db.close()
  return n
}

/** Every row of every table. */
function rows(): Record<string, unknown[]> {
  const db = new Database(join(relais.data, 'relais.db'), { readonly: true })
  const names = db.query("select name from sqlite_schema where type = 'table'").all() as {
    name: string
  }[]
  const all = names.map(({ name }) => [name, db.query(`select * from "${name}"`).all()] as const)
  db.close()
  return Object.fromEntries(all)
}

/** Starts an import and kills it with SIGKILL as soon as something holds. */
async function killedWhen(isTime: () => boolean): Promise<void> {
  const child = spawnImport()
  while (child.exitCode === null && !isTime()) await Bun.sleep(2)
  child.kill('SIGKILL')
  await child.exited
  expect(child.signalCode).toBe('SIGKILL')
}

beforeAll(async () => {
  const python = await pythonWith(newest)
  const files = { 'identity-float32': 'model', mean: 'other', 'crash-load-split': 'crash' }
  for (const [from, to] of Object.entries(files)) {
    copyFileSync(join(testModels, `${from}.onnx`), join(folder, `${to}.onnx`))
  }
  ;[mlflow, relais] = await Promise.all([startMlflow(python), startRelais()])
  weather = badWeather(mlflow.url)
  // Takes the id that an experiment has at the source.
  const body = { name: 'native' }
  await relais.call('POST', '/api/2.0/mlflow/experiments/create', { body })
  const child = Bun.spawn([python, join(import.meta.dir, 'fill.py'), folder], {
    cwd: folder,
    env: { ...pythonEnv(folder), MLFLOW_TRACKING_URI: mlflow.url },
    stdout: 'ignore',
    stderr: 'pipe',
  })
  const [words, code] = await Promise.all([child.stderr.text(), child.exited])
  if (code !== 0) throw new Error(words.slice(-3000))
}, 600_000)
afterAll(async () => {
  weather?.stop()
  await mlflow?.stop()
  await relais?.close()
  rmSync(folder, { recursive: true, force: true })
})

const problems = [
  {
    what: 'iris version 4, alias Production',
    why: expect.stringContaining('names a stage or a version'),
  },
  { what: expect.stringMatching(/^run \w+: its files$/), why: expect.stringContaining('MLflow') },
  {
    what: 'unfit version 1',
    why: expect.stringMatching(
      /^failed its trial and is in None: crashed while ONNX Runtime loaded/,
    ),
  },
  {
    what: 'unreachable version 1',
    why: 'its files lie at s3://nowhere/x/model, which MLflow hands out to nobody',
  },
]

const sorted = (list: { what: string }[]) => list.toSorted((a, b) => (a.what < b.what ? -1 : 1))

describe('an import', () => {
  let rehearsed: any

  test('is rehearsed without a change', async () => {
    const before = rows()
    const { code, out } = await runImport('--dry-run')
    expect([code, out.dry_run, out.problems]).toEqual([1, true, [problems[1]]])
    expect(rows()).toEqual(before)
    rehearsed = out
  }, 60_000)

  test('goes on where it was killed, and brings all that can be brought', async () => {
    await killedWhen(() => count('runs') > 20)
    expect(count('versions')).toBe(0)
    await killedWhen(() => count('versions') > 2)
    const { code, out } = await runImport()
    expect([code, sorted(out.problems)]).toEqual([1, problems])
    for (const kind of ['experiments', 'logged_models', 'runs', 'registered_models', 'versions']) {
      const total = ({ created, present }: any): number => created + present
      const lost = kind === 'versions' ? 1 : 0
      expect([kind, total(out[kind])]).toEqual([kind, total(rehearsed[kind]) - lost])
    }
    expect(out.runs.present).toBeGreaterThan(20)
    expect(out.versions.present).toBeGreaterThan(2)
    expect(weather.broken.cut).toBe(2)
    expect(weather.broken.busy).toBeGreaterThan(0)
  }, 120_000)

  test('again changes nothing, not even the audit trail', async () => {
    const before = rows()
    const { code, out } = await runImport('--verify')
    expect([code, sorted(out.problems), out.bytes]).toEqual([1, problems, 0])
    const { experiments, logged_models, runs, registered_models, versions, files } = out
    const created = [experiments, logged_models, runs, registered_models, versions, files]
    expect(created.map((one) => one.created)).toEqual([0, 0, 0, 0, 0, 0])
    expect(files.present).toBeGreaterThan(30)
    expect(rows()).toEqual(before)
  }, 60_000)

  test('leaves one entry of the audit trail for each experiment, model and version', async () => {
    const { body } = await relais.call('GET', '/api/v1/audit?limit=100')
    const taken = (action: string) => body.entries.filter((one: any) => one.action === action)
    expect(taken('experiment.import').length).toBe(7)
    expect(taken('model.import').length).toBe(10)
    expect(taken('version.import').length).toBe(13)
    const iris = taken('version.import').find((one: any) => one.object === 'model/iris/version/3')
    expect(iris).toMatchObject({ actor: 'admin', details: { stage: 'Production' } })
  })
})

describe('what was imported', () => {
  test('is the same in every field and every byte', async () => {
    const theirs = { url: mlflow.url, headers: {} }
    const ours = { url: relais.url, headers: { authorization: `Bearer ${relais.admin}` } }
    const names = await namesAt(theirs)
    expect([names.runs.length, names.versions.length]).toEqual([63, 14])
    // Its files cannot be had, so neither can it.
    names.versions = names.versions.filter(({ name }) => name !== 'unreachable')
    const [expected, actual] = await Promise.all([dump(theirs, names), dump(ours, names)])
    // What cannot be as it was, and is told.
    const failed = expected.get('version unfit 1') as Record<string, unknown>
    Object.assign(failed, { current_stage: 'None', status: 'FAILED_REGISTRATION' })
    const iris = expected.get('model iris') as { aliases: { alias: string }[] }
    iris.aliases = iris.aliases.filter(({ alias }) => alias !== 'Production')
    const named = expected.get('version iris 4') as { aliases?: string[] }
    delete named.aliases
    for (const [what, value] of expected) expect([what, actual.get(what)]).toEqual([what, value])
    expect(actual.size).toBe(expected.size)
    const files = names.versions.map(({ name, version }) =>
      Object.keys(actual.get(`version ${name} ${version} files`) as object),
    )
    expect(files.filter((paths) => paths.includes('MLmodel')).length).toBe(13)
  }, 60_000)

  test('has nothing beside it: experiments, runs and versions are as many, no scratch is left', () => {
    expect([count('experiments'), count('runs'), count('versions')]).toEqual([8, 63, 13])
    const db = new Database(join(relais.data, 'relais.db'), { readonly: true })
    const left = db.query("select path from files where path like 'imported/%'").all()
    db.close()
    expect(left).toEqual([])
  })

  test('has its files under the id that its experiment has here', async () => {
    const path = '/api/2.0/mlflow/experiments/get-by-name?experiment_name=flowers%2Fh%C3%A4user'
    const { body } = await relais.call('GET', path)
    expect(body.experiment.experiment_id).not.toBe('1')
    const id = body.experiment.experiment_id
    expect(body.experiment.artifact_location).toBe(`mlflow-artifacts:/${id}`)
  })

  test('is served from its stages at once', async () => {
    const production = await relais.predict('from runs', [[1, 2]])
    expect([production.status, production.body.predictions]).toEqual([200, [[1, 2]]])
    expect((await relais.predict('iris', [[1, 2]], { at: 'labels/Staging' })).status).toBe(200)
    expect((await relais.predict('unfit', [[1, 2]])).status).toBe(404)
  })
})

test('a wrong password, an address with one, and a server that is not there end with words', async () => {
  const run = async (from: string, password: string) => {
    const child = Bun.spawn(
      [process.execPath, join(root, 'src/main.ts'), 'import', 'mlflow', '--from', from],
      {
        env: {
          RELAIS_URL: relais.url,
          RELAIS_TOKEN: relais.admin,
          MLFLOW_TRACKING_USERNAME: 'ann',
          MLFLOW_TRACKING_PASSWORD: password,
        },
        stderr: 'pipe',
      },
    )
    return { code: await child.exited, err: await child.stderr.text() }
  }
  const wrong = await run(weather.url, 'wrong')
  expect([wrong.code, wrong.err]).toEqual([1, expect.stringContaining('MLFLOW_TRACKING_PASSWORD')])
  const shown = await run('http://ann:x@127.0.0.1:1', 'x')
  expect([shown.code, shown.err]).toEqual([2, expect.stringContaining('not into --from')])
  expect((await run('ftp://x', 'x')).code).toBe(2)
  const silent = await run('http://127.0.0.1:1', 'x')
  expect([silent.code, silent.err]).toEqual([1, expect.stringContaining('no answer from http')])
}, 30_000)
