// Lines of the server as they would be in Loki: with the labels that the shipped Alloy gives them.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import type { Entry } from '../support/logql.ts'
import { root } from '../support/sources.ts'

const alloy = readFileSync(join(root, 'compose/alloy/config.alloy'), 'utf8')

/** The names within `values = {…}` of a stage. */
function valuesOf(stage: string): string[] {
  const block = new RegExp(`${stage}\\s*\\{\\s*values\\s*=\\s*\\{([^}]*)\\}`).exec(alloy)
  if (!block) throw new Error(`the shipped Alloy has no ${stage}`)
  return [...block[1]!.matchAll(/(\w+)\s*=/g)].map(([, name]) => name!)
}

const service = /service_name\s*=\s*"([^"]+)"/.exec(alloy)?.[1]
if (service === undefined) throw new Error('the shipped Alloy gives no service_name')
const labels = valuesOf('stage\\.labels')
const metadata = valuesOf('stage\\.structured_metadata')

function some(fields: Record<string, unknown>, names: readonly string[]): Record<string, string> {
  const found = names.filter((name) => fields[name] !== undefined && fields[name] !== null)
  return Object.fromEntries(found.map((name) => [name, String(fields[name] as string)]))
}

/** Standard output of the server → entries. Throws for a line that is no JSON object with a time. */
export function entriesOf(output: string): Entry[] {
  return output
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const fields = JSON.parse(line) as Record<string, unknown>
      const at = Date.parse(String(fields['ts'] as string))
      if (Number.isNaN(at)) throw new Error(`no time: ${line}`)
      const stream = { service_name: service as string, ...some(fields, labels) }
      return { at, line, stream, metadata: some(fields, metadata) }
    })
}
