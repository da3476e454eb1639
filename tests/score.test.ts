// Batch scoring over HTTP: CSV and JSON lines in and out, bad rows, limits, pauses, abandoned jobs.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'

import { wireFrames } from '../src/scoring/wire.ts'
import {
  agrees,
  type Answer,
  referenceOf,
  type Relais,
  startRelais,
  testModels,
} from './support/relais.ts'

let relais: Relais

beforeAll(async () => {
  relais = await startRelais({ 'upload-timeout': '4s', 'max-body': '64KB' })
  for (const name of ['iris', 'customers', 'breast-cancer']) {
    await relais.pushExample(name, name)
    await relais.promote(name, 1, 'Production')
  }
  for (const name of ['multi', 'identity-float32', 'div', 'resize']) {
    const pushed = await relais.push(name, join(testModels, `${name}.onnx`))
    if (pushed.status === 201) await relais.promote(name, 1, 'Production')
  }
}, 60_000)
afterAll(() => relais.close())

interface Sent {
  type?: string
  accept?: string
  query?: string
  token?: string | null
  at?: string
}

const csv = 'text/csv'
const jsonl = 'application/x-ndjson'

function score(
  name: string,
  raw: string | ReadableStream<Uint8Array>,
  sent: Sent = {},
): Promise<Answer<any>> {
  const { type = csv, accept, query = '', at = '', token } = sent
  const headers = { 'content-type': type, ...(accept === undefined ? {} : { accept }) }
  const path = `/v1/models/${name}${at}:score${query}`
  return relais.call('POST', path, { raw, headers, ...(token === undefined ? {} : { token }) })
}

const linesOf = (text: string): any[] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
const cellsOf = (text: string): string[][] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => line.split(','))

const iris = referenceOf('iris')
const irisHead = iris.columns.join(',')
const [a = [], b = []] = iris.rows
const irisCsv = `${irisHead}\n${a.join(',')}\n${b.join(',')}\n`
const irisColumns = [
  'output_label',
  'output_probability_0',
  'output_probability_1',
  'output_probability_2',
]

/** The JSON lines that a CSV of the iris model should give. */
async function predicted(rows: readonly unknown[], name = 'iris'): Promise<object[]> {
  const answer = await relais.predict(name, rows)
  return answer.body.predictions.map((prediction: unknown) => ({ prediction }))
}

describe('results', () => {
  for (const name of ['iris', 'breast-cancer', 'customers']) {
    test(`${name}: every form gives what :predict gives`, async () => {
      const { columns, rows } = referenceOf(name)
      const body = [columns, ...rows].map((row) => row.map((v) => v ?? '').join(',')).join('\n')
      const objects = rows.map((row) => Object.fromEntries(columns.map((c, at) => [c, row[at]])))
      const lines = objects.map((row) => JSON.stringify(row)).join('\n')
      const lists = rows.map((row) => JSON.stringify(row)).join('\n')
      const expected = await predicted(rows, name)
      for (const [type, sent] of [
        [csv, body],
        [jsonl, lines],
        ['application/jsonl', lists],
      ] as const) {
        const answer = await score(name, sent, { type, accept: jsonl })
        expect([answer.status, answer.headers.get('content-type')]).toEqual([200, jsonl])
        expect(agrees(linesOf(answer.text), expected)).toBe(true)
        const asCsv = await score(name, sent, { type, accept: csv })
        const [head = [], ...cells] = cellsOf(asCsv.text)
        const classes = head.slice(1, -1).map((column) => column.replace('output_probability_', ''))
        expect([head[0], head.at(-1)]).toEqual(['output_label', 'error'])
        const back = cells.map(([label = '', ...scores]) => ({
          prediction: {
            output_label: Number.isNaN(Number(label)) ? label : Number(label),
            output_probability: scores.slice(0, classes.length).map(Number),
          },
        }))
        expect(agrees(back, expected)).toBe(true)
      }
    })
  }

  test('columns are named by the classes of the schema; floats have few digits', async () => {
    const answer = await score('iris', irisCsv)
    const [head, first] = cellsOf(answer.text)
    expect(head).toEqual([...irisColumns, 'error'])
    expect(first?.every((cell) => cell.length < 12)).toBe(true)
    const customers = referenceOf('customers')
    const body = `${customers.columns.join(',')}\n${customers.rows[0]?.map((v) => v ?? '').join(',')}\n`
    const text = (await score('customers', body)).text
    expect(text.split('\n')[0]).toBe(
      'output_label,output_probability_leaves,output_probability_stays,error',
    )
  })

  test('several outputs of any width', async () => {
    const body = 'a_0,a_1,a_2,b_0,b_1,b_2\n1,2,3,4,5,6\n'
    expect((await score('multi', body)).text).toBe('sum_0,sum_1,sum_2,dot,error\n5,7,9,32,\n')
    const asJson = await score('multi', body, { accept: jsonl })
    expect(linesOf(asJson.text)).toEqual([{ prediction: { sum: [5, 7, 9], dot: 32 } }])
  })

  test('many batches keep their order', async () => {
    const rows = Array.from({ length: 20_000 }, (_, at) => [
      at % 7,
      (at % 5) / 2,
      at % 3,
      at / 20_000,
    ])
    const body = `${irisHead}\n${rows.map((row) => row.join(',')).join('\n')}\n`
    const answer = await score('iris', body, { accept: jsonl })
    const lines = linesOf(answer.text)
    expect(lines.length).toBe(rows.length)
    for (const at of [0, 63, 64, 65, 1024, 9_999, 19_999]) {
      expect(agrees([lines[at]], await predicted([rows[at]]))).toBe(true)
    }
  })
})

