// Times as people and clients read them.

/** Milliseconds since the epoch as RFC 3339 in UTC; null stays null. */
export const iso = (ms: number | null): string | null =>
  ms === null ? null : new Date(ms).toISOString()
