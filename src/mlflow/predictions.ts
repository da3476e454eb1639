// Outputs in MLflow's shapes: a list of row objects for a DataFrame, an object of lists for tensors.
import { Fault } from '../core/fault.ts'
import { nested, ownPart, type Part, scalar } from '../inference/answer.ts'
import type { Answer } from '../inference/batcher.ts'
import type { Deployment } from '../inference/deployment.ts'
import type { Slot } from '../onnx/model.ts'
import { countOf } from '../onnx/tensor.ts'
import type { Fed } from './input-schema.ts'

/** An output of one request as a flat list of cells. */
interface Cells {
  key: string
  count: number
  at(index: number): string
}

/** Scores whose ZipMap was dropped at registration are maps by class again, as MLflow has them. */
function scoreCells(slot: Slot, part: Part): Cells {
  const keys = (slot.classes ?? []).map((name) => `${JSON.stringify(String(name))}:`)
  const score = (row: number, index: number): string =>
    scalar(part, part.from + row * keys.length + index)
  return {
    key: JSON.stringify(slot.name),
    count: part.dims[0] ?? 0,
    at: (row) => `{${keys.map((key, index) => key + score(row, index)).join(',')}}`,
  }
}

function flatCells(slot: Slot, part: Part): Cells {
  return {
    key: JSON.stringify(slot.name),
    count: countOf(part.dims),
    at: (index) => scalar(part, part.from + index),
  }
}

const hasClasses = ({ classes }: Slot, { dims }: Part): boolean =>
  classes !== undefined && classes.length === dims[1] && dims.length === 2

const list = (count: number, at: (index: number) => string): string => {
  let text = '['
  for (let index = 0; index < count; index += 1) text += (index > 0 ? ',' : '') + at(index)
  return `${text}]`
}

/** Each output flattened to one dimension, side by side, as MLflow's ONNX flavour does. */
function rowsText(deployment: Deployment, answer: Answer): string {
  const slots = deployment.signature.outputs
  const columns = slots.map((slot, at) => {
    const part = ownPart(answer, at)
    return hasClasses(slot, part) ? scoreCells(slot, part) : flatCells(slot, part)
  })
  const count = columns[0]?.count ?? 0
  if (columns.every((column) => column.count === count)) {
    return list(count, (row) => `{${columns.map((c) => `${c.key}:${c.at(row)}`).join(',')}}`)
  }
  // MLflow fails here; each row with its own part of every output is what was meant.
  if (deployment.encoder.fitsRows(answer)) return deployment.encoder.rows(answer)
  throw new Fault('inference.failed', 'The outputs are not equally long; send inputs instead.')
}

function outputsText(deployment: Deployment, answer: Answer): string {
  const parts = deployment.signature.outputs.map((slot, at) => {
    const part = ownPart(answer, at)
    if (!hasClasses(slot, part)) return `${JSON.stringify(slot.name)}:${nested(part, 0, part.from)}`
    const scores = scoreCells(slot, part)
    return `${scores.key}:${list(scores.count, (row) => scores.at(row))}`
  })
  return `{${parts.join(',')}}`
}

/** The body of an answer. Not finite numbers are null: MLflow writes NaN, which is no JSON. */
export function predictionsText(deployment: Deployment, answer: Answer, form: Fed['form']): string {
  const text = form === 'rows' ? rowsText(deployment, answer) : outputsText(deployment, answer)
  return `{"predictions":${text}}`
}
