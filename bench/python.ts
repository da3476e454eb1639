// A Python environment with pinned packages, made once for each list of them.
import { existsSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dir, '..')

async function run(command: string[]): Promise<void> {
  const child = Bun.spawn(command, { stdout: 'ignore', stderr: 'pipe' })
  const said = await new Response(child.stderr).text()
  if ((await child.exited) !== 0) throw new Error(`${command.join(' ')}: ${said}`)
}

/** Path of an interpreter that has what a requirements file names; environments are kept in `.venv`. */
export async function python(requirementsPath: string): Promise<string> {
  const hash = new Bun.CryptoHasher('sha256').update(readFileSync(requirementsPath)).digest('hex')
  const home = join(root, '.venv', hash.slice(0, 16))
  const interpreter = join(home, 'bin/python')
  // Written last: half an environment is made again.
  const done = join(home, 'done')
  if (existsSync(done)) return interpreter
  rmSync(home, { recursive: true, force: true })
  await run(['python3', '-m', 'venv', home])
  await run([interpreter, '-m', 'pip', 'install', '--quiet', '-r', requirementsPath])
  await Bun.write(`${done}.new`, '')
  renameSync(`${done}.new`, done)
  return interpreter
}
