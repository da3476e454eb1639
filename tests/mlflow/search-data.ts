// One random dataset for both servers: experiments, runs, logged models, registered models, versions.
import { eq } from 'drizzle-orm'

import type { Db } from '../../src/db/db.ts'
import * as t from '../../src/db/tables.ts'

/** Numbers in 0..1 that follow from a seed (mulberry32). */
export class Random {
  private state: number

  constructor(seed: number) {
    this.state = seed
  }

  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0
    let x = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state)
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32
  }

  below(count: number): number {
    return Math.floor(this.next() * count)
  }

  chance(part: number): boolean {
    return this.next() < part
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T
  }

  some<T>(list: readonly T[], part: number): T[] {
    return list.filter(() => this.chance(part))
  }
}

export const keys = ['a', 'b', 'Team', 'a b', 'x.y', 'né', 'from', 'k-1', 'mlflow.user']
export const texts = [
  '',
  'x',
  'X',
  'xy',
  'XyZ',
  'x_y',
  'x%y',
  'a*b',
  'a?b',
  '[ab]',
  'a]b',
  '^x',
  'é',
  'É',
  '1',
  '10',

  '0.5',
  'true',
  'false',
  "it''s",
  'a\\b',
  'a b',
  ' x ',
  'null',
  '日本',
  'x\ny',
  'a"b',
  '-',
  'AND',
]
export const metricValues = [
  0,
  1,
  -1,
  0.5,
  0.1,
  1e-9,
  1e20,
  -2.5,
  3,
  1.7976931348623157e308,
  'NaN' as const,
]
export const times = [
  0, 1, 1000, 1_700_000_000_000, 1_700_000_000_001, 1_700_000_000_002, 1_800_000_000_000,
]
export const users = ['ann', 'Ann', 'bob', 'c_d', '']
export const statuses = ['RUNNING', 'SCHEDULED', 'FINISHED', 'FAILED', 'KILLED']
export const contexts = ['train', 'Train', 'eval', 'te_st']
export const modelTypes = ['Agent', 'agent', 'llm', null]
export const promptTag = 'mlflow.prompt.is_prompt'

type Tags = Record<string, string>

interface Measured {
  key: string
  value: number | 'NaN'
}

export interface Data {
  experiments: {
    id: number
    name: string
    created: number
    updated: number
    deleted: boolean
    tags: Tags
  }[]
  datasets: { id: string; experiment: number; name: string; digest: string }[]
  runs: {
    id: string
    experiment: number
    name: string
    user: string
    status: string
    start: number
    end: number | null
    artifact_uri: string
    deleted: boolean
    tags: Tags
    params: Tags
    metrics: Measured[]
    datasets: { id: string; context: string | null }[]
  }[]
  loggedModels: {
    id: string
    experiment: number
    name: string
    created: number
    updated: number
    status: string
    deleted: boolean
    type: string | null
    run: string | null
    tags: Tags
    params: Tags
    metrics: (Measured & {
      timestamp: number
      step: number
      run: string
      dataset: string | null
      digest: string | null
    })[]
  }[]
  models: { name: string; created: number; updated: number; tags: Tags }[]
  versions: {
    name: string
    version: number
    created: number
    updated: number
    stage: string
    deleted: boolean
    source: string
    run: string | null
    tags: Tags
  }[]
}

const pad = (count: number): string => count.toString(16).padStart(32, '0')

function experimentsOf(r: Random, tags: () => Tags): Data['experiments'] {
  const names = ['Default', ...texts.filter((text) => text !== ''), 'exp-1', 'Exp-1', 'EXP-2']
  return names.map((name, id) => ({
    id,
    name,
    created: r.pick(times),
    updated: r.pick(times),
    deleted: id > 2 && r.chance(0.25),
    tags: tags(),
  }))
}

function runsOf(r: Random, tags: () => Tags, datasets: Data['datasets']): Data['runs'] {
  return Array.from({ length: 160 }, () => {
    const experiment = r.below(3)
    const name = r.pick(texts.filter((text) => text !== ''))
    const id = pad(r.below(2 ** 31))
    const own = datasets.filter((one) => one.experiment === experiment)
    return {
      id,
      experiment,
      name,
      user: r.pick(users),
      status: r.pick(statuses),
      start: r.pick(times),
      end: r.chance(0.3) ? null : r.pick(times),
      artifact_uri: `mlflow-artifacts:/${experiment}/${id}/artifacts`,
      deleted: r.chance(0.2),
      tags: { ...tags(), 'mlflow.runName': name },
      params: tags(),
      metrics: r.some(keys, 0.5).map((key) => ({ key, value: r.pick(metricValues) })),
      datasets: r.some(own, 0.3).map(({ id: dataset }) => ({
        id: dataset,
        context: r.chance(0.2) ? null : r.pick(contexts),
      })),
    }
  })
}

