// What the verbs of tracking work with, and the look-ups they share.
import { eq } from 'drizzle-orm'

import type { Audit } from '../auth/audit.ts'
import type { Access } from '../auth/policy.ts'
import { Fault } from '../core/fault.ts'
import type { Db, Queries } from '../db/db.ts'
import { type ExperimentRow, experiments, type RunRow, runs } from '../db/tables.ts'
import { refused } from './limits.ts'

export interface Tracking {
  db: Db
  audit: Audit
  access: Access
}

/** MLflow's word for a row that is there, or was deleted softly. */
export const lifecycle = ({ deletedAt }: { deletedAt: number | null }): 'active' | 'deleted' =>
  deletedAt === null ? 'active' : 'deleted'

/** Experiment ids are decimal numbers, written as text. */
export function experimentNumber(id: string): number {
  if (/^\d{1,15}$/.test(id)) return Number(id)
  throw refused(`Invalid experiment ID '${id.slice(0, 100)}': it must be a decimal number.`)
}

/** The experiment, deleted or not, or `experiment.not-found`. */
export async function findExperiment(q: Queries, id: string): Promise<ExperimentRow> {
  const number = experimentNumber(id)
  const [row] = await q.select().from(experiments).where(eq(experiments.id, number))
  if (!row) throw noExperiment(number)
  return row
}

export const noExperiment = (id: number): Fault =>
  new Fault('experiment.not-found', `No Experiment with id=${id} exists.`)

/** The experiment, which must not be deleted: `request.invalid`. */
export async function activeExperiment(q: Queries, id: string): Promise<ExperimentRow> {
  const row = await findExperiment(q, id)
  if (row.deletedAt !== null) throw inactive(`experiment ${row.id}`)
  return row
}

/** The run, deleted or not, or `run.not-found`. */
export async function findRun(q: Queries, id: string): Promise<RunRow> {
  const [row] = await q.select().from(runs).where(eq(runs.id, id))
  if (!row) throw new Fault('run.not-found', `Run with id=${id.slice(0, 100)} not found.`)
  return row
}

/** The run, which must not be deleted: `request.invalid`. */
export async function activeRun(q: Queries, id: string): Promise<RunRow> {
  const row = await findRun(q, id)
  if (row.deletedAt !== null) throw inactive(`run ${row.id}`)
  return row
}

const inactive = (what: string): Fault =>
  refused(`The ${what} must be in the 'active' state, but it is deleted.`)

/** A location one level deeper. */
export const below = (location: string, ...parts: string[]): string =>
  [location.replace(/\/+$/, ''), ...parts].join('/')

/** 32 hex digits, as MLflow identifies runs and logged models. */
export const hexId = (): string => crypto.randomUUID().replaceAll('-', '')
