// Long lists in parts: databases limit the parameters of a statement, and a transaction makes others wait.

/** The list in parts of at most `size`. */
export function* chunksOf<T>(list: readonly T[], size: number): Generator<T[]> {
  for (let at = 0; at < list.length; at += size) yield list.slice(at, at + size)
}
