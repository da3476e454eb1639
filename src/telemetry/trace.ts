// W3C trace context: enough of it to join a request to its caller's trace.
const traceparent = /^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-|$)/
const zeroTrace = '0'.repeat(32)
const zeroSpan = '0'.repeat(16)

/** The trace id of a valid `traceparent`, else one made of `uuid`. https://www.w3.org/TR/trace-context/ */
export function traceIdOf(header: string | null, uuid: string): string {
  if (header !== null) {
    const match = traceparent.exec(header)
    // Version 00 has exactly this length; later ones may go on after it.
    const sound = header.length === 55 || !header.startsWith('00')
    if (sound && match?.[1] && match[1] !== zeroTrace && match[2] !== zeroSpan) return match[1]
  }
  // Cut by place: a pattern would cost more than the rest of a log line.
  return (
    uuid.slice(0, 8) + uuid.slice(9, 13) + uuid.slice(14, 18) + uuid.slice(19, 23) + uuid.slice(24)
  )
}