test.each([
  [200, 1],
  [2, 2],
  [0.01, 64],
])('a model that takes %p ms for a row begins with batches of %p', async (millis, first) => {
  const name = `slow-${first}`
  await relais.pushExample(name, 'iris')
  await relais.promote(name, 1, 'Production')
  const serving = relais.app.deployments.route(name)?.stages.Production.serving
  if (!serving) throw new Error(`${name} is not served`)
  Object.assign(serving.row.trial as object, { run_ms: millis })
  const runBulk = serving.runBulk.bind(serving)
  const sizes: number[] = []
  serving.runBulk = (tensors, rows, ...rest) => {
    sizes.push(rows)
    return runBulk(tensors, rows, ...rest)
  }
  await score(name, `${irisHead}\n${`${a.join(',')}\n`.repeat(20_000)}`)
  expect(sizes[0]).toBe(first)
  // What is measured counts more than what was tried.
  expect(Math.max(...sizes)).toBeGreaterThan(64)
})

test('jobs run in an engine of their own, so that requests do not wait behind them', async () => {
  const processes = () => relais.app.deployments.engines.map(({ key, pid }) => ({ key, pid }))
  await score('iris', irisCsv)
  const [live, bulk] = ['live', 'bulk'].map((key) => processes().find((one) => one.key === key))
  expect([live?.pid !== undefined, bulk?.pid !== undefined]).toEqual([true, true])
  process.kill(bulk?.pid as number, 'SIGKILL')
  const [scored, asked] = await Promise.all([score('iris', irisCsv), relais.predict('iris', [a])])
  expect([scored.status, asked.status]).toEqual([200, 200])
  expect(processes()).toContainEqual(live as { key: string; pid: number })
})

describe('how CSV may look', () => {
  const row = a.join(',')
  const reordered = [...iris.columns].reverse().join(',')
  const cases: [string, string, number][] = [
    ['no newline at the end', `${irisHead}\n${row}`, 1],
    ['CRLF', `${irisHead}\r\n${row}\r\n${row}\r\n`, 2],
    ['blank lines', `\n${irisHead}\n\n${row}\n  \n${row}\n\n`, 2],
    ['a byte order mark', `\ufeff${irisHead}\n${row}\n`, 1],
    ['quotes', `"${iris.columns.join('","')}"\n"${a.join('","')}"\n${row}\n`, 2],
    ['spaces', `${iris.columns.join(' , ')}\n ${a.join(' , ')} \n`, 1],
    ['another order', `${reordered}\n${[...a].reverse().join(',')}\n`, 1],
    ['exponents', `${irisHead}\n${a.map((v) => Number(v).toExponential()).join(',')}\n`, 1],
    ['many digits', `${irisHead}\n${a.map((v) => Number(v).toFixed(18)).join(',')}\n`, 1],
  ]
  test.each(cases)('%s', async (_name, body, count) => {
    const answer = await score('iris', body, { accept: jsonl })
    const [expected] = await predicted([a])
    expect(
      agrees(
        linesOf(answer.text),
        Array.from({ length: count }, () => expected),
      ),
    ).toBe(true)
  })

  test('a header alone is an empty result', async () => {
    const answer = await score('iris', `${irisHead}\n`)
    expect([answer.status, answer.text]).toEqual([200, `${irisColumns.join(',')},error\n`])
    expect((await score('iris', '', { type: jsonl })).text).toBe('')
  })

  test('strings with commas, quotes and newlines are kept as they are', async () => {
    const [first = []] = referenceOf('customers').rows
    const { columns } = referenceOf('customers')
    const note = 'said "no",\nthen yes'
    const cells = first.map((v) => v ?? '').join(',')
    const body = `${columns.join(',')},note\n${cells},"${note.replaceAll('"', '""')}"\n`
    const answer = await score('customers', body, { accept: jsonl, query: '?keep=note' })
    expect(linesOf(answer.text)[0].note).toBe(note)
    const asCsv = await score('customers', body, { query: '?keep=note' })
    expect(asCsv.text).toStartWith('note,output_label')
    expect(asCsv.text).toContain('"said ""no"",\nthen yes",')
  })
})

