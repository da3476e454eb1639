// A job that goes on finds its files as it left them, or says so.
import { expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { CommandError } from './command.ts'
import { Journal } from './score-journal.ts'

const progress = { version: '1', offset: 0, rows: 0, bad: 0, output: 4, errors: 3 }

test.each([
  ['as they were left', 'abcd', 'xyz', true],
  ['longer than was saved', 'abcdef', 'xyz\n', true],
  ['a shorter result', 'abc', 'xyz', false],
  ['a shorter list of errors', 'abcd', 'x', false],
  ['no list of errors', 'abcd', null, false],
])('%s', (_name, output, errors, isFine) => {
  const folder = mkdtempSync(join(tmpdir(), 'relais-journal-'))
  const [out, bad] = [join(folder, 'out.csv'), join(folder, 'bad.jsonl')]
  try {
    writeFileSync(`${out}.partial`, output)
    if (errors !== null) writeFileSync(`${bad}.partial`, errors)
    const journal = new Journal(out, bad)
    const open = (): void => journal.open(progress)
    if (isFine) open()
    else expect(open).toThrow(CommandError)
    journal.close()
    expect(readFileSync(`${out}.partial`, 'utf8')).toBe(output.slice(0, 4))
    if (isFine) expect(readFileSync(`${bad}.partial`, 'utf8')).toBe('xyz')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
