// relais promote, rollback, quarantine clear, models.
import { stageNamed } from '../registry/stages.ts'
import { clientOf, modelPath } from './client.ts'
import {
  type Cell,
  clientOptions,
  type Command,
  numberOf,
  print,
  table,
  UsageError,
} from './command.ts'

interface Moved {
  stage: string
  live_version: number | null
  archived: number[]
}

/** Stage names in any case; what is none is left for the server to refuse. */
const canonical = (text: string | undefined): string | undefined =>
  text === undefined ? undefined : (stageNamed(text) ?? text)

export const promote: Command = {
  name: 'promote',
  usage: 'NAME VERSION',
  needs: '--to STAGE',
  summary: 'move a version to a stage',
  options: {
    ...clientOptions,
    to: { type: 'string', value: 'STAGE', help: 'None, Staging, Production or Archived' },
    reason: { type: 'string', value: 'TEXT', help: 'kept in the history' },
    'keep-existing': { type: 'boolean', help: 'do not archive what is in the stage now' },
  },
  example: 'relais promote iris 3 --to Production --reason "passed review"',
  run: async (args, output, env) => {
    const [name, version] = args.words as [string, string]
    const wanted = args.text('to')
    if (wanted === undefined) throw new UsageError('--to is required')
    const to = canonical(wanted)
    const path = `${modelPath(name)}/versions/${numberOf(version, 'VERSION')}/stage`
    const reason = args.text('reason')
    const body = {
      stage: to,
      ...(reason === undefined ? {} : { reason }),
      ...(args.flag('keep-existing') ? { archive_existing: false } : {}),
    }
    const moved = await clientOf(args, env).json<Moved>('POST', path, body)
    const { live_version: number, archived } = moved
    const live = number === null ? 'nothing' : `version ${number}`
    print(args, output, moved, () => [
      `${name} version ${version} is in ${moved.stage}; live there: ${live}`,
      ...(archived.length > 0 ? [`archived: ${archived.join(', ')}`] : []),
    ])
    return 0
  },
}

interface RolledBack {
  live_version: number | null
  rolled_back_from: number | null
  demoted: { version: number; to: string }[]
}

export const rollback: Command = {
  name: 'rollback',
  usage: 'NAME',
  summary: 'serve the last good version again',
  options: {
    ...clientOptions,
    stage: { type: 'string', value: 'STAGE', help: 'Production or Staging [Production]' },
    'demote-to': {
      type: 'string',
      value: 'STAGE',
      help: 'where the present version goes [Archived]',
    },
    reason: { type: 'string', value: 'TEXT', help: 'kept in the history' },
  },
  example: 'relais rollback iris --demote-to Staging',
  run: async (args, output, env) => {
    const [name] = args.words as [string]
    const given = {
      stage: canonical(args.text('stage')),
      demote_to: canonical(args.text('demote-to')),
      reason: args.text('reason'),
    }
    const body = Object.fromEntries(
      Object.entries(given).filter(([, value]) => value !== undefined),
    )
    const path = `${modelPath(name)}/rollback`
    const done = await clientOf(args, env).json<RolledBack>('POST', path, body)
    print(args, output, done, () => [
      `${name} serves version ${done.live_version}, was ${done.rolled_back_from ?? 'empty'}`,
      ...done.demoted.map(({ version, to }) => `version ${version} is in ${to}`),
    ])
    return 0
  },
}

export const quarantineClear: Command = {
  name: 'quarantine clear',
  usage: 'NAME VERSION',
  summary: 'try a quarantined version again and let it serve',
  options: clientOptions,
  example: 'relais quarantine clear iris 3',
  run: async (args, output, env) => {
    const [name, version] = args.words as [string, string]
    const path = `${modelPath(name)}/versions/${numberOf(version, 'VERSION')}/quarantine`
    const view = await clientOf(args, env).json<object>('DELETE', path)
    print(args, output, view, () => [`${name} version ${version} may serve again`])
    return 0
  },
}

interface StageView {
  live_version: number | null
  serving?: number | null
  why?: string
}

/** §5: the live version, and what serves in its place while it cannot. */
function liveOf(stage: StageView | undefined): string {
  const { live_version: live, serving, why } = stage ?? { live_version: null }
  if (live === null || serving === undefined || serving === live) return String(live ?? '')
  return `${live}, serving ${serving ?? 'nothing'}: ${why}`
}

interface ModelView {
  name: string
  latest_version: number | null
  stages: Record<string, StageView>
  aliases: Record<string, number>
}

interface VersionView {
  version: number
  stage: string
  servability: string
  quarantine: { reason: string } | null
  aliases: string[]
  metrics: Record<string, number>
  created_by: string
  created_at: string
  git_commit: string | null
}

function versionRow(view: VersionView): Cell[] {
  const metrics = Object.entries(view.metrics).map(
    ([key, value]) => `${key}=${Number(value.toPrecision(6))}`,
  )
  const state = view.quarantine ? `quarantined: ${view.quarantine.reason}` : view.servability
  const when = view.created_at.slice(0, 19)
  const { version, stage, aliases, created_by: by, git_commit: commit } = view
  return [
    version,
    stage,
    state,
    aliases.join(','),
    metrics.join(' '),
    by,
    when,
    commit?.slice(0, 8),
  ]
}

const versionHeadings = [
  'VERSION',
  'STAGE',
  'STATE',
  'ALIASES',
  'METRICS',
  'BY',
  'CREATED',
  'COMMIT',
]

/** Follows next_page_token to the end. */
async function everyPage<T>(
  fetchPage: (query: string) => Promise<T & { next_page_token?: string }>,
): Promise<T[]> {
  const pages: T[] = []
  let token = ''
  do {
    const page = await fetchPage(`limit=100${token === '' ? '' : `&page_token=${token}`}`)
    pages.push(page)
    token = page.next_page_token ?? ''
  } while (token !== '')
  return pages
}

export const models: Command = {
  name: 'models',
  usage: '[NAME]',
  summary: 'list models, or the versions of one',
  options: clientOptions,
  example: 'relais models iris',
  run: async (args, output, env) => {
    const client = clientOf(args, env)
    const [name] = args.words
    if (name !== undefined) {
      const path = `${modelPath(name)}/versions`
      const pages = await everyPage((query) =>
        client.json<{ versions: VersionView[] }>('GET', `${path}?${query}`),
      )
      const versions = pages.flatMap((page) => page.versions)
      print(args, output, { versions }, () => table(versionHeadings, versions.map(versionRow)))
      return 0
    }
    const pages = await everyPage((query) =>
      client.json<{ models: ModelView[] }>('GET', `/api/v1/models?${query}`),
    )
    const all = pages.flatMap((page) => page.models)
    print(args, output, { models: all }, () => {
      const rows = all.map((model) => [
        model.name,
        model.latest_version,
        liveOf(model.stages.Production),
        liveOf(model.stages.Staging),
        Object.entries(model.aliases)
          .map(([alias, version]) => `${alias}=${version}`)
          .join(' '),
      ])
      const headings = ['MODEL', 'LATEST', 'PRODUCTION', 'STAGING', 'ALIASES']
      return table(headings, rows)
    })
    return 0
  },
}
