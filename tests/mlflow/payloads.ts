// What is sent to MLflow's scoring server and to Relais: every key, type and fault of the protocol.
import { matrices } from './models.ts'

export interface Payload {
  /** Unique: scoring-differences.md refers to it. */
  name: string
  model: string
  /** A JSON body, or… */
  body?: unknown
  /** …one that is sent as it is. */
  raw?: string | Uint8Array
  /** Content-Type; application/json unless it says otherwise, null for none. */
  type?: string | null
}

const irisColumns = ['sepal_length', 'sepal_width', 'petal_length', 'petal_width']
const irisRows = [
  [5.1, 3.5, 1.4, 0.2],
  [6.3, 3.3, 6, 2.5],
]
const named = (names: readonly string[], row: readonly unknown[]): Record<string, unknown> =>
  Object.fromEntries(names.map((name, at) => [name, row[at]]))
const irisRecords = irisRows.map((row) => named(irisColumns, row))
const split = { columns: irisColumns, data: irisRows }
const irisLists = named(
  irisColumns,
  irisColumns.map((_, at) => irisRows.map((row) => row[at])),
)
const reversed = {
  columns: irisColumns.toReversed(),
  data: irisRows.map((row) => row.toReversed()),
}

const typedColumns = ['count', 'small', 'ratio', 'weight', 'active', 'city']
const typedRow = [7, 3, 0.1, 0.5, true, 'Zürich']
const typed = (change: Record<string, unknown>): object => ({
  dataframe_records: [{ ...named(typedColumns, typedRow), ...change }],
})
const typedCsv = (row: string): string => `${typedColumns.join(',')}\n${row}\n`

const customer = {
  plan: 'basic',
  contract: 'monthly',
  region: 'east',
  tenure_months: 12,
  support_calls: 2,
  monthly_charges: 30.5,
  satisfaction: 4,
}
const a = [
  [1, 2, 3],
  [4, 5, 6],
]
const b = [
  [1, 0, 0],
  [0, 1, 0],
]
const diabetesRow = [0.04, 0.05, 0.06, 0.02, -0.04, -0.03, -0.04, 0, 0.02, -0.02]
const pixels = [
  [
    [1, 2],
    [3, 4],
  ],
  [
    [5, 6],
    [7, 8],
  ],
]

type Row = [name: string, model: string, body: unknown]

const splits: Row[] = [
  ['split', 'iris', { dataframe_split: split }],
  ['split with index', 'iris', { dataframe_split: { ...split, index: [7, 9] } }],
  ['split with columns in another order', 'iris', { dataframe_split: reversed }],
  [
    'split with an extra column',
    'iris',
    {
      dataframe_split: {
        columns: [...irisColumns, 'more'],
        data: irisRows.map((row) => [...row, 'x']),
      },
    },
  ],
  [
    'split without a column',
    'iris',
    { dataframe_split: { columns: irisColumns.slice(1), data: irisRows.map((r) => r.slice(1)) } },
  ],
  ['split without names', 'iris', { dataframe_split: { data: irisRows } }],
  [
    'split with numbers for names',
    'iris',
    { dataframe_split: { columns: [0, 1, 2, 3], data: irisRows } },
  ],
  ['split without data', 'iris', { dataframe_split: { columns: irisColumns } }],
  ['split with another key', 'iris', { dataframe_split: { ...split, dtype: 'float' } }],
  ['split that is a list', 'iris', { dataframe_split: irisRecords }],
  ['split with a short row', 'iris', { dataframe_split: { ...split, data: [[5.1, 3.5, 1.4]] } }],
  [
    'split with a long row',
    'iris',
    { dataframe_split: { ...split, data: [[5.1, 3.5, 1.4, 0.2, 1]] } },
  ],
  ['split with an index too short', 'iris', { dataframe_split: { ...split, index: [1] } }],
  [
    'split with a name twice',
    'iris',
    { dataframe_split: { columns: ['sepal_length', ...irisColumns.slice(0, 3)], data: irisRows } },
  ],
  ['split without rows', 'iris', { dataframe_split: { columns: irisColumns, data: [] } }],
  [
    'split with text that is a number',
    'iris',
    { dataframe_split: { ...split, data: [['5.1', 3.5, 1.4, 0.2]] } },
  ],
  ['split with text', 'iris', { dataframe_split: { ...split, data: [['long', 3.5, 1.4, 0.2]] } }],
  ['split with true', 'iris', { dataframe_split: { ...split, data: [[true, 3.5, 1.4, 0.2]] } }],
  ['split with null', 'iris', { dataframe_split: { ...split, data: [[null, 3.5, 1.4, 0.2]] } }],
  [
    'split with a list in a cell',
    'iris',
    { dataframe_split: { ...split, data: [[[5.1], 3.5, 1.4, 0.2]] } },
  ],
  [
    'split beyond the schema’s range',
    'iris',
    { dataframe_split: { ...split, data: [[5000, 3.5, 1.4, 0.2]] } },
  ],
  [
    'split of a regression',
    'diabetes',
    {
      dataframe_split: {
        columns: ['age', 'sex', 'bmi', 'bp', 's1', 's2', 's3', 's4', 's5', 's6'],
        data: [diabetesRow],
      },
    },
  ],
]

