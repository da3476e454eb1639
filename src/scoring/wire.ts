// What `relais score` and the server say to each other: the result in frames, so that bad rows, the
// end and a failure travel beside it.
//
// A frame is: u8 kind | u32 length, little-endian | payload. All kinds but `data` hold JSON.

export const wireType = 'application/vnd.relais.score'

export const wireKinds = {
  /** {model, version, columns: [{name, type}]}: always first. */
  start: 0,
  /** Bytes of the result. */
  data: 1,
  /** {row, errors: [{column, code, message}]} */
  bad: 2,
  /** {rows}: data rows that were read, good and bad. Without it the answer is not whole. */
  end: 3,
  /** A problem document: nothing follows. */
  fault: 4,
} as const

export type WireKind = keyof typeof wireKinds

const headBytes = 5
const longestFrame = 1 << 30

export function wireFrame(kind: WireKind, payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(headBytes + payload.length)
  frame[0] = wireKinds[kind]
  new DataView(frame.buffer).setUint32(1, payload.length, true)
  frame.set(payload, headBytes)
  return frame
}

export const wireJson = (kind: WireKind, value: unknown): Uint8Array =>
  wireFrame(kind, Buffer.from(JSON.stringify(value)))

const names = new Map(Object.entries(wireKinds).map(([name, kind]) => [kind as number, name]))

/** The frames of an answer; payloads are valid until the next one is asked for. */
export async function* wireFrames(
  stream: AsyncIterable<Uint8Array>,
): AsyncGenerator<{ kind: WireKind; payload: Uint8Array }> {
  let held: Uint8Array = new Uint8Array(0)
  for await (const chunk of stream) {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk])
    let at = 0
    while (held.length - at >= headBytes) {
      const view = new DataView(held.buffer, held.byteOffset + at)
      const end = at + headBytes + view.getUint32(1, true)
      const kind = names.get(view.getUint8(0)) as WireKind | undefined
      if (kind === undefined || end - at > longestFrame) throw new Error('the answer is garbled')
      if (end > held.length) break
      yield { kind, payload: held.subarray(at + headBytes, end) }
      at = end
    }
    held = held.subarray(at)
  }
}