function loggedModelsOf(
  r: Random,
  tags: () => Tags,
  data: Pick<Data, 'runs' | 'datasets'>,
): Data['loggedModels'] {
  return Array.from({ length: 120 }, () => ({
    id: `m-${pad(r.below(2 ** 31))}`,
    experiment: r.below(3),
    name: r.pick(texts.filter((text) => text !== '')),
    created: r.pick(times),
    updated: r.pick(times),
    status: r.pick(['PENDING', 'READY', 'UPLOAD_FAILED']),
    deleted: r.chance(0.15),
    type: r.pick(modelTypes),
    run: r.chance(0.2) ? null : r.pick(data.runs).id,
    tags: tags(),
    params: tags(),
    metrics: r.some(keys, 0.4).flatMap((key) =>
      Array.from({ length: 1 + r.below(3) }, (_, step) => {
        const dataset = r.chance(0.3) ? null : r.pick(data.datasets)
        return {
          key,
          // MLflow's server cannot answer with a logged model that measured NaN.
          value: r.pick(metricValues.filter((one) => one !== 'NaN')),
          timestamp: r.pick([1, 2]),
          step,
          run: r.pick(data.runs).id,
          dataset: dataset?.name ?? null,
          digest: dataset?.digest ?? null,
        }
      }),
    ),
  }))
}

function versionsOf(
  r: Random,
  tags: () => Tags,
  data: Pick<Data, 'runs' | 'models'>,
): Data['versions'] {
  return data.models.flatMap(({ name, tags: own }) =>
    Array.from({ length: r.below(6) }, (_, at) => ({
      name,
      version: at + 1,
      created: r.pick(times),
      updated: r.pick(times),
      stage: r.pick(['None', 'Staging', 'Production', 'Archived']),
      deleted: r.chance(0.15),
      source: r.pick(['models:/m-1', 'runs:/1/Model', 'mlflow-artifacts:/0/1', 'x_y', 'X%Y']),
      run: r.chance(0.3) ? null : r.pick(data.runs.slice(0, 20)).id,
      tags: {
        ...tags(),
        ...(own[promptTag] !== undefined && r.chance(0.7) && { [promptTag]: 'true' }),
      },
    })),
  )
}

export function makeData(seed: number): Data {
  const r = new Random(seed)
  const tags = (): Tags => Object.fromEntries(r.some(keys, 0.4).map((key) => [key, r.pick(texts)]))
  const experiments = experimentsOf(r, tags)
  const datasets = [0, 1, 2].flatMap((experiment) =>
    ['d', 'D', 'da_ta'].flatMap((name) =>
      ['1', '2'].map((digest) => ({
        id: `${experiment}${name}${digest}`,
        experiment,
        name,
        digest,
      })),
    ),
  )
  const runs = [...new Map(runsOf(r, tags, datasets).map((run) => [run.id, run])).values()]
  const names = texts.filter((text) => text !== '' && text.trim() === text && !text.includes('\n'))
  const models = [...names, ...names.map((name) => `m-${name}`)].map((name) => ({
    name,
    created: r.pick(times),
    updated: r.pick(times),
    tags: { ...tags(), ...(r.chance(0.2) && { [promptTag]: r.pick(['true', 'false', 'True']) }) },
  }))
  return {
    experiments,
    datasets,
    runs,
    loggedModels: loggedModelsOf(r, tags, { runs, datasets }),
    models,
    versions: versionsOf(r, tags, { runs, models }),
  }
}

const pairsOf = <Owner>(owner: Owner, pairs: Tags): (Owner & { key: string; value: string })[] =>
  Object.entries(pairs).map(([key, value]) => ({ ...owner, key, value }))

const measured = ({ value }: Measured): { value: number; nan: boolean } =>
  value === 'NaN' ? { value: 0, nan: true } : { value, nan: false }

