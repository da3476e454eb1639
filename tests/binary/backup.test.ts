// §30: a backup under load, restored elsewhere, is everything that was acknowledged before it began;
// what is damaged, newer or made to escape its folder is refused and leaves nothing behind.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'

import { extract, type Header, pack } from 'tar-stream'

import { cleanUp, example, promoteExample, relais, serve, temporary } from '../support/binary.ts'
import { flipByte } from '../support/faults.ts'
import { referenceOf } from '../support/relais.ts'

const folder = temporary()
const archive = join(folder, 'relais.tar')
const rows = referenceOf('iris').rows
const artifact = '/api/2.0/mlflow-artifacts/artifacts/1/run/artifacts/notes.txt'
/** What was acknowledged before the backup began. */
const versions: number[] = []
const tokens: string[] = []
let predictions: unknown
let admin: string

afterAll(cleanUp)

beforeAll(async () => {
  const server = await serve({ data: join(folder, 'origin') })
  admin = server.admin
  await promoteExample(server, 'iris')
  await promoteExample(server, 'customers')
  await server.call('PUT', artifact, 'of a run')
  const predict = async (): Promise<unknown> => {
    const answer = await server.call('POST', '/v1/models/iris:predict', { instances: rows })
    return ((await answer.json()) as { predictions: unknown }).predictions
  }
  predictions = await predict()
  const model = readFileSync(example('iris-v2', 'model.onnx'))
  let going = true
  /** Registers versions without end, each with a model of its own digest. */
  const pusher = async (): Promise<void> => {
    while (going) {
      const response = await fetch(`${server.url}/api/v1/models/load/versions`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${server.admin}`,
          'content-type': 'application/octet-stream',
        },
        // A string field of a ModelProto that may be repeated: the last one counts.
        body: Buffer.concat(
          [model, Buffer.from([0x12, 8]), Buffer.from(crypto.randomUUID())].map((part, at) =>
            at === 2 ? part.subarray(0, 8) : part,
          ),
        ),
      })
      const body = (await response.json()) as { version: number }
      if (response.status !== 201) throw new Error(JSON.stringify(body))
      versions.push(body.version)
    }
  }
  const writer = async (): Promise<void> => {
    for (let at = 0; going; at += 1) {
      const wanted = { sub: `app-${at}`, role: 'viewer', ttl_seconds: 3600 }
      const response = await server.call('POST', '/api/v1/tokens', wanted)
      tokens.push(((await response.json()) as { token: string }).token)
    }
  }
  const load = [pusher(), pusher(), writer(), writer()]
  await Bun.sleep(1500)
  const before = [versions.length, tokens.length] as const
  const { code, err } = await server.cli(['backup', archive])
  expect([code, err]).toEqual([0, ''])
  expect([versions.length > before[0], tokens.length > before[1]]).toEqual([true, true])
  going = false
  await Promise.all(load)
  console.log(`acknowledged before: ${before[0]} versions, ${before[1]} tokens`)
  versions.length = before[0]
  tokens.length = before[1]
  await server.stop()
}, 60_000)

test('a restored backup holds every row, artifact and token, predicts the same, is audited', async () => {
  const data = join(temporary(), 'elsewhere')
  const { code, out } = await relais(['restore', archive, '--data', data])
  expect(code).toBe(0)
  expect(out).toMatch(/^restored 3 models, \d+ versions, \d+ artifacts\n$/)
  expect(statSync(data).mode & 0o777).toBe(0o700)
  const server = await serve({ data })
  expect(server.admin).toBe(admin)
  const found = new Set<number>()
  for (let page = ''; ;) {
    const path = `/api/v1/models/load/versions?limit=100${page}`
    const body: any = await (await server.call('GET', path)).json()
    for (const { version } of body.versions) found.add(version)
    if (body.next_page_token === undefined) break
    page = `&page_token=${body.next_page_token}`
  }
  expect(versions.filter((version) => !found.has(version))).toEqual([])
  for (const version of versions) {
    const path = `/api/v1/models/load/versions/${version}/model`
    expect((await server.call('GET', path)).status).toBe(200)
  }
  for (const token of tokens) {
    expect((await server.call('GET', '/api/v1/me', undefined, token)).status).toBe(200)
  }
  expect(await (await server.call('GET', artifact)).text()).toBe('"of a run"')
  const answer = await server.call('POST', '/v1/models/iris:predict', { instances: rows })
  expect(((await answer.json()) as { predictions: unknown }).predictions).toEqual(predictions)
  const verified = await server.cli(['audit', '--verify'])
  expect([verified.code, verified.err]).toEqual([0, ''])
  const checked = await server.cli(['doctor'])
  expect([checked.code, checked.out.includes('FAIL')]).toEqual([0, false])
  expect(await server.stop()).toBe(0)
}, 30_000)

test('a backup is for its owner alone and never overwrites', async () => {
  expect(statSync(archive).mode & 0o777).toBe(0o600)
  expect(readdirSync(folder).toSorted()).toEqual(['origin', 'relais.tar'])
  const server = await serve()
  const again = await server.cli(['backup', archive])
  expect([again.code, again.err.includes('exists already')]).toEqual([1, true])
  const scientist = await server.token('data-scientist')
  const refused = await server.cli(['backup', join(folder, 'mine.tar')], scientist)
  expect([refused.code, refused.err.includes('access.denied')]).toEqual([1, true])
  expect(existsSync(join(folder, 'mine.tar'))).toBe(false)
  await server.stop()
})

test('a backup of a damaged artifact does not pretend to be one', async () => {
  const server = await serve()
  await promoteExample(server, 'iris')
  const { versions: views } = JSON.parse((await server.cli(['models', 'iris', '--json'])).out)
  flipByte(server.data, views[0].artifact.sha256)
  const target = join(folder, 'damaged.tar')
  const { code, err } = await server.cli(['backup', target])
  expect([code, err.includes('`relais doctor` tells')]).toEqual([1, true])
  expect(readdirSync(folder).filter((name) => name.startsWith('damaged'))).toEqual([])
  await server.stop()
})

interface Entry {
  header: Header
  bytes: Buffer
}

async function entriesOf(file: string): Promise<Entry[]> {
  const tar = extract()
  tar.end(readFileSync(file))
  const entries: Entry[] = []
  for await (const entry of tar) {
    const chunks: Uint8Array[] = []
    for await (const chunk of entry) chunks.push(chunk as Uint8Array)
    entries.push({ header: entry.header, bytes: Buffer.concat(chunks) })
  }
  return entries
}

/** Writes an archive where the ordinary user can read it. */
async function write(name: string, entries: Entry[]): Promise<string> {
  const tar = pack()
  for (const { header, bytes } of entries) {
    tar.entry({ ...header, size: header.type === 'file' ? bytes.length : 0 }, bytes)
  }
  tar.finalize()
  const chunks: Uint8Array[] = []
  for await (const chunk of tar) chunks.push(chunk as Uint8Array)
  const path = join(folder, name)
  writeFileSync(path, Buffer.concat(chunks), { mode: 0o644 })
  return path
}

/** Expects a refusal that leaves nothing behind; returns what was said. */
async function refused(file: string): Promise<string> {
  const parent = temporary()
  const data = join(parent, 'data')
  const { code, out, err } = await relais(['restore', file, '--data', data])
  expect([code, out]).toEqual([1, ''])
  expect(existsSync(data) ? readdirSync(data) : []).toEqual([])
  expect(readdirSync(parent).filter((name) => name !== 'data')).toEqual([])
  rmSync(parent, { recursive: true })
  return err
}

describe('restore refuses', () => {
  let entries: Entry[]
  beforeAll(async () => {
    chmodSync(archive, 0o644)
    entries = await entriesOf(archive)
  })

  test('a folder that is not empty, and leaves it alone', async () => {
    const data = temporary()
    writeFileSync(join(data, 'mine.txt'), 'mine')
    const { code, err } = await relais(['restore', archive, '--data', data])
    expect([code, err.includes('is not empty; restore into a new folder')]).toEqual([1, true])
    expect(readdirSync(data)).toEqual(['mine.txt'])
  })

  test('a newer schema', async () => {
    const [first, ...rest] = entries
    const manifest = { ...JSON.parse(first!.bytes.toString()), schema: 99 }
    const file = await write('newer.tar', [
      { header: first!.header, bytes: Buffer.from(JSON.stringify(manifest)) },
      ...rest,
    ])
    expect(await refused(file)).toContain('use a newer relais')
  })

  test('what is no backup', async () => {
    writeFileSync(join(folder, 'text.tar'), 'just text', { mode: 0o644 })
    expect(await refused(join(folder, 'text.tar'))).toContain('no readable backup')
    writeFileSync(join(folder, 'none.tar'), '', { mode: 0o644 })
    expect(await refused(join(folder, 'none.tar'))).toContain('no backup made by relais')
    const foreign = entries.filter(({ header }) => header.name !== 'manifest.json')
    expect(await refused(await write('foreign.tar', foreign))).toContain('no backup made by relais')
  })

  const tricks: [name: string, type: Header['type']][] = [
    ['../evil', 'file'],
    ['/tmp/relais-evil', 'file'],
    ['blobs/../../evil', 'file'],
    [`blobs/${'a'.repeat(63)}/`, 'file'],
    ['keys/../../evil.json', 'file'],
    ['keys/0123456789abcdef.json/../../evil', 'file'],
    ['./relais.db', 'file'],
    ['starts.json', 'file'],
    ['audit.head', 'symlink'],
    ['admin.token', 'link'],
    ['blobs', 'directory'],
  ]
  for (const [name, type] of tricks) {
    test(`an entry ${name} of type ${type}`, async () => {
      const header = { name, type, mode: 0o600, linkname: '/etc/passwd' } as Header
      const [manifest, ...rest] = entries
      const without = rest.filter((entry) => entry.header.name !== name)
      const trick = { header, bytes: Buffer.from(type === 'file' ? 'evil' : '') }
      const file = await write('trick.tar', [manifest!, trick, ...without])
      expect(await refused(file)).toContain('the archive holds')
      expect(existsSync('/tmp/relais-evil')).toBe(false)
    })
  }

  test('an entry that comes twice', async () => {
    const [manifest, ...rest] = entries
    const key = rest.find(({ header }) => header.name.startsWith('keys/'))!
    expect(await refused(await write('twice.tar', [manifest!, key, ...rest]))).not.toBe('')
  })

  test('an archive that lacks an entry', async () => {
    for (const name of ['relais.db', 'audit.head', 'blobs/']) {
      const at = entries.findLastIndex(({ header }) => header.name.startsWith(name))
      const file = await write('lacks.tar', entries.toSpliced(at, 1))
      expect(await refused(file)).toContain('the archive lacks')
    }
  })

  test('a changed byte anywhere but in padding, and a cut anywhere', async () => {
    const small = join(temporary(), 'small.tar')
    const server = await serve()
    await promoteExample(server, 'iris')
    await server.cli(['backup', small])
    await server.stop()
    const bytes = readFileSync(small)
    const file = join(folder, 'flipped.tar')
    // Where the content and the header of each entry lie.
    const starts: [name: string, from: number, size: number][] = []
    for (let at = 0, index = 0; index < (await entriesOf(small)).length; index += 1) {
      const size = Number.parseInt(bytes.toString('latin1', at + 124, at + 136), 8)
      starts.push([bytes.toString('latin1', at, at + 20), at + 512, size])
      at += 512 + 512 * Math.ceil(size / 512)
    }
    for (const [name, from, size] of starts) {
      for (const place of [from - 512 + 3, from, from + (size >> 1), from + size - 1]) {
        const damaged = Buffer.from(bytes)
        damaged[place] = (damaged[place] ?? 0) ^ 0x10
        writeFileSync(file, damaged, { mode: 0o644 })
        expect([name, place, await refused(file)]).not.toEqual([name, place, ''])
      }
      writeFileSync(file, bytes.subarray(0, from + (size >> 1)))
      expect(await refused(file)).not.toBe('')
    }
  }, 60_000)
})

test('restore by root into the folder of another user leaves files that the user can read', async () => {
  const data = temporary()
  mkdirSync(join(data, 'inner'), { recursive: true })
  rmSync(join(data, 'inner'), { recursive: true })
  const { uid } = statSync(data)
  expect((await relais(['restore', archive, '--data', data], { asTester: true })).code).toBe(0)
  const owners = readdirSync(data, { recursive: true }).map(
    (name) => statSync(join(data, String(name))).uid,
  )
  expect(new Set(owners)).toEqual(new Set([uid]))
})
