// Builds dist/relais: one file with the runtime, the program, ONNX Runtime and Swagger UI.
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

const root = join(import.meta.dir, '../..')
const targets = { x64: 'bun-linux-x64-baseline', arm64: 'bun-linux-arm64' } as const
type Arch = keyof typeof targets

function commitOf(): string {
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

async function build(arch: Arch, outfile: string): Promise<void> {
  mkdirSync(dirname(outfile), { recursive: true })
  const own = process.arch === arch
  const target = own ? `bun-linux-${arch}` : targets[arch]
  await Bun.build({
    entrypoints: [join(root, 'src/main.ts')],
    compile: {
      outfile,
      target: target as 'bun-linux-x64',
      autoloadDotenv: false,
      autoloadBunfig: false,
    },
    minify: { whitespace: true, syntax: true, identifiers: false },
    sourcemap: 'none',
    define: { RELAIS_COMMIT: JSON.stringify(commitOf()) },
    plugins: [nativePlugin(arch)],
  })
  const size = (statSync(outfile).size / 1048576).toFixed(1)
  writeFileSync(`${outfile}.sha256`, `${digestOf(outfile)}  ${outfile.split('/').at(-1)}\n`)
  console.log(`${outfile}  ${size} MiB`)
}

const [arch = process.arch, outfile = join(root, 'dist/relais')] = process.argv.slice(2)
if (!(arch in targets)) throw new Error(`targets are ${Object.keys(targets).join(', ')}`)
await build(arch as Arch, outfile)
