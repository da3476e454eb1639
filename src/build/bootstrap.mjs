// What `npm run demo`, `npm run build` and `npm test` call: finds or installs the pinned Bun and the
// packages, then runs the script with it. Plain Node without packages, so that a fresh clone needs
// nothing else.
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '../..')
const wanted = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).engines.bun

/** What each script runs with Bun; what is asked for on the command line follows. */
const scripts = {
  demo: ['examples/demo.ts'],
  build: ['src/build/binary.ts'],
  // Suites that need Python, a browser or system packages, and the long runs, have their own way in.
  test: [
    'test',
    '--path-ignore-patterns=tests/system/**',
    '--path-ignore-patterns=tests/clients/**',
    '--path-ignore-patterns=tests/long/**',
    '--path-ignore-patterns=tests/mlflow/**',
    '--path-ignore-patterns=tests/observability/**',
    '--timeout=30000',
  ],
}

class Failure extends Error {}

const say = (text) => process.stderr.write(`relais: ${text}\n`)

const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(1)} s`

const versionOf = (bun) => {
  const asked = spawnSync(bun, ['--version'], { encoding: 'utf8' })
  return asked.status === 0 ? asked.stdout.trim() : null
}

/** The npm package that holds Bun for this machine; throws a Failure where there is none. */
function platformPackage() {
  const { platform, arch } = process
  if (platform !== 'linux' || !['x64', 'arm64'].includes(arch)) {
    throw new Failure(`Relais runs on Linux (x64 or arm64); this is ${platform} ${arch}`)
  }
  const { glibcVersionRuntime } = process.report?.getReport().header ?? {}
  if (!process.versions.bun && glibcVersionRuntime === undefined) {
    throw new Failure('Relais needs glibc 2.28 or newer; this system has another C library')
  }
  if (arch === 'arm64') return 'bun-linux-aarch64'
  const hasAvx2 = /\bavx2\b/.test(readFileSync('/proc/cpuinfo', 'utf8'))
  return hasAvx2 ? 'bun-linux-x64' : 'bun-linux-x64-baseline'
}

/** Puts the pinned Bun under .bun/, out of the way of any other. */
function installBun(name, bun) {
  const began = performance.now()
  const prefix = join(root, '.bun')
  say(`installing Bun ${wanted} into .bun/ with npm`)
  mkdirSync(prefix, { recursive: true })
  const flags = ['--no-save', '--no-package-lock', '--ignore-scripts', '--prefer-offline']
  const quiet = [
    '--fetch-retries=1',
    '--fetch-retry-mintimeout=2000',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
  ]
  const args = ['install', '--prefix', prefix, ...flags, ...quiet, `@oven/${name}@${wanted}`]
  const { error, status } = spawnSync('npm', args, { stdio: ['ignore', 'ignore', 'inherit'] })
  const byHand = `Install Bun ${wanted} from https://bun.com, then call this again.`
  if (error) throw new Failure(`cannot run npm (${error.code}). ${byHand}`)
  if (status !== 0) {
    throw new Failure(`npm could not install Bun; is its registry within reach? ${byHand}`)
  }
  const found = versionOf(bun)
  if (found !== wanted) throw new Failure(`Bun at ${bun} does not run here. ${byHand}`)
  say(`Bun ${wanted} is there (${seconds(began)})`)
}

/** Path of a Bun of exactly the pinned version. */
function findBun() {
  if (process.versions.bun === wanted) return process.execPath
  if (versionOf('bun') === wanted) return 'bun'
  const name = platformPackage()
  const bun = join(root, '.bun/node_modules/@oven', name, 'bin/bun')
  if (!existsSync(bun) || versionOf(bun) !== wanted) installBun(name, bun)
  return bun
}

/** Installs packages when there are none, or those of another lock file. */
function installPackages(bun) {
  const lock = createHash('sha256')
    .update(readFileSync(join(root, 'bun.lock')))
    .digest('hex')
  const stamp = join(root, 'node_modules/.relais-lock')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return
  const began = performance.now()
  say('installing packages')
  const stdio = ['ignore', 'ignore', 'inherit']
  const { status } = spawnSync(bun, ['install', '--frozen-lockfile', '--silent'], {
    cwd: root,
    stdio,
  })
  if (status !== 0) {
    throw new Failure('the packages could not be installed; is the npm registry within reach?')
  }
  writeFileSync(stamp, lock)
  say(`packages are there (${seconds(began)})`)
}

/** Runs the script; its exit code is ours. */
function run(bun, args) {
  // A script that calls `bun` finds this one.
  const path = bun === 'bun' ? process.env.PATH : `${dirname(bun)}${delimiter}${process.env.PATH}`
  const child = spawn(bun, args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, PATH: path },
  })
  // Ctrl-C reaches the child as well, which ends in its own time.
  process.on('SIGINT', () => {})
  process.on('SIGTERM', () => child.kill('SIGTERM'))
  child.on('error', (error) => fail(new Failure(`cannot start Bun: ${error.message}`)))
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? 128 + (constants.signals[signal] ?? 0)
  })
}

function fail(error) {
  if (!(error instanceof Failure)) throw error
  say(error.message)
  process.exitCode = 1
}

const [script = '', ...rest] = process.argv.slice(2)
try {
  if (!Object.hasOwn(scripts, script)) {
    throw new Failure(`usage: node src/build/bootstrap.mjs ${Object.keys(scripts).join('|')}`)
  }
  const bun = findBun()
  installPackages(bun)
  run(bun, [...scripts[script], ...rest])
} catch (error) {
  fail(error)
}
