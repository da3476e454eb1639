// Builds dist/relais: one file with the runtime, the program, ONNX Runtime and Swagger UI.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { parseArgs } from 'node:util'

const root = join(import.meta.dir, '../..')
const targets = { x64: 'bun-linux-x64-baseline', arm64: 'bun-linux-arm64' } as const
type Arch = keyof typeof targets

/** COMMIT says it where the repository is not at hand, as while an image is built. */
function commitOf(): string {
  if ((process.env['COMMIT'] ?? '') !== '') return String(process.env['COMMIT'])
  const git = Bun.spawnSync(['git', 'rev-parse', '--short=12', 'HEAD'], { cwd: root })
  return git.exitCode === 0 ? git.stdout.toString().trim() : 'unknown'
}

const digestOf = (path: string): string =>
  new Bun.CryptoHasher('sha256').update(readFileSync(path)).digest('hex')

/** Swaps the package's way of finding its native files for one that works inside a binary. */
function nativePlugin(arch: Arch): Bun.BunPlugin {
  const folder = join(root, 'node_modules/onnxruntime-node/bin/napi-v6/linux', arch)
  const replacement = join(import.meta.dir, 'native-binding.js')
  return {
    name: 'native',
    setup(build) {
      build.onLoad({ filter: /onnxruntime-node\/dist\/binding\.js$/ }, () => ({
        loader: 'js',
        contents: readFileSync(replacement, 'utf8')
          .replace('relais-native-binding', join(folder, 'onnxruntime_binding.node'))
          .replace('relais-native-library', join(folder, 'libonnxruntime.so.1'))
          .replace(
            'RELAIS_NATIVE_DIGEST',
            JSON.stringify(digestOf(join(folder, 'libonnxruntime.so.1'))),
          ),
      }))
    },
  }
}

/** Everything that goes into the binary and can change. */
function inputs(): string[] {
  const under = ['src', 'migrations', 'dashboards', 'compose', 'deploy'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true }).map((name) => join(folder, String(name))),
  )
  const sources = under.filter((name) => !name.endsWith('.test.ts'))
  const single = ['package.json', 'bun.lock', 'Dockerfile', '.dockerignore']
  return [...sources, ...single].map((name) => join(root, name))
}

function isFresh(outfile: string): boolean {
  if (!existsSync(outfile)) return false
  const built = statSync(outfile).mtimeMs
  return inputs().every((path) => statSync(path).mtimeMs <= built)
}

async function build(arch: Arch, outfile: string): Promise<void> {
  mkdirSync(dirname(outfile), { recursive: true })
  // Built aside and renamed, so that nobody starts half a file.
  const fresh = `${outfile}.${process.pid}`
  // Without a target the running Bun goes in, and nothing has to be fetched.
  const target = process.arch === arch ? {} : { target: targets[arch] }
  const began = new Date()
  await Bun.build({
    entrypoints: [join(root, 'src/main.ts')],
    compile: { outfile: fresh, autoloadDotenv: false, autoloadBunfig: false, ...target },
    // Elysia reads the source of its handlers to see what they use; minified, it misreads them.
    minify: false,
    bytecode: true,
    format: 'esm',
    sourcemap: 'none',
    define: { RELAIS_COMMIT: JSON.stringify(commitOf()) },
    plugins: [nativePlugin(arch)],
  })
  // What is edited while the build runs makes it stale.
  utimesSync(fresh, began, began)
  renameSync(fresh, outfile)
  const size = (statSync(outfile).size / 1048576).toFixed(1)
  writeFileSync(`${outfile}.sha256`, `${digestOf(outfile)}  ${basename(outfile)}\n`)
  console.log(`${outfile}  ${size} MiB`)
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { 'if-stale': { type: 'boolean', default: false } },
})
const [arch = process.arch, outfile = join(root, 'dist/relais')] = positionals
if (!(arch in targets)) throw new Error(`targets are ${Object.keys(targets).join(', ')}`)
if (!values['if-stale'] || !isFresh(outfile)) await build(arch as Arch, outfile)
