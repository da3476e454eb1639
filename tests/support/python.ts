// Python for suites that need it: virtual environments from pinned requirements, kept between runs.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

import { root } from './sources.ts'

async function run(command: string[]): Promise<void> {
  const child = Bun.spawn(command, { stdout: 'ignore', stderr: 'pipe' })
  const [words, code] = await Promise.all([child.stderr.text(), child.exited])
  if (code !== 0) throw new Error(`${command.join(' ')}: ${words.slice(-2000)}`)
}

/** Path of a Python that has what a requirements file names; made once per content of the file. */
export async function pythonWith(requirements: string): Promise<string> {
  if (Bun.which('python3') === null) throw new Error('python3 is missing')
  const hash = createHash('sha256').update(readFileSync(requirements)).digest('hex').slice(0, 12)
  const folder = join(root, '.venv', `${basename(dirname(requirements))}-${hash}`)
  const python = join(folder, 'bin/python')
  const complete = join(folder, 'complete')
  if (existsSync(complete)) return python
  console.log(`installing ${requirements.slice(root.length + 1)}`)
  // What an interrupted run left behind would be taken for whole.
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(dirname(folder), { recursive: true })
  await run(['python3', '-m', 'venv', folder])
  const quiet = ['--quiet', '--disable-pip-version-check']
  await run([python, '-m', 'pip', 'install', ...quiet, '--requirement', requirements])
  writeFileSync(complete, '')
  return python
}

export interface Case {
  name: string
  /** Empty when it passed. */
  error: string
}

/** Names of the cases of a script: its functions `test_…`, which its own runner finds likewise. */
export const casesIn = (script: string): string[] =>
  [...readFileSync(script, 'utf8').matchAll(/^(?:async )?def (test_\w+)/gm)].map((m) => m[1]!)

/** Runs a script that prints one JSON line per case. Throws when it ends before all are told. */
export async function runCases(
  python: string,
  script: string,
  env: Record<string, string>,
): Promise<Map<string, string>> {
  const child = Bun.spawn([python, script], {
    cwd: dirname(script),
    env: { PATH: process.env.PATH ?? '', PYTHONDONTWRITEBYTECODE: '1', ...env },
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const [out, words, code] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ])
  if (code !== 0) throw new Error(`${script} ended with ${code}: ${words.slice(-2000)}`)
  const lines = out.split('\n').filter((line) => line.startsWith('{"name"'))
  return new Map(
    lines.map((line) => {
      const { name, error } = JSON.parse(line) as Case
      return [name, error]
    }),
  )
}
