// The door of the Open Inference Protocol V2: paths, statuses and headers; what they mean is beside.
import { Fault } from '../core/fault.ts'
import type { VersionRow } from '../db/tables.ts'
import { faultHeaders } from '../http/problem.ts'
import type { Exchange } from '../http/request.ts'
import type { Door } from '../http/server.ts'
import { demandServable } from '../inference/deployments.ts'
import { maySee, type Predictor, requireSight, withDeployment } from '../inference/predict.ts'
import type { Route } from '../inference/route.ts'
import { findModel } from '../registry/registry.ts'
import { isServed, stageNamed } from '../registry/stages.ts'
import { resolveVersion } from '../registry/versions.ts'
import { codings, readObject, readParts, sendAnswer } from './body.ts'
import { readInference, readRawInference, writeAnswer } from './codec.ts'
import { extensions, modelConfig, modelMetadata } from './metadata.ts'
import { indexOf, loadVersion, type Repository, unloadVersion } from './repository.ts'
import { statisticsOf } from './statistics.ts'
import { endpoints, type Target, targetOf, type Verb } from './target.ts'

export interface OipDoorOptions extends Predictor, Repository {
  maxBody: number
  /** Version of the server. */
  version: string
  /** Is the server ready, as /health/ready has it (RULES §17)? */
  isReady: () => boolean
}

type Handler = (exchange: Exchange, target: Target) => Response | Promise<Response>

/** Without a charset: KServe's client compares the whole type before it reads an error. */
const jsonType = { 'content-type': 'application/json' }

const answerOf = (body: unknown, status = 200): Response =>
  new Response(JSON.stringify(body), { status, headers: jsonType })

/** The route of a model that the caller may know of. */
function routeOf({ deployments }: OipDoorOptions, exchange: Exchange, model: string): Route {
  requireSight(exchange.principal, model)
  if (!deployments.started) throw new Fault('service.starting', 'The models are being loaded.')
  const route = deployments.route(model)
  if (route) return route
  throw new Fault('model.not-found', `No model is named ${JSON.stringify(model)}.`)
}

/** The version that a request of the same path would use; nothing is loaded for it. */
async function rowOf(options: OipDoorOptions, target: Target): Promise<VersionRow> {
  const { deployments, db } = options
  const { model, reference } = target
  if (reference === undefined) return deployments.production(model).row
  if (isServed(stageNamed(reference) ?? '')) return (await deployments.find(model, reference)).row
  const row = await resolveVersion(db.read, await findModel(db.read, model), reference)
  demandServable(row)
  return row
}

function aboutModels(options: OipDoorOptions): Pick<Record<Verb, Handler>, AboutModels> {
  const { deployments } = options
  const metadata: Handler = async (exchange, target) => {
    const route = routeOf(options, exchange, target.model)
    const row = await rowOf(options, target)
    const all = deployments.serving(route).map(({ version }) => version)
    const versions = target.reference === undefined ? all : [String(row.version)]
    return answerOf(modelMetadata(target.model, row, versions))
  }
  const config: Handler = async (exchange, target) => {
    routeOf(options, exchange, target.model)
    return answerOf(modelConfig(target.model, await rowOf(options, target)))
  }
  const ready: Handler = async (exchange, target) => {
    routeOf(options, exchange, target.model)
    const isReady = deployments.states(await rowOf(options, target)).state === 'READY'
    return answerOf({ name: target.model, ready: isReady }, isReady ? 200 : 503)
  }
  const statistics: Handler = async (exchange, target) => {
    const loaded = deployments.serving(routeOf(options, exchange, target.model))
    const wanted = target.reference === undefined ? null : await rowOf(options, target)
    const shown = loaded.filter(({ row }) => wanted === null || row.id === wanted.id)
    if (wanted !== null && shown.length === 0) {
      throw new Fault('version.not-found', `Version ${wanted.version} is not loaded.`)
    }
    return answerOf({ model_stats: shown.map(statisticsOf) })
  }
  return { metadata, config, 'model-ready': ready, statistics }
}

type AboutModels = 'metadata' | 'config' | 'model-ready' | 'statistics'

