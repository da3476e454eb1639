import { Database } from 'bun:sqlite'
// Artifacts at MLflow's door: what is stored comes back, hostile paths and callers do not get in.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readdirSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'

import { sha256 } from '../src/core/ids.ts'
import { blobPath, flipByte, until } from './support/faults.ts'
import { rawGet, sendRaw } from './support/raw.ts'
import {
  type Answer,
  type CallOptions,
  type Relais,
  startRelais,
  testModels,
} from './support/relais.ts'

const base = '/api/2.0/mlflow-artifacts/artifacts'
const most = 1 << 20
let relais: Relais
beforeAll(async () => {
  relais = await startRelais({ 'max-model': '1MB' })
})
afterAll(() => relais.close())

const put = (path: string, raw: CallOptions['raw'], options: CallOptions = {}) =>
  relais.call('PUT', `${base}/${path}`, { raw, ...options } as CallOptions)
const get = (path: string, headers: Record<string, string> = {}) =>
  relais.call('GET', `${base}/${path}`, { headers })
const remove = (path: string) => relais.call('DELETE', `${base}/${path}`)
const list = async (path: string) => {
  const { status, body } = await relais.call('GET', `${base}?path=${encodeURIComponent(path)}`)
  expect(status).toBe(200)
  return body.files
}
const filesIn = (folder: string): string[] =>
  readdirSync(join(relais.data, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => entry.name)
/** Status and MLflow's code. */
const verdict = ({ status, body }: Answer<any>): unknown[] => [status, body.error_code]

describe('in and out', () => {
  const contents: [string, Uint8Array][] = [
    ['1/a/artifacts/notes.txt', Buffer.from('hello')],
    ['1/a/artifacts/model/MLmodel', Buffer.from('flavors: {}')],
    ['1/a/artifacts/empty.bin', new Uint8Array(0)],
    ['1/a/artifacts/random.onnx', crypto.getRandomValues(new Uint8Array(50_000))],
    ['1/a/artifacts/grüße & 100%.csv', Buffer.from('a,b\n1,2\n')],
    ['1/a/artifacts/with space/[x]+y=z;w,v@u!(t)*.json', Buffer.from('{}')],
    ['plain', Buffer.from('at the top')],
  ]
  const encoded = (path: string): string => path.split('/').map(encodeURIComponent).join('/')
  for (const [path, bytes] of contents) {
    test(path, async () => {
      const stored = await put(encoded(path), bytes, { headers: { 'content-type': 'text/odd' } })
      expect([stored.status, stored.body]).toEqual([200, {}])
      for (const prefix of ['/api', '/ajax-api']) {
        const url = `${relais.url}${base.replace('/api', prefix)}/${encoded(path)}`
        const headers = { authorization: `Bearer ${relais.admin}` }
        const answer = await fetch(url, { headers })
        expect(answer.status).toBe(200)
        expect(Buffer.from(await answer.arrayBuffer()).equals(bytes)).toBe(true)
        expect(answer.headers.get('etag')).toBe(`"${sha256(bytes)}"`)
        expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
        expect(answer.headers.get('content-disposition')).toStartWith('attachment; filename="')
        const head = await fetch(url, { method: 'HEAD', headers })
        expect([head.status, head.headers.get('content-length')]).toEqual([
          200,
          String(bytes.length),
        ])
      }
    })
  }

  test('types by name', async () => {
    const types: Record<string, string> = {
      MLmodel: 'text/plain',
      MLproject: 'text/plain',
      'conda.yaml': 'text/plain',
      'a.json': 'text/plain',
      'page.html': 'text/html',
      'plot.png': 'image/png',
      'model.onnx': 'application/octet-stream',
      nothing: 'application/octet-stream',
      '.json': 'application/octet-stream',
    }
    for (const [name, type] of Object.entries(types)) {
      await put(`types/${name}`, 'x')
      const { headers } = await get(`types/${name}`)
      expect([name, headers.get('content-type')]).toEqual([name, type])
    }
  })

  test('a name that is not ASCII is told in full, and no name leaves its quotes', async () => {
    await put('names/gr%C3%BC%C3%9Fe%22%0x.txt'.replace('%0x', ''), 'x')
    const { headers } = await get('names/gr%C3%BC%C3%9Fe%22.txt')
    expect(headers.get('content-disposition')).toBe(
      `attachment; filename="gr__e_.txt"; filename*=UTF-8''gr%C3%BC%C3%9Fe%22.txt`,
    )
  })

  test('chunked bodies, with bytes and without', async () => {
    const chunked = (path: string, body: string) =>
      sendRaw(
        relais.url,
        `PUT ${base}/${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${relais.admin}\r\n` +
          `transfer-encoding: chunked\r\nconnection: close\r\n\r\n${body}0\r\n\r\n`,
      )
    expect((await chunked('chunked/some', '3\r\nabc\r\n2\r\nde\r\n')).status).toBe(200)
    expect((await chunked('chunked/none', '')).status).toBe(200)
    expect((await get('chunked/some')).text).toBe('abcde')
    expect((await get('chunked/none')).text).toBe('')
    expect(await list('chunked')).toEqual([
      { path: 'none', is_dir: false },
      { path: 'some', is_dir: false, file_size: 5 },
    ])
  })

  test('written again, the newer bytes count', async () => {
    await put('again/x', 'one')
    await put('again/x', 'other')
    expect((await get('again/x')).text).toBe('other')
    expect(await list('again')).toEqual([{ path: 'x', is_dir: false, file_size: 5 }])
  })

  test('ranges and tags', async () => {
    await put('ranges/x', '0123456789')
    const tag = `"${sha256('0123456789')}"`
    const rows: [Record<string, string>, number, string, string | null][] = [
      [{ range: 'bytes=2-4' }, 206, '234', 'bytes 2-4/10'],
      [{ range: 'bytes=-3' }, 206, '789', 'bytes 7-9/10'],
      [{ range: 'bytes=8-99' }, 206, '89', 'bytes 8-9/10'],
      [{ range: 'bytes=10-' }, 416, '', 'bytes */10'],
      [{ range: 'bytes=0-1,4-5' }, 200, '0123456789', null],
      [{ range: 'lines=1-2' }, 200, '0123456789', null],
      [{ range: 'bytes=2-4', 'if-range': tag }, 206, '234', 'bytes 2-4/10'],
      [{ range: 'bytes=2-4', 'if-range': '"other"' }, 200, '0123456789', null],
      [{ 'if-none-match': tag }, 304, '', null],
      [{ 'if-none-match': `"other", W/${tag}` }, 304, '', null],
      [{ 'if-none-match': '*' }, 304, '', null],
      [{ 'if-none-match': '"other"' }, 200, '0123456789', null],
    ]
    for (const [headers, status, text, range] of rows) {
      const answer = await get('ranges/x', headers)
      expect([headers, answer.status, answer.text, answer.headers.get('content-range')]).toEqual([
        headers,
        status,
        text,
        range,
      ])
    }
  })
})

describe('folders', () => {
  beforeAll(async () => {
    for (const path of ['t/a', 't/b/c', 't/b/d/e', 't/b.txt', 't/b-1', 't0', 'tt/x']) {
      await put(path, path)
    }
  })

  test('are listed by name, one level at a time', async () => {
    expect(await list('t')).toEqual([
      { path: 'a', is_dir: false, file_size: 3 },
      { path: 'b', is_dir: true },
      { path: 'b-1', is_dir: false, file_size: 5 },
      { path: 'b.txt', is_dir: false, file_size: 7 },
    ])
    expect(await list('t/b/')).toEqual([
      { path: 'c', is_dir: false, file_size: 5 },
      { path: 'd', is_dir: true },
    ])
    for (const nothing of ['t/a', 't/none', 'none']) expect(await list(nothing)).toBeUndefined()
    expect((await list('')).map((file: any) => file.path)).toContain('tt')
  })

  test('of many files are listed whole', async () => {
    const names = Array.from({ length: 1203 }, (_, at) => `f${String(at).padStart(5, '0')}`)
    const db = new Database(join(relais.data, 'relais.db'))
    const insert = db.prepare('INSERT INTO files VALUES (?, ?, ?, ?, ?)')
    db.transaction(() => {
      for (const name of names) {
        insert.run(`many/${name}`, '0'.repeat(64), 1, 'x', 0)
        insert.run(`many/g/${name}`, '0'.repeat(64), 1, 'x', 0)
      }
    })()
    expect((await list('many')).map((file: any) => file.path)).toEqual([...names, 'g'])
    db.run("DELETE FROM files WHERE path LIKE 'many/%'")
    db.close()
  })

  test('a name is a file or a folder', async () => {
    const refused = await put('t/b', 'x')
    expect(verdict(refused)).toEqual([400, 'INVALID_PARAMETER_VALUE'])
    expect(refused.body.message).toContain('is a folder')
    const inside = await put('t/a/x/y', 'x')
    expect(verdict(inside)).toEqual([400, 'INVALID_PARAMETER_VALUE'])
    expect(inside.body.message).toContain('is a file')
    expect((await get('t/a')).text).toBe('t/a')
  })

  test('are deleted with all they hold, and nothing else', async () => {
    expect([(await remove('t/b')).status, (await remove('t/b')).body]).toEqual([200, {}])
    expect((await list('t')).map((file: any) => file.path)).toEqual(['a', 'b-1', 'b.txt'])
    expect((await remove('t')).status).toBe(200)
    expect(await list('t')).toBeUndefined()
    for (const kept of ['t0', 'tt/x']) expect((await get(kept)).text).toBe(kept)
    expect(verdict(await get('t/a'))).toEqual([404, 'RESOURCE_DOES_NOT_EXIST'])
  })
})

describe('§1.8 paths', () => {
  const hostile = [
    'a%2f..%2fx',
    'a/%252e%252e/x',
    'a/%25252e%25252e%25252fx',
    '/etc/passwd',
    '%2fetc/passwd',
    'a//b',
    'a/',
    'a%23b',
    'a%2523b',
    'a%5cb',
    'a%255cb',
    '..%5cx',
    'c:/x',
    'C%3a%5cx',
    'file:/etc/passwd',
    'a%00b',
    'a%2500b',
    'a%0ab',
    'a%7fb',
    'a%c2%85b',
    `${'a/'.repeat(64)}b`,
    'x'.repeat(1001),
    '%ff',
    '%zz',
  ]
  for (const path of hostile) {
    test(`${path.slice(0, 40)} is refused`, async () => {
      // As it is on the wire: fetch would tidy up.
      const authorization = `Bearer ${relais.admin}`
      for (const method of ['GET', 'DELETE', 'PUT']) {
        const { status, body } = await rawGet(
          relais.url,
          `${base}/${path}`,
          { authorization, 'content-length': '0' },
          method,
        )
        expect([method, status, JSON.parse(body).error_code]).toEqual([
          method,
          400,
          expect.stringMatching(/^(INVALID_PARAMETER_VALUE|BAD_REQUEST)$/),
        ])
      }
    })
  }
  test('plain dots are resolved as in every URL, and lead to no place that has other rules', async () => {
    await put('dots/x', 'there')
    const at = async (path: string) =>
      rawGet(relais.url, `${base}/${path}`, { authorization: `Bearer ${relais.admin}` })
    for (const path of ['dots/a/../x', 'dots/./x', 'a/%2e%2e/dots/x']) {
      expect([path, (await at(path)).body]).toEqual([path, 'there'])
    }
    for (const path of ['../x', 'a/../../x', '%2e%2e/x', '../../../etc/passwd']) {
      expect([path, (await at(path)).status]).toEqual([path, 404])
    }
    const target = `${base}/a/../versions/x/y`
    const headers = { authorization: `Bearer ${relais.admin}`, 'content-length': '0' }
    expect((await rawGet(relais.url, target, headers, 'PUT')).status).toBe(403)
  })
  test('in a query, too', async () => {
    for (const path of ['..', 'a/../b', '/a', 'a%2e%2e/..', 'a#b', 'a\\b', 'a\0b']) {
      const answer = await relais.call('GET', `${base}?path=${encodeURIComponent(path)}`)
      expect([path, ...verdict(answer)]).toEqual([path, 400, 'INVALID_PARAMETER_VALUE'])
      expect(answer.body.message).toStartWith('Invalid path')
    }
  })
  test('fine ones: dots, colons, percent signs, long names', async () => {
    const fine = ['a/..b', 'a/b..', 'a/...', 'a/b:c', 'a/50%25', `a/${'y'.repeat(990)}`]
    for (const path of fine) {
      expect([path, (await put(path, path)).status]).toEqual([path, 200])
      expect((await get(path)).text).toBe(path)
    }
  })
})

describe('bodies that are not taken', () => {
  test('packed, or larger than max-model', async () => {
    const packed = await put('bad/x', Bun.gzipSync(Buffer.from('x')), {
      headers: { 'content-encoding': 'gzip' },
    })
    expect(verdict(packed)).toEqual([400, 'INVALID_PARAMETER_VALUE'])
    const large = Buffer.alloc(most + 1)
    const stream = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let at = 0; at < large.length; at += 1 << 16) {
          controller.enqueue(large.subarray(at, at + (1 << 16)))
        }
        controller.close()
      },
    })
    for (const body of [large, stream]) {
      const answer = await put('bad/x', body)
      expect(verdict(answer)).toEqual([413, 'BAD_REQUEST'])
      expect(answer.body.message).toContain('max-model')
    }
    expect([await list('bad'), filesIn('tmp')]).toEqual([undefined, []])
    expect((await put('good/x', large.subarray(1))).status).toBe(200)
  })

  const lines = {
    'a declared size': `content-length: 5000\r\n\r\n${'x'.repeat(4000)}`,
    chunks: `transfer-encoding: chunked\r\n\r\nfa0\r\n${'x'.repeat(4000)}\r\n`,
  }
  for (const [kind, rest] of Object.entries(lines)) {
    test(`a client that goes away leaves nothing: ${kind}`, async () => {
      const blobs = filesIn('blobs')
      await put('gone/x', 'before')
      const { port } = new URL(relais.url)
      const socket = connect(Number(port), '127.0.0.1')
      socket.on('error', () => undefined)
      socket.write(
        `PUT ${base}/gone/x HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${relais.admin}\r\n${rest}`,
      )
      await until(() => filesIn('tmp').length === 1)
      socket.destroy()
      await until(() => filesIn('tmp').length === 0)
      expect((await get('gone/x')).text).toBe('before')
      expect(filesIn('blobs').length).toBeLessThanOrEqual(blobs.length + 1)
      expect(filesIn('blobs')).not.toContain(sha256('x'.repeat(4000)))
    })
  }

  test('multipart uploads and signed downloads, in the words that make the client fall back', async () => {
    const root = '/api/2.0/mlflow-artifacts'
    for (const step of ['create', 'complete', 'abort']) {
      const answer = await relais.call('POST', `${root}/mpu/${step}/1/a`, { body: {} })
      expect(verdict(answer)).toEqual([501, 'NOT_IMPLEMENTED'])
      expect(answer.body.message).toStartWith(
        'Multipart upload is not supported for the current artifact repository',
      )
    }
    const signed = await relais.call('GET', `${root}/presigned/1/a`)
    expect(verdict(signed)).toEqual([501, 'NOT_IMPLEMENTED'])
  })
})

