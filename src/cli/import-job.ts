// The order of an import: experiments, logged models, runs, then registered models with their versions.
import type { GivenMetric } from '../importing/given.ts'
import { copyFolder, type FileJob } from './import-files.ts'
import { type Between, type Located, loggedModelOf, placeOfVersion } from './import-places.ts'
import { type ImportTarget, isFatal, Missing, pathHere } from './import-target.ts'
import {
  isPrompt,
  type MlflowSource,
  type SourceLoggedModel,
  type SourceModel,
  type SourceRun,
  type SourceVersion,
} from './mlflow-source.ts'

/** Things on their way at once. */
const inFlight = 4
/** The server takes as many values of metrics at a time. */
const mostMetrics = 1000

const kinds = [
  'experiments',
  'logged_models',
  'runs',
  'registered_models',
  'versions',
  'files',
] as const
type Kind = (typeof kinds)[number]

interface Count {
  created: number
  present: number
}

interface Problem {
  what: string
  why: string
}

/** What an import did, or would do. */
export class Tally {
  readonly counts = new Map<Kind, Count>(kinds.map((kind) => [kind, { created: 0, present: 0 }]))
  readonly problems: Problem[] = []
  bytes = 0
  prompts = 0

  add(kind: Kind, created: boolean): void {
    const count = this.counts.get(kind) as Count
    if (created) count.created += 1
    else count.present += 1
  }
}

/** Works on several at once; the first thing that is thrown ends it. */
async function each<T>(items: AsyncIterable<T>, work: (item: T) => Promise<void>): Promise<void> {
  const active = new Set<Promise<void>>()
  const failures: unknown[] = []
  for await (const item of items) {
    const one: Promise<void> = work(item)
      .catch((error: unknown) => void failures.push(error))
      .finally(() => active.delete(one))
    active.add(one)
    if (active.size >= inFlight) await Promise.race(active)
    if (failures.length > 0) break
  }
  await Promise.all(active)
  if (failures.length > 0) throw failures[0]
}

export class ImportJob {
  readonly tally = new Tally()
  readonly source: MlflowSource
  readonly target: ImportTarget
  private readonly verify: boolean
  private readonly shown: () => void

  /** `shown` is called whenever something was done. */
  constructor(between: Between, verify: boolean, shown: (tally: Tally) => void) {
    this.source = between.source
    this.target = between.target
    this.verify = verify
    this.shown = () => shown(this.tally)
  }

  async run(): Promise<Tally> {
    const ids = new Map<string, string>()
    for await (const given of this.source.experiments()) {
      await this.attempt(`experiment ${given.name}`, async () => {
        const { created, experiment_id: id } = await this.target.experiment(given)
        ids.set(given.experiment_id, id)
        this.count('experiments', created)
      })
    }
    for (const [theirs, ours] of ids) {
      await each(this.source.loggedModels(theirs), (one) => this.loggedModel(one, ours))
    }
    for (const [theirs, ours] of ids) {
      await each(this.source.runs(theirs), (one) => this.runOf(one, ours))
    }
    await each(this.source.models(), (one) => this.model(one))
    return this.tally
  }

  private count(kind: Kind, created: boolean): void {
    this.tally.add(kind, created)
    this.shown()
  }

  private problem(what: string, why: string): void {
    this.tally.problems.push({ what, why: why.replaceAll(/\n\s*/g, ' ') })
  }

