// A whole server on a fresh folder, in this process (so that coverage sees it), with real engines.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { type App, createApp } from '../../src/app.ts'
import { loadConfig } from '../../src/config.ts'
import type { Role } from '../../src/core/principal.ts'
import { localContext } from '../../src/parts.ts'

export const examples = join(import.meta.dir, '../../examples/models')
export const testModels = join(import.meta.dir, '../models')

export interface Reference {
  columns: string[]
  rows: (number | string | null)[][]
  truth: unknown[]
  outputs: Record<string, unknown[]>
  metrics: Record<string, number>
}

export const referenceOf = (name: string): Reference =>
  JSON.parse(readFileSync(join(examples, name, 'reference.json'), 'utf8')) as Reference

export interface Answer<T = Record<string, unknown>> {
  status: number
  headers: Headers
  body: T
  text: string
}

export interface CallOptions {
  token?: string | null
  body?: unknown
  raw?: string | Uint8Array | FormData | ReadableStream<Uint8Array>
  headers?: Record<string, string>
}

export interface Relais {
  app: App
  url: string
  data: string
  admin: string
  /** A token of that role; `models` narrows it. The subject defaults to the role's name. */
  token(role: Role, options?: { sub?: string; models?: string[]; ttl?: number }): Promise<string>
  call<T = Record<string, any>>(
    method: string,
    path: string,
    options?: CallOptions,
  ): Promise<Answer<T>>
  /** Uploads a file; metadata as in the native API. */
  push<T = Record<string, any>>(
    name: string,
    file: string,
    metadata?: Record<string, unknown>,
    token?: string,
  ): Promise<Answer<T>>
  /** Pushes examples/models/<example> under a name, with its schema. */
  pushExample(
    name: string,
    example: string,
    metadata?: Record<string, unknown>,
    token?: string,
  ): Promise<Answer<any>>
  promote(
    name: string,
    version: number,
    stage: string,
    options?: Record<string, unknown>,
    token?: string,
  ): Promise<Answer<any>>
  predict(
    name: string,
    instances: unknown,
    options?: { at?: string; token?: string },
  ): Promise<Answer<any>>
  /** Stops the server and removes the folder. */
  close(): Promise<void>
  /** Stops the server and starts it again on the same folder. */
  restart(flags?: Record<string, string>): Promise<void>
}

/** `flags`: settings by name, e.g. {'predict-timeout': '500ms'}. */
export async function startRelais(flags: Record<string, string> = {}): Promise<Relais> {
  const data = mkdtempSync(join(tmpdir(), 'relais-test-'))
  const begin = async (extra: Record<string, string>): Promise<{ app: App; url: string }> => {
    const base = { data, port: '0', 'log-level': 'error', 'stage-grace': '0s' }
    const app = await createApp(loadConfig({ ...base, ...flags, ...extra }, {}), (error) => {
      throw error
    })
    return { app, url: await app.start() }
  }
  let running = await begin({})
  const admin = readFileSync(join(data, 'admin.token'), 'utf8').trim()

  const call: Relais['call'] = async (method, path, options = {}) => {
    const headers: Record<string, string> = { ...options.headers }
    const token = options.token === undefined ? admin : options.token
    if (token !== null) headers.authorization = `Bearer ${token}`
    let body: string | FormData | ReadableStream<Uint8Array> | Uint8Array | null = null
    if (options.raw !== undefined) body = options.raw
    else if (options.body !== undefined) {
      headers['content-type'] ??= 'application/json'
      body = JSON.stringify(options.body)
    }
    const response = await fetch(`${running.url}${path}`, { method, headers, body })
    const text = await response.text()
    let parsed: unknown = text
    try {
      parsed = JSON.parse(text)
    } catch {
      // Not every answer is JSON.
    }
    return { status: response.status, headers: response.headers, body: parsed as never, text }
  }

  const push: Relais['push'] = (name, file, metadata = {}, token = admin) => {
    const form = new FormData()
    form.set('metadata', JSON.stringify(metadata))
    form.set('model', new Blob([readFileSync(file)]), 'model.onnx')
    return call('POST', `/api/v1/models/${encodeURIComponent(name)}/versions`, { raw: form, token })
  }

  return {
    get app() {
      return running.app
    },
    get url() {
      return running.url
    },
    data,
    admin,
    token: async (role, options = {}) => {
      const { tokens } = running.app.foundation
      const { sub = role, models = null, ttl = 3_600_000 } = options
      return (await tokens.issue(localContext(), { sub, role, models, ttl })).token
    },
    call,
    push,
    pushExample: (name, example, metadata = {}, token = admin) => {
      const schema = JSON.parse(
        readFileSync(join(examples, example, 'schema.json'), 'utf8'),
      ) as unknown
      return push(name, join(examples, example, 'model.onnx'), { schema, ...metadata }, token)
    },
    promote: (name, version, stage, options = {}, token = admin) => {
      const path = `/api/v1/models/${encodeURIComponent(name)}/versions/${version}/stage`
      return call('POST', path, { token, body: { stage, ...options } })
    },
    predict: (name, instances, options = {}) => {
      const at = options.at === undefined ? '' : `/${options.at}`
      const path = `/v1/models/${encodeURIComponent(name)}${at}:predict`
      return call('POST', path, { token: options.token ?? admin, body: { instances } })
    },
    close: async () => {
      await running.app.stop()
      rmSync(data, { recursive: true, force: true })
    },
    restart: async (extra = {}) => {
      await running.app.stop()
      running = await begin(extra)
    },
  }
}

/** |a−b| ≤ 1e-5·max(1,|b|) for numbers, equality for the rest, lists and objects member by member. */
export function agrees(actual: unknown, expected: unknown): boolean {
  if (typeof actual === 'number' && typeof expected === 'number') {
    return Math.abs(actual - expected) <= 1e-5 * Math.max(1, Math.abs(expected))
  }
  if (Array.isArray(actual) && Array.isArray(expected)) {
    return (
      actual.length === expected.length && actual.every((item, at) => agrees(item, expected[at]))
    )
  }
  if (
    actual !== null &&
    expected !== null &&
    typeof actual === 'object' &&
    typeof expected === 'object'
  ) {
    const keys = Object.keys(expected)
    return (
      keys.length === Object.keys(actual).length &&
      keys.every((key) => agrees((actual as never)[key], (expected as never)[key]))
    )
  }
  return actual === expected
}