const records: Row[] = [
  ['records', 'iris', { dataframe_records: irisRecords }],
  ['records with an extra key', 'iris', { dataframe_records: [{ ...irisRecords[0], id: 'x' }] }],
  [
    'records without a key',
    'iris',
    { dataframe_records: irisRecords.map(({ petal_width: _gone, ...rest }) => rest) },
  ],
  [
    'records with a gap',
    'iris',
    { dataframe_records: [irisRecords[0], named(irisColumns.slice(1), [1, 2, 3])] },
  ],
  ['records that are an object', 'iris', { dataframe_records: irisRecords[0] }],
  ['records that are lists', 'iris', { dataframe_records: irisRows }],
  ['records that are text', 'iris', { dataframe_records: 'rows' }],
  ['records, none', 'iris', { dataframe_records: [] }],
  ['records that are null', 'iris', { dataframe_records: null }],
  ['records of customers', 'customers', { dataframe_records: [customer] }],
  [
    'records with __proto__',
    'iris',
    JSON.parse('{"dataframe_records":[{"__proto__":{"sepal_length":1}}]}'),
  ],
]

const types: Row[] = [
  ['types', 'typed', typed({})],
  ['types: integer for double', 'typed', typed({ ratio: 3 })],
  ['types: integer for float', 'typed', typed({ weight: 3 })],
  ['types: double rounded to float', 'typed', typed({ weight: 0.1 })],
  ['types: whole float for long', 'typed', typed({ count: 7 })],
  ['types: fraction for long', 'typed', typed({ count: 7.5 })],
  ['types: fraction for integer', 'typed', typed({ small: 3.5 })],
  ['types: integer too large', 'typed', typed({ small: 2 ** 40 })],
  ['types: null for long', 'typed', typed({ count: null })],
  ['types: null for double', 'typed', typed({ ratio: null })],
  ['types: null for text', 'typed', typed({ city: null })],
  ['types: number for text', 'typed', typed({ city: 4 })],
  ['types: number for boolean', 'typed', typed({ active: 1 })],
  ['types: text for boolean', 'typed', typed({ active: 'false' })],
  ['types: true for long', 'typed', typed({ count: true })],
  ['types: text for long', 'typed', typed({ count: '7' })],
  ['types: words for long', 'typed', typed({ count: 'seven' })],
  ['types: object for text', 'typed', typed({ city: { name: 'x' } })],
]

const instances: Row[] = [
  ['instances by column', 'iris', { instances: irisRecords }],
  ['instances as a matrix', 'iris-tensor', { instances: irisRows }],
  ['instances as a matrix to named columns', 'iris', { instances: irisRows }],
  ['instances as integers', 'iris-tensor', { instances: [[5, 3, 1, 0]] }],
  [
    'instances by input',
    'multi',
    {
      instances: [
        { a: a[0], b: b[0] },
        { a: a[1], b: b[1] },
      ],
    },
  ],
  ['instances with an extra input', 'multi', { instances: [{ a: a[0], b: b[0], c: 1 }] }],
  ['instances with lengths apart', 'multi', { instances: [{ a: a[0], b: b[0] }, { a: a[1] }] }],
  ['instances without an input', 'multi', { instances: [{ a: a[0] }] }],
  ['instances with the wrong width', 'iris-tensor', { instances: [[1, 2, 3]] }],
  [
    'instances, ragged',
    'iris-tensor',
    {
      instances: [
        [1, 2, 3, 4],
        [1, 2],
      ],
    },
  ],
  ['instances, flat', 'iris-tensor', { instances: [1, 2, 3, 4] }],
  ['instances, text', 'iris-tensor', { instances: [['a', 'b', 'c', 'd']] }],
  ['instances, text that is a number', 'iris-tensor', { instances: [['1', '2', '3', '4']] }],
  ['instances, null', 'iris-tensor', { instances: null }],
  ['instances, none', 'iris-tensor', { instances: [] }],
  ['instances to several inputs as a matrix', 'multi', { instances: a }],
  ['instances of images', 'image', { instances: pixels }],
  ['instances of images by input', 'image', { instances: pixels.map((one) => ({ pixels: one })) }],
  ['instances of one column', 'single', { instances: [1, 2.5] }],
  ['instances of typed columns', 'typed', { instances: [named(typedColumns, typedRow)] }],
]

