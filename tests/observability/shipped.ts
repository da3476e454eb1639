import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'

// The configuration that the stack ships for Prometheus and Alertmanager, with nothing replaced but what a
// machine without the stack must replace: host names, paths, intervals.
import { Glob } from 'bun'

import type { Files } from '../support/prometheus.ts'
import { root } from '../support/sources.ts'

const read = (path: string): string => readFileSync(join(root, path), 'utf8')

export interface Hosts {
  /** host:port by name and port in the shipped file, e.g. {'relais:8080': '127.0.0.1:40001'}. */
  [shipped: string]: string
}

export interface Rewriting {
  hosts: Hosts
  /** Between scrapes and between evaluations. */
  seconds: number
  /** Content of secret files by base name. */
  secrets: Readonly<Record<string, string>>
  /** Applied to the text of each rule file. */
  rules?: (text: string) => string
}

export interface Shipped {
  config: string
  files: Files
}

type Node = null | boolean | number | string | Node[] | { [key: string]: Node }

/** Rebuilds a tree; `change` sees every text with the key that holds it. */
function mapped(node: Node, change: (text: string, key: string) => Node, key = ''): Node {
  if (typeof node === 'string') return change(node, key)
  if (Array.isArray(node)) return node.map((item) => mapped(item, change, key))
  if (node === null || typeof node !== 'object') return node
  return Object.fromEntries(
    Object.entries(node).map(([name, value]) => [name, mapped(value, change, name)]),
  )
}

const intervals: ReadonlySet<string> = new Set([
  'scrape_interval',
  'scrape_timeout',
  'evaluation_interval',
])

function hostFor(hosts: Hosts, shipped: string): string {
  const host = hosts[shipped]
  if (host === undefined) throw new Error(`nothing stands in for ${shipped}`)
  return host
}

/** The files that the patterns of `rule_files` find, seen from where the configuration lies. */
function ruleFiles(patterns: unknown): string[] {
  const found = (patterns as string[]).flatMap((pattern) => {
    const below = join('compose/prometheus', pattern)
    return [...new Glob(below).scanSync(root)]
  })
  if (found.length === 0) throw new Error(`no rules at ${JSON.stringify(patterns)}`)
  return found.toSorted()
}

export function shippedPrometheus(rewriting: Rewriting): Shipped {
  const { hosts, secrets, seconds, rules = (text: string) => text } = rewriting
  const files: Record<string, string> = {}
  const secret = (path: string): string => {
    const name = basename(path)
    const content = secrets[name]
    if (content === undefined) throw new Error(`no secret is given for ${path}`)
    files[`secrets/${name}`] = content
    return `secrets/${name}`
  }
  const tree = mapped(
    Bun.YAML.parse(read('compose/prometheus/prometheus.yml')) as Node,
    (text, key) => {
      if (intervals.has(key)) return `${seconds}s`
      if (key === 'targets') return hostFor(hosts, text)
      if (key.endsWith('_file')) return secret(text)
      return text
    },
  ) as Record<string, Node>
  for (const path of ruleFiles(tree['rule_files'])) {
    files[`rules/${basename(path)}`] = rules(read(path))
  }
  tree['rule_files'] = ['rules/*.yml']
  // JSON is YAML.
  return { config: JSON.stringify(tree, null, 1), files }
}

export interface AlertmanagerRewriting {
  secrets: Readonly<Record<string, string>>
  /** In place of the group_wait and group_interval of every route. */
  groupWait: string
  groupInterval: string
  pagerDutyUrl: string
}

export function shippedAlertmanager(rewriting: AlertmanagerRewriting): Shipped {
  const folder = 'compose/alertmanager'
  const files: Record<string, string> = {}
  for (const name of readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })) {
    if (name.endsWith('.tmpl')) files[`templates/${basename(name)}`] = read(join(folder, name))
  }
  const { secrets, groupWait, groupInterval, pagerDutyUrl } = rewriting
  const tree = mapped(Bun.YAML.parse(read(`${folder}/alertmanager.yml`)) as Node, (text, key) => {
    if (key === 'group_wait') return groupWait
    if (key === 'group_interval') return groupInterval
    if (key === 'templates') return 'templates/*.tmpl'
    if (!key.endsWith('_file')) return text
    const name = basename(text)
    if (secrets[name] === undefined) throw new Error(`no secret is given for ${text}`)
    files[`secrets/${name}`] = secrets[name]
    return `secrets/${name}`
  }) as Record<string, Node>
  // The shipped file leaves PagerDuty's own address.
  tree['global'] = { ...(tree['global'] as object), pagerduty_url: pagerDutyUrl } as Node
  return { config: JSON.stringify(tree, null, 1), files }
}
