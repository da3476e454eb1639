// Programs from Debian's packages, installed when they are missing, none of their services started.
import { existsSync } from 'node:fs'

/** Keeps the packages' own services off, for as long as the installation runs and after it. */
const script = `set -eu
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\\nexit 101\\n' > "$policy"
  chmod 755 "$policy"
fi
apt-get -qq -o DPkg::Lock::Timeout=300 update
DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 install \\
  --no-install-recommends "$@"
systemctl disable --now "$@" 2>/dev/null || true
`

/**
 * Installs the packages unless every program is there. Says so, since it changes the machine; only
 * root, or who may become root without a password, can do it.
 */
export function needPackages(packages: readonly string[], programs: readonly string[]): void {
  if (programs.every((path) => existsSync(path))) return
  console.log(`installing ${packages.join(' and ')} from the system's packages`)
  const shell = ['/bin/sh', '-c', script, 'sh', ...packages]
  const root = process.getuid?.() === 0 ? [] : ['sudo', '-n']
  const { exitCode, stdout, stderr } = Bun.spawnSync([...root, ...shell])
  const missing = programs.filter((path) => !existsSync(path))
  if (exitCode === 0 && missing.length === 0) return
  const words = `${stdout.toString()}${stderr.toString()}`.slice(-2000)
  throw new Error(`${packages.join(', ')} could not be installed (${missing.join(', ')}): ${words}`)
}
