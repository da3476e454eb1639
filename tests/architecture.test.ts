// The shape of the program: who may import whom, which dependency lives where, how long a file is.
import { expect, test } from 'bun:test'
import { dirname, join, normalize } from 'node:path'

import { type Source, sources } from './support/sources.ts'

/** Folder or top-level file → rank. A file imports lower ranks, and its own folder. */
const ranks: Record<string, number> = {
  core: 0,
  config: 1,
  version: 1,
  telemetry: 1,
  db: 2,
  storage: 2,
  http: 2,
  onnx: 2,
  auth: 3,
  search: 3,
  registry: 4,
  tracking: 4,
  inference: 5,
  quality: 6,
  scoring: 6,
  promotion: 7,
  upkeep: 8,
  oip: 8,
  mlflow: 8,
  importing: 8,
  stack: 8,
  console: 8,
  watch: 8,
  parts: 9,
  sinks: 8,
  app: 9,
  cli: 10,
  main: 11,
}

/** Files that may import what has their own rank: the composition root takes the parts. */
const besides = new Set(['app.ts → parts.ts'])

const files = sources().filter(({ name }) => !name.startsWith('build/'))
const unit = (name: string): string => name.split('/')[0]!.replace(/\.ts$/, '')

/** What a file imports, statically or later; paths below src for files of ours. */
function importsOf({ name, text }: Source): string[] {
  const code = text.replaceAll(/^\s*(\/\/|\*|\/\*).*$/gm, '')
  const found = [...code.matchAll(/(?<![\w'.-])(?:from|import)\s*\(?\s*'([^']+)'/g)].map(
    (m) => m[1]!,
  )
  return found.map((target) =>
    target.startsWith('.') ? normalize(join(dirname(name), target)) : target,
  )
}

const isOurs = (target: string): boolean => target.endsWith('.ts') && !target.startsWith('..')
const edges = files.flatMap((file) =>
  importsOf(file).map((target) => ({ from: file.name, target })),
)

test('the imports of this test are read at all', () => {
  expect(files.length).toBeGreaterThan(70)
  expect(edges.length).toBeGreaterThan(300)
  expect(edges).toContainEqual({ from: 'app.ts', target: 'parts.ts' })
  expect(edges).toContainEqual({ from: 'main.ts', target: 'cli/cli.ts' })
})

test('every folder has a rank', () => {
  expect([...new Set(files.map(({ name }) => unit(name)))].filter((u) => !(u in ranks))).toEqual([])
})

test('a file imports only lower ranks and its own folder', () => {
  const wrong = edges
    .filter(({ target }) => isOurs(target))
    .filter(({ from, target }) => {
      const [own, other] = [unit(from), unit(target)]
      return own !== other && !(ranks[other]! < ranks[own]!)
    })
    .map(({ from, target }) => `${from} → ${target}`)
  expect(wrong.filter((edge) => !besides.has(edge))).toEqual([])
})

test('nothing imports what is only for building, or a test', () => {
  expect(edges.filter(({ target }) => /^build\/|\.test\.ts$|tests\//.test(target))).toEqual([])
})

/** Dependency → the files that may import it. */
const owners: Record<string, RegExp> = {
  'onnxruntime-node': /^inference\/session\.ts$/,
  jose: /^auth\/tokens\.ts$/,
  'prom-client': /^telemetry\//,
  '@opentelemetry/otlp-transformer': /^telemetry\/otlp\.ts$/,
  'bun:sqlite': /^(db|upkeep)\//,
  'drizzle-orm/bun-sqlite': /^db\//,
  'drizzle-orm/sqlite-core': /^db\//,
  elysia: /^http\/|(^|\/)routes\.ts$|^app\.ts$/,
  '@elysiajs/swagger': /^http\//,
  'swagger-ui-dist': /^http\//,
  protobufjs: /^onnx\//,
  '@fastify/busboy': /^promotion\/upload\.ts$/,
  'tar-stream': /^upkeep\//,
  hyparquet: /^cli\/score-parquet\.ts$/,
  'hyparquet-compressors': /^cli\/score-parquet\.ts$/,
  'hyparquet-writer': /^cli\/score-parquet\.ts$/,
  'csv-parse': /^(cli|scoring)\//,
}

for (const [dependency, place] of Object.entries(owners)) {
  test(`${dependency} has one owner`, () => {
    const users = edges
      .filter(({ target }) => target === dependency || target.startsWith(`${dependency}/`))
      .map(({ from }) => from)
    expect(users.length).toBeGreaterThan(0)
    expect(users.filter((from) => !place.test(from))).toEqual([])
  })
}

test('every dependency has an owner on the list', () => {
  const free = /^(node:|bun$|bun:ffi$|bun:sqlite$|drizzle-orm$)/
  const packages = edges
    .map(({ target }) => target)
    .filter((target) => !target.startsWith('..') && !target.endsWith('.ts') && !free.test(target))
  const owned = (target: string): boolean =>
    Object.keys(owners).some((name) => target === name || target.startsWith(`${name}/`))
  expect([...new Set(packages)].filter((target) => !owned(target))).toEqual([])
})

test('verbs import no door: no routes, no http, no Elysia', () => {
  const features = new Set([
    'auth',
    'registry',
    'inference',
    'scoring',
    'quality',
    'promotion',
    'upkeep',
    'importing',
  ])
  const wrong = edges
    .filter(({ from }) => features.has(unit(from)) && !from.endsWith('/routes.ts'))
    .filter(({ target }) => /(^|\/)routes\.ts$|^http\/|^elysia/.test(target))
    .map(({ from, target }) => `${from} → ${target}`)
  expect(wrong).toEqual([])
})

test('only main.ts ends the process', () => {
  const wrong = files.filter(({ text }) => /process\.exit\(/.test(text)).map(({ name }) => name)
  const children = new Set(['inference/engine.ts', 'inference/trial-child.ts', 'main.ts'])
  expect(wrong.filter((name) => !children.has(name))).toEqual([])
})

for (const { name, text } of sources()) {
  test(`${name} opens with a comment and stays short`, () => {
    expect(text.slice(0, 100)).toMatch(/^\/\/ \S/)
    expect(text.split('\n').length - 1).toBeLessThanOrEqual(400)
    expect(/^export default|^export \* from/m.test(text)).toBe(false)
  })
}
