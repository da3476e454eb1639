// One row per request, one after the other: what a single caller waits.
import { load } from '../load.ts'
import { iris } from '../models.ts'
import { startInline } from '../peers.ts'
import { startRelais } from '../relais.ts'
import { interleave, type Pace } from '../rounds.ts'
import { most, type Verdict } from '../verdict.ts'

export async function oneConnection(pace: Pace): Promise<Verdict[]> {
  await using relais = await startRelais()
  await relais.serve(iris)
  await using inline = await startInline(iris)
  const result = await interleave(
    {
      inline: (seconds) => load(inline.json(1), 1, seconds),
      relais: (seconds) => load(relais.json(iris, 1), 1, seconds),
    },
    pace,
  )
  const note = `${result.relais.p50} ms against ${result.inline.p50} ms`
  const spread = Math.max(result.relais.spread, result.inline.spread)
  const figure = result.relais.p50 / result.inline.p50
  return [
    most('p50 against ONNX Runtime inline in Bun', figure, 2.5, '×', { note, spread }),
    most('failed requests', result.relais.errors + result.inline.errors, 0, ''),
  ]
}
