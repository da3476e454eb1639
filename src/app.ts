// The composition root: builds the parts in order, mounts the doors, starts, and stops in reverse.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'

import { Elysia } from 'elysia'

import { authRoutes } from './auth/routes.ts'
import type { Config } from './config.ts'
import { Fault } from './core/fault.ts'
import type { HealthReport } from './core/health.ts'
import { can } from './core/principal.ts'
import { jsonBodies } from './http/body.ts'
import { docsRoutes, openApiOf } from './http/docs.ts'
import { guard as makeGuard } from './http/guard.ts'
import { healthRoutes, readiness } from './http/health.ts'
import { elysiaFault } from './http/problem.ts'
import { exchangeOf } from './http/request.ts'
import { HttpServer } from './http/server.ts'
import { importRoutes } from './importing/routes.ts'
import { Deployments } from './inference/deployments.ts'
import { predictEntry, scoreEntry } from './inference/openapi.ts'
import { maySee } from './inference/predict.ts'
import { predictDoor } from './inference/routes.ts'
import { prepareChildHome, runSnapshot } from './inference/spawn.ts'
import { mlflowDoor } from './mlflow/api.ts'
import { artifactDoor } from './mlflow/artifacts.ts'
import { invocationsDoor } from './mlflow/invocations.ts'
import { invocationsEntry } from './mlflow/openapi.ts'
import { inferEntry } from './oip/openapi.ts'
import { oipDoor } from './oip/routes.ts'
import { closeFoundation, ensureAdminToken, type Foundation, openFoundation } from './parts.ts'
import { type Promotion, TrialSlots } from './promotion/promotion.ts'
import { quarantine } from './promotion/rollback.ts'
import { promotionRoutes } from './promotion/routes.ts'
import { BlobKeeper } from './registry/blobs.ts'
import { registryRoutes } from './registry/routes.ts'
import { scoreDoor } from './scoring/routes.ts'
import { openLog, openTraces, watchSinks } from './sinks.ts'
import { stackRoutes } from './stack/routes.ts'
import { openFileStorage } from './storage/fs.ts'
import { lockFile } from './storage/lock.ts'
import type { Log } from './telemetry/log.ts'
import type { Metrics } from './telemetry/metrics.ts'
import type { Spans } from './telemetry/spans.ts'
import { reportHealth } from './upkeep/health-report.ts'
import { upkeepRoutes } from './upkeep/routes.ts'
import { stableAfter, StartRecord } from './upkeep/start-record.ts'
import { mlflowLevel, version } from './version.ts'
import { databaseObserver, metricsFor, watchRegistry } from './watch.ts'

export class AlreadyRunningError extends Error {}

const hour = 3_600_000

export interface App {
  server: HttpServer
  foundation: Foundation
  deployments: Deployments
  log: Log
  metrics: Metrics
  /** Method and path template of everything that dispatches, inside Elysia and outside. */
  routes: { method: string; path: string }[]
  /** Starts to listen, then loads the models. Returns the URL at once. */
  start(): Promise<string>
  stop(): Promise<void>
}

/** A server that is being put together. */
interface Parts extends Promotion {
  foundation: Foundation
  log: Log
  spans: Spans | null
  record: StartRecord
  draining: boolean
}

async function buildParts(config: Config, onFatal: (error: unknown) => void): Promise<Parts> {
  const { data } = config
  mkdirSync(data, { recursive: true, mode: 0o700 })
  const log = await openLog(config)
  const spans = await openTraces(config, log)
  const metrics = metricsFor(config)
  watchSinks(log, spans, metrics)
  const foundation = await openFoundation(data, log, onFatal, databaseObserver(metrics))
  const { db, audit, access } = foundation
  await ensureAdminToken(foundation)
  const storage = openFileStorage(data)
  watchRegistry(foundation, storage, metrics)
  const home = prepareChildHome(data)
  const record = new StartRecord(join(data, 'starts.json'))
  const parts: Omit<Parts, 'deployments'> = {
    db,
    audit,
    access,
    config,
    storage,
    metrics,
    home,
    log,
    spans,
    foundation,
    record,
    draining: false,
    blobs: new BlobKeeper(db, storage, config.retention),
    trials: new TrialSlots(),
    changed: (model) => {
      record.forget(model)
      void deployments.reconcile(model)
    },
    serving: (model, stage) => {
      const now = deployments.route(model)?.stages[stage as 'Production']
      return now && { serving: now.serving?.row.version ?? null, why: now.why }
    },
  }
  const deployments = makeDeployments(parts)
  return Object.assign(parts, { deployments })
}

