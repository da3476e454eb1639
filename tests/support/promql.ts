// Just enough of PromQL to tell which metrics and labels a query speaks of.

const words = new Set(
  'by without on ignoring group_left group_right and or unless bool offset inf nan'.split(' '),
)

export interface Selected {
  metric: string
  labels: string[]
}

const withoutTexts = (query: string): string => query.replaceAll(/"(?:[^"\\]|\\.)*"/g, '""')

/** Every metric of a query with the labels that its selector names. */
export function selectedIn(query: string): Selected[] {
  const bare = withoutTexts(query)
    .replaceAll(/\[[^\]]*\]/g, ' ')
    .replaceAll(/\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g, ' ')
  return (
    [...bare.matchAll(/([a-zA-Z_:][\w:]*)\s*(\{[^}]*\}|\()?/g)]
      .filter(([, name, next]) => next !== '(' && !words.has(name!.toLowerCase()))
      // A part of a number such as 1e3, or a duration.
      .filter(({ index }) => !/[\d.]/.test(bare[index - 1] ?? ''))
      .map(([, metric, selector = '']) => ({
        metric: metric!,
        labels: [...selector.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map((match) => match[1]!),
      }))
  )
}
