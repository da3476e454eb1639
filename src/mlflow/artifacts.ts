// Artifacts for MLflow's clients: files are streamed in and out, folders listed.
import { basename } from 'node:path/posix'

import { Fault } from '../core/fault.ts'
import { decodeSegment } from '../core/path.ts'
import type { Right } from '../core/principal.ts'
import { fileResponse } from '../http/file.ts'
import { demandPlain, type Exchange, type RouteClass } from '../http/request.ts'
import type { Door } from '../http/server.ts'
import {
  type Artifacts,
  listArtifacts,
  readArtifact,
  removeArtifact,
  writeArtifact,
} from '../registry/artifacts.ts'
import { type FolderEntry, folderOfVersion, pathOfUri } from '../registry/files.ts'
import { readVersion } from '../registry/versions.ts'
import { getLoggedModel } from '../tracking/logged-models.ts'
import { getRun } from '../tracking/runs.ts'
import type { Endpoint } from './door.ts'
import { apiError } from './error.ts'
import { type Fields, queryFields } from './fields.ts'
import { reading } from './tracking-endpoint.ts'

const prefixes = ['/api/2.0/mlflow-artifacts/', '/ajax-api/2.0/mlflow-artifacts/'] as const
const rawOfRun = '/get-artifact'
const rawOfVersion = '/model-versions/get-artifact'

/** What MLflow shows as text, by extension or, where there is none, by name. */
const textNames: ReadonlySet<string> = new Set(
  (
    'txt log err cfg conf cnf cf ini properties prop hocon toml yaml yml xml json js py py3 csv ' +
    'tsv md rst ipynb MLmodel MLproject'
  ).split(' '),
)

function mediaTypeOf(name: string): string {
  const dot = name.lastIndexOf('.')
  if (textNames.has(dot > 0 ? name.slice(dot + 1) : name)) return 'text/plain'
  return Bun.file(name).type.split(';', 1)[0] ?? ''
}