function makeDeployments(parts: Omit<Parts, 'deployments'>): Deployments {
  const { config, db, storage, home, log, metrics, record } = parts
  const deployments: Deployments = new Deployments({
    db,
    storage,
    home,
    log,
    metrics,
    memory: config['engine-memory'],
    threads: config['engine-threads'],
    runTimeout: config['predict-timeout'],
    loadTimeout: config['trial-timeout'],
    grace: config['stage-grace'],
    longestWait: config['queue-time'],
    metricNames: { accuracy: config['accuracy-metrics'], f1: config['f1-metrics'] },
    lastGood: (model, stage) => record.lastGood(model, stage),
    onQuarantine: ({ model: name, row }, reason) =>
      quarantine({ ...parts, deployments }, { name, version: row.version }, reason),
  })
  return deployments
}

function healthReport(parts: Parts): HealthReport {
  const { db, storage, deployments, draining, record } = parts
  return reportHealth({ db, storage, deployments, draining, safeMode: record.safeMode })
}

/** The native API without documentation of itself. */
function nativeRoutes(parts: Parts, guard: ReturnType<typeof makeGuard>) {
  const { foundation, metrics, config } = parts
  const { authenticate, tokens, keys, audit, head } = foundation
  const readable = async (request: Request): Promise<((model: string) => boolean) | null> => {
    try {
      const caller = await authenticate(request.headers.get('authorization'))
      return (model) => maySee(caller, model)
    } catch {
      return null
    }
  }
  const upkeep = {
    ...parts,
    head,
    data: config.data,
    version,
    snapshot: runSnapshot,
    guard,
    metrics,
  }
  const rotateKeys = async (request: Request, retireOld: boolean): Promise<{ kid: string }> => {
    const intent = { action: 'keys.rotate', input: { retireOld } }
    const result = await audit.change(exchangeOf(request), intent, () => {
      const { kid } = keys.rotate()
      return Promise.resolve({ result: { kid }, object: `key/${kid}`, details: { retireOld } })
    })
    // Only now: the audit head had to be checked with the old key and signed with the new one.
    if (retireOld && keys.retireOld() > 0) {
      foundation.authenticate.forgetAll()
      await ensureAdminToken(foundation, true)
    }
    return result
  }
  return new Elysia()
    .use(authRoutes({ guard, tokens, keys, audit, head, rotateKeys }))
    .use(registryRoutes({ ...parts, guard }))
    .use(promotionRoutes({ ...parts, guard }))
    .use(importRoutes({ ...parts, guard }))
    .use(upkeepRoutes(upkeep))
    .use(stackRoutes(guard))
    .use(
      healthRoutes(guard, {
        report: () => healthReport(parts),
        strictReady: config['strict-ready'],
        readyWhenEmpty: config['ready-when-empty'],
        version: mlflowLevel,
        readable,
      }),
    )
}

function nativeApi(parts: Parts) {
  const guard = makeGuard((ctx, right, model, action) =>
    parts.access.require(ctx, right, model, action),
  )
  const native = nativeRoutes(parts, guard)
  let document: ReturnType<typeof openApiOf> | null = null
  const entriesFor = async (request: Request): Promise<Record<string, unknown>> => {
    const header = request.headers.get('authorization')
    if (header === null) return {}
    const caller = await parts.foundation.authenticate(header)
    const live = [...parts.deployments.all].flatMap(({ stages }) => stages.Production.serving ?? [])
    const mine = live.filter((deployment) => can(caller, 'models:predict', deployment.model))
    const makers = [predictEntry, scoreEntry, inferEntry, invocationsEntry]
    const entries = mine.flatMap((one) => makers.map((make) => make(one)))
    return Object.fromEntries(entries.filter((entry) => entry !== null))
  }
  const base = () => (document ??= openApiOf(native, version))
  // Elysia takes hosts to have at least four letters, and would cut into the path of shorter ones.
  return new Elysia({ normalize: false, handler: { standardHostname: false } })
    .onError(({ code, error }) => {
      // Faults and the unknown go on to the server, which answers all doors alike.
      throw elysiaFault(code, error) ?? error
    })
    .use(jsonBodies(parts.config['max-body']))
    .use(native)
    .use(docsRoutes(guard, { entriesFor, base }))
}