const inputs: Row[] = [
  ['inputs by column', 'iris', { inputs: irisLists }],
  ['inputs by column, scalars', 'iris', { inputs: irisRecords[0] }],
  ['inputs by column, lengths apart', 'iris', { inputs: { ...irisLists, petal_width: [0.2] } }],
  ['inputs as a matrix', 'iris-tensor', { inputs: irisRows }],
  ['inputs by input', 'multi', { inputs: { a, b } }],
  ['inputs by input in another order', 'multi', { inputs: { b, a } }],
  ['inputs with an extra input', 'multi', { inputs: { a, b, c: [1] } }],
  ['inputs without an input', 'multi', { inputs: { a } }],
  ['inputs with the wrong shape', 'multi', { inputs: { a, b: [[1, 2]] } }],
  ['inputs with lengths apart', 'multi', { inputs: { a, b: b.slice(1) } }],
  ['inputs with a scalar', 'scalar', { inputs: { x: [[1, 2]], k: 3 } }],
  ['inputs with a list for a scalar', 'scalar', { inputs: { x: [[1, 2]], k: [3] } }],
  ['inputs with a fraction for int64', 'scalar', { inputs: { x: [[1, 2]], k: 2.5 } }],
  ['inputs of images', 'image', { inputs: pixels }],
  ['inputs of images by input', 'image', { inputs: { pixels } }],
  ['inputs by name to an unnamed input', 'int64', { inputs: { x: [[1, 2]] } }],
  [
    'inputs of typed columns',
    'typed',
    {
      inputs: named(
        typedColumns,
        typedRow.map((v) => [v, v]),
      ),
    },
  ],
  ['inputs of one column', 'single', { inputs: { x: [1, 2.5] } }],
  ['inputs that are a number', 'single', { inputs: 4 }],
  ['inputs that are null', 'iris', { inputs: null }],
]

const frames: Row[] = [
  ['frame over a tensor', 'iris-tensor', { dataframe_split: split }],
  ['frame over a tensor without names', 'iris-tensor', { dataframe_split: { data: irisRows } }],
  ['frame over a tensor, too narrow', 'iris-tensor', { dataframe_split: { data: [[1, 2, 3]] } }],
  [
    'frame with a column of lists',
    'iris-tensor',
    { dataframe_split: { columns: ['v'], data: irisRows.map((row) => [row]) } },
  ],
  [
    'frame with a column per input',
    'multi',
    {
      dataframe_records: [
        { a: a[0], b: b[0] },
        { a: a[1], b: b[1] },
      ],
    },
  ],
  ['frame without an input’s column', 'multi', { dataframe_records: [{ a: a[0] }] }],
  ['frame with lists too short', 'multi', { dataframe_records: [{ a: [1, 2], b: [3, 4] }] }],
  ['frame with scalars for lists', 'multi', { dataframe_records: [{ a: 1, b: 2 }] }],
  [
    'frame of images, flattened',
    'image',
    { dataframe_records: pixels.map((p) => ({ pixels: p.flat() })) },
  ],
  ['frame of images, nested', 'image', { dataframe_records: pixels.map((p) => ({ pixels: p })) }],
]

const tensorTypes: Row[] = [
  ...matrices.map((type): Row => {
    const value = type === 'bool' ? [true, false] : type === 'string' ? ['a', 'ü'] : [1, 0]
    return [`tensor of ${type}`, type, { inputs: [value] }]
  }),
  ['tensor of int8 out of range', 'int8', { inputs: [[128, 0]] }],
  ['tensor of uint8 below zero', 'uint8', { inputs: [[-1, 0]] }],
  ['tensor of uint16 out of range', 'uint16', { inputs: [[65536, 0]] }],
  ['tensor of float16 rounded', 'float16', { inputs: [[0.1, 2049]] }],
  ['tensor of float16 too large', 'float16', { inputs: [[1e6, 0]] }],
  ['tensor of float32 rounded', 'float32', { inputs: [[0.1, 16777217]] }],
  ['tensor of float64, exact', 'float64', { inputs: [[0.1, 1e300]] }],
  ['tensor of bool from numbers', 'bool', { inputs: [[1, 0]] }],
  ['tensor of string from numbers', 'string', { inputs: [[1, 0]] }],
  ['tensor of int64 from fractions', 'int64', { inputs: [[1.5, 0]] }],
  ['tensor of int64 from true', 'int64', { inputs: [[true, 0]] }],
  ['tensor with null', 'float32', { inputs: [[null, 0]] }],
  ['tensor with an object', 'float32', { inputs: [[{ x: 1 }, 0]] }],
]

