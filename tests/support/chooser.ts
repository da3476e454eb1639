// A classifier whose label is its input, so that a test may choose the class.
import { expect } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { model, node, types, value } from './onnx.ts'
import type { Relais } from './relais.ts'

const schema = {
  task: 'classification',
  columns: [
    { name: 'code', type: 'int64', input: 'code', min: -5, max: 1000, allowed: undefined },
    { name: 'p0', type: 'float32', input: 'p', index: 0, min: 0, max: 1 },
    { name: 'secret_feature', type: 'float32', input: 'p', index: 1 },
  ],
  outputs: [
    { name: 'label', role: 'label', classes: [0, 1] },
    { name: 'scores', role: 'scores' },
  ],
}

/** Rows that are given these classes. */
export const rowsFor = (codes: readonly number[]): number[][] =>
  codes.map((code) => [code, 0.25, 0.75])

/** Pushes it as the next version of a model; the version. */
export async function pushChooser(relais: Relais, name: string): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'relais-chooser-'))
  const file = join(folder, 'chooser.onnx')
  const bytes = model({
    nodes: [node('Identity', ['code'], ['label']), node('Identity', ['p'], ['scores'])],
    inputs: [value('code', types.int64, ['N']), value('p', types.float, ['N', 2])],
    outputs: [value('label', types.int64, ['N']), value('scores', types.float, ['N', 2])],
  })
  writeFileSync(file, bytes)
  try {
    const metrics = { accuracy: 0.9, f1_score: 0.8 }
    const { status, body } = await relais.push(name, file, { schema, metrics })
    expect([name, status, body.detail]).toEqual([name, 201, undefined])
    return body.version
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Pushes it and puts it into a stage. */
export async function serveChooser(
  relais: Relais,
  name: string,
  stage = 'Production',
): Promise<void> {
  const version = await pushChooser(relais, name)
  expect((await relais.promote(name, version, stage)).status).toBe(200)
}
