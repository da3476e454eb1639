// Work on a data folder itself, without a server or beside a running one.
import { mkdirSync } from 'node:fs'

import { closeFoundation, type Foundation, openFoundation } from '../parts.ts'
import { createLog } from '../telemetry/log.ts'
import { actAsOwner } from './owner.ts'

/** Opens the folder, making what is not there, as its owner; the log is not for this reader. */
export async function onFolder<T>(data: string, work: (f: Foundation) => Promise<T>): Promise<T> {
  mkdirSync(data, { recursive: true, mode: 0o700 })
  actAsOwner(data)
  const log = createLog('error', {}, { stdout: { write: () => 0, flush: () => 0 } })
  const foundation = await openFoundation(data, log, () => undefined)
  try {
    return await work(foundation)
  } finally {
    await closeFoundation(foundation)
    await log.close()
  }
}
