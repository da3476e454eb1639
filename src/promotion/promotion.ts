// What the verbs of promotion work with, and the trial they share.
import type { VersionRow } from '../db/tables.ts'
import type { Deployments } from '../inference/deployments.ts'
import type { ChildHome } from '../inference/spawn.ts'
import { runTrialChild, type TrialOrder, type TrialOutcome } from '../inference/trial.ts'
import type { Signature } from '../onnx/model.ts'
import type { FeatureSchema } from '../onnx/signature.ts'
import type { BlobKeeper } from '../registry/blobs.ts'
import type { Registry } from '../registry/registry.ts'
import type { Storage } from '../storage/storage.ts'
import type { Metrics } from '../telemetry/metrics.ts'

export interface Promotion extends Registry {
  storage: Storage
  blobs: BlobKeeper
  deployments: Deployments
  metrics: Metrics
  home: ChildHome
  trials: TrialSlots
}

/** Trials that run at the same time at most: each may take as much memory as its model. */
export class TrialSlots {
  private free = 2
  private readonly waiting: (() => void)[] = []

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.free === 0) await new Promise<void>((resolve) => this.waiting.push(resolve))
    else this.free -= 1
    try {
      return await work()
    } finally {
      const next = this.waiting.shift()
      if (next) next()
      else this.free += 1
    }
  }
}

/** Tries a file in a throw-away process. */
export function tryFile(
  s: Promotion,
  order: Omit<TrialOrder, 'threads' | 'rewriteTo'>,
  rewriteTo: string,
): Promise<TrialOutcome> {
  const options = {
    home: s.home,
    memory: s.config['engine-memory'],
    timeout: s.config['trial-timeout'],
  }
  return s.trials.run(() => runTrialChild({ ...order, rewriteTo, threads: 1 }, options))
}

/**
 * Loads and warms a registered version once more in a throw-away process: hash, load, first run.
 * Returns why it must not serve, or null.
 */
export async function tryAgain(s: Promotion, row: VersionRow): Promise<string | null> {
  if (!s.storage.exists(row.sha256)) return 'its artifact is missing'
  const outcome = await tryFile(
    s,
    {
      path: s.storage.path(row.sha256),
      sha256: row.sha256,
      known: {
        signature: row.signature as unknown as Signature,
        schema: row.schema as unknown as FeatureSchema,
      },
    },
    '',
  )
  return outcome.reason
}