test('many writers of one path: one of their files, whole', async () => {
  const bodies = Array.from({ length: 12 }, (_, at) => String(at).repeat(20_000))
  const answers = await Promise.all(bodies.map((body) => put('race/x', body)))
  expect(answers.map(({ status }) => status)).toEqual(bodies.map(() => 200))
  expect(bodies).toContain((await get('race/x')).text)
  const clash = await Promise.all(
    Array.from({ length: 12 }, (_, at) => put(at % 2 === 0 ? 'race/y' : 'race/y/z', 'x')),
  )
  expect(new Set(clash.map(({ status }) => status))).toEqual(new Set([200, 400]))
  expect((await list('race')).map((file: any) => file.path)).toEqual(['x', 'y'])
})

describe('who may', () => {
  const roles = ['viewer', 'predictor', 'data-scientist', 'ml-lead', 'ci', 'auditor'] as const
  const readers = new Set(['viewer', 'data-scientist', 'ml-lead', 'ci', 'auditor'])
  const writers = new Set(['data-scientist', 'ml-lead', 'ci'])
  let version = ''
  beforeAll(async () => {
    await put('rights/x', 'x')
    await relais.pushExample('iris', 'iris')
    version = versionFolder('iris', 1)
  })

  for (const role of roles) {
    test(role, async () => {
      const token = await relais.token(role)
      const ask = async (method: string, path: string, raw?: string) =>
        verdict(await relais.call(method, path, raw === undefined ? { token } : { token, raw }))
      const denied = [403, 'PERMISSION_DENIED']
      const read = readers.has(role) ? [200, undefined] : denied
      const write = writers.has(role) ? [200, undefined] : denied
      expect(await ask('GET', `${base}/rights/x`)).toEqual(read)
      expect(await ask('GET', `${base}?path=rights`)).toEqual(read)
      expect(await ask('GET', base)).toEqual(read)
      expect(await ask('GET', `${base}/${version}/MLmodel`)).toEqual(read)
      expect(await ask('GET', `${base}?path=${version}`)).toEqual(read)
      expect(await ask('PUT', `${base}/rights/${role}`, 'x')).toEqual(write)
      expect(await ask('DELETE', `${base}/rights/${role}`)).toEqual(write)
      // Nobody changes what was registered.
      for (const path of [`${version}/MLmodel`, `${version}/new`, version, 'versions']) {
        expect([path, ...(await ask('PUT', `${base}/${path}`, 'x'))]).toEqual([path, ...denied])
        expect([path, ...(await ask('DELETE', `${base}/${path}`))]).toEqual([path, ...denied])
      }
    })
  }

  test('a token narrowed to other models sees no version, but runs', async () => {
    const token = await relais.token('data-scientist', { sub: 'narrow', models: ['other-*'] })
    const ask = async (path: string) =>
      (await relais.call('GET', `${base}${path}`, { token })).status
    expect(await ask('/rights/x')).toBe(200)
    for (const path of [`/${version}/MLmodel`, `?path=${version}`])
      expect(await ask(path)).toBe(403)
  })

  test('versions are not listed, and unknown ones hold nothing', async () => {
    expect((await list('')).map((file: any) => file.path)).not.toContain('versions')
    for (const path of ['/versions/none/x', '/versions', '?path=versions', '?path=versions/none']) {
      expect([path, (await relais.call('GET', `${base}${path}`)).status]).toEqual([path, 404])
    }
  })

  test('§14: who may not, or sends what cannot be kept, is told before the first byte', async () => {
    const viewer = await relais.token('viewer')
    const rows: [string, string | null, number, number][] = [
      ['rights/x', null, 1000, 401],
      ['rights/x', viewer, 1000, 403],
      [`${version}/x`, relais.admin, 1000, 403],
      ['rights/x', relais.admin, most + 1, 413],
      ['rights/x/below', relais.admin, 1000, 400],
      ['rights%23', relais.admin, 1000, 400],
    ]
    for (const [path, token, size, status] of rows) {
      const authorization = token === null ? '' : `authorization: Bearer ${token}\r\n`
      const head = `PUT ${base}/${path} HTTP/1.1\r\nhost: x\r\n${authorization}`
      const answer = await sendRaw(relais.url, `${head}content-length: ${size}\r\n\r\n`)
      expect([path, answer.status]).toEqual([path, status])
    }
  })

  test('refusals are audited', async () => {
    const token = await relais.token('viewer', { sub: 'curious' })
    expect((await put('rights/x', 'y', { token })).status).toBe(403)
    const { body } = await relais.call('GET', '/api/v1/audit?limit=100')
    const entry = body.entries.find((one: any) => one.actor === 'curious')
    expect([entry.action, entry.outcome]).toEqual(['artifact.write', 'denied'])
  })
})

