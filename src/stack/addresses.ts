// What stands in the shipped rules for addresses that differ from place to place.

export const shipped = {
  /** Where compose puts Grafana. */
  grafana: 'http://localhost:3000',
  /** The page with a section for each alert, in the repository. */
  runbooks: 'docs/observability.md',
} as const
