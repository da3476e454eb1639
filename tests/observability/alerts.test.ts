// From a fault to the message: the shipped rules and routes with a real Prometheus and Alertmanager, every
// 2 s, and receivers in place of PagerDuty and Slack. Windows and `for` are shortened in a copy.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'

import { cleanUp } from '../support/binary.ts'
import { until } from '../support/faults.ts'
import { referenceOf } from '../support/relais.ts'
import type { PagerEvent, SlackMessage } from './receivers.ts'
import { type Stack, startStack } from './stack.ts'
import { Driver, poisonText } from './traffic.ts'

const seconds = 2
/** Milliseconds that a page may take from the kill on: one scrape, one evaluation, and a bit. */
const pageWithin = (seconds + seconds + 2) * 1000
/** Until an alert has fired or its window has emptied. */
const patience = 40_000

/**
 * Windows hold five scrapes; what must last for minutes must last for one more evaluation. The minute of
 * InstanceAbsent stays: Prometheus looks for its targets only some seconds after its start.
 */
const shortened = (text: string): string =>
  text
    .replaceAll(/\[\d+[mhd]\]/g, `[${seconds * 5}s]`)
    .replaceAll(/^(\s*for: )(?![01]m$)\d+[mhd]$/gm, `$1${seconds}s`)

let stack: Stack
let driver: Driver
let mallory: string
const stops: (() => Promise<void>)[] = []

/** Calls `work` again and again until the test is over. */
function meanwhile(work: () => Promise<unknown>, pause = 20): () => Promise<void> {
  let going = true
  const running = (async () => {
    while (going) {
      await work().catch(() => {})
      await Bun.sleep(pause)
    }
  })()
  const stop = async (): Promise<void> => {
    going = false
    await running
  }
  stops.push(stop)
  return stop
}

const predict = (model: string, raw: string, token = stack.server.admin) =>
  driver.send('predict', 'POST', `/v1/models/${model}:predict`, {
    raw,
    type: 'application/json',
    token,
  })

const rows = referenceOf('iris').rows
const good = () => predict('iris', JSON.stringify({ instances: [rows[0]] }))

beforeAll(async () => {
  stack = await startStack({ server: {}, seconds, rules: shortened })
  driver = new Driver(stack.server)
  for (const name of ['iris', 'iris-v2']) await driver.pushExample('iris', name)
  for (const name of ['div', 'spin']) await driver.pushTestModel(name)
  for (const name of ['iris', 'div', 'spin']) await driver.promote(name, 1, 'Production')
  mallory = await driver.token('predictor', 'mallory')
  await until(
    async () => (await stack.prometheus.query('up{job="relais"} == 1')).length > 0,
    20_000,
  )
}, 60_000)

afterAll(async () => {
  await Promise.all(stops.map((stop) => stop()))
  await stack?.stop()
  cleanUp()
}, 30_000)

const isAbout = (name: string) => (event: PagerEvent) =>
  event.payload?.summary?.startsWith(`${name}:`) ?? false

const pages = (name: string): PagerEvent[] =>
  stack.receivers.pagerDuty.notes.map(({ body }) => body).filter(isAbout(name))

const messages = (name: string, state: 'FIRING' | 'RESOLVED'): SlackMessage[] =>
  stack.receivers.slack.notes
    .map(({ body }) => body)
    .filter((body) => {
      const title = body.attachments?.[0]?.title ?? ''
      return title.startsWith(state) && title.endsWith(`: ${name}`)
    })

/** Resolve events carry no summary; they name the trigger's key. */
const isResolved = (page: PagerEvent): boolean =>
  stack.receivers.pagerDuty.notes.some(
    ({ body }) => body.event_action === 'resolve' && body.dedup_key === page.dedup_key,
  )

async function quiet(name: string): Promise<void> {
  const firing = () => stack.prometheus.query(`ALERTS{alertname="${name}",alertstate="firing"}`)
  await until(async () => (await firing()).length === 0, patience)
}

test('calm: good answers, probes, uploads and files to score tell nobody anything', async () => {
  const stop = meanwhile(good)
  for (let round = 0; round < 4; round += 1) {
    for (const path of ['/health', '/health/live', '/health/ready', '/v2/health/ready']) {
      await driver.send('health', 'GET', path, { token: null })
    }
    await driver.pushExample('passing', 'iris')
    const raw = rows.map((row) => JSON.stringify(row)).join('\n')
    await driver.done('stream', 'POST', '/v1/models/iris:score', {
      raw,
      type: 'application/x-ndjson',
    })
    await Bun.sleep(1000)
  }
  await stop()
  const { receivers, alertmanager } = stack
  expect(receivers.pagerDuty.notes).toEqual([])
  expect(receivers.slack.notes).toEqual([])
  // Always firing, so that its absence can be seen; it is nobody's message.
  expect((await alertmanager.alerts()).map(({ labels }) => labels['alertname'])).toEqual([
    'Watchdog',
  ])
}, 30_000)

