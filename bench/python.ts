// Virtual environments for what is measured in Python, made once per list of requirements.
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dir, '..')

async function demand(command: string[]): Promise<string> {
  const child = Bun.spawn(command, { stdout: 'pipe', stderr: 'pipe' })
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ])
  if ((await child.exited) !== 0) {
    throw new Error(`${command.join(' ')}: ${err.trim().split('\n').slice(-3).join(' ')}`)
  }
  return out.trim()
}

/**
 * Path of a Python that has the packages of a requirements file, from `.venv/<hash>` in the
 * repository. Throws when there is no Python 3 or a package cannot be installed.
 */
export async function python(requirementsPath: string): Promise<string> {
  if (Bun.which('python3') === null) throw new Error('python3 is missing')
  const version = await demand(['python3', '--version'])
  const hash = new Bun.CryptoHasher('sha256')
    .update(version)
    .update(readFileSync(requirementsPath))
    .digest('hex')
    .slice(0, 12)
  const folder = join(root, '.venv', hash)
  const path = join(folder, 'bin/python')
  const complete = join(folder, 'complete')
  if (existsSync(complete)) return path
  console.log(`installing ${requirementsPath.slice(root.length + 1)} into .venv/${hash}`)
  rmSync(folder, { recursive: true, force: true })
  await demand(['python3', '-m', 'venv', folder])
  await demand([path, '-m', 'pip', 'install', '--quiet', '-r', requirementsPath])
  writeFileSync(complete, '')
  return path
}