/** Folder of a version's files, which the native API does not tell. */
function versionFolder(name: string, version: number): string {
  const db = new Database(join(relais.data, 'relais.db'), { readonly: true })
  const row = db
    .query(
      'SELECT v.id FROM versions v JOIN models m ON m.id = v.model_id WHERE m.name = ? AND v.version = ?',
    )
    .get(name, version) as { id: string }
  db.close()
  return `versions/${row.id}`
}

describe('blobs', () => {
  const purge = (name: string) => relais.call('DELETE', `/api/v1/models/${name}?purge=true`)

  test('of versions go with them, those that files share stay', async () => {
    const bytes = Buffer.from(await Bun.file(`${testModels}/multi.onnx`).bytes())
    await relais.push('swept', `${testModels}/multi.onnx`)
    const folder = versionFolder('swept', 1)
    const [mlmodel] = [sha256((await get(`${folder}/MLmodel`)).text)]
    expect((await list(folder)).map((file: any) => file.path)).toEqual(['MLmodel', 'model.onnx'])
    await put('kept/copy.onnx', bytes)
    expect((await purge('swept')).status).toBe(200)
    expect((await get(`${folder}/MLmodel`)).status).toBe(404)
    expect(filesIn('blobs')).toContain(sha256(bytes))
    expect(filesIn('blobs')).not.toContain(mlmodel)
    expect(rowsBelow(folder)).toBe(0)
    await remove('kept')
    await relais.push('other', `${testModels}/scalar.onnx`)
    await purge('other')
    expect(filesIn('blobs')).not.toContain(sha256(bytes))
  })

  test('of a version that can still be restored stay, and are seen again with it', async () => {
    await relais.push('back', `${testModels}/multi.onnx`)
    const folder = versionFolder('back', 1)
    const versions = '/api/v1/models/back/versions/1'
    expect((await relais.call('DELETE', versions)).status).toBe(200)
    expect((await get(`${folder}/model.onnx`)).status).toBe(404)
    await relais.push('other', `${testModels}/scalar.onnx`)
    await purge('other')
    expect(rowsBelow(folder)).toBe(2)
    expect((await relais.call('POST', `${versions}/restore`)).status).toBe(200)
    expect((await get(`${folder}/model.onnx`)).status).toBe(200)
  })

  test('written while the sweeper runs are never lost', async () => {
    const bodies = Array.from({ length: 4 }, (_, at) => `body ${at}`)
    let going = true
    const sweeping = (async () => {
      while (going) {
        await relais.push('other', `${testModels}/scalar.onnx`)
        await purge('other')
      }
    })()
    for (let round = 0; round < 40; round += 1) {
      await Promise.all(bodies.map((body, at) => put(`swept/${at}`, body)))
      for (const [at, body] of bodies.entries()) {
        expect([(await get(`swept/${at}`)).text, round]).toEqual([body, round])
      }
      await remove('swept')
    }
    going = false
    await sweeping
  }, 20_000)

  test('of files are examined by doctor', async () => {
    const artifacts = async () =>
      (await relais.call('GET', '/api/v1/doctor')).body.findings.find(
        (one: any) => one.check === 'artifacts',
      )
    await put('examined/x', 'examined')
    expect((await artifacts()).ok).toBe(true)
    const digest = sha256('examined')
    const harms: [string, () => void][] = [
      ['corrupt', () => flipByte(relais.data, digest)],
      ['missing', () => rmSync(blobPath(relais.data, digest))],
    ]
    for (const [state, harm] of harms) {
      harm()
      const { ok, detail } = await artifacts()
      expect([ok, detail]).toEqual([
        false,
        expect.stringContaining(`${digest.slice(0, 12)} ${state}`),
      ])
      await put('examined/x', 'examined')
      expect((await artifacts()).ok).toBe(true)
    }
  })
})

