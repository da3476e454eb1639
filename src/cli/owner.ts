// Commands that work on a data folder act as its owner.
import { chownSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

import { CommandError } from './command.ts'

/**
 * Makes new files private and, when root works on the folder of another user, becomes that user:
 * files that root leaves behind would lock the server out of its own folder.
 */
export function actAsOwner(folder: string): void {
  process.umask(0o077)
  const { uid, gid } = statSync(folder)
  const me = process.geteuid?.()
  if (me === uid) return
  if (me !== 0) {
    throw new CommandError(`${folder} belongs to another user`, 'Call this as its owner.')
  }
  process.setgroups?.([gid])
  process.setgid?.(gid)
  process.setuid?.(uid)
}

/** What root has put into the folder of another user becomes that user's. */
export function giveToOwner(folder: string): void {
  const { uid, gid } = statSync(folder)
  if (process.geteuid?.() !== 0 || uid === 0) return
  for (const name of readdirSync(folder, { recursive: true })) {
    chownSync(join(folder, String(name)), uid, gid)
  }
}
