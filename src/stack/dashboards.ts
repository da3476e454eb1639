// The dashboards in the binary, by name.
import { Fault } from '../core/fault.ts'
import { shipped } from './addresses.ts'
import { stackFiles } from './files.ts'

interface Described {
  uid: string
  title: string
  description: string
}

const folder = 'dashboards/'
const end = '.json'

/** Name → Grafana's classic JSON. */
const texts: ReadonlyMap<string, string> = new Map(
  Object.entries(stackFiles)
    .filter(([path]) => path.startsWith(folder) && path.endsWith(end))
    .map(([path, text]) => [path.slice(folder.length, -end.length), text]),
)

/** What there is, without the panels. */
export const listDashboards = (): object[] =>
  [...texts].map(([name, text]) => {
    const { uid, title, description } = JSON.parse(text) as Described
    return { name, uid, title, description }
  })

/** The JSON of one, as it can be imported into Grafana. */
export function dashboardNamed(name: string): string {
  const text = texts.get(name)
  if (text !== undefined) return text
  throw new Fault('dashboard.not-found', `There are ${[...texts.keys()].join(', ')}.`)
}

/** Dashboards and rules by path, with the addresses that were given. */
export function exportable(
  addresses: Readonly<Record<keyof typeof shipped, string | undefined>>,
): Record<string, string> {
  const { grafana = shipped.grafana, runbooks = shipped.runbooks } = addresses
  return Object.fromEntries(
    Object.entries(stackFiles)
      .filter(([path]) => path.startsWith(folder))
      .map(([path, text]) => [
        path.slice(folder.length),
        path.endsWith(end)
          ? text
          : text.replaceAll(shipped.grafana, grafana).replaceAll(shipped.runbooks, runbooks),
      ]),
  )
}