/** RFC 6266: the name in ASCII, and in full where that loses something. */
function dispositionOf(name: string): string {
  const plain = name.replaceAll(/[^\x20-\x7e]|["%]/g, '_')
  const full = encodeURIComponent(name).replaceAll(
    /['()*]/g,
    (c) => `%${c.charCodeAt(0).toString(16)}`,
  )
  return `attachment; filename="${plain}"${plain === name ? '' : `; filename*=UTF-8''${full}`}`
}

/** Does an If-None-Match header name the tag? */
const isKnown = (header: string | null, tag: string): boolean =>
  header?.split(',').some((one) => ['*', tag, `W/${tag}`].includes(one.trim())) ?? false

/** The bytes of a file from disk, or those of them that the request asks for. */
async function sendFile(s: Artifacts, exchange: Exchange, path: string): Promise<Response> {
  const { file, bytes } = await readArtifact(s, exchange, path)
  const { method, headers: asked } = exchange.request
  const etag = `"${file.sha256}"`
  if (isKnown(asked.get('if-none-match'), etag)) {
    return new Response(null, { status: 304, headers: { etag } })
  }
  const name = basename(path)
  const headers = {
    'content-type': mediaTypeOf(name),
    'content-disposition': dispositionOf(name),
    'accept-ranges': 'bytes',
    etag,
  }
  if (method !== 'HEAD') return fileResponse(exchange.request, bytes, headers)
  return new Response(null, { headers: { ...headers, 'content-length': String(file.size) } })
}

async function storeFile(s: Artifacts, exchange: Exchange, path: string): Promise<Response> {
  const { request } = exchange
  const declared = Number(request.headers.get('content-length') ?? Number.NaN)
  demandPlain(request)
  await writeArtifact(s, exchange, path, { chunks: request.body ?? [], declared })
  return exchange.seal('{}')
}

/** Entries as MLflow shows them: below `parent`, folders without a size. */
function filesOf(entries: readonly FolderEntry[], parent = ''): object {
  const prefix = parent === '' ? '' : `${parent}/`
  const files = entries.map(({ name, isDir, size }) => {
    const path = `${prefix}${name}`
    // As in protobuf's JSON, an empty file has no size.
    return size ? { path, is_dir: isDir, file_size: size } : { path, is_dir: isDir }
  })
  return files.length === 0 ? {} : { files }
}

const withoutSlashes = (path: string): string => path.replace(/\/+$/, '')

async function listFolder(s: Artifacts, exchange: Exchange): Promise<Response> {
  const { searchParams } = new URL(exchange.request.url)
  const folder = withoutSlashes(searchParams.get('path') ?? '')
  return exchange.seal(JSON.stringify(filesOf(await listArtifacts(s, exchange, folder))))
}

/** A path below the folder that a URI names, as one path of the tree. */
function placeIn(uri: string, path: string): string {
  const root = pathOfUri(uri)
  if (root === null) throw new Fault('artifact.not-found', `${uri} does not lie on this server.`)
  return path === '' ? root : `${root}/${path}`
}

async function listBelow(
  s: Artifacts,
  exchange: Exchange,
  uri: string,
  folder: string,
): Promise<object> {
  const entries = await listArtifacts(s, exchange, placeIn(uri, folder))
  return { root_uri: uri, ...filesOf(entries, folder) }
}

const folderIn = (fields: Fields, name: string): string =>
  withoutSlashes(fields.optionalText(name) ?? '')

/** Listings of runs and logged models. All of a folder comes at once, so no page follows. */
export const artifactEndpoints = (s: Artifacts): Endpoint[] => [
  reading('artifacts/list', async (ctx, fields) => {
    const runId = fields.optionalText('run_id') ?? fields.optionalText('run_uuid')
    if (runId === undefined) throw fields.missing('run_id')
    const { run } = await getRun(s, ctx, runId)
    return listBelow(s, ctx, run.artifactUri, folderIn(fields, 'path'))
  }),
  reading('logged-models/{model_id}/artifacts/directories', async (ctx, fields, at) => {
    const { model } = await getLoggedModel(s, ctx, at.model_id ?? '', false)
    return listBelow(s, ctx, model.artifactUri, folderIn(fields, 'artifact_directory_path'))
  }),
]

type Handler = (s: Artifacts, exchange: Exchange, path: string) => Promise<Response>

interface Route {
  /** Below a prefix, or whole; `{path}` is all that follows. */
  path: string
  methods: Record<string, Handler>
  class: RouteClass
}

/** The client goes on with a plain transfer when it reads these words. */
const notServed =
  (what: string, right: Right): Handler =>
  async (s, exchange) => {
    await s.access.require(exchange, right)
    const words = `${what} is not supported for the current artifact repository`
    throw new Fault('request.unsupported', `${words}: files are streamed.`)
  }

const rawFields = ({ request }: Exchange): Fields => queryFields(new URL(request.url).searchParams)

const sendOfRun: Handler = async (s, exchange) => {
  const fields = rawFields(exchange)
  const { run } = await getRun(s, exchange, fields.text('run_id'))
  return sendFile(s, exchange, placeIn(run.artifactUri, fields.text('path')))
}

const sendOfVersion: Handler = async (s, exchange) => {
  const fields = rawFields(exchange)
  const [name, version] = [fields.text('name'), String(fields.integer('version'))]
  const { row } = await readVersion(s, exchange, name, version)
  return sendFile(s, exchange, `${folderOfVersion(row.id)}/${fields.text('path')}`)
}

const multipart = { POST: notServed('Multipart upload', 'runs:write') }

const routes: readonly Route[] = [
  { path: 'artifacts', methods: { GET: listFolder }, class: 'registry' },
  {
    path: 'artifacts/{path}',
    methods: {
      GET: sendFile,
      HEAD: sendFile,
      PUT: storeFile,
      DELETE: async (s, exchange, path) => {
        await removeArtifact(s, exchange, path)
        return exchange.seal('{}')
      },
    },
    class: 'stream',
  },
  { path: 'mpu/create/{path}', methods: multipart, class: 'stream' },
  { path: 'mpu/complete/{path}', methods: multipart, class: 'stream' },
  { path: 'mpu/abort/{path}', methods: multipart, class: 'stream' },
  {
    path: 'presigned/{path}',
    methods: { GET: notServed('Presigned download', 'runs:read') },
    class: 'stream',
  },
]

/** Every route with its whole path template. */
const table: readonly Route[] = [
  ...prefixes.flatMap((prefix) => routes.map((one) => ({ ...one, path: `${prefix}${one.path}` }))),
  { path: rawOfRun, methods: { GET: sendOfRun, HEAD: sendOfRun }, class: 'stream' },
  { path: rawOfVersion, methods: { GET: sendOfVersion, HEAD: sendOfVersion }, class: 'stream' },
]

/** The route of a request path and what stands for `{path}`, still percent-encoded. */
function find(path: string): { route: Route; rest: string } {
  for (const route of table) {
    const [head = '', tail] = route.path.split('{path}')
    if (tail === undefined ? path === head : path.startsWith(head)) {
      return { route, rest: path.slice(head.length) }
    }
  }
  throw new Fault('route.not-found', `${path} is no part of MLflow's API that is served here.`)
}

/** The door of MLflow's artifact proxy, and of the two paths from which its pages download. */
export function artifactDoor(s: Artifacts): Door {
  return {
    owns: (path) =>
      path === rawOfRun || path === rawOfVersion || prefixes.some((one) => path.startsWith(one)),
    silence: 'upload',
    routes: table.flatMap(({ path, methods, class: routeClass }) =>
      Object.keys(methods).map((method) => ({ method, path, class: routeClass })),
    ),
    handle: (exchange) => {
      const { route, rest } = find(exchange.path)
      exchange.route = route.path
      exchange.routeClass = route.class
      const handler = route.methods[exchange.request.method]
      if (handler) return handler(s, exchange, decodeSegment(rest))
      const allow = Object.keys(route.methods)
      throw new Fault('request.method', `Use ${allow.join(' or ')}.`, { members: { allow } })
    },
    refuse: apiError,
  }
}
