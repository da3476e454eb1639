// One server per data folder: an advisory lock that the kernel frees when its holder dies.
import { dlopen } from 'bun:ffi'
import { closeSync, openSync } from 'node:fs'

const exclusive = 2
const nonBlocking = 4

/** Takes the lock, or returns null when another process holds it. The result frees it. */
export function lockFile(path: string): (() => void) | null {
  const libc = dlopen('libc.so.6', { flock: { args: ['i32', 'i32'], returns: 'i32' } })
  const fd = openSync(path, 'w', 0o600)
  if (libc.symbols.flock(fd, exclusive | nonBlocking) !== 0) {
    closeSync(fd)
    return null
  }
  return () => closeSync(fd)
}
