// Outputs in MLflow's shapes: a list of row objects for a DataFrame, an object of lists for tensors.
import { Fault } from '../core/fault.ts'
import { nested, type Output, ownPart, scalar } from '../inference/answer.ts'
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
function scoreCells(slot: Slot, output: Output, answer: Answer): Cells {
  const { dims, at } = ownPart(output, answer)
  const keys = (slot.classes ?? []).map((name) => `${JSON.stringify(String(name))}:`)
  const score = (row: number, index: number): string =>
    scalar(output, at + row * keys.length + index)
  return {
    key: JSON.stringify(slot.name),
    count: dims[0] ?? 0,
    at: (row) => `{${keys.map((key, index) => key + score(row, index)).join(',')}}`,
  }
}

function flatCells(slot: Slot, output: Output, answer: Answer): Cells {
  const { dims, at } = ownPart(output, answer)
  return {
    key: JSON.stringify(slot.name),
    count: countOf(dims),
    at: (index) => scalar(output, at + index),
  }
}

const hasClasses = (slot: Slot, output: Output): boolean =>
  slot.classes !== undefined && slot.classes.length === output.dims[1] && output.dims.length === 2

const list = (count: number, at: (index: number) => string): string => {
  let text = '['
  for (let index = 0; index < count; index += 1) text += (index > 0 ? ',' : '') + at(index)
  return `${text}]`
}

/** Each output flattened to one dimension, side by side, as MLflow's ONNX flavour does. */
function rowsText(deployment: Deployment, answer: Answer): string {
  const slots = deployment.signature.outputs
  const columns = answer.outputs.map((output, at) => {
    const slot = slots[at] as Slot
    const cells = hasClasses(slot, output) ? scoreCells : flatCells
    return cells(slot, output, answer)
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
  const parts = answer.outputs.map((output, index) => {
    const slot = deployment.signature.outputs[index] as Slot
    const key = JSON.stringify(slot.name)
    if (hasClasses(slot, output)) {
      const cells = scoreCells(slot, output, answer)
      return `${key}:${list(cells.count, (row) => cells.at(row))}`
    }
    const { dims, at } = ownPart(output, answer)
    return `${key}:${nested({ ...output, dims }, 0, at)}`
  })
  return `{${parts.join(',')}}`
}

/** The body of an answer. Not finite numbers are null: MLflow writes NaN, which is no JSON. */
export function predictionsText(deployment: Deployment, answer: Answer, form: Fed['form']): string {
  const text = form === 'rows' ? rowsText(deployment, answer) : outputsText(deployment, answer)
  return `{"predictions":${text}}`
}
