// The configuration that Alertmanager is started with: what has no secret yet is left out of it.

interface Receiver {
  name: string
  [kind: string]: unknown
}

interface Configuration {
  global?: Record<string, unknown>
  receivers?: Receiver[]
}

/** One way of telling somebody: `slack_configs` names its secret in `global` or in each entry. */
interface Way {
  kind: string
  own: string
  global?: string
}

const ways: Record<string, Way> = {
  PagerDuty: { kind: 'pagerduty_configs', own: 'routing_key_file' },
  Slack: { kind: 'slack_configs', own: 'api_url_file', global: 'slack_api_url_file' },
}

export interface Effective {
  text: string
  /** Who is told, and who is not for want of a secret: `Slack`. */
  on: string[]
  off: string[]
}

/**
 * Leaves out each entry whose secret file is not filled. A receiver without entries stays: routes name
 * it, and it tells nobody. Throws what is wrong with the file.
 */
export function effectiveConfiguration(
  source: string,
  isFilled: (path: string) => boolean,
): Effective {
  const all = Bun.YAML.parse(source) as Configuration | null
  if (typeof all !== 'object' || !Array.isArray(all?.receivers)) {
    throw new Error('the file names no receivers')
  }
  const { global = {} } = all
  const on = new Set<string>()
  const off = new Set<string>()
  const kept = (name: string, { own, global: common }: Way, entries: unknown): unknown[] =>
    (Array.isArray(entries) ? (entries as Record<string, unknown>[]) : []).filter((entry) => {
      const path = entry[own] ?? (common === undefined ? undefined : global[common])
      const filled = typeof path !== 'string' || isFilled(path)
      ;(filled ? on : off).add(name)
      return filled
    })
  for (const receiver of all.receivers) {
    for (const [name, way] of Object.entries(ways)) {
      if (!(way.kind in receiver)) continue
      const entries = kept(name, way, receiver[way.kind])
      if (entries.length > 0) receiver[way.kind] = entries
      else delete receiver[way.kind]
    }
  }
  const lists = { on: [...on], off: [...off] }
  // JSON is YAML, and leaves nothing to guess about quotes.
  return { text: `${JSON.stringify(all, null, 2)}\n`, ...lists }
}
