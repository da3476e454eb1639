// A pass mark with its figure.
import type { Summary } from './rounds.ts'

export interface Verdict {
  mark: string
  what: string
  figure: number
  unit: string
  /** Exactly one of both. */
  least?: number
  most?: number
  /** Largest spread among the figures it was made of, as a share. */
  spread?: number
  passed: boolean
  note?: string
}

type Extra = Pick<Verdict, 'spread' | 'note'>

/** The figure must be at least `limit`; NaN fails. */
export const least = (what: string, figure: number, limit: number, unit: string, extra?: Extra) =>
  ({ mark: '', what, figure, unit, least: limit, passed: figure >= limit, ...extra }) as Verdict

export const most = (what: string, figure: number, limit: number, unit: string, extra?: Extra) =>
  ({ mark: '', what, figure, unit, most: limit, passed: figure <= limit, ...extra }) as Verdict

/** Ratio of two median rates, with both in the note. */
export function ratio(what: string, own: Summary, other: Summary, limit: number): Verdict {
  const note = `${own.rate.toFixed(0)}/s against ${other.rate.toFixed(0)}/s`
  const wide = Math.max(own.spread, other.spread)
  return least(what, own.rate / other.rate, limit, '×', { spread: wide, note })
}

/** Something that the mark needs could not be had. */
export const missing = (what: string, why: string): Verdict => ({
  mark: '',
  what,
  figure: Number.NaN,
  unit: '',
  passed: false,
  note: why,
})

const digits = (value: number): string =>
  Number.isInteger(value) ? String(value) : value.toFixed(Math.abs(value) < 1 ? 3 : 2)

export function lineOf(verdict: Verdict): string {
  const { what, figure, unit, passed, spread, note } = verdict
  if (verdict.least === undefined && verdict.most === undefined) return `FAIL ${what}: ${note}`
  const limit =
    verdict.least === undefined
      ? `≤ ${digits(verdict.most ?? Number.NaN)}`
      : `≥ ${digits(verdict.least)}`
  const about = spread === undefined ? '' : `, spread ${(spread * 100).toFixed(0)} %`
  const more = note === undefined ? '' : ` (${note})`
  return `${passed ? 'ok  ' : 'FAIL'} ${what}: ${digits(figure)} ${unit}, must be ${limit} ${unit}${about}${more}`
}
