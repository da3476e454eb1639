// Where the files of a registered version lie: at the source, and, of what was copied before, here.
import { createHash } from 'node:crypto'

import { type ImportTarget, pathHere } from './import-target.ts'
import {
  joined,
  type MlflowSource,
  type Place,
  proxiedPath,
  type SourceVersion,
} from './mlflow-source.ts'

export interface Between {
  source: MlflowSource
  target: ImportTarget
}

export interface Located {
  place: Place
  /** Path of the folder here. */
  to: string
  /** Brought for this version alone; the server removes it when the version has its own. */
  isScratch: boolean
  loggedModel?: string
}

/** The rest of a URI below another one, or undefined where it is not below. */
function restBelow(uri: string, root: string): string | undefined {
  if (uri === root) return ''
  return uri.startsWith(`${root}/`) ? uri.slice(root.length + 1) : undefined
}

/** A run or a logged model: where its artifacts lie at the source and here, where it is at all. */
interface Owner {
  theirs: string | undefined
  ours: () => Promise<string | undefined>
  place: (theirs: string, rest: string) => Place
}

/** `restOf`: the folder in the artifacts of the owner, or undefined where it is not in them. */
async function inside(
  { theirs, ours, place }: Owner,
  restOf: (theirs: string) => string | undefined,
): Promise<Located | undefined> {
  const rest = theirs === undefined ? undefined : restOf(theirs)
  const here = rest === undefined ? undefined : await ours()
  if (theirs === undefined || rest === undefined || here === undefined) return undefined
  return { place: place(theirs, rest), to: joined(pathHere(here), rest), isScratch: false }
}

const loggedModel = async ({ source, target }: Between, id: string): Promise<Owner> => ({
  theirs: (await source.loggedModel(id))?.info.artifact_uri,
  ours: () => target.folderOfLoggedModel(id),
  place: (theirs, rest) => source.placeOfLoggedModel(id, theirs, rest),
})

const runOf = async ({ source, target }: Between, id: string): Promise<Owner> => ({
  theirs: (await source.run(id))?.info.artifact_uri,
  ours: () => target.folderOfRun(id),
  place: (theirs, rest) => source.placeOfRun(id, theirs, rest),
})

async function inLoggedModel(
  between: Between,
  id: string,
  restOf: (theirs: string) => string | undefined,
): Promise<Located | undefined> {
  const found = await inside(await loggedModel(between, id), restOf)
  return found && { ...found, loggedModel: id }
}

/** `runs:/ID/PATH` names a folder of the run or, where there is none, a logged model that it made. */
async function ofRunUri(between: Between, id: string, path: string): Promise<Located | undefined> {
  const { source } = between
  const found = await inside(await runOf(between, id), () => path)
  if (found && (await source.list(found.place, '')).length > 0) return found
  for (const model of await source.loggedModelsOfRun(id)) {
    if (model.name === path) return inLoggedModel(between, model.model_id, () => '')
  }
  return found
}

/** Files that belong to nothing that was imported, such as a deleted logged model. */
function byProxy(
  { source }: Between,
  { name, version }: SourceVersion,
  uri: string,
): Located | undefined {
  const path = proxiedPath(uri)
  if (path === undefined) return undefined
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 16)
  const to = `imported/${hash}/${version}`
  return { place: source.placeOfProxy(path), to, isScratch: true }
}

/** Undefined for files that the server hands out to nobody. `uri`: where it says that they are. */
export async function placeOfVersion(
  between: Between,
  given: SourceVersion,
  uri: string,
): Promise<Located | undefined> {
  const [, run, path = ''] = /^runs:\/+([^/]+)\/?(.*)$/s.exec(uri) ?? []
  if (run !== undefined) return ofRunUri(between, run, path)
  const below = (theirs: string) => restBelow(uri, theirs)
  const id = /\/models\/(m-[\w-]+)\/artifacts(?=\/|$)/.exec(uri)?.[1]
  return (
    (id === undefined ? undefined : await inLoggedModel(between, id, below)) ??
    (given.run_id ? await inside(await runOf(between, given.run_id), below) : undefined) ??
    byProxy(between, given, uri)
  )
}

/** The logged model that a version comes from, as far as its source or its files tell. */
export const loggedModelOf = ({ source = '' }: SourceVersion): string | undefined =>
  /^models:\/(m-[\w-]+)$/.exec(source)?.[1]
