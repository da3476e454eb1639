// KServe V1 and TensorFlow Serving's REST: model list, status, predict. Outside Elysia, because
// these paths hold colons and this is the hot path.
import { Fault } from '../core/fault.ts'
import { isObject } from '../core/object.ts'
import { parseJsonText, readJsonText } from '../http/json.ts'
import { problemResponse } from '../http/problem.ts'
import type { Exchange, RouteClass } from '../http/request.ts'
import type { Door } from '../http/server.ts'
import type { Tensor } from '../onnx/tensor.ts'
import { stageNamed } from '../registry/stages.ts'
import type { Deployment } from './deployment.ts'
import type { Deployments } from './deployments.ts'
import { findDeployment, maySee, type Predictor, requireSight } from './predict.ts'
import type { Route } from './route.ts'
import { prefix, type Target, targetOf } from './target.ts'

/** Number of rows and tensors of a body in either form. */
function tensorsOf(
  deployment: Deployment,
  body: unknown,
): { tensors: Tensor[]; rows: number; form: Form } {
  const given = (isObject(body) ? body : {}) as { instances?: unknown; inputs?: unknown }
  if ((given.instances === undefined) === (given.inputs === undefined)) {
    const message = 'exactly one of instances (rows) and inputs (tensors)'
    throw new Fault('input.invalid', `The body must hold ${message}.`, {
      errors: [{ pointer: '', code: 'shape', message }],
    })
  }
  const form = given.instances === undefined ? 'inputs' : 'instances'
  const tensors =
    form === 'inputs'
      ? deployment.validator.tensors(given.inputs)
      : deployment.validator.rows(given.instances)
  return { tensors, rows: tensors[0]?.dims[0] ?? 1, form }
}

type Form = 'instances' | 'inputs'

/** Versions of the model that serve now, in TensorFlow Serving's words beside KServe's. */
function statusBody(route: Route): object {
  const serving = Object.values(route.stages).flatMap((stage) => stage.serving ?? [])
  const versions = [...new Set(serving.map((deployment) => deployment.version))]
  return {
    name: route.model,
    ready: route.stages.Production.serving !== null,
    model_version_status: versions.map((version) => ({
      version,
      state: 'AVAILABLE',
      status: { error_code: 'OK', error_message: '' },
    })),
  }
}

/** Model metadata of the whole model, or of one version or label. */
function status(deployments: Deployments, { principal }: Exchange, target: Target): Response {
  const { model, reference } = target
  requireSight(principal, model)
  const route = deployments.route(model)
  if (!route) throw new Fault('model.not-found', `No model is named ${JSON.stringify(model)}.`)
  const body = statusBody(route) as { model_version_status: { version: string }[] }
  if (reference === undefined) return Response.json(body)
  const named = stageNamed(reference)
  const stage = named === 'Production' || named === 'Staging' ? route.stages[named] : undefined
  const version = stage?.serving?.version ?? String(route.aliases.get(reference) ?? reference)
  const shown = body.model_version_status.filter((entry) => entry.version === version)
  if (shown.length === 0) throw new Fault('version.not-found', `${reference} is not loaded.`)
  return Response.json({ ...body, model_version_status: shown })
}

function list(deployments: Deployments, { principal }: Exchange): Response {
  const visible = [...deployments.all].filter(({ model }) => maySee(principal, model))
  return Response.json({ models: visible.map(({ model }) => model).sort() })
}

const wrongMethod = (allowed: string): Fault =>
  new Fault('request.method', `Use ${allowed}.`, { members: { allow: [allowed] } })

const routes: Door['routes'] = [
  { method: 'GET', path: `${prefix}`, class: 'registry' as RouteClass },
  ...['', '/versions/{version}', '/labels/{label}'].flatMap((middle) => [
    { method: 'GET', path: `${prefix}/{model}${middle}`, class: 'registry' as RouteClass },
    { method: 'POST', path: `${prefix}/{model}${middle}:predict`, class: 'predict' as RouteClass },
  ]),
]

export interface PredictDoorOptions extends Predictor {
  maxBody: number
}

/** The prediction door. Faults carry an extra member `error`, which V1 clients read (RULES §27). */
export function predictDoor(options: PredictDoorOptions): Door {
  const { deployments, maxBody, timeout } = options

  // What `withDeployment` does, without its closure and its promise: this is the hot path.
  const predict = async (exchange: Exchange, target: Target): Promise<Response> => {
    const { principal, request } = exchange
    const found = findDeployment(options, exchange, target)
    const deployment = found instanceof Promise ? await found : found
    deployment.holds += 1
    try {
      deployment.demandRoom()
      exchange.logged = deployment.logged
      const body = await readJsonText(request, maxBody)
      const scanned = typeof body === 'string' ? null : deployment.validator.scan(body)
      const { tensors, rows, form } = scanned
        ? { tensors: scanned, rows: scanned[0]?.dims[0] as number, form: 'instances' }
        : tensorsOf(deployment, parseJsonText(request, body, deployment.validator.wide))
      const answer = await deployment.run(tensors, rows, principal.sub, timeout)
      exchange.run = answer
      const { encoder, tail } = deployment
      const byRow = form === 'instances' && encoder.fitsRows(answer)
      const shown = byRow
        ? `{"predictions":${encoder.rows(answer)}`
        : `{"${form === 'inputs' ? 'outputs' : 'predictions'}":${encoder.tensors(answer)}`
      return exchange.seal(`${shown},"id":"${exchange.ownId}"${tail}`)
    } catch (error) {
      throw deployment.failed(error, exchange.started)
    } finally {
      deployment.release()
    }
  }

  const dispatch = (exchange: Exchange): Promise<Response> | Response => {
    const { path, request } = exchange
    if (path === prefix) {
      exchange.route = prefix
      if (request.method !== 'GET') throw wrongMethod('GET')
      return list(deployments, exchange)
    }
    const target = targetOf(path)
    if (!target || target.verb === 'score')
      throw new Fault('route.not-found', 'See /docs for the routes there are.')
    exchange.route = target.template
    exchange.routeClass = target.verb === 'predict' ? 'predict' : 'registry'
    const method = target.verb === 'predict' ? 'POST' : 'GET'
    if (request.method !== method) throw wrongMethod(method)
    return target.verb === 'predict'
      ? predict(exchange, target)
      : status(deployments, exchange, target)
  }

  return {
    owns: (path) =>
      path.startsWith(prefix) && (path.length === prefix.length || path[prefix.length] === '/'),
    routes,
    handle: dispatch,
    refuse: (fault, requestId) => problemResponse(fault, requestId, { error: fault.message }),
  }
}
