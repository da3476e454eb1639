// Clients that keep a server busy, and what they may see.
import { expect } from 'bun:test'
import { join } from 'node:path'

import { agrees, type Answer, referenceOf, type Relais, testModels } from './relais.ts'

export const file = (name: string): string => join(testModels, `${name}.onnx`)
export const iris = referenceOf('iris')
const irisOf: Record<string, typeof iris> = { '1': iris, '2': referenceOf('iris-v2') }

export function post(
  relais: Relais,
  name: string,
  raw: string,
  token?: string,
): Promise<Answer<any>> {
  const headers = { 'content-type': 'application/json' }
  const whose = token === undefined ? {} : { token }
  return relais.call('POST', `/v1/models/${name}:predict`, { raw, headers, ...whose })
}

/** Does an answer about some rows of iris equal the reference of the version it names? */
export function isRight(answer: Answer<any>, rows: number[]): boolean {
  const reference = irisOf[answer.body.model_version]
  if (!reference) return false
  return rows.every((row, at) => {
    const expected = {
      output_label: reference.outputs['output_label']![row],
      output_probability: reference.outputs['output_probability']![row],
    }
    return agrees(answer.body.predictions[at], expected)
  })
}

export interface Loop {
  answers: { status: number; right: boolean; milliseconds: number; answer: Answer<any> }[]
  /** Ends it and waits for the requests that are on their way. */
  end(): Promise<Loop['answers']>
}

const stops = new Set<() => void>()

/** Ends the clients of a test that failed before it did so; for `afterEach`. */
export function stopLoops(): void {
  for (const stop of stops) stop()
  stops.clear()
}

/** What `stopLoops` calls. */
export const onStop = (stop: () => void): unknown => stops.add(stop)

/** Clients that ask for iris again and again, each waiting for its answer. */
export function loop(relais: Relais, clients: number, name = 'iris', tokens: string[] = []): Loop {
  let going = true
  onStop(() => (going = false))
  const answers: Loop['answers'] = []
  const client = async (who: number): Promise<void> => {
    for (let turn = who; going; turn += 1) {
      const row = turn % iris.rows.length
      const started = performance.now()
      const token = tokens[who % Math.max(1, tokens.length)]
      const body = JSON.stringify({ instances: [iris.rows[row]] })
      const answer = await post(relais, name, body, token)
      const right = answer.status === 200 && isRight(answer, [row])
      answers.push({
        status: answer.status,
        right,
        milliseconds: performance.now() - started,
        answer,
      })
    }
  }
  const running = Array.from({ length: clients }, (_, who) => client(who))
  return {
    answers,
    end: async () => {
      going = false
      await Promise.all(running)
      return answers
    },
  }
}

/** What went wrong in a loop: at most a few samples, so that a failure can be read. */
export const failures = (answers: Loop['answers']): unknown[] =>
  answers
    .filter(({ right }) => !right)
    .slice(0, 5)
    .map(({ status, answer }) => [status, answer.text.slice(0, 300)])

export async function serve(relais: Relais, name: string, path: string, stage = 'Production') {
  const pushed = await relais.push(name, path)
  expect([name, pushed.status, pushed.body.detail]).toEqual([name, 201, undefined])
  const moved = await relais.promote(name, pushed.body.version, stage)
  expect([name, moved.status, moved.body.detail]).toEqual([name, 200, undefined])
}

export async function serveIris(relais: Relais, name = 'iris'): Promise<void> {
  expect((await relais.pushExample(name, 'iris')).status).toBe(201)
  expect((await relais.promote(name, 1, 'Production')).status).toBe(200)
}

export async function until(
  what: () => boolean | Promise<boolean>,
  milliseconds = 5000,
): Promise<void> {
  const end = performance.now() + milliseconds
  while (!(await what())) {
    if (performance.now() > end) throw new Error('it did not happen in time')
    await Bun.sleep(10)
  }
}

export const versionOf = async (relais: Relais, name: string, version: number): Promise<any> =>
  (await relais.call('GET', `/api/v1/models/${name}/versions/${version}`)).body

export const pidsOf = (relais: Relais): number[] =>
  relais.app.deployments.engines.map(({ pid }) => pid)
