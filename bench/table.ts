// Every model, number of rows and number of connections, against every peer, in short rounds.
import { load, type LoadResult } from './load.ts'
import { type Model, models } from './models.ts'
import { type Peer, raw, startEcho, startFastapi, startInline, startMlflow } from './peers.ts'
import { type Measured, startRelais } from './relais.ts'

const rowCounts = [1, 32, 1000]
const connectionCounts = [1, 16, 64, 256]
/** Beyond so many numbers on the way at once, a short round only measures how they queue. */
const mostNumbers = 4_000_000
const mostHeavyRows = 1024

export interface Cell {
  requests_per_second: number
  p50_ms: number
  p99_ms: number
  errors: number
}

export interface Row {
  model: string
  rows: number
  connections: number
  /** By contestant; a text says why there is no figure. */
  cells: Record<string, Cell | string>
  /** ONNX Runtime alone with that many rows per run. */
  raw_rows_per_second: number
}

type Contestant = (rows: number, connections: number, seconds: number) => Promise<LoadResult>

const cellOf = ({ rate, p50, p99, errors }: LoadResult): Cell => ({
  requests_per_second: rate,
  p50_ms: p50,
  p99_ms: p99,
  errors,
})

function worthIt(model: Model, rows: number, connections: number): boolean {
  if (model.threads > 1) return rows * connections <= mostHeavyRows
  return rows * model.features * connections <= mostNumbers
}

/** Starts the peers that can be started; the others are told apart by the reason. */
async function startPeers(model: Model, stack: AsyncDisposableStack) {
  const starters: Record<string, () => Promise<Peer>> = {
    echo: () => startEcho(model),
    inline: () => startInline(model),
    'fastapi, 1 worker': () => startFastapi(model, 1),
    'fastapi, 2 workers': () => startFastapi(model, 2),
    mlflow: () => startMlflow(model),
  }
  const peers: Record<string, Contestant | string> = {}
  for (const [name, starter] of Object.entries(starters)) {
    try {
      const peer = stack.use(await starter())
      peers[name] = (rows, connections, seconds) => load(peer.json(rows), connections, seconds)
    } catch (error) {
      peers[name] = `not run: ${(error as Error).message.slice(0, 200)}`
      console.log(`  ${name} ${peers[name]}`)
    }
  }
  return peers
}

function ownContestants(relais: Measured, model: Model): Record<string, Contestant> {
  return {
    relais: (rows, connections, seconds) => load(relais.json(model, rows), connections, seconds),
    'relais, binary': (rows, connections, seconds) =>
      load(relais.binary(model, rows), connections, seconds),
  }
}

async function measure(contestant: Contestant | string, ...load: [number, number, number]) {
  if (typeof contestant === 'string') return contestant
  try {
    return cellOf(await contestant(...load))
  } catch (error) {
    return `failed: ${(error as Error).message.slice(0, 200)}`
  }
}

const shown = (cell: Cell | string | undefined): string => {
  if (typeof cell !== 'object') return '–'
  const rate = cell.requests_per_second.toFixed(cell.requests_per_second < 100 ? 1 : 0)
  return `${rate}/s${cell.errors > 0 ? ` (${cell.errors} failed)` : ''}`
}

async function tableOf(model: Model, seconds: number): Promise<Row[]> {
  await using stack = new AsyncDisposableStack()
  const relais = stack.use(await startRelais())
  await relais.serve(model)
  const contestants = { ...ownContestants(relais, model), ...(await startPeers(model, stack)) }
  const table: Row[] = []
  for (const rows of rowCounts) {
    const alone = await raw(model, { batch: rows, seconds })
    for (const connections of connectionCounts) {
      if (!worthIt(model, rows, connections)) continue
      const cells: Row['cells'] = {}
      for (const [name, contestant] of Object.entries(contestants)) {
        cells[name] = await measure(contestant, rows, connections, seconds)
      }
      table.push({
        model: model.title,
        rows,
        connections,
        cells,
        raw_rows_per_second: alone.rate,
      })
      const line = Object.entries(cells).map(([name, cell]) => `${name} ${shown(cell)}`)
      console.log(`${model.title}, ${rows} rows, ${connections} connections: ${line.join(', ')}`)
    }
  }
  return table
}

/** Measures the whole table. */
export async function measureTable(seconds: number): Promise<Row[]> {
  const table: Row[] = []
  for (const model of models) table.push(...(await tableOf(model, seconds)))
  return table
}
