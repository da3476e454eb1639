// What there is to say about a server's health.

export type Status = 'ok' | 'degraded' | 'failed'

export interface HealthReport {
  database: Status
  storage: Status
  /** False until the first reconcile has ended. */
  started: boolean
  draining: boolean
  models: { production: number; serving: number; fallback: number; failed: number }
  /** With a token: one line per model that is not served as its stage says. */
  notes: {
    model: string
    stage: string
    stage_version: number
    serving: number | null
    why: string
  }[]
  safe_mode: boolean
}