const outputs: Row[] = [
  [
    'outputs are flattened for a frame',
    'flat',
    {
      dataframe_records: [
        { p: 1, q: 2 },
        { p: 3, q: 4 },
      ],
    },
  ],
  [
    'outputs of unequal length for a frame',
    'uneven',
    {
      dataframe_records: [
        { p: 1, q: 2 },
        { p: 3, q: 4 },
      ],
    },
  ],
  ['outputs not finite for a frame', 'odd', { dataframe_records: [{ x: 0 }, { x: -1 }, { x: 1 }] }],
  ['outputs not finite for a column', 'odd', { inputs: { x: [-1, 1] } }],
]

const outer: Row[] = [
  ['params', 'iris', { dataframe_split: split, params: { temperature: 0.5 } }],
  ['params that are a list', 'iris', { dataframe_split: split, params: [1] }],
  ['another key beside the data', 'iris', { dataframe_split: split, signature_name: 'x', more: 1 }],
  ['no key', 'iris', {}],
  ['only params', 'iris', { params: {} }],
  ['two keys', 'iris', { dataframe_split: split, instances: irisRows }],
  ['two keys, one null', 'iris', { dataframe_split: split, inputs: null }],
  ['a list', 'iris', irisRecords],
  ['a number', 'iris', 3],
  ['null', 'iris', null],
  ['text', 'iris', 'dataframe_split'],
  ['messages beside the data', 'iris', { dataframe_split: split, messages: [] }],
  ['prompt alone', 'iris', { prompt: 'hello' }],
]

const raws: Payload[] = [
  { name: 'NaN in JSON', model: 'single', raw: '{"inputs": [NaN]}' },
  { name: 'broken JSON', model: 'iris', raw: '{"dataframe_split": ' },
  { name: 'empty body', model: 'iris', raw: '' },
  { name: 'a key twice', model: 'single', raw: '{"inputs": [1], "inputs": [2]}' },
  { name: 'JSON that is no UTF-8', model: 'single', raw: new Uint8Array([0x22, 0xff, 0xfe, 0x22]) },
  {
    name: 'integers beyond 2^53',
    model: 'int64',
    raw: '{"inputs": [[9007199254740993, -9223372036854775808]]}',
  },
  { name: 'integer beyond int64', model: 'int64', raw: '{"inputs": [[9223372036854775808, 1]]}' },
  { name: 'whole number with a point for int64', model: 'int64', raw: '{"inputs": [[1.0, 2.0]]}' },
]

const csv = (name: string, model: string, raw: string | Uint8Array): Payload => ({
  name,
  model,
  raw,
  type: 'text/csv',
})
const irisCsv = `${irisColumns.join(',')}\n${irisRows.map((row) => row.join(',')).join('\n')}\n`

const csvs: Payload[] = [
  csv('csv', 'iris', irisCsv),
  csv('csv with CRLF and blank lines', 'iris', irisCsv.replaceAll('\n', '\r\n\r\n')),
  csv('csv with an index', 'iris', `,${irisColumns.join(',')}\n0,5.1,3.5,1.4,0.2\n`),
  csv('csv without a column', 'iris', 'sepal_length,sepal_width\n1,2\n'),
  csv('csv with a missing cell', 'iris', `${irisColumns.join(',')}\n5.1,,1.4,0.2\n`),
  csv('csv with text for a number', 'iris', `${irisColumns.join(',')}\nlong,3.5,1.4,0.2\n`),
  csv('csv with a short row', 'iris', `${irisColumns.join(',')}\n5.1,3.5\n`),
  csv('csv with a row too long after others', 'iris', `${irisCsv}1,2,3,4,5\n`),
  csv('csv with infinity', 'iris', `${irisColumns.join(',')}\ninf,3.5,1.4,0.2\n`),
  csv('csv with exponents and spaces', 'iris', `${irisColumns.join(',')}\n 5.1e0,+3.5,1.4E0,.2\n`),
  csv('csv with a byte order mark', 'iris', `\ufeff${irisCsv}`),
  csv('csv without rows', 'iris', `${irisColumns.join(',')}\n`),
  csv('csv, empty', 'iris', ''),
  csv('csv that is no UTF-8', 'iris', new Uint8Array([0xff, 0xfe, 0x0a])),
  csv('csv with a quote left open', 'iris', `${irisColumns.join(',')}\n"5.1,3.5,1.4,0.2\n`),
  csv('csv of types', 'typed', typedCsv('7,3,0.1,0.5,True,"Zürich, ""HB"""')),
  csv('csv with true', 'typed', typedCsv('7,3,0.1,0.5,true,x')),
  csv('csv with 1 for boolean', 'typed', typedCsv('7,3,0.1,0.5,1,x')),
  csv('csv with a fraction for long', 'typed', typedCsv('7.5,3,0.1,0.5,True,x')),
  csv('csv with a digit for text', 'typed', typedCsv('7,3,0.1,0.5,False,4')),
  csv('csv with NA for text', 'typed', typedCsv('7,3,0.1,0.5,False,NA')),
  csv('csv with int64 beyond 2^53', 'typed', typedCsv('9007199254740993,3,0.1,0.5,False,x')),
  csv('csv over a tensor', 'iris-tensor', irisCsv),
  csv('csv over several tensors', 'multi', 'a,b\n1,2\n'),
]

