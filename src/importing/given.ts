// What an import hands over: MLflow's own shapes, as its REST API answers them, and what comes of them.
import { chunksOf } from '../core/chunks.ts'
import { Fault } from '../core/fault.ts'

export interface GivenTag {
  key: string
  value?: string | undefined
}

export interface GivenMetric {
  key: string
  /** JSON has no words for these three. */
  value: number | 'NaN' | 'Infinity' | '-Infinity'
  timestamp: number
  step?: number | undefined
}

/** A value that is missing is empty. */
export const pairsIn = (tags: readonly GivenTag[] = []): { key: string; value: string }[] =>
  tags.map(({ key, value }) => ({ key, value: value ?? '' }))

export const tagsIn = (tags: readonly GivenTag[] = []): Record<string, string> =>
  Object.fromEntries(pairsIn(tags).map(({ key, value }) => [key, value]))

export const metricIn = ({ key, value, timestamp, step }: GivenMetric) => ({
  key,
  value: Number(value),
  timestamp,
  step: step ?? 0,
})

/** The source does not tell when something was deleted, so it is deleted as of now. */
export const deletedIn = ({ lifecycle_stage: stage }: { lifecycle_stage?: string | undefined }) =>
  stage === 'deleted' ? Date.now() : null

/** What an id stands for never changes; it is taken for the same by what cannot be edited. */
export function demandSame(what: string, isSame: boolean): void {
  if (isSame) return
  const why = 'is here already and is not the one of the import; nothing was changed.'
  throw new Fault('import.conflict', `${what} ${why}`)
}

/** Rows in lists that fit into one statement. */
export const inBatches = <T>(rows: readonly T[]): Generator<T[]> => chunksOf(rows, 1000)
