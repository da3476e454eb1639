// A model file is tried and kept: what every way of registering a version has in common.
import { rm } from 'node:fs/promises'

import { Fault } from '../core/fault.ts'
import type { Json } from '../db/tables.ts'
import type { TrialOrder, TrialOutcome } from '../inference/trial.ts'
import type { VersionFindings } from '../registry/versions.ts'
import { type Promotion, tryFile } from './promotion.ts'

/** A model file: where it lies, its bytes' digest and number, and how it is to be read. */
export interface Candidate extends Omit<TrialOrder, 'known' | 'rewriteTo' | 'threads'> {
  size: number
  /** False for a blob that is in storage already. */
  isNew: boolean
}

type Stored = Pick<VersionFindings, 'sha256' | 'size' | 'originalSha256' | 'originalSize'>

function findingsOf(outcome: TrialOutcome, stored: Stored): VersionFindings {
  const failed = outcome.reason !== null
  return {
    status: failed ? 'FAILED_REGISTRATION' : 'READY',
    servability: failed ? 'failed' : 'servable',
    reason: outcome.reason,
    signature: outcome.signature as unknown as Json,
    schema: outcome.schema as unknown as Json,
    trial: outcome.report as unknown as Json,
    ...stored,
  }
}

/** Makes the file and, if there is one, the rewritten one durable. */
async function keepFiles(
  s: Promotion,
  { path, sha256, size, isNew }: Candidate,
  outcome: TrialOutcome,
  rewritten: string,
): Promise<Stored> {
  if (isNew) await s.storage.commit(path, sha256)
  const original = { originalSha256: sha256, originalSize: size }
  if (!outcome.rewritten) return { sha256, size, ...original }
  await s.storage.commit(rewritten, outcome.rewritten.sha256)
  return { ...outcome.rewritten, ...original }
}

/**
 * Tries a file, stores it and hands what was found to `record`, before a sweep could free the bytes.
 * One that is no acceptable model is refused and leaves nothing.
 */
export async function admit<T>(
  s: Promotion,
  candidate: Candidate,
  record: (findings: VersionFindings) => Promise<T>,
): Promise<T> {
  const { size: _size, isNew: _isNew, ...order } = candidate
  const rewritten = s.storage.scratch('.rewritten')
  const releases = [s.blobs.pin(candidate.sha256)]
  try {
    const outcome = await tryFile(s, order, rewritten)
    if (!outcome.signature)
      throw new Fault('model.not-onnx', `The file cannot be read: ${outcome.reason}.`)
    if (outcome.rewritten) releases.push(s.blobs.pin(outcome.rewritten.sha256))
    const stored = await keepFiles(s, candidate, outcome, rewritten)
    return await record(findingsOf(outcome, stored))
  } finally {
    for (const release of releases) release()
    await rm(rewritten, { force: true })
  }
}