const good = JSON.stringify({ dataframe_split: split })
const sent = (name: string, type: string | null, raw: string = good): Payload => ({
  name,
  model: 'iris',
  raw,
  type,
})

const contentTypes: Payload[] = [
  sent('type with charset', 'application/json; charset=utf-8'),
  sent('type with charset in capitals', 'application/json;charset=UTF-8'),
  sent('type with another charset', 'application/json; charset=latin1'),
  sent('type with another parameter', 'application/json; format=pandas-split'),
  sent('type with an empty parameter', 'application/json;'),
  sent('type in capitals', 'Application/JSON'),
  sent('type text/plain', 'text/plain'),
  sent('type of a form', 'application/x-www-form-urlencoded'),
  sent('type of JSON lines', 'application/jsonl'),
  sent('csv type with charset', 'text/csv; charset=utf-8', irisCsv),
  sent('csv type with another charset', 'text/csv; charset=utf-16', irisCsv),
  sent('csv type with a header parameter', 'text/csv; header=present', irisCsv),
  sent('parquet', 'application/vnd.apache.parquet', 'PAR1'),
  sent('no type', null),
]

const asPayload = ([name, model, body]: Row): Payload => ({ name, model, body })

export const groups: Record<string, Payload[]> = {
  dataframe_split: splits.map(asPayload),
  dataframe_records: records.map(asPayload),
  types: types.map(asPayload),
  instances: instances.map(asPayload),
  inputs: inputs.map(asPayload),
  'types of tensors': tensorTypes.map(asPayload),
  outputs: outputs.map(asPayload),
  'frames over tensors': frames.map(asPayload),
  'the body': [...outer.map(asPayload), ...raws],
  csv: csvs,
  'content types': contentTypes,
}

export interface Scored {
  status: number
  type: string
  body: unknown
}

/** Integers that a double would change stay as they are written. */
const parseExactly = (text: string): unknown =>
  (JSON.parse as (text: string, reviver: (...args: any[]) => unknown) => unknown)(
    text,
    (_key, value, { source } = {}) =>
      typeof value === 'number' && /^-?\d{16,}$/.test(source) ? source : value,
  )

/** Posts a payload to a URL. A body that is no JSON comes back as text. */
export async function score(url: string, payload: Payload, token?: string): Promise<Scored> {
  const { raw, body, type = 'application/json' } = payload
  const headers: Record<string, string> = {}
  if (type !== null) headers['content-type'] = type
  if (token !== undefined) headers['authorization'] = `Bearer ${token}`
  const text = typeof raw === 'string' ? raw : JSON.stringify(body)
  // Bytes, because fetch would give text a type of its own.
  const sent = raw instanceof Uint8Array ? raw : new TextEncoder().encode(text)
  const response = await fetch(url, { method: 'POST', headers, body: sent })
  const answer = await response.text()
  let parsed: unknown = answer
  try {
    parsed = parseExactly(answer)
  } catch {
    // Plain text, or NaN, which is no JSON.
  }
  const media = response.headers.get('content-type')?.split(';')[0] ?? ''
  return { status: response.status, type: media, body: parsed }
}

/** Of an error the code counts: texts name Python's types there and places in the input here. */
export function comparable({ status, type, body }: Scored): Record<string, unknown> {
  if (status === 200) return { status, type, body }
  if (type === 'text/plain') return { status, type }
  const { error_code, message } = body as { error_code?: string; message?: string }
  return { status, type, error_code, explained: (message?.length ?? 0) > 10 }
}
