// The source files, for tests about the code itself.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export const root = join(import.meta.dir, '../..')

export interface Source {
  /** Path below src. */
  name: string
  text: string
}

/** Every TypeScript file of the program, its unit tests and declarations left out. */
export function sources(): Source[] {
  return readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts') && !name.endsWith('.d.ts'))
    .sort()
    .map((name) => ({ name, text: readFileSync(join(root, 'src', name), 'utf8') }))
}
