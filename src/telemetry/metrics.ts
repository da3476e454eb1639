// The metrics of the catalogue as objects to write to, and the text that Prometheus reads.
import { readdirSync, readFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'

import { type Metric, Registry } from 'prom-client'

import { catalogue, type Entry } from './catalogue.ts'
import { CounterFamily, GaugeFamily, HistogramFamily } from './series.ts'

type Catalogue = typeof catalogue

type FamilyOf<E extends Entry> = {
  counter: CounterFamily<E['labels'][number]>
  gauge: GaugeFamily<E['labels'][number]>
  histogram: HistogramFamily<E['labels'][number]>
}[E['type']]

type Families = { readonly [N in keyof Catalogue]: FamilyOf<Catalogue[N]> }
type AnyFamily = CounterFamily | GaugeFamily | HistogramFamily

/** The latency objectives in seconds. */
export type Sla = Readonly<Record<'p50' | 'p95' | 'p99', number>>

function familyOf(entry: Entry, bounds: readonly number[]): AnyFamily {
  const family =
    entry.type === 'counter'
      ? new CounterFamily(entry)
      : entry.type === 'gauge'
        ? new GaugeFamily(entry)
        : new HistogramFamily(entry, bounds)
  for (const labels of entry.known) family.of(labels)
  return family
}

/** Bounds with the objectives among them, so that who kept to one is counted and not estimated. */
const withSla = (bounds: readonly number[], sla: Sla): number[] =>
  [...new Set([...bounds, ...Object.values(sla)])].sort((a, b) => a - b)

function familiesOf(sla: Sla): Families {
  const made = Object.entries<Entry>(catalogue).map(([name, entry]) => {
    const own = entry.type === 'histogram' ? entry.bounds : []
    return [name, familyOf(entry, name === 'httpDuration' ? withSla(own, sla) : own)]
  })
  return Object.fromEntries(made) as Families
}

/** Families of which each version has series. */
const versioned = Object.entries<Entry>(catalogue)
  .filter(([, { labels }]) => labels.includes('model_version'))
  .map(([name]) => name as keyof Families)

/** Those of which a model has some whatever versions it has. */
const modelled = Object.entries<Entry>(catalogue)
  .filter(([, { labels }]) => labels.includes('model') && !labels.includes('model_version'))
  .map(([name]) => name as keyof Families)

/** The soft limit of open files. */
function mostFiles(): number {
  const limits = readFileSync('/proc/self/limits', 'utf8')
  return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? Number.POSITIVE_INFINITY)
}

/** prom-client's default metrics are partly wrong under Bun, so the useful ones are set by hand. */
function processMetrics(families: Families): () => void {
  const delay = monitorEventLoopDelay({ resolution: 10 })
  delay.enable()
  families.processStart.set({}, Math.floor(Date.now() / 1000 - process.uptime()))
  families.processMaxFds.set({}, mostFiles())
  return () => {
    const { user, system } = process.cpuUsage()
    families.processCpu.of({}).reach((user + system) / 1e6)
    families.processMemory.set({}, process.memoryUsage.rss())
    families.processFds.set({}, readdirSync('/proc/self/fd').length)
    families.eventLoopLag.set({ objective: 'p99' }, delay.percentile(99) / 1e9)
    families.eventLoopLag.set({ objective: 'max' }, delay.max / 1e9)
    delay.reset()
  }
}

export type Metrics = ReturnType<typeof createMetrics>

export function createMetrics(sla: Sla) {
  const registry = new Registry()
  const families = familiesOf(sla)
  for (const family of Object.values<AnyFamily>(families)) {
    registry.registerMetric(family as unknown as Metric)
  }
  for (const [objective, seconds] of Object.entries(sla)) {
    families.slaObjective.set({ objective }, seconds)
  }
  const collectors: (() => void | Promise<void>)[] = [processMetrics(families)]
  return {
    ...families,
    contentType: registry.contentType,
    /** Drops all that was said of a version. */
    forgetVersion: (model: string, version: string): void => {
      const match = { model, model_version: version }
      for (const name of versioned) (families[name] as AnyFamily).remove(match)
    },
    /** Drops what was said of a model as a whole. */
    forgetModel: (model: string): void => {
      for (const name of modelled) (families[name] as AnyFamily).remove({ model })
    },
    /** Registers what is to be read only when somebody scrapes. */
    onScrape: (collect: () => void | Promise<void>): void => {
      collectors.push(collect)
    },
    /** The text exposition. */
    expose: async (): Promise<string> => {
      for (const collect of collectors) {
        try {
          await collect()
        } catch {
          // What cannot be read now stays as it was: the other metrics tell what is wrong.
        }
      }
      return registry.metrics()
    },
  }
}
