// Which outputs make which classes and scores: label types, scores alone, odd shapes.
import { describe, expect, test } from 'bun:test'

import type { Signature } from '../onnx/model.ts'
import type { FeatureSchema, OutputNote } from '../onnx/signature.ts'
import type { ElementType } from '../onnx/tensor.ts'
import { CounterFamily, HistogramFamily } from '../telemetry/series.ts'
import { ClassMetrics, type Output } from './classes.ts'

interface Told {
  classes: Record<string, number>
  scores: number
  sum: number
}

const output = (type: ElementType, dims: number[], data: Output['data']): Output => ({
  type,
  dims,
  data,
})

async function told(notes: OutputNote[], outputs: Output[], rows: number): Promise<Told> {
  const classes = new CounterFamily({ name: 'c', help: '', labels: ['class'] })
  const scores = new HistogramFamily({ name: 's', help: '', labels: [] }, [0.5])
  const signature = {
    outputs: notes.map(({ name }, at) => ({ name, type: outputs[at]?.type, shape: null })),
  } as unknown as Signature
  const schema = { outputs: notes } as unknown as FeatureSchema
  const metrics = new ClassMetrics(signature, schema, {
    ofClass: (name) => classes.of({ class: name }),
    score: () => scores.of({}),
  })
  metrics.count(outputs, rows)
  const { values } = await classes.get()
  const { counts, sum } = scores.of({})
  return {
    classes: Object.fromEntries(values.map(({ labels, value }) => [labels.class, value])),
    scores: counts.reduce((all, one) => all + one, 0),
    sum,
  }
}

const label = (classes?: (string | number)[]): OutputNote =>
  classes ? { name: 'label', role: 'label', classes } : { name: 'label', role: 'label' }
const scoresOf = (classes?: (string | number)[]): OutputNote =>
  classes ? { name: 'scores', role: 'scores', classes } : { name: 'scores', role: 'scores' }

describe('labels', () => {
  test('64-bit integers of any size', async () => {
    const data = BigInt64Array.from([1n, -1n, 2n ** 40n, 1n])
    const { classes } = await told([label([1, 2])], [output('int64', [4], data)], 4)
    expect(classes).toEqual({ '1': 2, '2': 0, '-1': 1, '1099511627776': 1 })
  })
  test('integers that the schema writes as words of digits', async () => {
    const data = Int32Array.from([0, 1, 1])
    const { classes } = await told([label(['0', '1'])], [output('int32', [3], data)], 3)
    expect(classes).toEqual({ '0': 1, '1': 2 })
  })
  test('places in a list of words', async () => {
    const data = BigInt64Array.from([2n, 0n, 2n])
    const { classes } = await told([label(['a', 'b', 'c'])], [output('int64', [3], data)], 3)
    expect(classes).toEqual({ a: 1, b: 0, c: 2 })
  })
  test('texts, booleans and columns', async () => {
    const texts = await told([label()], [output('string', [3, 1], ['yes', 'no', 'yes'])], 3)
    expect(texts.classes).toEqual({ yes: 2, no: 1 })
    const truths = await told([label()], [output('bool', [2], Uint8Array.from([1, 0]))], 2)
    expect(truths.classes).toEqual({ true: 1, false: 1 })
  })
  test('long ones are cut, many are others', async () => {
    const data = Array.from({ length: 40 }, (_, at) => `${at}${'x'.repeat(1000)}`)
    const { classes } = await told([label()], [output('string', [40], data)], 40)
    expect(Object.keys(classes)).toHaveLength(21)
    expect(classes.other).toBe(20)
    expect(Math.max(...Object.keys(classes).map((name) => name.length))).toBe(64)
  })
  test('several to a row are none', async () => {
    const data = BigInt64Array.from([1n, 2n, 3n, 4n])
    expect((await told([label()], [output('int64', [2, 2], data)], 2)).classes).toEqual({})
  })
})

describe('scores', () => {
  const two = output('float32', [2, 2], Float32Array.from([0.25, 0.75, 1, 0]))

  test('beside a label only tell how sure it was', async () => {
    const labels = output('string', [2], ['b', 'a'])
    const all = await told([label(['a', 'b']), scoresOf(['a', 'b'])], [labels, two], 2)
    expect(all).toEqual({ classes: { a: 1, b: 1 }, scores: 2, sum: 1.75 })
  })
  test('alone tell the class, too', async () => {
    const all = await told([scoresOf(['a', 'b'])], [two], 2)
    expect(all).toEqual({ classes: { a: 1, b: 1 }, scores: 2, sum: 1.75 })
    expect((await told([scoresOf()], [two], 2)).classes).toEqual({})
  })
  test('one to a row is that of the second of two classes', async () => {
    const one = output('float64', [3, 1], Float64Array.from([0.25, 0.5, 0.75]))
    const all = await told([scoresOf([10, 20])], [one], 3)
    expect(all).toEqual({ classes: { '10': 1, '20': 2 }, scores: 3, sum: 2 })
  })
  test('that are no numbers are left out', async () => {
    const odd = output('float32', [2, 2], Float32Array.from([NaN, NaN, Infinity, 0]))
    expect(await told([scoresOf()], [odd], 2)).toEqual({ classes: {}, scores: 0, sum: 0 })
  })
  test('of no row, or too wide, are left out', async () => {
    const none = output('float32', [0, 2], new Float32Array(0))
    expect((await told([scoresOf(['a', 'b'])], [none], 0)).scores).toBe(0)
    const wide = output('float32', [1, 2000], new Float32Array(2000))
    expect((await told([scoresOf()], [wide], 1)).scores).toBe(0)
  })
})
