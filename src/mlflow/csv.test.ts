import { expect, test } from 'bun:test'

import { csvFrame } from './csv.ts'

test('booleans are read from their words alone; the rest stays text', async () => {
  const table: [string, unknown][] = [
    ...['true', 'True', 'TRUE', '1', ' true '].map((word): [string, unknown] => [word, true]),
    ...['false', 'False', 'FALSE', '0'].map((word): [string, unknown] => [word, false]),
    ...['yes', '2', 'constructor', 'toString', '__proto__', 'hasOwnProperty'].map(
      (word): [string, unknown] => [word, word],
    ),
  ]
  const csv = ['active', ...table.map(([word]) => word)].join('\n')
  const frame = await csvFrame(new TextEncoder().encode(csv), () => 'bool')
  expect(frame.rows()).toEqual(table.map(([, value]) => [value]))
})