  /** One thing that fails is noted; the rest goes on. */
  private async attempt(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      if (isFatal(error)) throw error
      this.problem(what, (error as Error).message)
    }
  }

  private filesOf(owner: string): FileJob {
    const { source, target, verify } = this
    return {
      source,
      target,
      verify,
      copied: (bytes) => {
        this.tally.bytes += bytes
        this.count('files', true)
      },
      present: () => this.count('files', false),
      failed: (path, error) => {
        if (isFatal(error)) throw error
        this.problem(`${owner}: ${path}`, (error as Error).message)
      },
    }
  }

  private loggedModel(given: SourceLoggedModel, experiment: string): Promise<void> {
    const { model_id: id, artifact_uri: uri } = given.info
    const what = `logged model ${id}`
    return this.attempt(what, async () => {
      const info = { ...given.info, experiment_id: experiment }
      const { created, artifact_uri: to } = await this.target.loggedModel({ ...given, info })
      this.count('logged_models', created)
      await copyFolder(this.filesOf(what), this.source.placeOfLoggedModel(id, uri), pathHere(to))
    })
  }

  private runOf(given: SourceRun, experiment: string): Promise<void> {
    const { run_id: id, artifact_uri: uri } = given.info
    const what = `run ${id}`
    return this.attempt(what, async () => {
      // Lists lack some of what a run read.
      const whole = (await this.source.run(id)) ?? given
      const { metrics = [], ...data } = whole.data ?? {}
      const info = { ...whole.info, experiment_id: experiment }
      const { created, artifact_uri: to } = await this.target.run({ ...whole, info, data })
      this.count('runs', created)
      if (!this.target.isRehearsal) await this.history(id, metrics)
      await copyFolder(this.filesOf(what), this.source.placeOfRun(id, uri), pathHere(to))
    })
  }

  /** `latest`: one value of each metric. */
  private async history(runId: string, latest: readonly GivenMetric[]): Promise<void> {
    let waiting: GivenMetric[] = []
    for (const { key } of latest) {
      for await (const metric of this.source.history(runId, key)) {
        waiting.push(metric)
        if (waiting.length < mostMetrics) continue
        await this.target.metrics(runId, waiting)
        waiting = []
      }
    }
    await this.target.metrics(runId, waiting)
  }

  private async model(given: SourceModel): Promise<void> {
    const { name } = given
    if (isPrompt(given)) {
      this.tally.prompts += 1
      return
    }
    await this.attempt(`registered model ${name}`, async () => {
      const { created } = await this.target.model(given)
      this.count('registered_models', created)
      const { aliases = [] } = await this.source.model(name)
      for await (const version of this.source.versions(name)) {
        const own = aliases.filter((one) => one.version === version.version)
        const named = own.map(({ alias }) => alias)
        await this.attempt(`${name} version ${version.version}`, () => this.version(version, named))
      }
    })
  }

  private async version(given: SourceVersion, aliases: string[]): Promise<void> {
    const { name } = given
    const what = `${name} version ${given.version}`
    const version = Number(given.version)
    const isKnown = await this.target.hasVersion(name, version)
    if (this.target.isRehearsal) return this.count('versions', !isKnown)
    const found = isKnown ? undefined : await this.files(given, what)
    const taken = await this.target.version({
      ...given,
      version,
      aliases,
      model_id: found?.loggedModel ?? loggedModelOf(given),
      folder: found && `mlflow-artifacts:/${found.to}`,
    })
    this.count('versions', taken.created)
    if (taken.servability === 'failed') {
      this.problem(what, `failed its trial and is in ${taken.stage}: ${taken.reason}`)
    }
    for (const { alias, why } of taken.refused_aliases) this.problem(`${what}, alias ${alias}`, why)
  }

  /** Brings the files of a version, of which most are here already. Throws when some cannot be had. */
  private async files(given: SourceVersion, what: string): Promise<Located> {
    const uri = await this.source.folderOfVersion(given.name, given.version)
    const found = await placeOfVersion(this, given, uri)
    if (!found) throw new Missing(`its files lie at ${uri}, which MLflow hands out to nobody`)
    // Those of runs and logged models were counted with them.
    const files = this.filesOf(what)
    const job = found.isScratch ? files : { ...files, verify: false, present: () => {} }
    if (await copyFolder(job, found.place, found.to)) return found
    throw new Missing('not imported, since not all of its files are here')
  }
}