describe('5xx of predictions', () => {
  test('page and tell Slack, with how many and what to do', async () => {
    const stops = [meanwhile(good), meanwhile(() => predict('div', poisonText, mallory), 200)]
    await until(() => pages('HighErrorRate').length > 0, patience)
    await until(() => messages('HighErrorRate', 'FIRING').length > 0, patience)
    await until(() => messages('EngineRestarts', 'FIRING').length > 0, patience)
    await Promise.all(stops.map((stop) => stop()))
    const [page] = pages('HighErrorRate')
    expect(page!.payload.severity).toBe('critical')
    expect(page!.payload.summary).toMatch(/^HighErrorRate: [\d.]+% of predict requests fail$/)
    expect(page!.payload.custom_details?.['runbook']).toMatch(/observability\.md#higherrorrate$/)
    const [message] = messages('HighErrorRate', 'FIRING')
    expect(message!.attachments![0]!.text).toMatch(/% of predict requests fail\n.*relais rollback/s)
    expect(message!.attachments![0]!.color).toBe('danger')
    // A warning wakes nobody.
    expect(pages('EngineRestarts')).toEqual([])
  }, 60_000)

  test('resolve where they were told', async () => {
    await until(() => pages('HighErrorRate').every(isResolved), patience)
    await until(() => messages('HighErrorRate', 'RESOLVED').length > 0, patience)
    expect(messages('HighErrorRate', 'RESOLVED')[0]!.attachments![0]!.color).toBe('good')
  }, 60_000)
})

describe('slow predictions', () => {
  /** A body whose answer takes this machine so many milliseconds or more, each of five times. */
  async function lasting(milliseconds: number): Promise<string> {
    for (let n = 10_000; ; n *= 1.5) {
      const body = JSON.stringify({ inputs: { n: [Math.round(n)] } })
      let times = 0
      for (; times < 5; times += 1) {
        const began = performance.now()
        await predict('spin', body)
        if (performance.now() - began < milliseconds) break
      }
      if (times === 5) return body
    }
  }

  test('tell Slack; the fast burn of the budget pages and silences the slow one', async () => {
    const raw = await lasting(200)
    await quiet('EngineRestarts')
    const stop = meanwhile(() => predict('spin', raw), 0)
    await until(() => messages('HighLatency', 'FIRING').length > 0, patience)
    await until(() => pages('LatencyBudgetBurn').length > 0, patience)
    const inhibited = async (): Promise<string[]> =>
      (await stack.alertmanager.alerts())
        .filter(({ status }) => status.inhibitedBy.length > 0)
        .map(({ labels }) => `${labels['alertname']} ${labels['severity']}`)
    await until(async () => (await inhibited()).includes('LatencyBudgetBurn warning'), patience)
    await stop()
    const [message] = messages('HighLatency', 'FIRING')
    expect(message!.attachments![0]!.text).toMatch(/^p95 of predictions is \d+(\.\d+)?ms, above/)
    expect(pages('HighLatency')).toEqual([])
    expect(pages('LatencyBudgetBurn')[0]!.payload.severity).toBe('critical')
  }, 90_000)

  test('resolve', async () => {
    await until(() => messages('HighLatency', 'RESOLVED').length > 0, patience)
    await until(() => pages('LatencyBudgetBurn').every(isResolved), patience)
  }, 60_000)
})

describe('a server that is killed', () => {
  test(`pages within ${pageWithin / 1000} s, and what else is wrong with it keeps silent`, async () => {
    await quiet('EngineRestarts')
    // Something else is wrong already: what is said of it must end.
    const stops = [meanwhile(good), meanwhile(() => predict('div', poisonText, mallory), 200)]
    const before = pages('HighErrorRate').length
    await until(() => pages('HighErrorRate').length > before, patience)
    const killed = Date.now()
    process.kill(stack.server.pid, 'SIGKILL')
    await until(() => pages('InstanceDown').length > 0, pageWithin + 5000)
    const note = stack.receivers.pagerDuty.notes.find(({ body }) => isAbout('InstanceDown')(body))!
    console.log(`the page came ${((note.at - killed) / 1000).toFixed(2)} s after the kill`)
    expect(note.at - killed).toBeLessThan(pageWithin)
    await Promise.all(stops.map((stop) => stop()))
    const { payload } = note.body
    expect(payload.severity).toBe('critical')
    expect(payload.summary).toBe(`InstanceDown: ${stack.address} cannot be scraped`)
    await until(() => messages('InstanceDown', 'FIRING').length > 0, patience)
    const alerts = await stack.alertmanager.alerts()
    const others = alerts.filter(
      ({ labels }) => labels['job'] === 'relais' && labels['alertname'] !== 'InstanceDown',
    )
    expect(others.map(({ labels }) => labels['alertname'])).toContain('HighErrorRate')
    expect(others.filter(({ status }) => status.inhibitedBy.length === 0)).toEqual([])
  }, 90_000)

  test('that is back resolves', async () => {
    await stack.restart()
    await until(() => pages('InstanceDown').every(isResolved), patience)
    await until(() => messages('InstanceDown', 'RESOLVED').length > 0, patience)
    expect((await good()).status).toBe(200)
  }, 60_000)
})

test('the receivers took everything that was sent, and it was delivered', async () => {
  expect(stack.receivers.refused).toEqual([])
  const failed = await stack.prometheus.query('sum(alertmanager_notifications_failed_total)')
  expect(failed[0]?.value).toBe(0)
})
