// Every module loads by itself, so that coverage counts the lines that no test reaches, too.
import { expect, test } from 'bun:test'
import { join } from 'node:path'

import { root, sources } from './support/sources.ts'

/** Files that start to work when they are loaded. */
const starters = /^(main\.ts|build\/.*|inference\/engine\.ts|inference\/trial-child\.ts)$/

for (const { name } of sources().filter((source) => !starters.test(source.name))) {
  test(`${name} loads`, async () => {
    const module = (await import(join(root, 'src', name))) as Record<string, unknown>
    expect(Object.keys(module)).not.toContain('default')
  })
}
