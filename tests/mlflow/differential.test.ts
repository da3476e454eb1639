// One script of calls of MLflow's client, the newest and the oldest, against MLflow's own server and
// against Relais, line by line.
// A difference must be covered by a line of differences.md, and every line there must still be needed.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { newest as versions, pythonEnv, startMlflow } from '../support/mlflow.ts'
import { pythonWith } from '../support/python.ts'
import { startRelais } from '../support/relais.ts'
import { differencesOf, type Methods, readKnown, readSteps, shown, type Step } from './compare.ts'

const folder = mkdtempSync(join(tmpdir(), 'relais-differential-'))
const script = join(import.meta.dir, 'script.py')
const oldest = join(import.meta.dir, 'oldest/requirements.txt')
/** What the oldest client must be able to do: log, register, stages, aliases, load, search. */
const core = ['fluent', 'stages', 'search']

interface Written {
  steps: Step[]
  methods: Methods
}

interface Pair {
  theirs: Written
  ours: Written
}

/** Runs the script against a server; gives what it wrote. */
async function runScript(
  python: string,
  sections: string[],
  env: Record<string, string>,
): Promise<Written> {
  const place = mkdtempSync(join(folder, 'run-'))
  const out = join(place, 'steps.jsonl')
  const child = Bun.spawn([python, script, place, out, ...sections], {
    cwd: place,
    env: { ...pythonEnv(place), ...env },
    stdout: 'ignore',
    stderr: 'pipe',
  })
  const [words, code] = await Promise.all([child.stderr.text(), child.exited])
  if (code !== 0) throw new Error(`the script ended with ${code}: ${words.slice(-3000)}`)
  return readSteps(out)
}

/** The script of one client at both servers, each fresh; MLflow's is always the newest. */
async function runBoth(server: string, client: string, sections: string[] = []): Promise<Pair> {
  const [mlflow, relais] = await Promise.all([startMlflow(server), startRelais()])
  try {
    const [theirs, ours] = await Promise.all([
      runScript(client, sections, { MLFLOW_TRACKING_URI: mlflow.url }),
      runScript(client, sections, {
        MLFLOW_TRACKING_URI: relais.url,
        MLFLOW_TRACKING_TOKEN: relais.admin,
      }),
    ])
    return { theirs, ours }
  } finally {
    await Promise.all([mlflow.stop(), relais.close()])
  }
}

/** Names of the steps that differ and are not listed; they are printed in full. */
function unexplained({ theirs, ours }: Pair, client: string): string[] {
  const known = readKnown()
  const all = differencesOf(theirs.steps, ours.steps)
  const open = all.filter((one) => !known.some(({ covers }) => covers(one)))
  console.log(
    `${client}: ${theirs.steps.length} calls compared with MLflow, ${all.length} differ, ` +
      `${all.length - open.length} of them as listed`,
  )
  for (const one of open) console.log(shown(one))
  return open.map(({ theirs: { step }, change }) => `${step} (${change})`)
}

let newest: Pair
let old: Pair

beforeAll(async () => {
  const server = await pythonWith(versions)
  const client = await pythonWith(oldest)
  ;[newest, old] = await Promise.all([runBoth(server, server), runBoth(server, client, core)])
}, 600_000)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe("MLflow's client at both servers", () => {
  test('every step of the newest comes out the same, or differs as listed', () => {
    expect(unexplained(newest, 'newest client')).toEqual([])
  })

  test('so does every step of the oldest', () => {
    expect(old.theirs.steps.length).toBeGreaterThan(200)
    expect(unexplained(old, 'oldest client')).toEqual([])
  })

  test('every listed difference still occurs, and there are at most 20', () => {
    const known = readKnown()
    const all = differencesOf(newest.theirs.steps, newest.ours.steps)
    expect(known.filter(({ covers }) => !all.some(covers)).map(({ name }) => name)).toEqual([])
    expect(new Set(known.map(({ line }) => line)).size).toBeLessThanOrEqual(20)
  })

  test('the script is long and calls every method that it does not leave out with a reason', () => {
    const { theirs, ours } = newest
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