/** Answers 405 in place of 404 where another method would do. */
function withMethods(api: ReturnType<typeof nativeApi>) {
  const templates = api.routes.map(({ method, path }) => ({
    method,
    pattern: new RegExp(`^${path.replaceAll('.', '\\.').replaceAll(/:[a-z]+/g, '[^/]+')}$`),
  }))
  return async (request: Request): Promise<Response> => {
    try {
      return await api.handle(request)
    } catch (error) {
      if (!(error instanceof Fault) || error.code !== 'route.not-found') throw error
      const { path } = exchangeOf(request)
      const methods = templates.filter(({ pattern }) => pattern.test(path)).map((t) => t.method)
      if (methods.length === 0 || methods.includes(request.method)) throw error
      const allow = [...new Set(methods)]
      throw new Fault('request.method', `Use ${allow.join(' or ')}.`, { members: { allow } })
    }
  }
}

/** Serves /metrics openly on its own address, where the settings say so. */
function openMetrics(listen: string, metrics: Metrics): (() => Promise<void>) | null {
  if (listen === '') return null
  const at = listen.lastIndexOf(':')
  const server = Bun.serve({
    hostname: listen.slice(0, at),
    port: Number(listen.slice(at + 1)),
    fetch: async ({ url }) =>
      new URL(url).pathname === '/metrics'
        ? new Response(await metrics.expose(), { headers: { 'content-type': metrics.contentType } })
        : new Response('not found', { status: 404 }),
  })
  return () => server.stop(true)
}

/** Parts on a folder that is ours alone until `unlock`, or until building them failed. */
async function lockedParts(
  config: Config,
  onFatal: (error: unknown) => void,
): Promise<{ parts: Parts; unlock: () => void }> {
  mkdirSync(config.data, { recursive: true, mode: 0o700 })
  const unlock = lockFile(join(config.data, 'lock'))
  if (!unlock) throw new AlreadyRunningError(`another server uses ${config.data}`)
  try {
    return { parts: await buildParts(config, onFatal), unlock }
  } catch (error) {
    unlock()
    throw error
  }
}

/** Puts the doors before the parts. */
function mount(parts: Parts): Pick<App, 'server' | 'routes'> {
  const { config, foundation, deployments, log, metrics, spans } = parts
  const maxBody = config['max-body']
  const timeout = config['predict-timeout']
  const isReady = (): boolean => readiness(healthReport(parts), config['strict-ready']).code === 200
  const predictor = { deployments, timeout, maxBody }
  // The first that owns a path answers it: paths below /v1/models are shared.
  const doors = [
    invocationsDoor({ ...predictor, defaultModel: config['default-model'] }),
    scoreDoor({ ...predictor, log, pause: config['upload-timeout'] }),
    predictDoor(predictor),
    oipDoor({ ...parts, ...predictor, version, isReady }),
    mlflowDoor(parts),
    artifactDoor(parts),
  ]
  const api = nativeApi(parts)
  const server = new HttpServer({
    host: config.host,
    port: config.port,
    maxBody,
    uploadTimeout: config['upload-timeout'],
    authenticate: foundation.authenticate,
    doors,
    handle: withMethods(api),
    log,
    metrics,
    logSample: config['log-sample'],
    spans,
  })
  const all = [...api.routes, ...doors.flatMap((door) => door.routes)]
  return { server, routes: all.map(({ method, path }) => ({ method, path })) }
}

/** Builds a server on its data folder. Throws AlreadyRunningError when another one holds it. */
export async function createApp(config: Config, onFatal: (error: unknown) => void): Promise<App> {
  const { parts, unlock } = await lockedParts(config, onFatal)
  const { foundation, deployments, log, metrics } = parts
  const { server, routes } = mount(parts)
  const closeMetrics = openMetrics(config['metrics-listen'], metrics)
  const timers = [
    setInterval(() => foundation.head.logHead(), hour),
    setInterval(() => void parts.blobs.sweep(), hour),
  ]
  const remember = (): void => {
    if (!parts.draining) parts.record.stable(deployments.all)
  }
  return {
    server,
    foundation,
    deployments,
    log,
    metrics,
    routes,
    start: async () => {
      const url = server.listen()
      if (parts.record.safeMode)
        log.write('error', 'start.safe-mode', { good: 'last good versions' })
      await deployments.start()
      if (parts.draining) return url
      timers.push(setTimeout(remember, stableAfter), setInterval(remember, hour / 60))
      log.write('info', 'server.ready', { url })
      return url
    },
    stop: async () => {
      if (deployments.started) remember()
      else parts.record.interrupted()
      parts.draining = true
      for (const timer of timers) clearInterval(timer)
      await server.close(config['drain-timeout'])
      await closeMetrics?.()
      await deployments.close()
      await closeFoundation(foundation)
      await Promise.all([parts.spans?.close(), log.close()])
      unlock()
    },
  }
}
