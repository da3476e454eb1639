import { afterAll, beforeEach, describe, expect, test } from 'bun:test'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { LogFile } from './log-file.ts'

const root = mkdtempSync(join(tmpdir(), 'relais-log-file-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

let folder: string
let path: string
let next = 0
beforeEach(() => {
  folder = join(root, `${(next += 1)}`)
  mkdirSync(folder)
  path = join(folder, 'relais.jsonl')
})

const line = (n: number): string => `{"n":${1000 + n}}\n`
const bytes = (...numbers: number[]): Uint8Array => Buffer.from(numbers.map(line).join(''))
const numbersIn = (...names: string[]): number[] =>
  names
    .flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n'))
    .filter((text) => text !== '')
    .map((text) => (JSON.parse(text) as { n: number }).n - 1000)
const open = (size = 1 << 20, keep = 3): Promise<LogFile> => LogFile.open({ path, size, keep })

describe('a log file', () => {
  test('is for its owner and group, whatever the umask; an older one keeps its mode and lines', async () => {
    const before = process.umask(0o077)
    const file = await open()
    process.umask(before)
    await file.write(bytes(1))
    await file.close()
    expect(statSync(path).mode & 0o777).toBe(0o640)
    chmodSync(path, 0o600)
    const again = await open()
    await again.write(bytes(2))
    await again.close()
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(numbersIn('relais.jsonl')).toEqual([1, 2])
  })

  test('is turned over at its size; the latest ones are kept, in order', async () => {
    const file = await open(3 * line(0).length, 2)
    for (let n = 1; n <= 11; n += 1) await file.write(bytes(n))
    await file.close()
    expect(readdirSync(folder).sort()).toEqual(['relais.jsonl', 'relais.jsonl.1', 'relais.jsonl.2'])
    expect(numbersIn('relais.jsonl.2', 'relais.jsonl.1', 'relais.jsonl')).toEqual([
      4, 5, 6, 7, 8, 9, 10, 11,
    ])
    expect(file.dropped).toBe(0)
  })

  test('with none kept what is full is removed', async () => {
    const file = await open(2 * line(0).length, 0)
    for (let n = 1; n <= 5; n += 1) await file.write(bytes(n))
    await file.close()
    expect(readdirSync(folder)).toEqual(['relais.jsonl'])
    expect(numbersIn('relais.jsonl')).toEqual([5])
  })

  test('that was moved away or removed is made anew; one that was cut short goes on at its end', async () => {
    const file = await open()
    await file.write(bytes(1))
    renameSync(path, `${path}-moved`)
    await file.write(bytes(2))
    expect(numbersIn('relais.jsonl-moved', 'relais.jsonl')).toEqual([1, 2])
    rmSync(path)
    await file.write(bytes(3))
    truncateSync(path)
    await file.write(bytes(4))
    await file.close()
    expect(numbersIn('relais.jsonl')).toEqual([4])
    expect(file.dropped).toBe(0)
  })

  test('half a line that a killed process left is ended first', async () => {
    writeFileSync(path, `${line(1)}{"n":`)
    const file = await open()
    await file.write(bytes(2))
    await file.close()
    expect(readFileSync(path, 'utf8')).toBe(`${line(1)}{"n":\n${line(2)}`)
  })

  test('a folder that is gone costs lines, and none once it is back', async () => {
    const file = await open()
    rmSync(folder, { recursive: true })
    await file.write(bytes(1, 2))
    expect(file.dropped).toBe(2)
    mkdirSync(folder)
    await file.write(bytes(3))
    await file.close()
    expect([numbersIn('relais.jsonl'), file.dropped]).toEqual([[3], 2])
  })

  test('a place where an old file cannot be renamed to does not stop the log', async () => {
    mkdirSync(`${path}.1`)
    writeFileSync(join(`${path}.1`, 'x'), '')
    const file = await open(line(0).length, 1)
    for (let n = 1; n <= 4; n += 1) await file.write(bytes(n))
    await file.close()
    expect([numbersIn('relais.jsonl'), file.dropped]).toEqual([[1, 2, 3, 4], 0])
  })

  test('one that cannot be opened is refused at start', async () => {
    const options = { path: join(folder, 'none', 'x.jsonl'), size: 1, keep: 1 }
    const thrown = await LogFile.open(options).catch((error: unknown) => String(error))
    expect(thrown).toInclude('ENOENT')
  })
})

const isMounted = (place: string): boolean =>
  process.getuid?.() === 0 &&
  Bun.spawnSync(['mount', '-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', place]).exitCode === 0

test('a full disk costs whole lines; with space again it goes on (only as root, who may mount one)', async () => {
  if (!isMounted(folder)) return
  try {
    const file = await open()
    const filler = join(folder, 'filler')
    writeFileSync(filler, Buffer.alloc(150 << 10))
    const piece = bytes(...Array.from({ length: 1000 }, (_, n) => n))
    for (let at = 0; at < 20; at += 1) await file.write(piece)
    const kept = numbersIn('relais.jsonl')
    expect(kept.length).toBeGreaterThan(1000)
    expect(kept.length).toBeLessThan(20_000)
    expect(file.dropped).toBe(20_000 - kept.length)
    rmSync(filler)
    await file.write(piece)
    expect(numbersIn('relais.jsonl').length).toBe(kept.length + 1000)
    expect(file.dropped).toBe(20_000 - kept.length)
    await file.close()
  } finally {
    Bun.spawnSync(['umount', '-l', folder])
  }
})
