// Calls of MLflow's REST API, and files where its clients would put them.
import type { Answer, Relais } from './relais.ts'

export type Call = (
  method: string,
  path: string,
  fields?: Record<string, unknown>,
  token?: string,
) => Promise<Answer<any>>

/** Calls an endpoint below the API's prefix; fields go into the query of a GET, else into the body. */
export function mlflowOf(relais: Relais): Call {
  return (method, path, fields = {}, token = relais.admin) => {
    const at = `/api/2.0/mlflow/${path}`
    if (method !== 'GET') return relais.call(method, at, { body: fields, token })
    const query = new URLSearchParams()
    for (const [name, value] of Object.entries(fields)) {
      for (const one of [value].flat()) query.append(name, String(one))
    }
    return relais.call('GET', `${at}?${query.toString()}`, { token })
  }
}

/** Uploads files below a folder, as MLflow's clients do. */
export async function putFiles(
  relais: Relais,
  folder: string,
  files: Record<string, string | Uint8Array>,
): Promise<void> {
  for (const [name, raw] of Object.entries(files)) {
    const path = `/api/2.0/mlflow-artifacts/artifacts/${folder}/${name}`
    const { status, text } = await relais.call('PUT', path, { raw })
    if (status !== 200) throw new Error(`${path}: ${status} ${text}`)
  }
}

const folderOf = (artifactUri: string): string => artifactUri.replace('mlflow-artifacts:/', '')

export interface Place {
  id: string
  /** Where its files go. */
  folder: string
}

/** Makes a run of the default experiment. */
export async function makeRun(call: Call, fields: Record<string, unknown> = {}): Promise<Place> {
  const { body } = await call('POST', 'runs/create', { experiment_id: '0', ...fields })
  const { run_id: id, artifact_uri: uri } = body.run.info
  return { id, folder: folderOf(uri) }
}

/** Makes a logged model of a run, pending as it is when clients register it. */
export async function makeLoggedModel(call: Call, name: string, runId: string): Promise<Place> {
  const fields = { experiment_id: '0', name, source_run_id: runId }
  const { model_id: id, artifact_uri: uri } = (await call('POST', 'logged-models', fields)).body
    .model.info
  return { id, folder: folderOf(uri) }
}

/** An MLmodel with the ONNX flavour; `inputs`: columns or tensors of the signature. */
export const mlModel = (inputs?: object[], data = 'model.onnx'): string =>
  [
    'artifact_path: model',
    'flavors:',
    '  onnx:',
    `    data: ${data}`,
    '    onnx_version: 1.20.0',
    '  python_function:',
    '    loader_module: mlflow.onnx',
    'model_id: m-1',
    ...(inputs ? ['signature:', `  inputs: '${JSON.stringify(inputs)}'`, '  outputs: null'] : []),
    '',
  ].join('\n')
