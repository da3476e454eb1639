// 200 hot swaps under 64 closed-loop connections: nothing fails, every answer is of the version it
// names.
import { agrees, demand, referenceOf, Server } from './server.ts'

export async function swaps(count = 200, connections = 64, answersPerSwap = 1000) {
  const server = new Server(['--stage-grace', '0s'])
  await server.start()
  await server.pushExample('iris', 'iris', { stage: 'Production' })
  await server.pushExample('iris', 'iris-v2')
  const references = { 1: referenceOf('iris'), 2: referenceOf('iris-v2') }
  const rows = references[1].rows
  const bodies = rows.map((row) => JSON.stringify({ instances: [row] }))
  const headers = { authorization: `Bearer ${server.admin}`, 'content-type': 'application/json' }
  const url = `${server.url}/v1/models/iris:predict`
  const seen = { 1: 0, 2: 0 }
  let answers = 0
  let failed = 0
  let wrong = 0
  let running = true
  const loop = async (start: number): Promise<void> => {
    for (let at = start; running; at += 1) {
      const row = at % rows.length
      const response = await fetch(url, { method: 'POST', headers, body: bodies[row]! })
      const body: any = await response.json()
      answers += 1
      if (response.status !== 200) {
        failed += 1
        continue
      }
      const version = Number(body.model_version) as 1 | 2
      seen[version] += 1
      const { outputs } = references[version]
      const right = agrees(
        body.predictions[0],
        outputs.output_label[row],
        outputs.output_probability[row]!,
      )
      if (!right) wrong += 1
    }
  }
  const loops = Array.from({ length: connections }, (_, at) => loop(at))
  let fewest = Number.POSITIVE_INFINITY
  for (let swap = 0; swap < count; swap += 1) {
    const before = answers
    const done =
      swap % 2 === 0
        ? await server.stage('iris', 2, 'Production')
        : await server.call('POST', '/api/v1/models/iris/rollback', {})
    demand(done.status === 200, `swap ${swap}: ${JSON.stringify(done.body)}`)
    while (answers - before < answersPerSwap) await Bun.sleep(5)
    fewest = Math.min(fewest, answers - before)
  }
  running = false
  await Promise.all(loops)
  await server.close()
  const figures = {
    swaps: count,
    connections,
    answers,
    fewest_per_swap: fewest,
    failed,
    wrong,
    seen,
  }
  demand(failed === 0 && wrong === 0, JSON.stringify(figures))
  demand(seen[1] > 0 && seen[2] > 0, JSON.stringify(figures))
  return figures
}
