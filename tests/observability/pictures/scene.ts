// A few minutes that look like a day at a team's server: waves of traffic, a promotion that is taken back,
// a burst of errors, a model that is slow for a while.
import { referenceOf } from '../../support/relais.ts'
import { type Stack, startStack } from '../stack.ts'
import {
  askNewcomers,
  drive,
  Driver,
  irisRows,
  poisonText,
  populate,
  predictDoors,
  quarantine,
  trafficFlags,
} from '../traffic.ts'

export interface Scene {
  stack: Stack
  /** Seconds since the epoch. */
  until: number
}

const others = ['customers', 'diabetes', 'breast-cancer'].map((model) => ({
  model,
  rows: referenceOf(model).rows,
}))

/** Callers who ask more often at some times than at others. */
async function waves(driver: Driver, ends: number, began: number): Promise<void> {
  const client = async (who: number): Promise<void> => {
    for (let turn = who; Date.now() < ends; turn += 1) {
      const share = (Date.now() - began) / (ends - began)
      const busy = 0.5 + 0.4 * Math.sin(share * 9 + who / 3)
      const door = predictDoors[turn % predictDoors.length]!
      const from = (turn * 3) % 40
      await driver.predict(door, irisRows.slice(from, from + 1 + (turn % 5)))
      const { model, rows } = others[turn % others.length]!
      const body = { instances: rows.slice(turn % 40, (turn % 40) + 1 + (turn % 3)) }
      await driver.send('predict', 'POST', `/v1/models/${model}:predict`, { body })
      if (turn % 19 === 0) await driver.predict(door, [[1e9, 1, 1, 1]])
      await Bun.sleep(10 + 140 * (1 - busy))
    }
  }
  await Promise.all(Array.from({ length: 4 }, (_, who) => client(who)))
}

const to = (driver: Driver, model: string, raw: string, token?: string): Promise<unknown> =>
  driver.send('predict', 'POST', `/v1/models/${model}:predict`, {
    raw,
    type: 'application/json',
    ...(token === undefined ? {} : { token }),
  })

/** What happens at which share of the time. */
async function events(driver: Driver, ends: number, began: number): Promise<void> {
  const at = (share: number): Promise<void> =>
    Bun.sleep(Math.max(0, began + share * (ends - began) - Date.now()))
  const mallory = await driver.token('predictor', 'mallory')
  await at(0.15)
  await drive(driver, 0)
  await at(0.4)
  for (let n = 0; n < 12; n += 1) {
    await to(driver, 'div', poisonText, mallory)
    await Bun.sleep(150)
  }
  await at(0.55)
  await drive(driver, 1)
  await at(0.65)
  while (Date.now() < began + 0.75 * (ends - began)) {
    await to(driver, 'busy', '{"inputs":{"n":[60000]}}')
    await Bun.sleep(100)
  }
  await at(0.85)
  await askNewcomers(driver)
  await quarantine(driver)
}

export async function playScene(seconds: number): Promise<Scene> {
  const stack = await startStack({ server: { flags: trafficFlags }, seconds: 1 })
  try {
    const driver = new Driver(stack.server)
    await populate(driver)
    await driver.pushTestModel('spin', 'busy')
    await driver.promote('busy', 1, 'Production')
    await Bun.sleep(4000)
    const began = Date.now()
    const ends = began + seconds * 1000
    await Promise.all([waves(driver, ends, began), events(driver, ends, began)])
    return { stack, until: ends / 1000 }
  } catch (error) {
    await stack.stop()
    throw error
  }
}
