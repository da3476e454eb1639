// The history of a metric: page by page for one run, thinned out evenly for charts over many.
import { and, asc, eq, getTableColumns, gte, inArray, lte, sql } from 'drizzle-orm'

import type { Context } from '../core/context.ts'
import { Fault } from '../core/fault.ts'
import type { Queries } from '../db/db.ts'
import { type MetricRow, runMetrics as t } from '../db/tables.ts'
import { refused } from './limits.ts'
import type { Tracking } from './tracking.ts'

/** Values of a run's metric by time, step and value, from after `pageToken`; all without `maxResults`. */
export interface HistoryInput {
  runId: string
  key: string
  maxResults?: number | undefined
  pageToken?: string | undefined
}

/** Where a page ended: timestamp, step, value, and 1 for NaN. */
type Place = [number, number, number, number]

const tokenOf = ({ timestamp, step, value, nan }: MetricRow): string =>
  Buffer.from(JSON.stringify([timestamp, step, value, nan ? 1 : 0])).toString('base64url')

function placeOf(token: string): Place {
  try {
    const place: unknown = JSON.parse(Buffer.from(token, 'base64url').toString())
    const isPlace =
      Array.isArray(place) && place.length === 4 && place.every((n) => typeof n === 'number')
    if (isPlace) return place as Place
  } catch {
    // Said below.
  }
  throw new Fault('request.page-token', 'Invalid page token: start again without one.')
}

/** An unknown run or metric has no history. */
export async function metricHistory(
  s: Tracking,
  ctx: Context,
  { runId, key, maxResults, pageToken }: HistoryInput,
): Promise<{ metrics: MetricRow[]; nextPageToken?: string | undefined }> {
  await s.access.require(ctx, 'runs:read')
  if (maxResults !== undefined && maxResults < 1) {
    throw refused(`Invalid value ${maxResults} for parameter 'max_results' supplied: 1 at least.`)
  }
  const after = pageToken ? placeOf(pageToken) : undefined
  // The order is that of the primary key, so a page is read off the index.
  const isAfter = after && sql`(${t.timestamp}, ${t.step}, ${t.value}, ${t.nan}) > ${after}`
  const all = s.db.read
    .select()
    .from(t)
    .where(and(eq(t.runId, runId), eq(t.key, key), isAfter))
    .orderBy(asc(t.timestamp), asc(t.step), asc(t.value), asc(t.nan))
  if (maxResults === undefined) return { metrics: await all }
  const found = await all.limit(maxResults + 1)
  const metrics = found.slice(0, maxResults)
  const last = metrics.at(-1)
  return { metrics, nextPageToken: last && found.length > maxResults ? tokenOf(last) : undefined }
}

export interface IntervalInput {
  runIds: string[]
  key: string
  /** Both or none; inclusive. */
  startStep?: number | undefined
  endStep?: number | undefined
  maxResults?: number | undefined
}

const most = { runs: 100, perRun: 2500 } as const

function demandInterval({ runIds, startStep, endStep, maxResults }: IntervalInput): void {
  if (runIds.length === 0) throw refused("Missing value for required parameter 'run_ids'.")
  if (runIds.length > most.runs) {
    throw refused(`At most ${most.runs} run_ids can be asked at once, not ${runIds.length}.`)
  }
  if (maxResults !== undefined && (maxResults < 1 || maxResults > most.perRun)) {
    throw refused(`max_results must be between 1 and ${most.perRun}.`)
  }
  if ((startStep === undefined) !== (endStep === undefined)) {
    throw refused('If one of start_step and end_step is given, both must be.')
  }
  if (startStep !== undefined && endStep !== undefined && startStep > endStep) {
    throw refused(`end_step ${endStep} must not be less than start_step ${startStep}.`)
  }
}

/** `count` places from 0 to `total - 1`, evenly spread; one alone is the last. */
const spread = (total: number, count: number): number[] =>
  count === 1
    ? [total - 1]
    : Array.from({ length: count }, (_, at) => Math.round((at * (total - 1)) / (count - 1)))

async function interval(q: Queries, runId: string, input: IntervalInput): Promise<MetricRow[]> {
  const { key, startStep, endStep, maxResults = most.perRun } = input
  const inside = and(
    eq(t.runId, runId),
    eq(t.key, key),
    startStep === undefined ? undefined : gte(t.step, startStep),
    endStep === undefined ? undefined : lte(t.step, endStep),
  )
  const total = await q.$count(t, inside)
  const number = sql<number>`row_number() over (order by step, timestamp, value, nan) - 1`
  const numbered = q
    .select({ ...getTableColumns(t), number: number.as('number') })
    .from(t)
    .where(inside)
    .as('numbered')
  const isPicked =
    total > maxResults ? inArray(numbered.number, spread(total, maxResults)) : undefined
  return q.select().from(numbered).where(isPicked).orderBy(asc(numbered.number))
}

/**
 * Values of a metric in many runs, by run and step: of each run at most `maxResults`, evenly spread,
 * the first and the last among them.
 */
export async function metricIntervals(
  s: Tracking,
  ctx: Context,
  input: IntervalInput,
): Promise<MetricRow[]> {
  await s.access.require(ctx, 'runs:read')
  demandInterval(input)
  const found: MetricRow[] = []
  for (const runId of [...new Set(input.runIds)].sort()) {
    found.push(...(await interval(s.db.read, runId, input)))
  }
  return found
}
