// §18, §19: in a browser without a network the page of the documentation shows nothing of models
// without a token, and runs a prediction with one: Authorize, Try it out, Execute.
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core'

import { cleanUp, example, promoteExample, serve, type Served } from '../support/binary.ts'
import { agrees } from '../support/relais.ts'

const flags = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]
/** Where pictures go, for people who want to look. */
const pictures = process.env.RELAIS_TEST_PICTURES

let server: Served
let token: string
let browser: Browser
let context: BrowserContext
let page: Page
/** Requests that left this machine, and what the page complained about. */
const outside: string[] = []
const complaints: string[] = []

beforeAll(async () => {
  server = await serve()
  await promoteExample(server, 'iris')
  await promoteExample(server, 'diabetes')
  const args = ['token', 'create', '--sub', 'app', '--role', 'predictor', '--models', 'iris']
  token = (await server.cli(args)).out.trim()
  browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: flags })
}, 60_000)
afterAll(async () => {
  await browser.close()
  await server.stop()
  cleanUp()
})

beforeEach(async () => {
  await context?.close()
  outside.length = 0
  complaints.length = 0
  context = await browser.newContext({ viewport: { width: 1280, height: 900 } })
  await context.route('**/*', (route) => {
    const url = route.request().url()
    if (url.startsWith(server.url) || url.startsWith('data:')) return route.continue()
    outside.push(url)
    return route.abort()
  })
  page = await context.newPage()
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(error.message))
  await page.addInitScript(`document.addEventListener('securitypolicyviolation', (event) =>
    console.error('policy: ' + event.violatedDirective + ' ' + event.blockedURI))`)
})

async function picture(name: string): Promise<void> {
  if (pictures !== undefined) await page.screenshot({ path: join(pictures, `${name}.png`) })
}

const opened = async (query = ''): Promise<void> => {
  await page.goto(`${server.url}/docs${query}`)
  await page.locator('.opblock').first().waitFor()
}

async function authorize(): Promise<void> {
  await page.getByRole('button', { name: 'Authorize' }).first().click()
  await page.locator('.modal-ux input').fill(token)
  await picture('authorize')
  await page.locator('.modal-ux .modal-btn.authorize').click()
  await page.locator('.modal-ux').getByRole('button', { name: 'Close' }).click()
}

const quiet = (): void => expect({ outside, complaints }).toEqual({ outside: [], complaints: [] })

test('without a token the page shows the native API and nothing of models', async () => {
  await opened()
  await picture('start')
  const text = await page.locator('body').innerText()
  expect(text).toContain('/api/v1/models')
  expect(text).not.toContain('iris')
  expect(text).not.toContain('diabetes')
  quiet()
}, 30_000)

test('Authorize, Try it out, Execute: 200 with the reference prediction', async () => {
  await opened()
  await authorize()
  const entry = page.locator('.opblock', { hasText: '/v1/models/iris:predict' })
  await entry.waitFor()
  expect(await page.locator('body').innerText()).not.toContain('diabetes')
  await entry.locator('.opblock-summary').click()
  await entry.getByRole('button', { name: 'Try it out' }).click()
  await picture('try')
  await entry.getByRole('button', { name: 'Execute' }).click()
  const answer = entry.locator('.live-responses-table .response')
  await answer.waitFor()
  expect((await answer.locator('.response-col_status').innerText()).trim()).toStartWith('200')
  const body = await answer.locator('.highlight-code code').first().innerText()
  await answer.scrollIntoViewIfNeeded()
  await picture('answer')
  const shown = JSON.parse(body) as { predictions: unknown[]; model_version: string }
  expect(shown.model_version).toBe('1')
  const { columns } = JSON.parse(readFileSync(example('iris', 'schema.json'), 'utf8'))
  const instances = [columns.map((column: { example: number }) => column.example)]
  const direct = await server.call('POST', '/v1/models/iris:predict', { instances })
  const { predictions } = (await direct.json()) as { predictions: unknown[] }
  expect(agrees(shown.predictions, predictions)).toBe(true)
  // The example is the first of Fisher's flowers, a setosa in every tree of the forest.
  expect(agrees(shown.predictions, [{ output_label: 0, output_probability: [1, 0, 0] }])).toBe(true)
  quiet()
}, 60_000)

test('after Logout the models are gone', async () => {
  await opened()
  await authorize()
  const entry = page.locator('.opblock', { hasText: '/v1/models/iris:predict' })
  await entry.waitFor()
  await page.getByRole('button', { name: 'Authorize' }).first().click()
  await page.locator('.modal-ux').getByText('Logout', { exact: true }).click()
  await page.locator('.modal-ux').getByRole('button', { name: 'Close' }).click()
  await entry.waitFor({ state: 'detached' })
  quiet()
}, 60_000)

for (const query of ['configUrl', 'url', 'urls.primaryName', 'spec']) {
  test(`?${query}= is ignored`, async () => {
    const evil = 'https://evil.example/openapi.json'
    await opened(`?${query}=${encodeURIComponent(evil)}`)
    expect(await page.locator('.info .title').innerText()).toStartWith('Relais')
    expect(await page.locator('body').innerText()).not.toContain('evil')
    quiet()
  }, 30_000)
}