describe('keep', () => {
  test('inputs and other columns, in the order asked for', async () => {
    const body = `id,${irisHead}\n00x,${a.join(',')}\n01,${b.join(',')}\n`
    const query = `?keep=${iris.columns[1]}&keep=id`
    const answer = await score('iris', body, { query, accept: jsonl })
    const kept = linesOf(answer.text).map((line) => Object.keys(line))
    expect(kept[0]).toEqual([iris.columns[1] as string, 'id', 'prediction'])
    expect(linesOf(answer.text).map(({ id }) => id)).toEqual(['00x', '01'])
    expect(linesOf(answer.text)[0][iris.columns[1] as string]).toBe(a[1] as number)
    const lines = `{"id":7,${JSON.stringify(Object.fromEntries(iris.columns.map((c, at) => [c, a[at]]))).slice(1)}`
    const fromJson = await score('iris', lines, { type: jsonl, accept: csv, query: '?keep=id' })
    expect(cellsOf(fromJson.text)[1]?.[0]).toBe('7')
  })

  test('a column of the result cannot be kept, and a header must have what is kept', async () => {
    const clash = await score('iris', irisCsv, { query: '?keep=output_label' })
    expect([clash.status, clash.body.errors[0].pointer]).toEqual([422, '/query/keep'])
    const missing = await score('iris', irisCsv, { query: '?keep=id' })
    expect([missing.status, missing.body.errors[0]]).toMatchObject([
      422,
      { pointer: '/header/id', code: 'missing' },
    ])
  })
})

