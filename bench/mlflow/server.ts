// The two servers that are compared.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

import { newest } from '../../tests/support/mlflow.ts'
import { freePort } from '../../tests/support/port.ts'
import { pythonWith } from '../../tests/support/python.ts'
import { start, untilReady } from '../process.ts'
import { binary, startRelais } from '../relais.ts'

export interface Server extends AsyncDisposable {
  name: string
  url: string
  headers: Record<string, string>
  /** Path of its SQLite file. */
  database: string
}

export async function startOurs(): Promise<Server> {
  const relais = await startRelais([binary])
  return {
    name: 'relais',
    url: relais.url,
    headers: { authorization: `Bearer ${relais.token}` },
    database: join(dirname(relais.log), 'relais.db'),
    [Symbol.asyncDispose]: () => Promise.resolve(relais[Symbol.asyncDispose]()),
  }
}

/** `mlflow server` as it comes, on SQLite. */
export async function startTheirs(): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), 'relais-bench-mlflow-'))
  const python = await pythonWith(newest)
  const port = freePort()
  const url = `http://127.0.0.1:${port}`
  const database = join(folder, 'mlflow.db')
  const words = ['server', '--backend-store-uri', `sqlite:///${database}`, '--port', String(port)]
  const server = start([python, '-m', 'mlflow', ...words], {
    env: {
      PATH: `${dirname(python)}:${process.env.PATH}`,
      HOME: folder,
      MLFLOW_DISABLE_TELEMETRY: 'true',
    },
  })
  await untilReady(() => fetch(`${url}/api/2.0/mlflow/registered-models/search`), 120)
  return {
    name: 'mlflow',
    url,
    headers: {},
    database,
    [Symbol.asyncDispose]: async () => {
      await server.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
