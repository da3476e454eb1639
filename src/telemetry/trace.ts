// W3C trace context: enough of it to join a request to its caller's trace.
const traceparent = /^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-|$)/
const zeroTrace = '0'.repeat(32)
const zeroSpan = '0'.repeat(16)

/** Who called, in the caller's own trace. */
export interface Parent {
  traceId: string
  spanId: string
  /** Does the caller record its trace? */
  sampled: boolean
}

/** The caller's place in its trace, from a valid `traceparent`. https://www.w3.org/TR/trace-context/ */
export function parentOf(header: string | null): Parent | null {
  if (header === null) return null
  const match = traceparent.exec(header)
  // Version 00 has exactly this length; later ones may go on after it.
  const sound = header.length === 55 || !header.startsWith('00')
  if (!match || !sound) return null
  const [, traceId, spanId, flags] = match as unknown as [string, string, string, string]
  if (traceId === zeroTrace || spanId === zeroSpan) return null
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 }
}

/** The trace id of a valid `traceparent`, else one made of `uuid`. */
export function traceIdOf(header: string | null, uuid: string): string {
  const parent = parentOf(header)
  if (parent) return parent.traceId
  // Cut by place: a pattern would cost more than the rest of a log line.
  return (
    uuid.slice(0, 8) + uuid.slice(9, 13) + uuid.slice(14, 18) + uuid.slice(19, 23) + uuid.slice(24)
  )
}

/** A span id out of the random end of `uuid`; its first digit is never 0. */
export const spanIdOf = (uuid: string): string => uuid.slice(19, 23) + uuid.slice(24)
