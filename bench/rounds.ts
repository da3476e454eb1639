// RULES §34: median of interleaved rounds after a warm-up, again when the baseline was not steady.
import { median } from '../tests/support/figures.ts'
import type { Round } from './load.ts'

export interface Pace {
  rounds: number
  seconds: number
}

export interface Summary {
  /** Median rate, and the largest distance from it as a share of it. */
  rate: number
  spread: number
  p50: number
  p99: number
  errors: number
  rates: number[]
}

const steadyBaseline = 0.2
const mostAgain = 3

/** Largest distance from the median, as a share of it. */
export const spread = (values: readonly number[]): number =>
  Math.max(...values.map((value) => Math.abs(value - median(values)))) / median(values)

function summaryOf(rounds: readonly Round[]): Summary {
  const rates = rounds.map(({ rate }) => rate)
  return {
    rate: median(rates),
    spread: spread(rates),
    p50: median(rounds.map(({ p50 }) => p50)),
    p99: median(rounds.map(({ p99 }) => p99)),
    errors: rounds.reduce((sum, { errors }) => sum + errors, 0),
    rates,
  }
}

const shown = (rate: number): string => (rate >= 100 ? rate.toFixed(0) : rate.toPrecision(3))

/**
 * Runs the contestants in turn, round after round. The first one is the baseline: when it varies by
 * more than 20 %, everything is run again, at most three times.
 */
export async function interleave<Name extends string>(
  contestants: Record<Name, (seconds: number) => Promise<Round>>,
  { rounds, seconds }: Pace,
): Promise<Record<Name, Summary>> {
  const entries = Object.entries(contestants) as [Name, (seconds: number) => Promise<Round>][]
  for (const [, run] of entries) await run(Math.min(2, seconds))
  for (let again = 0; ; again += 1) {
    const results = new Map<Name, Round[]>(entries.map(([name]) => [name, []]))
    for (let round = 1; round <= rounds; round += 1) {
      for (const [name, run] of entries) results.get(name)?.push(await run(seconds))
      const line = entries.map(([name]) => `${name} ${shown(results.get(name)!.at(-1)!.rate)}/s`)
      console.log(`  round ${round}: ${line.join(', ')}`)
    }
    const summaries = entries.map(([name]) => [name, summaryOf(results.get(name) ?? [])] as const)
    const baseline = summaries[0]?.[1].spread ?? 0
    if (baseline <= steadyBaseline || again === mostAgain) {
      return Object.fromEntries(summaries) as Record<Name, Summary>
    }
    console.log(`  ${entries[0]?.[0]} varied by ${(baseline * 100).toFixed(0)} %: once more`)
  }
}
