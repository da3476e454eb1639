// What counting costs a prediction: the series of its route, its version, its classes and its queue.
import { Exchange } from '../../src/http/request.ts'
import type { Batch } from '../../src/inference/batcher.ts'
import { median } from '../../tests/support/figures.ts'
import { referenceOf, startRelais } from '../../tests/support/relais.ts'
import { type Pace, spread } from '../rounds.ts'
import { least, most, type Verdict } from '../verdict.ts'

const name = 'iris'
const path = `/v1/models/${name}:predict`
const perRound = 200_000

/** On the objects of a real server, with the outputs of a real run, one row to a request. */
export async function metrics({ rounds }: Pace): Promise<Verdict[]> {
  const relais = await startRelais()
  try {
    await relais.pushExample(name, name)
    await relais.promote(name, 1, 'Production')
    const { deployments, server } = relais.app
    const deployment = deployments.production(name)
    const tensors = deployment.validator.rows(referenceOf(name).rows.slice(0, 1))
    const { outputs } = await deployment.run(tensors, 1, 'bench', 10_000)
    const exchange = new Exchange(
      new Request(`http://x${path}`, { method: 'POST' }),
      path,
      () => '',
    )
    exchange.route = '/v1/models/{model}:predict'
    exchange.routeClass = 'predict'
    const arrived = performance.now()
    const batch = { requests: [{ arrived }], rows: 1, sent: arrived } as unknown as Batch
    const times = { input: 5, infer: 40, output: 5 }
    const count = (): void => {
      deployment.settled(batch, times, outputs)
      const series = server.series.of(exchange, 200)
      series.requests.add(1)
      series.duration.observe(0.0007)
    }
    const before = server.series.of(exchange, 200).requests.value
    for (let at = 0; at < perRound; at += 1) count()
    const micros: number[] = []
    for (let round = 0; round < rounds; round += 1) {
      const started = performance.now()
      for (let at = 0; at < perRound; at += 1) count()
      micros.push(((performance.now() - started) * 1000) / perRound)
    }
    const counted = server.series.of(exchange, 200).requests.value - before
    const note = `rounds of ${perRound}, ${micros.map((one) => one.toFixed(2)).join(', ')} µs`
    return [
      most('metrics of a prediction', median(micros), 3, 'µs', { spread: spread(micros), note }),
      least('of these counted', counted / perRound / (rounds + 1), 1, '×'),
    ]
  } finally {
    await relais.close()
  }
}