function rowsBelow(folder: string): number {
  const db = new Database(join(relais.data, 'relais.db'), { readonly: true })
  const row = db.query('SELECT count(*) AS n FROM files WHERE path LIKE ?').get(`${folder}/%`)
  db.close()
  return (row as { n: number }).n
}

describe('listings and downloads by run, logged model and version', () => {
  const api = '/api/2.0/mlflow'
  beforeAll(async () => {
    const db = new Database(join(relais.data, 'relais.db'))
    db.run(
      `INSERT INTO runs (id, experiment_id, name, user_id, status, artifact_uri, created_by)
       VALUES ('r1', 0, 'n', 'u', 'RUNNING', 'mlflow-artifacts:/0/r1/artifacts', 'x'),
              ('r2', 0, 'n', 'u', 'RUNNING', 's3://elsewhere/r2', 'x')`,
    )
    db.run(
      `INSERT INTO logged_models (id, experiment_id, name, artifact_uri, status, created_by,
         created_at, updated_at)
       VALUES ('m-1', 0, 'n', 'mlflow-artifacts:/0/models/m-1/artifacts', 'READY', 'x', 0, 0)`,
    )
    db.close()
    await put('0/r1/artifacts/plots/a.png', 'png')
    await put('0/r1/artifacts/notes.txt', 'notes')
    await put('0/models/m-1/artifacts/MLmodel', 'x: 1')
    await put('0/models/m-1/artifacts/code/a.py', 'pass')
    await relais.push('listed', `${testModels}/multi.onnx`)
  })

  test('lists', async () => {
    const asked = async (path: string) => (await relais.call('GET', `${api}/${path}`)).body
    const run = { root_uri: 'mlflow-artifacts:/0/r1/artifacts' }
    expect(await asked('artifacts/list?run_id=r1')).toEqual({
      ...run,
      files: [
        { path: 'notes.txt', is_dir: false, file_size: 5 },
        { path: 'plots', is_dir: true },
      ],
    })
    expect(await asked('artifacts/list?run_id=r1&path=plots')).toEqual({
      ...run,
      files: [{ path: 'plots/a.png', is_dir: false, file_size: 3 }],
    })
    expect(await asked('artifacts/list?run_id=r1&path=none')).toEqual(run)
    const model = { root_uri: 'mlflow-artifacts:/0/models/m-1/artifacts' }
    const directories = 'logged-models/m-1/artifacts/directories'
    expect(await asked(directories)).toEqual({
      ...model,
      files: [
        { path: 'MLmodel', is_dir: false, file_size: 4 },
        { path: 'code', is_dir: true },
      ],
    })
    expect(await asked(`${directories}?artifact_directory_path=code`)).toEqual({
      ...model,
      files: [{ path: 'code/a.py', is_dir: false, file_size: 4 }],
    })
  })

  const invalid = [400, 'INVALID_PARAMETER_VALUE']
  const missing = [404, 'RESOURCE_DOES_NOT_EXIST']
  const refused: [string, unknown[]][] = [
    [`${api}/artifacts/list`, invalid],
    [`${api}/artifacts/list?run_id=none`, missing],
    [`${api}/artifacts/list?run_id=r1&path=../r2`, invalid],
    [`${api}/artifacts/list?run_id=r1&path=/etc`, invalid],
    [`${api}/artifacts/list?run_id=r2`, missing],
    [`${api}/logged-models/none/artifacts/directories`, missing],
    ['/get-artifact?path=x', invalid],
    ['/get-artifact?run_id=r1', invalid],
    ['/get-artifact?run_id=none&path=x', missing],
    ['/get-artifact?run_id=r1&path=../../m-1/artifacts/MLmodel', invalid],
    ['/get-artifact?run_id=r1&path=none', missing],
    ['/model-versions/get-artifact?name=listed&version=1', invalid],
    ['/model-versions/get-artifact?name=listed&version=one&path=MLmodel', invalid],
    ['/model-versions/get-artifact?name=listed&version=2&path=MLmodel', missing],
    ['/model-versions/get-artifact?name=none&version=1&path=MLmodel', missing],
    ['/api/2.0/mlflow-artifacts/nowhere', [404, 'ENDPOINT_NOT_FOUND']],
  ]
  for (const [path, expected] of refused) {
    test(`${path} is refused`, async () => {
      expect(verdict(await relais.call('GET', path))).toEqual(expected)
    })
  }

  test('downloads', async () => {
    const run = await relais.call('GET', '/get-artifact?run_id=r1&path=plots%2Fa.png')
    expect([run.status, run.text, run.headers.get('content-type')]).toEqual([
      200,
      'png',
      'image/png',
    ])
    const at = '/model-versions/get-artifact?name=listed&version=1&path='
    expect((await relais.call('GET', `${at}model.onnx`)).status).toBe(200)
    const { text } = await relais.call('GET', `${at}MLmodel`)
    expect((Bun.YAML.parse(text) as any).flavors).toMatchObject({
      onnx: { data: 'model.onnx' },
      python_function: { loader_module: 'mlflow.onnx', data: 'model.onnx' },
    })
    const posted = await relais.call('POST', '/get-artifact')
    expect([posted.status, posted.headers.get('allow')]).toEqual([405, 'GET, HEAD'])
  })
})

