// Files from disk with HTTP ranges. Bun would answer those by itself, but only after the status of the
// answer has been counted and logged.

/** First and last byte to send; null when all are asked for, `none` when there are no such bytes. */
type Range = { from: number; to: number } | 'none' | null

const pattern = /^bytes=(?:(\d+)-(\d*)|-(\d+))$/

/** RFC 9110 §14: one range is answered; what is no range, or more than one, gets the whole file. */
function rangeIn(header: string, size: number): Range {
  const parts = pattern.exec(header.trim())
  if (!parts) return null
  const [, first, last, suffix] = parts
  if (suffix !== undefined) {
    const length = Math.min(size, Number(suffix))
    return length === 0 ? 'none' : { from: size - length, to: size - 1 }
  }
  const from = Number(first)
  const to = last === '' ? size - 1 : Math.min(size - 1, Number(last))
  if (last !== '' && Number(last) < from) return null
  return from >= size ? 'none' : { from, to }
}

/** With If-Range, a part is only wanted of the very file that the tag names. */
function rangeOf(asked: Headers, size: number, etag: string | undefined): Range {
  const header = asked.get('range')
  const only = asked.get('if-range')
  if (header === null || (only !== null && only !== etag)) return null
  return rangeIn(header, size)
}

/** The answer to a request for the file at `path`: 200, 206 for a part of it, or 416. */
export function fileResponse(
  { headers: asked }: Request,
  path: string,
  headers: Record<string, string>,
): Response {
  const file = Bun.file(path)
  const { size } = file
  const range = rangeOf(asked, size, headers.etag)
  const all = { ...headers, 'accept-ranges': 'bytes' }
  if (range === null) return new Response(file, { headers: all })
  if (range === 'none') {
    return new Response(null, {
      status: 416,
      headers: { ...all, 'content-range': `bytes */${size}` },
    })
  }
  const { from, to } = range
  return new Response(file.slice(from, to + 1), {
    status: 206,
    headers: { ...all, 'content-range': `bytes ${from}-${to}/${size}` },
  })
}
