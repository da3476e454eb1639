// relais score with the built binary: every form in and out, kills at random, memory.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { parquetReadObjects } from 'hyparquet'
import { parquetWriteFile } from 'hyparquet-writer'

import {
  binary,
  cleanUp,
  peakOf,
  promoteExample,
  pssOf,
  type Ran,
  relais,
  serve,
  type Served,
  temporary,
} from '../support/binary.ts'
import { agrees, referenceOf } from '../support/relais.ts'

let server: Served
const folder = temporary()
const path = (name: string): string => join(folder, name)
const text = (name: string): string => readFileSync(path(name), 'utf8')

beforeAll(async () => {
  server = await serve()
  for (const name of ['iris', 'customers', 'breast-cancer']) await promoteExample(server, name)
}, 120_000)
afterAll(async () => {
  await server.stop()
  cleanUp()
})

const write = (name: string, content: string): string => {
  writeFileSync(path(name), content, { mode: 0o644 })
  return path(name)
}

const score = (name: string, input: string, output: string, ...more: string[]): Promise<Ran> =>
  server.cli(['score', name, '--input', path(input), '--output', path(output), ...more])

const customers = referenceOf('customers')
const objects = customers.rows.map((row, at) => ({
  id: `c-${at}`,
  ...Object.fromEntries(customers.columns.map((column, place) => [column, row[place] ?? null])),
}))

/** A wide table of numbers, with ids. */
function bigCsv(name: string, rows: number): void {
  const { columns, rows: known } = referenceOf('breast-cancer')
  const lines = [`id,${columns.join(',')}`]
  for (let at = 0; at < rows; at += 1) lines.push(`${at},${known[at % known.length]?.join(',')}`)
  write(name, `${lines.join('\n')}\n`)
}

describe('forms', () => {
  beforeAll(() => {
    const cells = objects.map((row) =>
      Object.values(row)
        .map((v) => v ?? '')
        .join(','),
    )
    write('in.csv', [Object.keys(objects[0] ?? {}).join(','), ...cells].join('\n'))
    write('in.jsonl', objects.map((row) => JSON.stringify(row)).join('\n'))
    const types: Record<string, 'STRING' | 'DOUBLE' | 'INT64' | 'FLOAT'> = {
      tenure_months: 'INT64',
      support_calls: 'INT64',
      monthly_charges: 'DOUBLE',
      satisfaction: 'FLOAT',
    }
    const columnData = Object.keys(objects[0] ?? {}).map((name) => {
      const type = types[name] ?? 'STRING'
      const data = objects.map((row) => {
        const value = row[name as 'id'] as unknown
        return type === 'INT64' ? BigInt(value as number) : value
      })
      return { name, data, type, nullable: true }
    })
    parquetWriteFile({ filename: path('in.parquet'), columnData, rowGroupSize: 50 })
  })

  /** Ids, labels and scores of any output. */
  async function rowsOf(name: string): Promise<unknown[]> {
    if (name.endsWith('.jsonl')) {
      return text(name)
        .trimEnd()
        .split('\n')
        .map((line) => {
          const { id, prediction } = JSON.parse(line)
          return [id, prediction.output_label, ...prediction.output_probability]
        })
    }
    if (name.endsWith('.csv')) {
      const [head, ...lines] = text(name).trimEnd().split('\n')
      expect(head).toBe('id,output_label,output_probability_leaves,output_probability_stays')
      return lines.map((line) => {
        const [id, label, ...scores] = line.split(',')
        return [id, label, ...scores.map(Number)]
      })
    }
    const bytes = readFileSync(path(name))
    const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)
    return (await parquetReadObjects({ file: file as ArrayBuffer })).map((row) =>
      Object.values(row),
    )
  }

  for (const from of ['csv', 'jsonl', 'parquet']) {
    for (const to of ['csv', 'jsonl', 'parquet']) {
      test(`${from} to ${to} gives what :predict gives`, async () => {
        const out = `${from}.out.${to}`
        const { code, err } = await score('customers', `in.${from}`, out, '--keep', 'id')
        expect([code, err]).toEqual([0, ''])
        const expected = customers.rows.map((_, at) => [
          `c-${at}`,
          customers.outputs.output_label?.[at],
          ...((customers.outputs.output_probability ?? [])[at] as number[]),
        ])
        expect(agrees(await rowsOf(out), expected)).toBe(true)
        expect(existsSync(path(`${out}.partial`))).toBe(false)
        expect(existsSync(path(`${out}.partial.state`))).toBe(false)
      })
    }
  }

  test('the summary, as text and as JSON', async () => {
    const { out } = await score('customers', 'in.csv', 'sum.csv', '--keep', 'id')
    expect(out).toMatch(/sum\.csv: \d+ rows scored with customers version 1 in [\d.]+ s\n$/)
    const asJson = await score('customers', 'in.csv', 'sum.csv', '--keep', 'id', '--json')
    const { rows } = customers
    expect(JSON.parse(asJson.out)).toMatchObject({
      name: 'customers',
      version: '1',
      rows: rows.length,
      scored: rows.length,
      bad: 0,
      resumed: 0,
    })
  })
})

