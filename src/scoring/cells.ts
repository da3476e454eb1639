// CSV cells as values, and values as CSV cells.
import { exactNumber } from '../core/number.ts'
import { type Column } from '../onnx/signature.ts'
import { elements } from '../onnx/tensor.ts'

const notation = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i

export type CellKind = 'string' | 'bool' | 'number'

export function cellKind({ type }: Column): CellKind {
  const { kind } = elements[type]
  return kind === 'string' || kind === 'bool' ? kind : 'number'
}

/**
 * A cell as a column wants it: empty is null, integers beyond 2^53 are bigints. What does not look
 * like it, `Infinity` or `0x10` for a number, stays text, which a check of its type refuses.
 */
export function cellValue(text: string, kind: CellKind | undefined): unknown {
  if (text === '') return null
  if (kind === 'string') return text
  if (kind !== 'number') {
    if (/^true$/i.test(text)) return true
    if (/^false$/i.test(text)) return false
    if (kind === 'bool') return text
  }
  if (!notation.test(text) || !Number.isFinite(Number(text))) return text
  const value = exactNumber(Number(text), text)
  return Number.isNaN(value) ? text : value
}

/** Text as a CSV cell (RFC 4180), quoted where it must be. */
export function csvCell(text: string): string {
  return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
