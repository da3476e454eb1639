// Ways to wait for what happens in the background, and to damage what lies on disk.
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Waits until `check` is true, looking every 20 ms; throws after `timeout` ms. */
export async function until(
  check: () => boolean | Promise<boolean>,
  timeout = 5000,
): Promise<void> {
  const end = Date.now() + timeout
  while (!(await check())) {
    if (Date.now() > end) throw new Error(`not so within ${timeout} ms: ${check.toString()}`)
    await Bun.sleep(20)
  }
}

export const blobPath = (data: string, sha256: string): string =>
  join(data, 'blobs', sha256.slice(0, 2), sha256)

/** Inverts one byte in the middle of a stored artifact. */
export function flipByte(data: string, sha256: string): void {
  const path = blobPath(data, sha256)
  chmodSync(path, 0o600)
  const bytes = readFileSync(path)
  const at = bytes.length >> 1
  bytes[at] = (bytes[at] ?? 0) ^ 0xff
  writeFileSync(path, bytes)
}
