// `npm run demo`: the first day with Relais, told and checked step by step. Everything a person would
// type is typed to the built binary, which runs alone in a temporary folder with an empty environment.
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

const root = join(import.meta.dir, '..')
const model = 'breast-cancer'
const isTty = process.stdout.isTTY
const paint = (code: number) => (text: string) => (isTty ? `\u001b[${code}m${text}\u001b[0m` : text)
const [bold, dim, green, red] = [paint(1), paint(2), paint(32), paint(31)] as const

interface Reference {
  columns: string[]
  rows: number[][]
  truth: number[]
  outputs: { output_label: number[]; output_probability: number[][] }
  metrics: Record<string, number>
}

interface Prediction {
  output_label: number
  output_probability: number[]
}

interface Answer {
  predictions: Prediction[]
  model_version: string
}

/** A user of the demo: a name to show and the token that proves it. */
interface User {
  who: string
  token: string
}

/** What one pass over the held-out rows showed. */
interface Pass {
  title: string
  version: string
  rows: number
  accuracy: number
  expected: number
  /** Milliseconds per request, ascending. */
  latencies: number[]
}

const failures: string[] = []
const say = (text = ''): void => console.log(text)
const step = (text: string): void => say(`\n${bold(text)}`)

/** Notes whether something is as it should be; the exit code tells at the end. */
function check(holds: boolean, text: string): void {
  say(`  ${holds ? green('ok') : red('WRONG')}  ${text}`)
  if (!holds) failures.push(text)
}

const referenceOf = (name: string): Reference =>
  JSON.parse(readFileSync(join(root, 'examples/models', name, 'reference.json'), 'utf8'))

/** RULES: |a−b| ≤ 1e-5·max(1,|b|). */
const agree = (a: number, b: number): boolean => Math.abs(a - b) <= 1e-5 * Math.max(1, Math.abs(b))

/** Smallest value that `share` of the ascending values do not exceed. */
const percentile = (ascending: number[], share: number): number =>
  ascending[Math.max(0, Math.ceil(share * ascending.length) - 1)] ?? Number.NaN

function build(): void {
  const command = [process.execPath, join(root, 'src/build/binary.ts'), '--if-stale']
  const { exitCode } = Bun.spawnSync(command, { cwd: root, stdout: 'inherit', stderr: 'inherit' })
  if (exitCode !== 0) throw new Error('dist/relais could not be built')
}

interface Server {
  folder: string
  binary: string
  data: string
  url: string
  /** Asks the server to end, waits for it and removes its folder; true when it ended well. */
  stop(): Promise<boolean>
}

/** Resolves with the URL once the server says that it serves; throws what it said instead. */
async function urlFrom(stderr: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder()
  let said = ''
  for await (const chunk of stderr) {
    said += decoder.decode(chunk, { stream: true })
    const [, url] = /serving (\S+)/.exec(said) ?? []
    if (url !== undefined) return url
  }
  throw new Error(`the server did not start: ${said}`)
}

