// MLflow's scoring protocol: invocations of any version, and of the default model with its ping.
import { Fault } from '../core/fault.ts'
import { type ModelReference, parseModelUri } from '../core/model-uri.ts'
import { readJsonBody } from '../http/json.ts'
import { demandPlain, type Exchange, readBody } from '../http/request.ts'
import type { Door } from '../http/server.ts'
import type { Deployment } from '../inference/deployment.ts'
import type { Deployments } from '../inference/deployments.ts'
import { type Predictor, withDeployment } from '../inference/predict.ts'
import { asksInvocations, prefix, targetOf } from '../inference/target.ts'
import { csvFrame } from './csv.ts'
import { errorResponse } from './error.ts'
import { recordsFrame, splitFrame } from './frame.ts'
import { type Fed, InputSchema } from './input-schema.ts'
import { predictionsText } from './predictions.ts'

/** One entry per key that can hold the data. */
const formats: Record<string, (schema: InputSchema, value: unknown) => Fed> = {
  dataframe_split: (schema, value) => schema.frame(splitFrame(value)),
  dataframe_records: (schema, value) => schema.frame(recordsFrame(value)),
  instances: (schema, value) => schema.instances(value),
  inputs: (schema, value) => schema.values(value),
}

const formatNames = Object.keys(formats)

/** Keys that turn MLflow's server to the protocol of language models. */
const languageKeys = ['messages', 'prompt', 'input']

/** The data of a JSON body. `params` and unknown keys are ignored: no version declares parameters. */
function fedFromJson(schema: InputSchema, body: unknown): Fed {
  const keys = typeof body === 'object' && body !== null ? Object.keys(body) : []
  if (keys.some((key) => languageKeys.includes(key))) {
    const list = languageKeys.join(', ')
    throw new Fault('input.invalid', `The keys ${list} are for language models; this is none.`)
  }
  const given = keys.filter((key) => formatNames.includes(key))
  const [key = ''] = given
  const read = formats[key]
  if (given.length === 1 && read) return read(schema, (body as Record<string, unknown>)[key])
  const list = formatNames.join(', ')
  throw new Fault(
    'request.malformed',
    `The input must be a JSON dictionary with exactly one of the input fields ${list}.`,
  )
}

const mediaFault = (message: string): Fault => new Fault('request.media-type', message)

/** MLflow's rules for Content-Type: JSON or CSV in UTF-8, and no parameter but the charset. */
function mediaTypeOf({ headers }: Request): 'application/json' | 'text/csv' {
  const [type = '', ...parameters] = (headers.get('content-type') ?? '').toLowerCase().split(';')
  for (const parameter of parameters) {
    const [name = '', value = ''] = parameter.split('=').map((part) => part.trim())
    if (name !== 'charset') throw mediaFault(`Unrecognized content type parameter: ${name}`)
    if (value !== 'utf-8') throw mediaFault('The scoring server only supports UTF-8')
  }
  const mime = type.trim()
  if (mime === 'application/json' || mime === 'text/csv') return mime
  if (mime === 'application/vnd.apache.parquet') {
    throw mediaFault('Parquet is not read here; send application/json or text/csv.')
  }
  throw mediaFault('The content type must be application/json or text/csv.')
}

const schemas = new WeakMap<Deployment, InputSchema>()

function schemaOf(deployment: Deployment): InputSchema {
  const known = schemas.get(deployment)
  if (known) return known
  const schema = new InputSchema(deployment)
  schemas.set(deployment, schema)
  return schema
}

async function fedFrom(deployment: Deployment, request: Request, most: number): Promise<Fed> {
  const schema = schemaOf(deployment)
  if (mediaTypeOf(request) === 'application/json') {
    return fedFromJson(schema, await readJsonBody(request, most, deployment.validator.wide))
  }
  demandPlain(request)
  const bytes = await readBody(request, most)
  return schema.frame(await csvFrame(bytes, (name) => schema.typeOf(name)))
}

/** 200 while the model can serve, else 404, with a newline: what container platforms probe. */
async function ping(deployments: Deployments, at: ModelReference | null): Promise<Response> {
  const answer = (status: number): Response =>
    new Response('\n', { status, headers: { 'content-type': 'application/json' } })
  if (!at) return answer(404)
  try {
    const { model, reference } = at
    await (reference === undefined
      ? deployments.production(model)
      : deployments.find(model, reference))
    return answer(200)
  } catch (error) {
    if (error instanceof Fault) return answer(404)
    throw error
  }
}

const middles = ['', '/versions/{version}', '/labels/{label}']

export interface InvocationsDoorOptions extends Predictor {
  maxBody: number
  /** What `/invocations` and `/ping` ask, as MLflow users write it; empty: nothing. */
  defaultModel: string
}

/** The scoring door. Its faults have MLflow's shape. */
export function invocationsDoor(options: InvocationsDoorOptions): Door {
  const { defaultModel, deployments, maxBody, timeout } = options
  const home = parseModelUri(defaultModel)

  /** The model that a path asks for, with the exchange's route set. */
  const targetIn = (exchange: Exchange): ModelReference => {
    const { path } = exchange
    const target = path === '/invocations' ? null : targetOf(path)
    const at = target ?? (path === '/invocations' ? home : null)
    if (target || path === '/invocations') exchange.route = target?.template ?? path
    if (at) return at
    throw new Fault('route.not-found', `Post to ${prefix}/NAME/invocations, or set default-model.`)
  }

  const invoke = (exchange: Exchange): Promise<Response> => {
    const { principal, request } = exchange
    exchange.routeClass = 'predict'
    const at = targetIn(exchange)
    if (request.method !== 'POST') {
      throw new Fault('request.method', 'Use POST.', { members: { allow: ['POST'] } })
    }
    return withDeployment(options, exchange, at, async (deployment) => {
      const { tensors, form } = await fedFrom(deployment, request, maxBody)
      const rows = tensors[0]?.dims[0] ?? 1
      const answer = await deployment.run(tensors, rows, principal.sub, timeout)
      exchange.run = answer
      return exchange.seal(predictionsText(deployment, answer, form))
    })
  }

  return {
    owns: (path) => path === '/invocations' || path === '/ping' || asksInvocations(path),
    routes: [
      { method: 'GET', path: '/ping', class: 'health' },
      ...['/invocations', ...middles.map((m) => `${prefix}/{model}${m}/invocations`)].map(
        (path) => ({ method: 'POST', path, class: 'predict' as const }),
      ),
    ],
    handle: (exchange) => {
      if (exchange.path !== '/ping') return invoke(exchange)
      exchange.route = '/ping'
      exchange.routeClass = 'health'
      if (exchange.request.method === 'GET') return ping(deployments, home)
      throw new Fault('request.method', 'Use GET.', { members: { allow: ['GET'] } })
    },
    refuse: errorResponse,
  }
}
