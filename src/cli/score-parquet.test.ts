// Results as Parquet: what other readers find in them.
import { expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet'

import { csvToParquet } from './score-parquet.ts'

test('integers of 64 bits keep all their digits', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'relais-parquet-'))
  const [csv, parquet] = [join(folder, 'a.csv'), join(folder, 'a.parquet')]
  try {
    const least = '-9223372036854775808'
    writeFileSync(csv, `u,i\n18446744073709551615,${least}\n9223372036854775808,1\n1,\n,-1\n`)
    const columns = [
      { name: 'u', type: 'uint64' },
      { name: 'i', type: 'int64' },
    ]
    await csvToParquet(csv, parquet, columns)
    expect(await parquetReadObjects({ file: await asyncBufferFromFile(parquet) })).toEqual([
      { u: 18446744073709551615n, i: BigInt(least) },
      { u: 9223372036854775808n, i: 1n },
      { u: 1n, i: null },
      { u: null, i: -1n },
    ])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
