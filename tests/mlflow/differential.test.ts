// One script of calls of MLflow's client, against MLflow's own server and against Relais, line by line.
// A difference must be covered by a line of differences.md, and every line there must still be needed.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { type MlflowServer, pythonEnv, startMlflow } from '../support/mlflow.ts'
import { pythonWith } from '../support/python.ts'
import { type Relais, startRelais } from '../support/relais.ts'
import { differencesOf, type Methods, readKnown, readSteps, shown, type Step } from './compare.ts'

const folder = mkdtempSync(join(tmpdir(), 'relais-differential-'))
let relais: Relais
let mlflow: MlflowServer
let theirs: { steps: Step[]; methods: Methods }
let ours: { steps: Step[]; methods: Methods }

/** Runs the script of a folder against a server; gives what it wrote. */
async function runScript(python: string, name: string, env: Record<string, string>) {
  const place = join(folder, name)
  mkdirSync(place)
  const out = join(folder, `${name}.jsonl`)
  const child = Bun.spawn([python, join(import.meta.dir, 'script.py'), place, out], {
    cwd: place,
    env: { ...pythonEnv(place), ...env },
    stdout: 'ignore',
    stderr: 'pipe',
  })
  const [words, code] = await Promise.all([child.stderr.text(), child.exited])
  if (code !== 0) throw new Error(`the script ended with ${code} at ${name}: ${words.slice(-3000)}`)
  return readSteps(out)
}

beforeAll(async () => {
  const python = await pythonWith(join(import.meta.dir, 'requirements.txt'))
  ;[mlflow, relais] = await Promise.all([startMlflow(python), startRelais()])
  const [one, two] = await Promise.all([
    runScript(python, 'mlflow', { MLFLOW_TRACKING_URI: mlflow.url }),
    runScript(python, 'relais', {
      MLFLOW_TRACKING_URI: relais.url,
      MLFLOW_TRACKING_TOKEN: relais.admin,
    }),
  ])
  theirs = one
  ours = two
}, 600_000)
afterAll(async () => {
  mlflow?.stop()
  await relais?.close()
  rmSync(folder, { recursive: true, force: true })
})

describe("MLflow's client at both servers", () => {
  test('every step comes out the same, or differs as listed', () => {
    const known = readKnown()
    const all = differencesOf(theirs.steps, ours.steps)
    const open = all.filter((one) => !known.some(({ covers }) => covers(one)))
    console.log(
      `${theirs.steps.length} calls compared with MLflow: ${all.length} differ, ` +
        `${all.length - open.length} of them as listed`,
    )
    for (const one of open) console.log(shown(one))
    expect(open.map(({ theirs: { step }, change }) => `${step} (${change})`)).toEqual([])
  })

  test('every listed difference still occurs, and there are at most 20', () => {
    const known = readKnown()
    const all = differencesOf(theirs.steps, ours.steps)
    expect(known.filter(({ covers }) => !all.some(covers)).map(({ name }) => name)).toEqual([])
    expect(new Set(known.map(({ line }) => line)).size).toBeLessThanOrEqual(20)
  })

  test('the script is long and calls every method that it does not leave out with a reason', () => {
    const names = theirs.steps.map(({ step }) => step)
    expect(new Set(names).size).toBe(names.length)
    expect(ours.steps.map(({ step }) => step)).toEqual(names)
    expect(names.length).toBeGreaterThanOrEqual(200)
    const { methods, called, 'left out': left } = theirs.methods
    console.log(`${called} of the ${methods} methods of MlflowClient are called; left out:`)
    for (const [why, group] of Map.groupBy(Object.entries(left), ([, reason]) => reason)) {
      console.log(`  ${why || 'NO REASON'}: ${group.map(([name]) => name).join(', ')}`)
    }
    expect(Object.keys(left).filter((name) => left[name] === '')).toEqual([])
  })
})
