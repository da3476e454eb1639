// Paging of lists: `limit` of at most 100 and an opaque `page_token`.
import { Fault } from '../core/fault.ts'

export const defaultLimit = 50

/** The cursor inside a page token, or undefined for the first page. */
export function cursorOf(token: string | undefined): string | undefined {
  if (token === undefined || token === '') return undefined
  const text = Buffer.from(token, 'base64url').toString()
  if (!text.startsWith('p:')) {
    throw new Fault('request.page-token', 'Pass next_page_token of the page before, unchanged.')
  }
  return text.slice(2)
}

/** The same for lists whose cursor is a number. */
export function numericCursorOf(token: string | undefined): number | undefined {
  const cursor = cursorOf(token)
  if (cursor === undefined) return undefined
  if (/^\d{1,15}$/.test(cursor)) return Number(cursor)
  throw new Fault('request.page-token', 'Pass next_page_token of the page before, unchanged.')
}

/** Shapes a page of `limit` out of up to `limit + 1` rows. */
export function pageOf<T>(
  rows: readonly T[],
  limit: number,
  cursor: (last: T) => string,
): { items: T[]; next_page_token?: string } {
  const items = rows.slice(0, limit)
  const last = items[items.length - 1]
  if (rows.length <= limit || last === undefined) return { items }
  return { items, next_page_token: Buffer.from(`p:${cursor(last)}`).toString('base64url') }
}
