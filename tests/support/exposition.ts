// What /metrics says, read back: samples by name and labels.
import type { Relais } from './relais.ts'

export interface Sample {
  name: string
  labels: Record<string, string>
  value: number
}

/** The samples of a text exposition whose label values hold no escapes. */
export function samplesOf(text: string): Sample[] {
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [, name = '', inner = '', value = ''] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? []
      const pairs = [...inner.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)]
      const labels = Object.fromEntries(pairs.map(([, key = '', text_ = '']) => [key, text_]))
      return { name, labels, value: Number(value) }
    })
}

export async function scrape(relais: Relais): Promise<Sample[]> {
  return samplesOf((await relais.call('GET', '/metrics')).text)
}

/** Sum of the samples of a name whose labels hold all of these; undefined when there is none. */
export function sumOf(
  samples: readonly Sample[],
  name: string,
  labels: Record<string, string> = {},
): number | undefined {
  const wanted = Object.entries(labels)
  const found = samples.filter(
    (one) => one.name === name && wanted.every(([key, value]) => one.labels[key] === value),
  )
  return found.length === 0 ? undefined : found.reduce((sum, { value }) => sum + value, 0)
}
