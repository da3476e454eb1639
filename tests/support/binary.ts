// The built binary as users have it: alone in an empty folder, with an empty environment, run by an
// ordinary user. Servers are real processes; commands are typed to the same binary.
import {
  chmodSync,
  chownSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const root = join(import.meta.dir, '../..')
/** `nobody`, who owns nothing. */
const nobody = 65534
const isRoot = process.getuid?.() === 0
const setpriv = '/usr/bin/setpriv'
const asNobody =
  isRoot && existsSync(setpriv)
    ? [setpriv, `--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups', '--']
    : []

let workshop: string | null = null

/** A new folder below one that `cleanUp` removes; everybody can read it. */
function openFolder(): string {
  if (workshop === null) {
    workshop = mkdtempSync(join(tmpdir(), 'relais-binary-'))
    chmodSync(workshop, 0o755)
  }
  const folder = mkdtempSync(join(workshop, 'x-'))
  chmodSync(folder, 0o755)
  return folder
}

/** A temporary folder of the user who runs the binary. */
export function temporary(): string {
  const folder = openFolder()
  if (asNobody.length > 0) chownSync(folder, nobody, nobody)
  return folder
}

/** Removes every folder made here. For the end of each test file, after its servers. */
export function cleanUp(): void {
  if (workshop !== null) rmSync(workshop, { recursive: true, force: true })
  workshop = copied = examples = null
}

let copied: string | null = null
let examples: string | null = null

/** A file of examples/models; the repository itself may be out of the ordinary user's reach. */
export function example(name: string, file: string): string {
  if (examples === null) {
    examples = openFolder()
    cpSync(join(root, 'examples/models'), examples, { recursive: true })
  }
  return join(examples, name, file)
}

/** Path of the binary, built when it is missing or stale, copied alone to an empty folder. */
export function binary(): string {
  if (copied !== null) return copied
  const build = [process.execPath, join(root, 'src/build/binary.ts'), '--if-stale']
  const { exitCode, stderr } = Bun.spawnSync(build, { cwd: root })
  if (exitCode !== 0) throw new Error(`the build failed: ${stderr.toString()}`)
  copied = join(openFolder(), 'relais')
  copyFileSync(join(root, 'dist/relais'), copied)
  return copied
}

export interface Ran {
  code: number
  out: string
  err: string
}

export interface RunOptions {
  env?: Record<string, string>
  /** Runs as the user of the tests, which may be root. */
  asTester?: boolean
  /** Words before the binary's path, e.g. a shell that sets the umask. */
  before?: string[]
}

const commandOf = (args: readonly string[], options: RunOptions): string[] => [
  ...(options.asTester ? [] : asNobody),
  ...(options.before ?? []),
  binary(),
  ...args,
]

/** Types a command and waits for its end. */
export async function relais(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const child = Bun.spawn(commandOf(args, options), {
    cwd: '/',
    env: options.env ?? {},
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  return { code, out, err }
}

export interface Served {
  url: string
  data: string
  pid: number
  admin: string
  /** Everything said on standard output and standard error so far. */
  said(): { out: string; err: string }
  /** Types a client command to this server, as admin unless another token is given. */
  cli(args: readonly string[], token?: string): Promise<Ran>
  token(role: string, sub?: string): Promise<string>
  call(method: string, path: string, body?: unknown, token?: string | null): Promise<Response>
  /** Sends the signal and returns the exit code. */
  stop(signal?: NodeJS.Signals): Promise<number>
}

export interface ServeOptions extends RunOptions {
  data?: string
  flags?: string[]
}

async function collect(stream: ReadableStream<Uint8Array>, add: (text: string) => void) {
  const decoder = new TextDecoder()
  for await (const chunk of stream) add(decoder.decode(chunk, { stream: true }))
}

/** A running `relais serve` with its output; resolves as soon as the process exists. */
export function spawnServer(data: string, options: ServeOptions = {}) {
  const args = ['serve', '--data', data, ...(options.flags ?? [])]
  const child = Bun.spawn(commandOf(args, options), {
    cwd: '/',
    env: options.env ?? {},
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const said = { out: '', err: '' }
  const ended = Promise.all([
    collect(child.stdout, (text) => void (said.out += text)),
    collect(child.stderr, (text) => void (said.err += text)),
  ])
  return { child, said, ended }
}

/** Starts a server on a free port and waits until it says that it serves. */
export async function serve(options: ServeOptions = {}): Promise<Served> {
  const data = options.data ?? join(temporary(), 'data')
  const flags = ['--port', '0', '--stage-grace', '0s', ...(options.flags ?? [])]
  const { child, said, ended } = spawnServer(data, { ...options, flags })
  let url = ''
  while (url === '') {
    if (child.exitCode !== null) throw new Error(`the server ended: ${said.err}`)
    await Bun.sleep(2)
    url = /serving (\S+)/.exec(said.err)?.[1] ?? ''
  }
  const admin = readFileSync(join(data, 'admin.token'), 'utf8').trim()
  const cli: Served['cli'] = (args, token = admin) =>
    relais(args, { ...options, env: { RELAIS_URL: url, RELAIS_TOKEN: token } })
  return {
    url,
    data,
    pid: child.pid,
    admin,
    said: () => said,
    cli,
    token: async (role, sub = role) => {
      const { out, err } = await cli(['token', 'create', '--sub', sub, '--role', role])
      if (err !== '') throw new Error(err)
      return out.trim()
    },
    call: (method, path, body, token = admin) =>
      fetch(`${url}${path}`, {
        method,
        headers: {
          ...(token === null ? {} : { authorization: `Bearer ${token}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        body: body === undefined ? null : JSON.stringify(body),
      }),
    stop: async (signal = 'SIGTERM') => {
      child.kill(signal)
      const code = await child.exited
      await ended
      return code
    },
  }
}

/** Pushes an example with its schema and metrics, and puts it into Production. */
export async function promoteExample(server: Served, name: string, of = name): Promise<void> {
  const schema = ['--schema', example(of, 'schema.json')]
  const pushed = await server.cli(['push', name, example(of, 'model.onnx'), ...schema, '--json'])
  if (pushed.code !== 0) throw new Error(pushed.err)
  const { version } = JSON.parse(pushed.out) as { version: number }
  const moved = await server.cli(['promote', name, String(version), '--to', 'Production'])
  if (moved.code !== 0) throw new Error(moved.err)
}

/** Process ids of a process and everything below it. */
export function familyOf(pid: number): number[] {
  const parents = new Map<number, number>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8')
      // The name in brackets may hold anything; the parent is the second field after it.
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]))
    } catch {
      // It ended meanwhile.
    }
  }
  const family = [pid]
  for (const member of family) {
    for (const [child, parent] of parents) if (parent === member) family.push(child)
  }
  return family
}

const kilobytes = (text: string, name: string): number =>
  Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? Number.NaN)

/** RULES §34: proportional set size of all processes of a server, in MiB. */
export const pssOf = (pid: number): number =>
  familyOf(pid).reduce(
    (sum, member) => sum + kilobytes(readFileSync(`/proc/${member}/smaps_rollup`, 'utf8'), 'Pss'),
    0,
  ) / 1024

/** Largest resident size of one process since the last `resetPeak`, in MiB. */
export const peakOf = (pid: number): number =>
  kilobytes(readFileSync(`/proc/${pid}/status`, 'utf8'), 'VmHWM') / 1024

/** Makes the kernel forget the largest resident size so far. */
export async function resetPeak(pid: number): Promise<void> {
  await Bun.write(`/proc/${pid}/clear_refs`, '5')
}