describe('bad rows', () => {
  const [x = '', y = ''] = iris.columns
  const good = a.join(',')
  const bads: [string, string, object][] = [
    ['text for a number', 'abc,1,1,1', { column: x, code: 'type' }],
    ['not finite', 'NaN,1,1,1', { column: x, code: 'type' }],
    ['empty', ',1,1,1', { column: x, code: 'null' }],
    ['above the maximum', '1,99999,1,1', { column: y, code: 'max' }],
    ['below the minimum', '1,-1,1,1', { column: y, code: 'min' }],
    ['beyond float32', '1e39,1,1,1', { column: x, code: 'range' }],
    ['too few cells', '1,2,3', { code: 'csv', message: 'expected 4 cells, got 3' }],
    ['too many cells', '1,2,3,4,5', { code: 'csv', message: 'expected 4 cells, got 5' }],
    ['wrong quotes', '"1"2,2,3,4', { code: 'csv' }],
  ]
  test.each(bads)('%s', async (_name, bad, flaw) => {
    const body = `${irisHead}\n${good}\n${bad}\n${good}\n`
    const skipped = await score('iris', body, { accept: jsonl, query: '?on-error=skip' })
    const [first, second, third] = linesOf(skipped.text)
    expect(third).toEqual(first)
    expect(second).toMatchObject({ row: 2, errors: [flaw] })
    const inCsv = cellsOf((await score('iris', body, { query: '?on-error=skip' })).text)
    expect(inCsv.length).toBe(4)
    expect(inCsv[2]?.slice(0, 4)).toEqual(['', '', '', ''])
    expect(inCsv[2]?.slice(4).join(',')).toContain('row 2: ')
    const stopped = await score('iris', body)
    expect([stopped.status, stopped.body.code, stopped.body.row]).toEqual([422, 'input.invalid', 2])
  })

  test('of JSON lines', async () => {
    const rows = [
      JSON.stringify(a),
      '{"nonsense"',
      '[1,2,3]',
      `{"${x}":1}`,
      JSON.stringify([...a.slice(0, 3), 'x']),
      '',
      `{"a":${'['.repeat(20_000)}${']'.repeat(20_000)}}`,
      JSON.stringify(a),
    ]
    const query = '?on-error=skip'
    const answer = await score('iris', rows.join('\n'), { type: jsonl, query })
    const lines = linesOf(answer.text)
    expect(lines.length).toBe(7)
    expect(lines[6]).toEqual(lines[0])
    const found = lines
      .slice(1, 6)
      .map(({ row, errors }) => [row, errors[0].code, errors[0].column])
    expect(found).toEqual([
      [2, 'json', undefined],
      [3, 'length', undefined],
      [4, 'missing', iris.columns[1]],
      [5, 'type', iris.columns[3]],
      [6, 'json', undefined],
    ])
  })

  test('strings and integers are checked as :predict checks them', async () => {
    const { columns, rows } = referenceOf('customers')
    const lines = ['gold', 'basic', 'basic', 'basic'].map((plan, at) => {
      const row = [...(rows[0] ?? [])]
      row[0] = plan
      row[3] = at === 2 ? 1.5 : 12
      row[6] = null
      if (at === 3) row[4] = null
      return row.map((v) => v ?? '').join(',')
    })
    const body = `${columns.join(',')}\n${lines.join('\n')}\n`
    const answer = await score('customers', body, { accept: jsonl, query: '?on-error=skip' })
    const [gold, fine, half, none] = linesOf(answer.text)
    expect(gold).toMatchObject({ row: 1, errors: [{ column: 'plan', code: 'allowed' }] })
    expect(fine.prediction.output_label).toBeString()
    expect(half).toMatchObject({ row: 3, errors: [{ column: 'tenure_months', code: 'type' }] })
    expect(none).toMatchObject({ row: 4, errors: [{ column: 'support_calls', code: 'null' }] })
  })

  test('every one of many is told, in its place', async () => {
    const rows = Array.from({ length: 5_000 }, (_, at) => (at % 3 === 1 ? 'x,1,1,1' : good))
    const body = `${irisHead}\n${rows.join('\n')}\n`
    const answer = await score('iris', body, { accept: jsonl, query: '?on-error=skip' })
    const lines = linesOf(answer.text)
    expect(lines.length).toBe(5_000)
    const wrong = lines.filter((line, at) =>
      at % 3 === 1 ? line.row !== at + 1 : !line.prediction,
    )
    expect(wrong).toEqual([])
  })

  test('a row that the model refuses is found among others', async () => {
    const rows = Array.from({ length: 300 }, (_, at) => `{"a":6,"b":${at === 123 ? 0 : 2}}`)
    const answer = await score('div', rows.join('\n'), { type: jsonl, query: '?on-error=skip' })
    const lines = linesOf(answer.text)
    expect([lines.length, lines[0]]).toEqual([300, { prediction: 3 }])
    expect(lines[123]).toMatchObject({ row: 124, errors: [{ code: 'inference.failed' }] })
    expect(lines[124]).toEqual({ prediction: 3 })
  })

  test('a job that stops after results were sent says so last, and is cut off', async () => {
    const rows = Array.from({ length: 60_000 }, (_, at) => (at === 50_000 ? 'x,1,1,1' : good))
    const url = `${relais.url}/v1/models/iris:score`
    const headers = { authorization: `Bearer ${relais.admin}`, 'content-type': csv, accept: jsonl }
    const body = `${irisHead}\n${rows.join('\n')}\n`
    const response = await fetch(url, { method: 'POST', headers, body })
    expect(response.status).toBe(200)
    let text = ''
    const decoder = new TextDecoder()
    const read = async (): Promise<void> => {
      for await (const chunk of response.body ?? []) text += decoder.decode(chunk, { stream: true })
    }
    const end = await read().then(
      () => 'whole',
      () => 'cut off',
    )
    expect(end).toBe('cut off')
    const lines = linesOf(text)
    expect(lines.length).toBe(50_001)
    expect(lines.at(-1).error).toMatchObject({ code: 'input.invalid', row: 50_001 })
  })
})

