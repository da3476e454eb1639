// Engines killed from outside, poisoned by a caller, and asked for more versions than fit.
import { join } from 'node:path'

import { agrees, demand, referenceOf, Server, testModels } from './server.ts'

/** kill -9 of every engine every 2 s under load. */
export async function engineKills(seconds = 60) {
  const server = new Server()
  await server.start()
  const { pid } = server
  await server.pushExample('iris', 'iris', { stage: 'Production' })
  const reference = referenceOf('iris')
  const counts = { ok: 0, unavailable: 0, wrong: 0, other: 0, kills: 0 }
  let running = true
  let slowest = 0
  const loop = async (start: number): Promise<void> => {
    for (let at = start; running; at += 1) {
      const row = at % reference.rows.length
      const answer = await server.predict('iris', [reference.rows[row]])
      if (answer.status === 200) {
        counts.ok += 1
        const { output_label, output_probability } = reference.outputs
        const right = agrees(
          answer.body.predictions[0],
          output_label[row],
          output_probability[row]!,
        )
        if (!right) counts.wrong += 1
      } else if (answer.status === 503 && answer.retryAfter !== null) counts.unavailable += 1
      else counts.other += 1
    }
  }
  const loops = Array.from({ length: 16 }, (_, at) => loop(at))
  const until = performance.now() + seconds * 1000
  while (performance.now() < until) {
    await Bun.sleep(2000)
    for (const engine of server.engines()) process.kill(engine, 'SIGKILL')
    counts.kills += 1
    const killed = performance.now()
    for (;;) {
      const next = await server.predict('iris', [reference.rows[0]])
      if (next.status === 200) break
    }
    slowest = Math.max(slowest, performance.now() - killed)
  }
  running = false
  await Promise.all(loops)
  const version = await server.call('GET', '/api/v1/models/iris/versions/1')
  const same = server.pid === pid && version.body.quarantine === null
  await server.close()
  const figures = { seconds, ...counts, slowest_next_answer_ms: Math.round(slowest) }
  demand(counts.wrong === 0 && counts.other === 0 && same, JSON.stringify(figures))
  demand(slowest < 1000, JSON.stringify(figures))
  return figures
}

/** The smallest 64-bit integer divided by -1 traps in the processor; as text, JSON has no bigint. */
const fatal = '{"inputs":{"a":[-9223372036854775808],"b":[-1]}}'

/** A predictor sends inputs that kill the model, over and over; others go on being served. */
export async function poison(seconds = 60) {
  const server = new Server(['--predict-timeout', '2s'])
  await server.start()
  await server.push('div', join(testModels, 'div.onnx'), { stage: 'Production' })
  await server.push('div', join(testModels, 'div.onnx'), { stage: 'Production' })
  await server.pushExample('iris', 'iris', { stage: 'Production' })
  const [villain, honest] = [
    await server.token('predictor', 'villain'),
    await server.token('predictor', 'honest'),
  ]
  const reference = referenceOf('iris')
  const counts = { poison: {} as Record<string, number>, honest: 0, failed: 0, other_model: 0 }
  let running = true
  const attack = async (): Promise<void> => {
    while (running) {
      const response = await fetch(`${server.url}/v1/models/div:predict`, {
        method: 'POST',
        headers: { authorization: `Bearer ${villain}` },
        body: fatal,
      })
      const { code } = (await response.json()) as { code: string }
      counts.poison[code] = (counts.poison[code] ?? 0) + 1
      if (response.status === 503) await Bun.sleep(50)
    }
  }
  let slowest = 0
  const serve = async (): Promise<void> => {
    while (running) {
      const began = performance.now()
      const mine = await server.predict('div', [{ a: 84, b: 2 }], honest)
      slowest = Math.max(slowest, performance.now() - began)
      if (mine.status === 200 && mine.body.predictions[0] === 42) counts.honest += 1
      else counts.failed += 1
      const other = await server.predict('iris', [reference.rows[0]], honest)
      if (other.status === 200) counts.other_model += 1
      else counts.failed += 1
    }
  }
  const loops = [attack(), attack(), attack(), attack(), serve(), serve(), serve(), serve()]
  await Bun.sleep(seconds * 1000)
  running = false
  await Promise.all(loops)
  const model = await server.call('GET', '/api/v1/models/div')
  const version = await server.call('GET', '/api/v1/models/div/versions/2')
  const health = await server.call('GET', '/health')
  await server.close()
  const figures = { seconds, ...counts, slowest_honest_ms: Math.round(slowest) }
  demand(counts.failed === 0 && counts.honest > 100, JSON.stringify(figures))
  const unmoved =
    model.body.stages.Production.live_version === 2 &&
    version.body.quarantine === null &&
    health.body.models.fallback === 0
  demand(
    unmoved,
    `Production was moved: ${JSON.stringify([model.body, version.body, health.body])}`,
  )
  demand((counts.poison['inference.poison-request'] ?? 0) > 3, JSON.stringify(figures))
  return figures
}

/** 200 versions asked for by one predictor, with memory for a fraction of them. */
export async function manyVersions(count = 200) {
  const budget = 200
  const server = new Server(['--engine-memory', `${budget}MB`, '--log-level', 'error'])
  await server.start()
  await server.pushExample('live', 'iris', { stage: 'Production' })
  for (let version = 1; version <= count; version += 1) {
    const pushed = await server.pushExample('many', version % 2 === 0 ? 'iris' : 'iris-v2')
    demand(pushed.status === 201, JSON.stringify(pushed.body))
  }
  const predictor = await server.token('predictor')
  const reference = referenceOf('iris')
  const idle = server.megabytes()
  const counts: Record<string, number> = {}
  let peak = 0
  let production = 0
  for (let round = 0; round < 2; round += 1) {
    for (let version = 1; version <= count; version += 1) {
      const answer = await server.predict(
        'many',
        [reference.rows[0]],
        predictor,
        `/versions/${version}`,
      )
      const key = answer.status === 200 ? 'ok' : String(answer.body.code)
      counts[key] = (counts[key] ?? 0) + 1
      demand(answer.status === 200 || answer.retryAfter !== null, JSON.stringify(answer))
      const live = await server.predict('live', [reference.rows[0]], predictor)
      if (live.status === 200) production += 1
      if (version % 10 === 0) peak = Math.max(peak, server.megabytes())
    }
  }
  await server.close()
  const figures = {
    versions: count,
    budget_mb: budget,
    counts,
    idle_mb: Math.round(idle),
    peak_mb: Math.round(peak),
    production_answers: production,
  }
  demand(production === 2 * count, JSON.stringify(figures))
  demand(peak - idle < budget + 150, JSON.stringify(figures))
  return figures
}
