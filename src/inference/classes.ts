// What a classifier answered, as metrics: rows by class, and how sure it was. Counted once per run of
// the model, over whatever door its requests came.
import type { Signature } from '../onnx/model.ts'
import type { FeatureSchema } from '../onnx/signature.ts'
import { element, elements, type Tensor } from '../onnx/tensor.ts'
import type { CounterSeries, HistogramSeries } from '../telemetry/series.ts'

/** Classes of a version that have a series of their own. */
export const mostClasses = 20
const mostCharacters = 64
/** Of wider scores nothing is told: looking through them would cost more than all other metrics. */
const widestScores = 1024

export type Output = Omit<Tensor, 'name'>

export interface ClassSeries {
  /** The series of a class, made when it is new. */
  ofClass: (name: string) => CounterSeries
  /** The series of the scores, made for a version that gives some. */
  score: () => HistogramSeries
}

/** Values of a label output that mean the class at a place of the list. */
function valuesOf(name: string | number, place: number, isIndex: boolean): unknown[] {
  if (isIndex) return [place]
  const number = Number(name)
  return name !== '' && Number.isFinite(number) ? [String(name), number] : [name]
}

/** Counts rows by class. Those the schema names are there from the start, others as they come. */
class ClassCounts {
  private readonly byValue = new Map<unknown, CounterSeries>()
  private readonly ofClass: ClassSeries['ofClass']
  private names = 0
  private rest: CounterSeries | null = null

  /** `isIndex`: values are places in the list of known classes. */
  constructor(
    ofClass: ClassSeries['ofClass'],
    known: readonly (string | number)[],
    isIndex: boolean,
  ) {
    this.ofClass = ofClass
    for (const [place, name] of known.slice(0, mostClasses).entries()) {
      this.begin(name, valuesOf(name, place, isIndex))
    }
    if (known.length > mostClasses) this.other()
  }

  add(value: unknown): void {
    const series = this.byValue.get(value) ?? this.begin(value, [value])
    series.value += 1
  }

  /** Takes a class that was not seen yet; beyond the limit none is remembered. */
  private begin(name: unknown, values: readonly unknown[]): CounterSeries {
    if (this.names === mostClasses) return this.other()
    this.names += 1
    const series = this.ofClass(String(name).slice(0, mostCharacters))
    for (const value of values) this.byValue.set(value, series)
    return series
  }

  private other(): CounterSeries {
    return (this.rest ??= this.ofClass('other'))
  }
}

/** The labels of rows as numbers where they are whole and small, so that no bigint has to be made. */
function labelsOf({ type, data }: Output): (row: number) => unknown {
  if (type === 'string') return (row) => data[row]
  if (elements[type].kind !== 'wide') return (row) => element({ type, data }, row)
  const wide = data as BigInt64Array
  const words = new Int32Array(wide.buffer, wide.byteOffset, 2 * wide.length)
  return (row) => {
    const low = words[2 * row] as number
    return words[2 * row + 1] === low >> 31 ? low : String(wide[row])
  }
}

const isScores = ({ type }: Output): boolean => type === 'float32' || type === 'float64'

/** Index of the greatest of `width` values. */
function bestOf(values: Float32Array, from: number, width: number): number {
  let best = from
  for (let at = from + 1; at < from + width; at += 1) {
    if ((values[at] as number) > (values[best] as number)) best = at
  }
  return best
}

/** Reads the outputs of a version that its schema calls label and scores. Made once per deployment. */
export class ClassMetrics {
  private readonly labelAt: number
  private readonly scoresAt: number
  private readonly score: HistogramSeries | null
  private readonly counts: ClassCounts | null
  private readonly classes: readonly (string | number)[]

  constructor(signature: Signature, schema: FeatureSchema, series: ClassSeries) {
    const roleAt = (role: string): number =>
      signature.outputs.findIndex(({ name }) =>
        schema.outputs.some((note) => note.name === name && note.role === role),
      )
    this.labelAt = roleAt('label')
    this.scoresAt = roleAt('scores')
    this.score = this.scoresAt < 0 ? null : series.score()
    const classesAt = (at: number): (string | number)[] | undefined => {
      const slot = signature.outputs[at]
      return schema.outputs.find(({ name }) => name === slot?.name)?.classes ?? slot?.classes
    }
    this.classes = classesAt(this.labelAt) ?? classesAt(this.scoresAt) ?? []
    const { labelAt, classes } = this
    const isCounted = labelAt >= 0 || classes.length > 0
    // Whole numbers cannot be words, so they are places in the list of them; so are the best scores.
    const isWords = classes.some((name) => Number.isNaN(Number(name)))
    const isIndex = labelAt < 0 || (isWords && signature.outputs[labelAt]?.type !== 'string')
    this.counts = isCounted ? new ClassCounts(series.ofClass, classes, isIndex) : null
  }

  /** Does the schema of a version make it a classifier? */
  static isFor({ outputs }: FeatureSchema): boolean {
    return outputs.some(({ role }) => role === 'label' || role === 'scores')
  }

  /** Counts the rows of one run. */
  count(outputs: readonly Output[], rows: number): void {
    const label = outputs[this.labelAt]
    // One entry per row, or it is no label of rows.
    if (label?.data.length === rows) this.countLabels(label, rows)
    const scores = outputs[this.scoresAt]
    if (scores && isScores(scores)) this.countScores(scores, rows, label === undefined)
  }

  private countLabels(label: Output, rows: number): void {
    const { counts } = this
    const labelAt = labelsOf(label)
    for (let row = 0; row < rows; row += 1) counts?.add(labelAt(row))
  }

  private countScores({ data }: Output, rows: number, isLabel: boolean): void {
    const width = data.length / rows
    if (!Number.isInteger(width) || width === 0 || width > widestScores) return
    const { score, counts, classes } = this
    const named = isLabel && classes.length === Math.max(2, width) ? counts : null
    const values = data as Float32Array
    for (let from = 0; from < data.length; from += width) {
      const best = bestOf(values, from, width)
      const top = values[best] as number
      // A single score is that of the second of two classes.
      if (Number.isFinite(top)) score?.observe(width === 1 ? Math.max(top, 1 - top) : top)
      named?.add(width === 1 ? Number(top >= 0.5) : best - from)
    }
  }
}