const undated = { modelId: null, datasetName: null, datasetDigest: null }
const by = { createdBy: 'seed' }
const deletedAt = ({ deleted }: { deleted: boolean }): number | null => (deleted ? 1 : null)

/** Writes the dataset into our database. */
export async function seedRelais(db: Db, data: Data): Promise<void> {
  await db.tx(async (tx) => {
    await tx.delete(t.experiments).where(eq(t.experiments.id, 0))
    for (const e of data.experiments) {
      const times = { createdAt: e.created, updatedAt: e.updated, deletedAt: deletedAt(e) }
      await tx
        .insert(t.experiments)
        .values({ id: e.id, name: e.name, artifactLocation: 'x', ...by, ...times })
      for (const tag of pairsOf({ experimentId: e.id }, e.tags))
        await tx.insert(t.experimentTags).values(tag)
    }
    for (const d of data.datasets) {
      const row = { id: d.id, experimentId: d.experiment, name: d.name, digest: d.digest }
      await tx
        .insert(t.datasets)
        .values({ ...row, sourceType: 'local', source: 'x', schema: null, profile: null })
    }
    for (const r of data.runs) {
      await tx.insert(t.runs).values({
        id: r.id,
        experimentId: r.experiment,
        name: r.name,
        userId: r.user,
        status: r.status,
        startTime: r.start,
        endTime: r.end,
        artifactUri: r.artifact_uri,
        deletedAt: deletedAt(r),
        ...by,
      })
      const owner = { runId: r.id }
      for (const tag of pairsOf(owner, r.tags)) await tx.insert(t.runTags).values(tag)
      for (const param of pairsOf(owner, r.params)) await tx.insert(t.runParams).values(param)
      for (const m of r.metrics) {
        await tx
          .insert(t.latestMetrics)
          .values({ ...owner, key: m.key, timestamp: 1, step: 0, ...undated, ...measured(m) })
      }
      for (const d of r.datasets) {
        const tags: Tags = d.context === null ? {} : { 'mlflow.data.context': d.context }
        await tx.insert(t.runDatasets).values({ ...owner, datasetId: d.id, tags })
      }
    }
    for (const m of data.loggedModels) {
      await tx.insert(t.loggedModels).values({
        id: m.id,
        experimentId: m.experiment,
        name: m.name,
        modelType: m.type,
        sourceRunId: m.run,
        artifactUri: 'x',
        status: m.status,
        statusMessage: null,
        createdAt: m.created,
        updatedAt: m.updated,
        deletedAt: deletedAt(m),
        ...by,
      })
      const owner = { modelId: m.id }
      for (const tag of pairsOf(owner, m.tags)) await tx.insert(t.loggedModelTags).values(tag)
      for (const param of pairsOf(owner, m.params))
        await tx.insert(t.loggedModelParams).values(param)
      for (const v of m.metrics) {
        await tx.insert(t.loggedModelMetrics).values({
          ...owner,
          ...measured(v),
          key: v.key,
          timestamp: v.timestamp,
          step: v.step,
          runId: v.run,
          datasetName: v.dataset,
          datasetDigest: v.digest,
        })
      }
    }
    for (const m of data.models) {
      const times = { createdAt: m.created, updatedAt: m.updated, deletedAt: null }
      await tx.insert(t.models).values({
        id: `id ${m.name}`,
        name: m.name,
        description: '',
        tags: m.tags,
        nextVersion: 99,
        ...by,
        ...times,
      })
    }
    for (const v of data.versions) {
      await tx.insert(t.versions).values({
        ...versionRow,
        id: `${v.name} ${v.version}`,
        modelId: `id ${v.name}`,
        version: v.version,
        stage: v.stage,
        tags: v.tags,
        runId: v.run,
        source: v.source,
        createdAt: v.created,
        updatedAt: v.updated,
        deletedAt: deletedAt(v),
      })
    }
  })
}

/** What no search looks at. */
export const versionRow = {
  status: 'READY',
  servability: 'not-servable',
  reason: null,
  description: '',
  sha256: '',
  size: 0,
  originalSha256: '',
  originalSize: 0,
  signature: null,
  schema: null,
  trial: null,
  metrics: {},
  params: {},
  gitCommit: null,
  quarantinedAt: null,
  quarantineReason: null,
  runLink: null,
  loggedModelId: null,
  ...by,
} as const
