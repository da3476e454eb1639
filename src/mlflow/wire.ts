// Shapes that all of MLflow's answers share.

/** Leaves out what says nothing: null, empty texts and empty lists are absent on this wire. */
export function optional(members: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(members).filter(
      ([, value]) =>
        value !== null &&
        value !== undefined &&
        value !== '' &&
        !(Array.isArray(value) && value.length === 0),
    ),
  )
}

/** A map as a list of `{key, value}`. */
export const pairsOf = (map: Readonly<Record<string, string>>): { key: string; value: string }[] =>
  Object.entries(map).map(([key, value]) => ({ key, value }))
