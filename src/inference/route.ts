// What serves a model now, by stage and alias.
import type { Deployment } from './deployment.ts'
import type { DesiredStage } from './desired.ts'

export interface ServedStage {
  /** What the registry says is live. */
  live: number | null
  serving: Deployment | null
  /** When the live version became it, in milliseconds since the epoch. */
  since: number | null
  /** Why it is not the live version that serves; empty when it is. */
  why: string
}

export interface Route {
  model: string
  stages: Record<DesiredStage['stage'], ServedStage>
  /** Lower-cased alias → version number. */
  aliases: ReadonlyMap<string, number>
}