describe('bad rows', () => {
  const good = '5.1,3.5,1.4,0.2'
  const head = referenceOf('iris').columns.join(',')

  test('are left out and told', async () => {
    write('bad.csv', `${head}\n${good}\nx,1,1,1\n${good}\n1,1,1\n`)
    const more = ['--on-error', 'skip', '--errors', path('bad.jsonl')]
    const { code, out, err } = await score('iris', 'bad.csv', 'bad.out.csv', ...more)
    expect(code).toBe(0)
    expect(out).toContain('2 rows scored')
    expect(out).toContain('2 rows left out')
    expect(err).toContain('row 2 left out: sepal_length: expected float32: a number')
    expect(text('bad.out.csv').trimEnd().split('\n').length).toBe(3)
    const told = text('bad.jsonl')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(told).toMatchObject([
      { row: 2, errors: [{ column: 'sepal_length', code: 'type' }] },
      { row: 4, errors: [{ code: 'csv' }] },
    ])
  })

  test('far down a file keep their numbers; stopping names the first', async () => {
    const rows = Array.from({ length: 700_000 }, (_, at) => (at === 650_000 ? 'x,1,1,1' : good))
    write('far.csv', `${head}\n${rows.join('\n')}\n`)
    expect(statSync(path('far.csv')).size).toBeGreaterThan(8 << 20)
    const stopped = await score('iris', 'far.csv', 'far.out.csv')
    expect(stopped.code).toBe(1)
    expect(stopped.err).toContain('row 650001 does not fit: sepal_length: ')
    expect(existsSync(path('far.out.csv'))).toBe(false)
    const skipped = await score('iris', 'far.csv', 'far.out.csv', '--on-error', 'skip', '--restart')
    expect([skipped.code, skipped.err]).toEqual([0, expect.stringContaining('row 650001 left out')])
    expect(text('far.out.csv').trimEnd().split('\n').length).toBe(700_000)
  }, 60_000)
})

describe('usage', () => {
  test.each([
    [['score', 'iris'], 2],
    [['score', 'iris', '--input', 'a.txt', '--output', 'b.csv'], 2],
    [['score', 'iris', '--input', 'a.csv', '--output', 'b.xls'], 2],
    [['score', 'iris', '--input', 'a.csv', '--output', 'b.csv', '--on-error', 'cry'], 2],
    [['score', 'iris', '--input', '/nowhere/a.csv', '--output', 'b.csv'], 1],
  ])('%j exits %d', async (args, code) => {
    expect((await server.cli(args)).code).toBe(code)
  })

  test('refusals of the server exit 1 with its words', async () => {
    write('small.csv', `${referenceOf('iris').columns.join(',')}\n1,1,1,1\n`)
    const missing = await score('nowhere', 'small.csv', 'no.csv')
    expect([missing.code, missing.err.includes('model.not-found')]).toEqual([1, true])
    const viewer = await server.token('viewer')
    const args = ['score', 'iris', '--input', path('small.csv'), '--output', path('no.csv')]
    expect((await server.cli(args, viewer)).err).toContain('access.denied')
    const header = await score('breast-cancer', 'small.csv', 'no.csv')
    expect([header.code, header.err.includes('/header/sepal_length')]).toEqual([1, true])
    write('no.parquet', 'PAR0 nothing')
    expect((await score('iris', 'no.parquet', 'no.csv')).err).toContain('no readable Parquet file')
  })
})

/** How far a job has said it got. */
function offsetOf(output: string): number {
  try {
    return JSON.parse(readFileSync(`${output}.partial.state`, 'utf8')).offset
  } catch {
    return -1
  }
}

/** Starts a job and kills it with SIGKILL a moment after it got on; true when it was still running. */
async function killed(args: string[], output: string): Promise<boolean> {
  const before = offsetOf(output)
  const child = Bun.spawn([binary(), ...args], {
    env: { RELAIS_URL: server.url, RELAIS_TOKEN: server.admin },
    stdout: 'ignore',
    stderr: 'ignore',
  })
  while (child.exitCode === null && offsetOf(output) <= before) await Bun.sleep(1)
  await Bun.sleep(Math.random() * 150)
  child.kill('SIGKILL')
  await child.exited
  return child.signalCode === 'SIGKILL'
}

