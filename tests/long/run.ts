// The long runs: one after the other, figures to results.json. `bun tests/long/run.ts swaps` runs one;
// `--short` runs all in a form that fits into CI.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { crashes } from './crashes.ts'
import { engineKills, manyVersions, poison } from './engines.ts'
import { swaps } from './swaps.ts'

const root = join(import.meta.dir, '../..')
const scenarios: Record<string, { long: () => Promise<object>; short: () => Promise<object> }> = {
  swaps: { long: () => swaps(), short: () => swaps(20) },
  crashes: { long: () => crashes(), short: () => crashes(8) },
  'engine-kills': { long: () => engineKills(), short: () => engineKills(8) },
  poison: { long: () => poison(), short: () => poison(8) },
  'many-versions': { long: () => manyVersions(), short: () => manyVersions(30) },
}

const words = process.argv.slice(2)
const short = words.includes('--short')
const wanted = words.filter((word) => !word.startsWith('--'))
const unknown = wanted.filter((name) => !(name in scenarios))
if (unknown.length > 0) throw new Error(`scenarios are ${Object.keys(scenarios).join(', ')}`)

Bun.spawnSync([process.execPath, join(root, 'src/build/binary.ts'), '--if-stale'], { cwd: root })
const path = join(import.meta.dir, 'results.json')
const results: Record<string, unknown> = existsSync(path)
  ? JSON.parse(readFileSync(path, 'utf8'))
  : {}
let passed = 0
let failed = 0
for (const [name, scenario] of Object.entries(scenarios)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue
  const began = performance.now()
  try {
    const figures = await (short ? scenario.short() : scenario.long())
    const seconds = Math.round((performance.now() - began) / 1000)
    console.log(`ok   ${name} (${seconds} s) ${JSON.stringify(figures)}`)
    if (!short) results[name] = { ...figures, took_seconds: seconds }
    passed += 1
  } catch (error) {
    console.log(`FAIL ${name}: ${error instanceof Error ? error.message : String(error)}`)
    failed += 1
  }
}
if (!short) writeFileSync(path, `${JSON.stringify(results, null, 2)}\n`)
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed > 0 ? 1 : 0)
