// A Python with pinned packages, for suites that compare with Python programs.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dir, '../..')

function run(command: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(command, { stdout: 'ignore', stderr: 'pipe' })
  if (exitCode === 0) return
  throw new Error(`${command.join(' ')}\n${stderr.toString().slice(-2000)}`)
}

/** Path of the Python of a virtual environment that holds a requirements file; made when it is not there. */
export async function python(requirements: string): Promise<string> {
  const hash = createHash('sha256').update(readFileSync(requirements)).digest('hex').slice(0, 16)
  const folder = join(root, '.venv', hash)
  const bin = join(folder, 'bin/python')
  const stamp = join(folder, 'complete')
  if (existsSync(stamp)) return bin
  rmSync(folder, { recursive: true, force: true })
  run(['python3', '-m', 'venv', folder])
  const quiet = ['--quiet', '--disable-pip-version-check', '--no-input']
  run([bin, '-m', 'pip', 'install', ...quiet, '--requirement', requirements])
  writeFileSync(stamp, '')
  return Promise.resolve(bin)
}
