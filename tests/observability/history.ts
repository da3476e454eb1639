// A server with a past: the stack as shipped, and rounds of traffic that were scraped while they ran.
import { type Stack, startStack } from './stack.ts'
import { askNewcomers, drive, Driver, populate, quarantine, trafficFlags } from './traffic.ts'

export interface History {
  stack: Stack
  driver: Driver
  rounds: number
  /** Seconds since the epoch: models were there, and nobody had asked for a prediction. */
  idleAt: number
}

export interface HistoryOptions {
  rounds: number
  /** Milliseconds between two rounds; more than two scrapes, or rates miss what is new in a round. */
  pause?: number
}

const seconds = 1

async function scraped(stack: Stack): Promise<void> {
  const until = Date.now() + 20_000
  while ((await stack.prometheus.query('up{job="relais"} == 1')).length === 0) {
    if (Date.now() > until) throw new Error(`never scraped: ${stack.prometheus.said()}`)
    await Bun.sleep(100)
  }
}

export async function startHistory({ rounds, pause = 2500 }: HistoryOptions): Promise<History> {
  const stack = await startStack({ server: { flags: trafficFlags }, seconds })
  try {
    const driver = new Driver(stack.server)
    // The token of the scrape job.
    driver.answers.add('registry 201')
    await populate(driver)
    await scraped(stack)
    await Bun.sleep(pause)
    const idleAt = Date.now() / 1000
    for (let round = 0; round < rounds; round += 1) {
      await drive(driver, round)
      await Bun.sleep(pause)
    }
    await askNewcomers(driver)
    await quarantine(driver)
    await Bun.sleep(pause)
    return { stack, driver, rounds, idleAt }
  } catch (error) {
    await stack.stop()
    throw error
  }
}