async function startServer(): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), 'relais-demo-'))
  const bin = join(folder, 'bin')
  mkdirSync(bin)
  const binary = join(bin, 'relais')
  copyFileSync(join(root, 'dist/relais'), binary)
  const data = join(folder, 'data')
  const child = Bun.spawn(['env', '-i', binary, 'serve', '--data', data, '--port', '0'], {
    cwd: bin,
    stdout: Bun.file(join(folder, 'relais.log')),
    stderr: 'pipe',
    // Ctrl-C is for this script, which ends the server in good order.
    detached: true,
  })
  const stop = async (): Promise<boolean> => {
    child.kill('SIGTERM')
    const code = await child.exited
    rmSync(folder, { recursive: true, force: true })
    return code === 0
  }
  try {
    return { folder, binary, data, url: await urlFrom(child.stderr), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Runs the binary as a person would and shows what they would see. Returns the exit code. */
function type(server: Server, user: User, args: string[]): number {
  say(`${dim(`${user.who} $`)} relais ${args.join(' ')}`)
  const { stdout, stderr, exitCode } = Bun.spawnSync([server.binary, ...args], {
    cwd: root,
    env: { RELAIS_URL: server.url, RELAIS_TOKEN: user.token },
  })
  for (const line of `${stdout.toString()}${stderr.toString()}`.trim().split('\n')) say(`  ${line}`)
  return exitCode
}

function userOf(server: Server, sub: string, role: string, models?: string): User {
  const args = ['token', 'create', '--sub', sub, '--role', role, '--data', server.data]
  if (models !== undefined) args.push('--models', models)
  say(`${dim('$')} relais ${args.join(' ').replace(server.data, 'DIR')}`)
  const { stdout, stderr, exitCode } = Bun.spawnSync([server.binary, ...args], { env: {} })
  if (exitCode !== 0) throw new Error(`no token for ${sub}: ${stderr.toString()}`)
  return { who: `${sub} (${role})`, token: stdout.toString().trim() }
}

function push(server: Server, user: User, example: string): number {
  const folder = `examples/models/${example}`
  const metrics = Object.entries(referenceOf(example).metrics).flatMap(([name, value]) => [
    '--metric',
    `${name}=${value}`,
  ])
  const schema = ['--schema', `${folder}/schema.json`]
  return type(server, user, ['push', model, `${folder}/model.onnx`, ...schema, ...metrics])
}

/** Sends the held-out rows one by one and compares every answer with scikit-learn's. */
async function predictAll(
  server: Server,
  app: User,
  what: { title: string; version: string; example: string },
): Promise<Pass> {
  const { title, version, example } = what
  const { rows, truth, outputs, metrics } = referenceOf(example)
  const headers = { authorization: `Bearer ${app.token}`, 'content-type': 'application/json' }
  const latencies: number[] = []
  const versions = new Set<string>()
  let right = 0
  let equal = 0
  for (const [at, row] of rows.entries()) {
    const began = performance.now()
    const response = await fetch(`${server.url}/v1/models/${model}:predict`, {
      method: 'POST',
      headers,
      body: JSON.stringify({ instances: [row] }),
    })
    const text = await response.text()
    latencies.push(performance.now() - began)
    if (!response.ok) throw new Error(`row ${at}: ${response.status} ${text}`)
    const { predictions, model_version: named } = JSON.parse(text) as Answer
    const [prediction] = predictions
    versions.add(named)
    if (prediction?.output_label === truth[at]) right += 1
    const scores = outputs.output_probability[at] ?? []
    if (
      prediction?.output_label === outputs.output_label[at] &&
      scores.length === prediction?.output_probability.length &&
      scores.every((score, cls) => agree(prediction.output_probability[cls] ?? NaN, score))
    ) {
      equal += 1
    }
  }
  const accuracy = right / rows.length
  const expected = metrics.accuracy ?? Number.NaN
  check([...versions].join() === version, `every answer names version ${version}`)
  check(equal === rows.length, `${equal} of ${rows.length} answers equal scikit-learn's own`)
  check(Math.abs(accuracy - expected) < 1e-12, `accuracy ${accuracy} as in reference.json`)
  return {
    title,
    version: [...versions].join(),
    rows: rows.length,
    accuracy,
    expected,
    latencies: latencies.toSorted((a, b) => a - b),
  }
}

function printTable(passes: readonly Pass[]): void {
  const headings = ['', 'VERSION', 'ROWS', 'ACCURACY', 'REFERENCE', 'P50 ms', 'P95 ms', 'P99 ms']
  const rows = passes.map((pass) => [
    pass.title,
    pass.version,
    String(pass.rows),
    pass.accuracy.toFixed(4),
    pass.expected.toFixed(4),
    ...[0.5, 0.95, 0.99].map((share) => percentile(pass.latencies, share).toFixed(2)),
  ])
  const widths = headings.map((_, at) =>
    Math.max(...[headings, ...rows].map((row) => row[at]?.length ?? 0)),
  )
  for (const row of [headings, ...rows]) {
    const cells = row.map((text, at) =>
      at === 0 ? text.padEnd(widths[at] ?? 0) : text.padStart(widths[at] ?? 0),
    )
    say(`  ${cells.join('  ')}`)
  }
}

/** The refusal as a person sees it, and its status as a program does. */
async function tryForbidden(server: Server, scientist: User): Promise<void> {
  const code = type(server, scientist, ['promote', model, '1', '--to', 'Production'])
  const { status } = await fetch(`${server.url}/api/v1/models/${model}/versions/1/stage`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${scientist.token}`,
      'content-type': 'application/json',
    },
    body: JSON.stringify({ stage: 'Production' }),
  })
  check(code === 1 && status === 403, `refused: exit code ${code}, HTTP status ${status}`)
}

async function story(server: Server): Promise<User> {
  const done = (code: number, what: string): void => check(code === 0, what)
  step('1  Who works here: a data scientist, an ML lead, an application')
  const alice = userOf(server, 'alice', 'data-scientist')
  const bob = userOf(server, 'bob', 'ml-lead')
  const app = userOf(server, 'clinic-app', 'predictor', model)

  step('2  Alice registers a random forest trained with scikit-learn')
  done(push(server, alice, 'breast-cancer'), 'version 1 is registered')

  step('3  She may not put it into production herself')
  await tryForbidden(server, alice)

  step('4  Bob may')
  const toProduction = ['--to', 'Production']
  done(type(server, bob, ['promote', model, '1', ...toProduction]), 'version 1 is in production')

  step('5  The application sends the held-out rows, one request each')
  const first = { title: 'version 1', version: '1', example: 'breast-cancer' }
  const passes = [await predictAll(server, app, first)]

  step('6  A second version takes over')
  done(push(server, alice, 'breast-cancer-v2'), 'version 2 is registered')
  done(type(server, bob, ['promote', model, '2', ...toProduction]), 'version 2 is in production')
  const second = { title: 'version 2', version: '2', example: 'breast-cancer-v2' }
  passes.push(await predictAll(server, app, second))

  step('7  It is less accurate: back to the first')
  done(type(server, bob, ['rollback', model]), 'rolled back')
  passes.push(await predictAll(server, app, { ...first, title: 'after rollback' }))
  type(server, bob, ['models', model])

  step('What the held-out rows showed')
  printTable(passes)
  return app
}

function printLinks(server: Server, app: User): void {
  const { url, folder, data } = server
  const body = join(folder, 'row.json')
  const [row] = referenceOf(model).rows
  writeFileSync(body, JSON.stringify({ instances: [row] }))
  const tokenFile = join(folder, 'app.token')
  writeFileSync(tokenFile, `${app.token}\n`, { mode: 0o600 })
  step('Look around')
  say(`  Swagger UI    ${url}/docs   (Authorize with a token, then Try it out)`)
  say(`  Metrics       ${url}/metrics   (with the admin token)`)
  say(`  Health        ${url}/health`)
  say(`  Admin token   ${join(data, 'admin.token')}`)
  say(`  App token     ${tokenFile}`)
  say(`                ${app.token}`)
  say(`  Logs          ${join(folder, 'relais.log')}`)
  say()
  say(`  curl -H "authorization: Bearer $(cat ${tokenFile})" \\`)
  say(`    -d @${body} ${url}/v1/models/${model}:predict`)
  say(`  curl -H "authorization: Bearer $(cat ${join(data, 'admin.token')})" ${url}/metrics`)
}

const { values: wanted } = parseArgs({ options: { once: { type: 'boolean', default: false } } })
const began = performance.now()
build()
const server = await startServer()
say(bold('Relais: one binary takes a model from file to authenticated prediction'))
say(`  serving ${server.url} from ${server.folder}`)
let stopped: Promise<boolean> | null = null
const stop = (): Promise<boolean> => (stopped ??= server.stop())
const told = Promise.withResolvers<void>()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, told.resolve)
try {
  const app = await Promise.race([story(server), told.promise])
  if (app) {
    if (wanted.once) say()
    else {
      printLinks(server, app)
      say(`\n${bold('The server runs until you press Ctrl-C.')}`)
      await told.promise
    }
  }
} catch (error) {
  failures.push(error instanceof Error ? error.message : String(error))
} finally {
  if (!(await stop())) failures.push('the server did not end well')
}
const time = `${((performance.now() - began) / 1000).toFixed(1)} s`
if (failures.length === 0) say(green(`The demo went as it should (${time}).`))
else say(red(`The demo failed: ${failures.join('; ')}`))
process.exit(failures.length === 0 ? 0 : 1)
