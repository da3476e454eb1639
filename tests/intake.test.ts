// Uploads: what is refused, what is kept with a reason, what leaves nothing (RULES §8, §24).
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'

import { sha256 } from '../src/core/ids.ts'
import { attribute, model, node, tensor, types, unary, value } from './support/onnx.ts'
import {
  type Answer,
  examples,
  referenceOf,
  type Relais,
  startRelais,
  testModels,
} from './support/relais.ts'

const file = (name: string): string => join(testModels, name)
const multi = readFileSync(file('multi.onnx'))
let relais: Relais

/** Files under a folder of the data folder, leftovers and blobs alike. */
function filesIn(folder: string): string[] {
  return readdirSync(join(relais.data, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => entry.name)
    .sort()
}

const uploadPath = (name: string): string => `/api/v1/models/${name}/versions`

function pushBytes(name: string, bytes: Uint8Array, metadata: object = {}): Promise<Answer<any>> {
  const path = join(relais.data, `${crypto.randomUUID()}.onnx`)
  writeFileSync(path, bytes)
  return relais.push(name, path, metadata as Record<string, unknown>)
}

/** A form as bytes, so that it can be malformed. */
function form(parts: { name: string; filename?: string; body: string | Uint8Array }[], end = true) {
  const boundary = 'xxBOUNDARYxx'
  const pieces = parts.flatMap(({ name, filename, body }) => {
    const named = filename === undefined ? '' : `; filename="${filename}"`
    const head = `--${boundary}\r\ncontent-disposition: form-data; name="${name}"${named}\r\n\r\n`
    return [Buffer.from(head), Buffer.from(body), Buffer.from('\r\n')]
  })
  const raw = Buffer.concat([...pieces, Buffer.from(end ? `--${boundary}--\r\n` : '')])
  return { raw, headers: { 'content-type': `multipart/form-data; boundary=${boundary}` } }
}

beforeAll(async () => {
  relais = await startRelais({ 'trial-timeout': '5s', 'max-model': '1MB' })
  expect((await relais.pushExample('bystander', 'iris')).status).toBe(201)
  expect((await relais.promote('bystander', 1, 'Production')).status).toBe(200)
}, 20_000)
afterAll(() => relais.close())

describe('files of every kind, while another model serves', () => {
  let going = true
  let asked = 0
  const failed: string[] = []
  let client: Promise<void>
  let engines: number[]
  beforeAll(() => {
    const { rows } = referenceOf('iris')
    engines = relais.app.deployments.engines.map(({ pid }) => pid)
    client = (async () => {
      while (going) {
        const answer = await relais.predict('bystander', [rows[asked % rows.length]])
        asked += 1
        if (answer.status !== 200) failed.push(answer.text)
        await Bun.sleep(2)
      }
    })()
  })
  afterAll(async () => {
    going = false
    await client
  })

  const refused: Record<string, string> = {
    'external.onnx': 'model.external-data',
    'external-escape.onnx': 'model.external-data',
    'external-subgraph.onnx': 'model.external-data',
    'custom-domain.onnx': 'model.unknown-domain',
    'not-onnx.bin': 'model.not-onnx',
    'truncated.onnx': 'model.not-onnx',
    'if-nested.onnx': 'model.not-onnx',
  }
  for (const [name, code] of Object.entries(refused)) {
    test(`§24: ${name} is refused and leaves nothing`, async () => {
      const model_ = `refused-${name.replace(/\..*/, '')}`
      const blobs = filesIn('blobs')
      const { status, body, text } = await relais.push(model_, file(name))
      expect([status, body.code]).toEqual([422, code])
      expect(text).not.toMatch(/passwd|\/tmp|\.upload/)
      expect((await relais.call('GET', `/api/v1/models/${model_}`)).status).toBe(404)
      expect([filesIn('tmp'), filesIn('blobs')]).toEqual([[], blobs])
    })
  }

  const failing: Record<string, RegExp> = {
    'crash-load-layernorm.onnx': /^crashed while ONNX Runtime loaded it/,
    'crash-load-split.onnx': /^crashed while ONNX Runtime loaded it/,
    'crash-run-attention.onnx': /^crashed while it ran for the first time/,
    'crash-run-resize.onnx': /^crashed while it ran for the first time/,
    'crash-run-dft.onnx': /^crashed while it ran for the first time/,
    'hang-run-loop.onnx': /^hung while it ran for the first time/,
  }
  for (const [name, reason] of Object.entries(failing)) {
    test(`§8: ${name} keeps its number and its reason, and enters no served stage`, async () => {
      const model_ = name.replace('.onnx', '')
      const started = performance.now()
      const { status, body } = await relais.push(model_, file(name))
      expect(performance.now() - started).toBeLessThan(7000)
      const { version, servability, status: state } = body
      expect([status, version, servability, state]).toEqual([
        201,
        1,
        'failed',
        'FAILED_REGISTRATION',
      ])
      expect(body.reason).toMatch(reason)
      for (const stage of ['Staging', 'Production']) {
        const moved = await relais.promote(model_, 1, stage)
        expect([stage, moved.status, moved.body.code]).toEqual([stage, 409, 'version.failed'])
      }
      const asked_ = await relais.predict(model_, [[1]], { at: 'versions/1' })
      expect([asked_.status, asked_.body.code]).toEqual([409, 'version.failed'])
      const next = await relais.push(model_, file('multi.onnx'))
      expect([next.status, next.body.version]).toEqual([201, 2])
      expect(filesIn('tmp')).toEqual([])
    }, 10_000)
  }

  const sound = readdirSync(testModels).filter(
    (name) => name.endsWith('.onnx') && !(name in refused) && !(name in failing),
  )
  const notBatchable = new Set(['mean.onnx', 'scalar.onnx', 'spin.onnx', 'resize.onnx'])
  for (const name of sound) {
    test(`${name} is servable, ${notBatchable.has(name) ? 'not ' : ''}batchable`, async () => {
      const { status, body } = await relais.push(name.replace('.onnx', ''), file(name))
      expect([status, body.status, body.servability]).toEqual([201, 'READY', 'servable'])
      expect(body.trial.batchable).toBe(!notBatchable.has(name))
      if (notBatchable.has(name)) expect(body.trial.batch_note.length).toBeGreaterThan(5)
    })
  }

  test('a model that asks for 2^40 elements is contained', async () => {
    const huge = Buffer.from(new BigInt64Array([2n ** 40n]).buffer)
    const bytes = model({
      nodes: [
        node('ConstantOfShape', ['size'], ['all']),
        node('ReduceMax', ['all'], ['top'], {
          attributes: [attribute('keepdims', 2, [3, 1])],
        }),
        node('Add', ['x', 'top'], ['y']),
      ],
      inputs: [value('x', types.float, ['N', 1])],
      outputs: [value('y', types.float, ['N', 1])],
      initializers: [tensor('size', { type: types.int64, dims: [1], raw: huge })],
    })
    const { status, body } = await pushBytes('huge', bytes)
    expect(status).toBe(201)
    // Either the first run is refused, or the child ends: never a version that is said to be well.
    if (body.servability === 'servable') expect(body.trial.sample_note).toMatch(/refused/)
    else expect(body.reason).toMatch(/memory|crashed/)
    expect(filesIn('tmp')).toEqual([])
  }, 10_000)

  test('the one that served all along never failed and kept its engine', () => {
    expect(failed).toEqual([])
    expect(asked).toBeGreaterThan(500)
    const now = relais.app.deployments.engines.map(({ pid }) => pid)
    for (const pid of engines) expect(now).toContain(pid)
  })
})

describe('§23 the schema that comes without a file', () => {
  test('one input: f0, f1, …; several: the name of the input and a number', async () => {
    const one = await relais.push('drawn-one', file('identity-float32.onnx'))
    expect(one.body.schema.columns.map((column: any) => [column.name, column.type])).toEqual([
      ['f0', 'float32'],
      ['f1', 'float32'],
    ])
    const several = await relais.push('drawn-several', file('multi.onnx'))
    expect(several.body.schema.columns.map((column: any) => column.name)).toEqual([
      'a_0',
      'a_1',
      'a_2',
      'b_0',
      'b_1',
      'b_2',
    ])
    const scalar = await relais.push('drawn-scalar', file('scalar.onnx'))
    expect([scalar.body.schema.form, scalar.body.schema.columns]).toEqual(['tensors', []])
  })

  test('a schema that does not fit is refused with every place', async () => {
    const schema = {
      columns: [{ name: 'a', min: 'low' }, { name: 'a', kind: 'x' }, 7],
      task: 'magic',
      colour: 1,
    }
    const { status, body } = await relais.push('misfit', file('identity-float32.onnx'), { schema })
    expect([status, body.code]).toEqual([422, 'schema.invalid'])
    const places = body.errors.map((flaw: any) => flaw.pointer)
    for (const place of ['/colour', '/columns/0/min', '/columns/1/kind', '/columns/2', '/task']) {
      expect(places).toContain(place)
    }
    expect((await relais.call('GET', '/api/v1/models/misfit')).status).toBe(404)
  })

  test('a nullable integer is refused at push', async () => {
    const schema = { columns: [{ name: 'a', nullable: true }, { name: 'b' }] }
    const { status, body } = await relais.push('nullable', file('identity-int64.onnx'), { schema })
    expect([status, body.errors?.[0].pointer]).toEqual([422, '/columns/0/nullable'])
  })
})

test('with ZipMap, original and rewritten bytes can be had', async () => {
  const original = readFileSync(join(examples, 'iris/model.onnx'))
  const { body } = await relais.pushExample('zipped', 'iris')
  const fetchBytes = async (query: string): Promise<Buffer> => {
    const response = await fetch(`${relais.url}/api/v1/models/zipped/versions/1/model${query}`, {
      headers: { authorization: `Bearer ${relais.admin}` },
    })
    expect(response.status).toBe(200)
    return Buffer.from(await response.arrayBuffer())
  }
  const both = [await fetchBytes(''), await fetchBytes('?original=true')]
  const digests = both.map((bytes) => sha256(bytes))
  expect(original.includes('ZipMap')).toBe(true)
  expect(digests).toContain(sha256(original))
  expect(new Set(digests).size).toBe(2)
  const rewritten = both.find((bytes) => !bytes.equals(original))!
  expect(rewritten.includes('ZipMap')).toBe(false)
  expect(digests).toContain(body.artifact.sha256)
  expect(body.artifact.original_sha256).toBe(sha256(original))
})

describe('how a file arrives', () => {
  const names = () => relais.call('GET', '/api/v1/models?limit=100')

  test('bare bytes with metadata in the query', async () => {
    const query =
      '?metric=accuracy=0.9&metric=f1=0.8&param=depth=3&tag=team=a=b&commit=abc&description=Hi%20there'
    const answer = await relais.call('POST', `${uploadPath('bare')}${query}`, {
      raw: multi,
      headers: { 'content-type': 'application/octet-stream' },
    })
    expect(answer.status).toBe(201)
    const { metrics, params, tags, git_commit, description } = answer.body
    expect([metrics, params, tags, git_commit, description]).toEqual([
      { accuracy: 0.9, f1: 0.8 },
      { depth: '3' },
      { team: 'a=b' },
      'abc',
      'Hi there',
    ])
    for (const bad of ['?metric=accuracy=high', '?metric=accuracy=', '?param=novalue', '?tag==x']) {
      const refused = await relais.call('POST', `${uploadPath('bare')}${bad}`, {
        raw: multi,
        headers: { 'content-type': 'application/octet-stream' },
      })
      expect([bad, refused.status, refused.body.code]).toEqual([bad, 422, 'request.invalid'])
    }
  })

  test('metadata after the file counts too', async () => {
    const { raw, headers } = form([
      { name: 'model', filename: 'm.onnx', body: multi },
      { name: 'metadata', body: '{"tags":{"late":"yes"}}' },
    ])
    const answer = await relais.call('POST', uploadPath('late'), { raw, headers })
    expect([answer.status, answer.body.tags]).toEqual([201, { late: 'yes' }])
  })

  const ok = { name: 'model', filename: 'm.onnx', body: multi }
  const cases: [string, ReturnType<typeof form>, number, string][] = [
    ['no file', form([{ name: 'metadata', body: '{}' }]), 422, 'request.invalid'],
    ['nothing at all', form([]), 422, 'request.invalid'],
    ['wrong field name', form([{ ...ok, name: 'file' }]), 422, 'request.invalid'],
    ['unknown text field', form([{ name: 'extra', body: 'x' }, ok]), 422, 'request.invalid'],
    ['model as text', form([{ name: 'model', body: 'x' }]), 422, 'request.invalid'],
    ['metadata no JSON', form([{ name: 'metadata', body: '{' }, ok]), 400, 'request.malformed'],
    ['metadata a list', form([{ name: 'metadata', body: '[]' }, ok]), 422, 'request.invalid'],
    [
      'metadata after the file, wrong',
      form([ok, { name: 'metadata', body: '{"colour":1}' }]),
      422,
      'request.invalid',
    ],
    ['empty file', form([{ ...ok, body: '' }]), 422, 'model.not-onnx'],
    ['form cut off within the file', form([ok], false), 400, 'request.malformed'],
    ['two files', form([ok, { ...ok, filename: 'n.onnx' }]), 422, 'request.invalid'],
  ]
  for (const [name, { raw, headers }, status, code] of cases) {
    test(`form: ${name}`, async () => {
      const answer = await relais.call('POST', uploadPath('formless'), { raw, headers })
      expect([answer.status, answer.body.code]).toEqual([status, code])
      expect((await relais.call('GET', '/api/v1/models/formless')).status).toBe(404)
      expect(filesIn('tmp')).toEqual([])
    })
  }

  test('every wrong member of the metadata is told', async () => {
    const metadata = {
      description: 7,
      tags: { a: 1 },
      metrics: { accuracy: 'high' },
      params: [],
      colour: 'red',
    }
    const { status, body } = await relais.push('wrong', file('multi.onnx'), metadata)
    expect(status).toBe(422)
    expect(body.errors.map((flaw: any) => flaw.pointer).sort()).toEqual([
      '/colour',
      '/description',
      '/metrics/accuracy',
      '/params',
      '/tags/a',
    ])
  })

  test('other content types are 415, a form without boundary 400, no body 422', async () => {
    const send = (type: string | null, raw: Uint8Array | string) =>
      relais.call('POST', uploadPath('typed'), {
        raw,
        headers: type === null ? {} : { 'content-type': type },
      })
    expect((await send('application/json', '{}')).status).toBe(415)
    expect((await send('text/plain', 'x')).status).toBe(415)
    expect((await send('multipart/form-data', 'x')).status).toBe(400)
    const empty = await send('application/octet-stream', '')
    expect([empty.status, empty.body.code]).toEqual([422, 'model.not-onnx'])
  })

  test('a file over max-model is 413 in every form, and leaves nothing', async () => {
    const big = Buffer.alloc((1 << 20) + 1)
    const octets = { 'content-type': 'application/octet-stream' }
    const chunks = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let at = 0; at < 20; at += 1) controller.enqueue(big.subarray(0, 1 << 16))
        controller.close()
      },
    })
    const answers = [
      await relais.call('POST', uploadPath('big'), { raw: big, headers: octets }),
      await relais.call('POST', uploadPath('big'), { raw: chunks, headers: octets }),
      await relais.call('POST', uploadPath('big'), form([{ ...ok, body: big }])),
    ]
    expect(answers.map(({ status, body }) => [status, body.code])).toEqual(
      Array(3).fill([413, 'request.too-large']),
    )
    expect(filesIn('tmp')).toEqual([])
    expect((await relais.call('GET', '/api/v1/models/big')).status).toBe(404)
  })

  test('an upload that breaks off leaves no file, no blob, no version', async () => {
    const blobs = filesIn('blobs')
    const { port } = new URL(relais.url)
    const { raw, headers } = form([ok])
    const kinds = [headers['content-type'], 'application/octet-stream']
    for (const type of kinds) {
      const body = type === kinds[0] ? raw : multi
      const socket = connect(Number(port), '127.0.0.1')
      socket.on('error', () => undefined)
      socket.write(
        // A short host name is as good as any.
        `POST ${uploadPath('broken')} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${relais.admin}\r\n` +
          `content-type: ${type}\r\ncontent-length: ${body.length + 5000}\r\n\r\n`,
      )
      socket.write(body.subarray(0, body.length - 20))
      const end = performance.now() + 3000
      while (filesIn('tmp').length === 0 && performance.now() < end) await Bun.sleep(10)
      expect(filesIn('tmp').length).toBe(1)
      socket.destroy()
      while (filesIn('tmp').length > 0 && performance.now() < end) await Bun.sleep(10)
      expect([type, filesIn('tmp'), filesIn('blobs')]).toEqual([type, [], blobs])
    }
    expect((await relais.call('GET', '/api/v1/models/broken')).status).toBe(404)
    expect((await names()).status).toBe(200)
  }, 10_000)

  test('pushes at the same time get distinct numbers without a gap', async () => {
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, at) =>
        relais.push('crowd', file('multi.onnx'), { tags: { at: String(at) } }),
      ),
    )
    expect(answers.map(({ status }) => status)).toEqual(Array(8).fill(201))
    const numbers = answers.map(({ body }) => body.version).sort((a, b) => a - b)
    expect(numbers).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
  }, 15_000)

  test('the same bytes twice are stored once, and no one may write to them', async () => {
    const bytes = unary('Abs')
    const before = filesIn('blobs').length
    const first = await pushBytes('twins', bytes)
    const second = await pushBytes('twins', bytes)
    expect([first.body.version, second.body.version]).toEqual([1, 2])
    // The model, and the MLmodel file that describes it.
    expect(filesIn('blobs').length).toBe(before + 2)
    const digest = sha256(bytes)
    const { mode } = statSync(join(relais.data, 'blobs', digest.slice(0, 2), digest))
    expect(mode & 0o377).toBe(0)
  })

  test('a name that is not allowed is refused before the file is read', async () => {
    for (const name of ['.', '..', 'a%2Fb', 'a%00b', '%20a', 'a%E2%80%AEb', 'x'.repeat(256)]) {
      const answer = await relais.call('POST', `/api/v1/models/${name}/versions`, form([ok]))
      expect([name, [404, 405, 422].includes(answer.status)]).toEqual([name, true])
    }
  })
})
