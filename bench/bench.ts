// Requests per second on the iris model, everything on, against a bare JSON echo, in one run.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { demandWrk, load, type LoadResult, median, spread } from './load.ts'
import { startMeasured } from './relais.ts'

/** Marks of RULES §34: median of five interleaved rounds of five seconds, after a warm-up. */
const rounds = 5
const seconds = 5
const connections = 64
const mark = 0.5
const steadyBaseline = 0.2

const check = process.argv.includes('--check')
const body = JSON.stringify({ instances: [[5.1, 3.5, 1.4, 0.2]] })

async function startEcho(): Promise<{ url: string; stop: () => void }> {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, 'peers/echo.ts')], {
    stdout: 'pipe',
  })
  const { value } = await child.stdout.getReader().read()
  const port = new TextDecoder().decode(value).trim()
  return { url: `http://127.0.0.1:${port}/`, stop: () => child.kill() }
}

interface Comparison {
  echo: LoadResult[]
  relais: LoadResult[]
}

async function compare(echoUrl: string, target: Parameters<typeof load>[0]): Promise<Comparison> {
  const results: Comparison = { echo: [], relais: [] }
  await load(target, connections, 3)
  await load({ url: echoUrl, body }, connections, 2)
  for (let round = 1; round <= rounds; round += 1) {
    results.echo.push(await load({ url: echoUrl, body }, connections, seconds))
    results.relais.push(await load(target, connections, seconds))
    const [echo, relais] = [results.echo.at(-1), results.relais.at(-1)]
    const shown = [echo, relais].map((r) => `${Math.round(r?.requestsPerSecond ?? 0)}/s`)
    console.log(`round ${round}: echo ${shown[0]}, relais ${shown[1]}`)
  }
  return results
}

const rates = (results: readonly LoadResult[]): number[] => results.map((r) => r.requestsPerSecond)

demandWrk()
const echo = await startEcho()
const relais = await startMeasured()
let failed = false
try {
  await relais.serve('iris', 'iris')
  const target = { url: `${relais.url}/v1/models/iris:predict`, body, token: relais.token }
  let results = await compare(echo.url, target)
  for (let again = 0; spread(rates(results.echo)) > steadyBaseline && again < 3; again += 1) {
    console.log('the baseline varied by more than 20 %: once more')
    results = await compare(echo.url, target)
  }
  const [base, own] = [median(rates(results.echo)), median(rates(results.relais))]
  const errors = results.relais.reduce((sum, r) => sum + r.errors, 0)
  const ratio = own / base
  const spreads = [spread(rates(results.echo)), spread(rates(results.relais))]
  const p99 = median(results.relais.map((r) => r.p99))
  console.log(`echo   ${Math.round(base)} requests/s, spread ${(spreads[0]! * 100).toFixed(0)} %`)
  console.log(
    `relais ${Math.round(own)} requests/s, spread ${(spreads[1]! * 100).toFixed(0)} %, p99 ${p99} ms`,
  )
  console.log(`ratio  ${ratio.toFixed(3)} (mark ${mark}), errors ${errors}`)
  failed = ratio < mark || errors > 0
  mkdirSync(join(import.meta.dir, 'results'), { recursive: true })
  const record = {
    connections,
    rounds,
    seconds,
    echo: rates(results.echo),
    relais: rates(results.relais),
    ratio,
    p99,
    errors,
  }
  writeFileSync(join(import.meta.dir, 'results/iris.json'), `${JSON.stringify(record, null, 2)}\n`)
} finally {
  echo.stop()
  await relais.stop()
}
if (check && failed) process.exitCode = 1
