// How deep JSON may be nested before it is looked at any further.
import { Fault } from './fault.ts'

const deepest = 64

/** Throws when lists and objects are nested too deep. `bytes` need not be valid JSON. */
export function demandShallow(bytes: Uint8Array): void {
  let depth = 0
  let inString = false
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at]
    if (byte === 34) inString = !inString
    else if (inString) {
      if (byte === 92) at += 1
    } else if (byte === 91 || byte === 123) {
      depth += 1
      if (depth > deepest) throw new Fault('request.malformed', `Nested deeper than ${deepest}.`)
    } else if (byte === 93 || byte === 125) depth -= 1
  }
}