describe('a job that was killed', () => {
  const rows = 600_000
  beforeAll(() => bigCsv('big.csv', rows), 60_000)

  for (const to of ['csv', 'jsonl', 'parquet']) {
    test(`goes on to the same ${to}`, async () => {
      const args = ['score', 'breast-cancer', '--input', path('big.csv'), '--keep', 'id', '--json']
      const env = { RELAIS_URL: server.url, RELAIS_TOKEN: server.admin }
      // The same user as the one that is killed, whose files these are.
      const run = (words: string[]): Promise<Ran> => relais(words, { env, asTester: true })
      const whole = await run([...args, '--output', path(`whole.${to}`)])
      expect(whole.code).toBe(0)
      const output = path(`again.${to}`)
      const again = [...args, '--output', output]
      let kills = 0
      for (let round = 0; round < 3; round += 1) {
        if (await killed(again, output)) kills += 1
      }
      expect(kills).toBeGreaterThan(0)
      const last = await run(again)
      expect([last.code, last.err]).toEqual([0, expect.any(String)])
      const { rows: read, resumed } = JSON.parse(last.out)
      expect(read).toBe(rows)
      expect(resumed).toBeGreaterThan(0)
      const bytes = (name: string): Buffer => readFileSync(path(name))
      expect(bytes(`again.${to}`).equals(bytes(`whole.${to}`))).toBe(true)
    }, 120_000)
  }

  test('does not go on with another input, other arguments or another version', async () => {
    bigCsv('changed.csv', 60_000)
    const base = ['score', 'breast-cancer', '--input', path('changed.csv'), '--keep', 'id']
    const to = [...base, '--output', path('changed.out.csv')]
    const args = [...to, '--errors', path('errors.jsonl')]
    // A state on the disk is what a stop at a bad row leaves as well.
    writeFileSync(path('changed.csv'), `${text('changed.csv')}x,y\n`)
    expect((await server.cli(args)).code).toBe(1)
    expect(existsSync(path('changed.out.csv.partial.state'))).toBe(true)
    const other = await server.cli([...args, '--on-error', 'skip'])
    expect([other.code, other.err.includes('other arguments')]).toEqual([1, true])
    expect(other.err).toContain('--restart')
    const elsewhere = await server.cli([...to, '--errors', path('elsewhere.jsonl')])
    expect([elsewhere.code, elsewhere.err.includes('other arguments')]).toEqual([1, true])
    await promoteExample(server, 'breast-cancer')
    const version = await server.cli(args)
    expect([version.code, version.err.includes('began with version 1')]).toEqual([1, true])
    const pinned = await server.cli([...args, '--at', '1'])
    expect(pinned.err).toContain('row 60001 does not fit')
    utimesSync(path('changed.csv'), new Date(), new Date(Date.now() + 60_000))
    const changed = await server.cli(args)
    expect([changed.code, changed.err.includes('the input has changed')]).toEqual([1, true])
    rmSync(path('changed.csv'))
    bigCsv('changed.csv', 60_000)
    const fresh = await server.cli([...args, '--restart'])
    expect([fresh.code, fresh.out.includes('60000 rows scored')]).toEqual([0, true])
  }, 120_000)
})

test('memory stays flat, and progress is told', async () => {
  // Kept as tensors alone, half of these rows would be 96 MB.
  bigCsv('long.csv', 1_600_000)
  const args = [
    'score',
    'breast-cancer',
    '--input',
    path('long.csv'),
    '--output',
    path('long.out.csv'),
  ]
  const child = Bun.spawn([binary(), ...args, '--keep', 'id'], {
    env: { RELAIS_URL: server.url, RELAIS_TOKEN: server.admin },
    stdout: 'ignore',
    stderr: 'pipe',
  })
  const said = new Response(child.stderr).text()
  const sizes: number[] = []
  let peak = 0
  while (child.exitCode === null) {
    try {
      const size = peakOf(child.pid)
      // It has ended and was not waited for yet: nothing is left to look at.
      if (Number.isNaN(size)) break
      peak = size
      sizes.push(pssOf(server.pid) + pssOf(child.pid))
    } catch {
      break
    }
    await Bun.sleep(50)
  }
  expect(await child.exited).toBe(0)
  await said
  // Memory rises and falls with what waits to be collected, so peaks are compared with peaks.
  const middle = sizes.length >> 1
  const [before, after] = [sizes.slice(0, middle), sizes.slice(middle)]
  expect(Math.max(...after) - Math.max(...before)).toBeLessThan(64)
  expect(peak).toBeLessThan(300)
}, 120_000)
