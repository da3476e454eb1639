// Request paths taken apart by the doors that dispatch by themselves.
import { Fault } from './fault.ts'

/** A percent-decoded segment. Throws `request.malformed`. */
export function decodeSegment(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    throw new Fault('request.malformed', 'The path is not properly percent-encoded.')
  }
}

const mostPaths = 1000

/** Keeps what a path was parsed to; callers use few, and a hostile one cannot make it grow. */
export function rememberPaths<T>(parse: (path: string) => T | null): (path: string) => T | null {
  const known = new Map<string, T>()
  return (path) => {
    const found = known.get(path)
    if (found !== undefined) return found
    const parsed = parse(path)
    if (parsed !== null && known.size < mostPaths) known.set(path, parsed)
    return parsed
  }
}