describe('refusals', () => {
  const of = (answer: Answer<any>): [number, string] => [answer.status, answer.body.code]

  test('without a token, the right, or a model', async () => {
    const token = await relais.token('viewer')
    expect(of(await score('iris', irisCsv, { token: null }))).toEqual([401, 'auth.missing'])
    expect(of(await score('iris', irisCsv, { token }))).toEqual([403, 'access.denied'])
    expect(of(await score('nowhere', irisCsv))).toEqual([404, 'model.not-found'])
    expect(of(await score('iris', irisCsv, { at: '/versions/9' }))).toEqual([
      404,
      'version.not-found',
    ])
    expect(of(await score('iris', irisCsv, { at: '/labels/Staging' }))).toEqual([
      404,
      'stage.empty',
    ])
    const wrong = await relais.call('GET', '/v1/models/iris:score')
    expect([...of(wrong), wrong.headers.get('allow')]).toEqual([405, 'request.method', 'POST'])
    expect((await relais.call('POST', '/v1/models/a/b/c:score')).status).toBe(404)
  })

  test.each([
    [{ type: 'application/json' }, 415, 'request.media-type'],
    [{ accept: 'application/json' }, 415, 'request.media-type'],
    [{ type: 'constructor' }, 415, 'request.media-type'],
    [{ accept: 'constructor' }, 415, 'request.media-type'],
    [{ query: '?on-error=panic' }, 422, 'request.invalid'],
  ])('%j', async (sent, status, code) => {
    expect(of(await score('iris', irisCsv, sent))).toEqual([status, code])
  })

  test.each([
    ['', 400, 'request.malformed'],
    [`${irisHead},extra\n1,1,1,1,1\n`, 422, 'input.invalid'],
    [`${irisHead},${iris.columns[0]}\n1,1,1,1,1\n`, 422, 'input.invalid'],
    [`${iris.columns.slice(1).join(',')}\n1,1,1\n`, 422, 'input.invalid'],
    ['5.1,3.5,1.4,0.2\n5.1,3.5,1.4,0.2\n', 422, 'input.invalid'],
    [`"${irisHead}\n1,1,1,1\n`, 400, 'request.malformed'],
    [`${irisHead}\n"1,1,1,1\n`, 400, 'request.malformed'],
    [`${irisHead}\n${'1'.repeat(2 << 20)},1,1,1\n`, 413, 'request.too-large'],
  ])('CSV %#', async (body, status, code) => {
    expect(of(await score('iris', body, { query: '?on-error=skip' }))).toEqual([status, code])
  })

  test('a JSON line of two megabytes', async () => {
    const body = `["${'x'.repeat(2 << 20)}"]\n`
    expect(of(await score('iris', body, { type: jsonl }))).toEqual([413, 'request.too-large'])
  })
})