/** Of all models that the caller may know of. */
function visible({ deployments }: OipDoorOptions, { principal }: Exchange): Route[] {
  return [...deployments.all].filter(({ model }) => maySee(principal, model))
}

function aboutServer(options: OipDoorOptions): Pick<Record<Verb, Handler>, AboutServer> {
  const { deployments, version, isReady } = options
  return {
    server: () => answerOf({ name: 'relais', version, extensions }),
    live: () => answerOf({ live: true }),
    ready: () => answerOf({ ready: isReady() }, isReady() ? 200 : 503),
    models: (exchange) =>
      answerOf({
        models: visible(options, exchange)
          .map(({ model }) => model)
          .sort(),
      }),
    'all-statistics': (exchange) => {
      const loaded = visible(options, exchange).flatMap((route) => deployments.serving(route))
      return answerOf({ model_stats: loaded.map(statisticsOf) })
    },
  }
}

type AboutServer = 'server' | 'live' | 'ready' | 'models' | 'all-statistics'

function inference(options: OipDoorOptions): Handler {
  return (exchange, target) =>
    withDeployment(options, exchange, target, async (deployment) => {
      const { request, principal } = exchange
      const parts = await readParts(request, options.maxBody, deployment.validator.wide)
      const asked =
        parts.header === undefined
          ? readRawInference(deployment, parts.raw)
          : readInference(deployment, parts.header, parts.raw)
      const { tensors, rows } = asked
      const timeout = Math.min(options.timeout, asked.timeout ?? options.timeout)
      const answer = await deployment.run(tensors, rows, principal.sub, timeout)
      exchange.run = answer
      return sendAnswer(exchange, writeAnswer(deployment, asked, answer))
    })
}

function handlersOf(options: OipDoorOptions): Record<Verb, Handler> {
  const { maxBody } = options
  return {
    ...aboutServer(options),
    ...aboutModels(options),
    infer: inference(options),
    index: async (exchange) => {
      const body = await readObject(exchange.request, maxBody)
      return answerOf(await indexOf(options, exchange.principal, body))
    },
    load: async (exchange, { model }) => {
      await loadVersion(options, exchange, model, () => readObject(exchange.request, maxBody))
      return new Response(null, { headers: jsonType })
    },
    unload: async (exchange, { model }) => {
      await unloadVersion(options, exchange, model, () => readObject(exchange.request, maxBody))
      return new Response(null, { headers: jsonType })
    },
    'other-repository': () => {
      throw new Fault('request.unsupported', 'There is one repository, which has no name.')
    },
  }
}

/** The protocol's statuses: it knows no 422. */
const statusOf = ({ status }: Fault): number => (status === 422 ? 400 : status)

const mostShown = 5

/** Clients show this text and nothing else, so it names the first places that are wrong. */
function textOf({ message, errors = [] }: Fault): string {
  const places = errors.slice(0, mostShown).map((flaw) => `${flaw.pointer}: ${flaw.message}`)
  return [message, ...places].join(' · ')
}

/** Faults as `{"error"}`, with our code and every place that is wrong beside it. */
function refuse(fault: Fault): Response {
  const { code, errors } = fault
  const body = JSON.stringify({ error: textOf(fault), code, ...(errors ? { errors } : {}) })
  const headers = { ...jsonType, ...faultHeaders(fault) } as Record<string, string>
  if (code === 'request.media-type') headers['accept-encoding'] = codings
  return new Response(body, { status: statusOf(fault), headers })
}

export function oipDoor(options: OipDoorOptions): Door {
  const handlers = handlersOf(options)
  return {
    owns: (path) => path === '/v2' || path.startsWith('/v2/'),
    routes: endpoints,
    handle: (exchange) => {
      const target = targetOf(exchange.path)
      if (!target) throw new Fault('route.not-found', 'The protocol has no such path.')
      const { verb, method, path, class: routeClass } = target.endpoint
      exchange.route = path
      exchange.routeClass = routeClass
      if (exchange.request.method !== method) {
        throw new Fault('request.method', `Use ${method}.`, { members: { allow: [method] } })
      }
      return handlers[verb](exchange, target)
    },
    refuse,
  }
}