describe('the signature in the MLmodel of an upload', () => {
  const tensor = (dtype: string, shape: number[], name = 'x') => {
    return { name, type: 'tensor', 'tensor-spec': { dtype, shape } }
  }
  const column = (name: string) => ({ type: 'double', name, required: true })
  const rows: [string, object[]][] = [
    ['multi', [tensor('float32', [-1, 3], 'a'), tensor('float32', [-1, 3], 'b')]],
    ['scalar', [tensor('float32', [-1, 2]), tensor('int64', [], 'k')]],
    ['identity-string', [tensor('object', [-1, 2])]],
    ['identity-float16', [tensor('float16', [-1, 2])]],
  ]
  const inputsOf = async (name: string) => {
    const { text } = await get(`${versionFolder(name, 1)}/MLmodel`)
    return JSON.parse((Bun.YAML.parse(text) as any).signature.inputs)
  }
  for (const [name, inputs] of rows) {
    test(name, async () => {
      await relais.push(`signed-${name}`, `${testModels}/${name}.onnx`)
      expect(await inputsOf(`signed-${name}`)).toEqual(inputs)
    })
  }
  test('columns that somebody named, in the order of the matrix', async () => {
    const columns = [
      { name: 'second', index: 1 },
      { name: 'first', index: 0 },
    ]
    const path = `${testModels}/identity-float32.onnx`
    expect((await relais.push('signed-columns', path, { schema: { columns } })).status).toBe(201)
    expect(await inputsOf('signed-columns')).toEqual([column('first'), column('second')])
    const half = { schema: { columns: [{ name: 'a' }, { name: 'b' }] } }
    await relais.push('signed-half', `${testModels}/identity-float16.onnx`, half)
    expect(await inputsOf('signed-half')).toEqual([tensor('float16', [-1, 2])])
  })
})
