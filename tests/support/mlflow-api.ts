// Calls of MLflow's REST API, and files where its clients would put them.
import { createHash } from 'node:crypto'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'

import { loggedModels, runs } from '../../src/db/tables.ts'
import { writeFile } from '../../src/registry/files.ts'
import { blobPath } from './faults.ts'
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

/** Puts files where the artifact door would: blobs in storage, rows in the table. */
export async function putFiles(
  { app, data }: Relais,
  folder: string,
  files: Record<string, string | Uint8Array>,
): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    const bytes = Buffer.from(content as string)
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    const path = blobPath(data, sha256)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, bytes, { flag: 'w' })
    chmodSync(path, 0o600)
    const file = { path: `${folder}/${name}`, sha256, size: bytes.length, createdBy: 'test' }
    await app.foundation.db.tx((tx) => writeFile(tx, file))
  }
}

export async function makeRun({ app }: Relais, id: string): Promise<string> {
  const folder = `0/${id}/artifacts`
  await app.foundation.db.tx(async (tx) => {
    await tx.insert(runs).values({
      id,
      experimentId: 0,
      name: 'calm-run',
      userId: 'ann',
      status: 'FINISHED',
      startTime: 1,
      endTime: 2,
      artifactUri: `mlflow-artifacts:/${folder}`,
      createdBy: 'test',
      deletedAt: null,
    })
  })
  return folder
}

export async function makeLoggedModel(
  { app }: Relais,
  model: { id: string; name: string; runId?: string },
): Promise<string> {
  const folder = `0/models/${model.id}/artifacts`
  await app.foundation.db.tx(async (tx) => {
    await tx.insert(loggedModels).values({
      id: model.id,
      experimentId: 0,
      name: model.name,
      modelType: null,
      sourceRunId: model.runId ?? null,
      artifactUri: `mlflow-artifacts:/${folder}`,
      status: 'PENDING',
      statusMessage: null,
      createdBy: 'test',
      createdAt: 1,
      updatedAt: 1,
      deletedAt: null,
    })
  })
  return folder
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