describe('the stream', () => {
  const headers = (): Record<string, string> => ({
    authorization: `Bearer ${relais.admin}`,
    'content-type': csv,
    accept: jsonl,
  })

  /** A body that goes on for as long as it is read. */
  function endless(onRow?: (sent: number) => void): ReadableStream<Uint8Array> {
    const rows = Buffer.from(`${a.join(',')}\n`.repeat(2_000))
    let sent = 0
    return new ReadableStream({
      start: (controller) => controller.enqueue(Buffer.from(`${irisHead}\n`)),
      pull: (controller) => {
        sent += rows.length
        onRow?.(sent)
        controller.enqueue(rows)
      },
    })
  }

  const holds = (): number =>
    relais.app.deployments.route('iris')?.stages.Production.serving?.holds ?? -1

  /** At once as a rule; where the end of a connection goes unnoticed, after the longest pause: hence 20 s. */
  async function released(): Promise<boolean> {
    for (let tries = 0; tries < 1_000 && holds() > 0; tries += 1) await Bun.sleep(10)
    return holds() === 0
  }

  test('names its version, and is bigger than the largest body of other requests', async () => {
    const body = `${irisHead}\n${`${a.join(',')}\n`.repeat(20_000)}`
    expect(body.length).toBeGreaterThan(64 << 10)
    const answer = await score('iris', body, { at: '/versions/1' })
    expect([answer.status, answer.headers.get('x-relais-model-version')]).toEqual([200, '1'])
    expect(answer.text.split('\n').length).toBe(20_002)
  })

  test('answers while it is sent; who leaves frees everything', async () => {
    const abort = new AbortController()
    const url = `${relais.url}/v1/models/iris:score`
    const init = { method: 'POST', headers: headers(), body: endless(), signal: abort.signal }
    const response = await fetch(url, init)
    const reader = response.body?.getReader()
    for (let read = 0; read < 2 << 20;) read += (await reader?.read())?.value?.length ?? 0
    expect(holds()).toBe(1)
    abort.abort()
    expect(await released()).toBe(true)
  }, 20_000)

  test('who leaves holds the version until the last batch has run', async () => {
    const serving = relais.app.deployments.route('iris')?.stages.Production.serving
    if (!serving) throw new Error('iris is not served')
    const runBulk = serving.runBulk.bind(serving)
    let [launched, running] = [0, 0]
    serving.runBulk = async (...asked) => {
      launched += 1
      running += 1
      await Bun.sleep(300)
      return runBulk(...asked).finally(() => (running -= 1))
    }
    try {
      const abort = new AbortController()
      const url = `${relais.url}/v1/models/iris:score`
      const init = { method: 'POST', headers: headers(), body: endless(), signal: abort.signal }
      const response = await fetch(url, init)
      expect(response.status).toBe(200)
      abort.abort()
      expect(await released()).toBe(true)
      const before = launched
      expect(running).toBe(0)
      await Bun.sleep(700)
      expect(launched).toBe(before)
    } finally {
      serving.runBulk = runBulk
    }
  }, 20_000)

  test('a reader that stops makes the sender stop', async () => {
    let sent = 0
    const abort = new AbortController()
    const body = endless((bytes) => void (sent = bytes))
    const url = `${relais.url}/v1/models/iris:score`
    await fetch(url, { method: 'POST', headers: headers(), body, signal: abort.signal })
    let before = -1
    while (sent !== before) {
      before = sent
      await Bun.sleep(300)
    }
    expect(sent).toBeLessThan(64 << 20)
    abort.abort()
    expect(await released()).toBe(true)
  }, 20_000)

  test('a pause that is too long ends it', async () => {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(Buffer.from(`${irisHead}\n`)),
    })
    const answer = await score('iris', body)
    expect([answer.status, answer.body.code]).toEqual([400, 'request.malformed'])
    expect(await released()).toBe(true)
  }, 20_000)

  test('holds its version while another goes live', async () => {
    await relais.pushExample('swap', 'iris')
    await relais.promote('swap', 1, 'Production')
    let go: (() => void) | null = null
    const gate = new Promise<void>((resolve) => (go = resolve))
    const rows = Buffer.from(`${a.join(',')}\n`.repeat(5_000))
    let step = 0
    const body = new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        step += 1
        if (step === 1) controller.enqueue(Buffer.from(`${irisHead}\n`))
        else if (step === 2) controller.enqueue(rows)
        else if (step === 3) {
          await gate
          controller.enqueue(rows)
        } else controller.close()
      },
    })
    const url = `${relais.url}/v1/models/swap:score`
    const response = await fetch(url, { method: 'POST', headers: headers(), body })
    await relais.pushExample('swap', 'iris')
    await relais.promote('swap', 2, 'Production')
    ;(go as unknown as () => void)()
    expect(linesOf(await response.text()).length).toBe(10_000)
    expect(response.headers.get('x-relais-model-version')).toBe('1')
    expect((await score('swap', irisCsv)).headers.get('x-relais-model-version')).toBe('2')
  })

  test('in frames: start, data, bad rows, end', async () => {
    const url = `${relais.url}/v1/models/iris:score?on-error=skip`
    const accept = 'application/vnd.relais.score+csv'
    const body = `${irisHead}\n${a.join(',')}\nx,1,1,1\n`
    const response = await fetch(url, { method: 'POST', headers: { ...headers(), accept }, body })
    const frames: [string, string][] = []
    for await (const { kind, payload } of wireFrames(response.body!)) {
      frames.push([kind, Buffer.from(payload).toString()])
    }
    expect(frames.map(([kind]) => kind)).toEqual(['start', 'data', 'bad', 'end'])
    expect(JSON.parse(frames[0]![1])).toMatchObject({ model: 'iris', version: '1' })
    expect(frames[1]![1].split('\n')[0]).toBe(irisColumns.join(','))
    expect(JSON.parse(frames[2]![1]).row).toBe(2)
    expect(JSON.parse(frames[3]![1])).toEqual({ rows: 2 })
  })
})
