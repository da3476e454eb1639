// LogQL to a tree: the part of the language that the dashboards use. Anything else is a parse error, so
// that nothing is taken as working which was never evaluated.

export type Match = '=' | '!=' | '=~' | '!~'
export type Compare = '==' | '!=' | '>' | '>=' | '<' | '<='

export interface Matcher {
  label: string
  op: Match
  value: string
}

export type LabelFilter =
  | { kind: 'text'; label: string; op: Match; value: string }
  /** Durations in seconds, sizes in bytes. */
  | { kind: 'number'; label: string; op: Compare; value: number }
  | { kind: 'and' | 'or'; parts: LabelFilter[] }

export type Stage =
  | { kind: 'line'; op: '|=' | '!=' | '|~' | '!~'; values: string[] }
  | { kind: 'json'; fields: [label: string, path: string][] }
  | { kind: 'filter'; filter: LabelFilter }
  | { kind: 'line_format'; template: string }
  | { kind: 'label_format'; label: string; from: string }
  | { kind: 'drop' | 'keep'; labels: string[] }
  | { kind: 'unwrap'; label: string; convert: '' | 'duration_seconds' | 'bytes' }

export interface LogQuery {
  kind: 'log'
  matchers: Matcher[]
  stages: Stage[]
}

export interface Grouping {
  without: boolean
  labels: string[]
}

export type MetricQuery =
  | {
      kind: 'over-time'
      function: string
      parameter: number | null
      log: LogQuery
      /** Seconds. */
      range: number
      grouping: Grouping | null
    }
  | {
      kind: 'aggregate'
      function: string
      parameter: number | null
      of: MetricQuery
      grouping: Grouping
    }
  | { kind: 'scaled'; op: '*' | '/'; of: MetricQuery; by: number }

export type Query = LogQuery | MetricQuery

const overTime: ReadonlySet<string> = new Set([
  'rate',
  'count_over_time',
  'bytes_rate',
  'bytes_over_time',
  'sum_over_time',
  'avg_over_time',
  'max_over_time',
  'min_over_time',
  'quantile_over_time',
])
const needUnwrap: ReadonlySet<string> = new Set(
  ['sum', 'avg', 'max', 'min', 'quantile'].map((name) => `${name}_over_time`),
)
const aggregates: ReadonlySet<string> = new Set(['sum', 'avg', 'max', 'min', 'count', 'topk'])

const tokenPattern =
  /\s*(?:#[^\n]*\n\s*)*("(?:[^"\\]|\\.)*"|`[^`]*`|\d+(?:\.\d+)?(?:[a-zA-Zµ]+(?:\d+[a-zA-Zµ]+)*)?|[A-Za-z_]\w*|\|=|\|~|!=|!~|=~|==|>=|<=|[{}()[\],=<>|*/])/y

function tokensOf(text: string): string[] {
  const tokens: string[] = []
  tokenPattern.lastIndex = 0
  let at = 0
  while (text.slice(at).trim() !== '') {
    tokenPattern.lastIndex = at
    const found = tokenPattern.exec(text)
    if (!found)
      throw new SyntaxError(`LogQL: cannot read ${JSON.stringify(text.slice(at, at + 20))}`)
    tokens.push(found[1]!)
    at = tokenPattern.lastIndex
  }
  return tokens
}

const seconds: Record<string, number> = {
  ns: 1e-9,
  us: 1e-6,
  µs: 1e-6,
  ms: 1e-3,
  s: 1,
  m: 60,
  h: 3600,
  d: 86_400,
  w: 604_800,
}
const bytes: Record<string, number> = {
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
}

/** `1h30m` → 5400, `250ms` → 0.25, `2KB` → 2000, `7` → 7; null for anything else. */
export function quantityOf(text: string): number | null {
  if (/^-?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(text)) return Number(text)
  let sum = 0
  let rest = text
  while (rest !== '') {
    const part = /^(\d+(?:\.\d+)?)([a-zA-Zµ]+)/.exec(rest)
    const unit = part ? (seconds[part[2]!] ?? bytes[part[2]!]) : undefined
    if (!part || unit === undefined) return null
    sum += Number(part[1]) * unit
    rest = rest.slice(part[0].length)
  }
  return text === '' ? null : sum
}

const isName = (token: string | undefined): token is string =>
  token !== undefined && /^[A-Za-z_]\w*$/.test(token)
const isText = (token: string | undefined): boolean => /^["`]/.test(token ?? '')

class Parser {
  private at = 0
  private readonly tokens: string[]

  constructor(text: string) {
    this.tokens = tokensOf(text)
  }

  whole(): Query {
    const query = this.query()
    if (this.at < this.tokens.length) this.fail('the end')
    return query
  }

  private get next(): string | undefined {
    return this.tokens[this.at]
  }

  private fail(wanted: string): never {
    const around = this.tokens.slice(Math.max(0, this.at - 4), this.at + 3).join(' ')
    throw new SyntaxError(
      `LogQL: wanted ${wanted}, not ${this.next ?? 'the end'}, in … ${around} …`,
    )
  }

  private take(token: string): void {
    if (this.next !== token) this.fail(token)
    this.at += 1
  }

  private took(token: string): boolean {
    if (this.next !== token) return false
    this.at += 1
    return true
  }

  private name(): string {
    const token = this.next
    if (!isName(token)) this.fail('a name')
    this.at += 1
    return token
  }

  private text(): string {
    const token = this.next
    if (token === undefined || !isText(token)) this.fail('a string')
    this.at += 1
    return token.startsWith('`') ? token.slice(1, -1) : (JSON.parse(token) as string)
  }

  private quantity(): number {
    const value = quantityOf(this.next ?? '')
    if (value === null) this.fail('a number or duration')
    this.at += 1
    return value
  }

  private list<T>(read: () => T, close: string): T[] {
    const items: T[] = []
    while (!this.took(close)) {
      items.push(read())
      if (this.next !== close) this.take(',')
    }
    return items
  }

  private query(): Query {
    if (this.next === '{') return this.log()
    let query: MetricQuery = this.metric()
    while (this.next === '*' || this.next === '/') {
      const op = this.next
      this.at += 1
      query = { kind: 'scaled', op, of: query, by: this.quantity() }
    }
    return query
  }

  private metric(): MetricQuery {
    if (this.took('(')) {
      const inner = this.query()
      if (inner.kind === 'log') this.fail('a metric query')
      this.take(')')
      return inner
    }
    const name = this.name()
    if (overTime.has(name)) return this.overTime(name)
    if (aggregates.has(name)) return this.aggregate(name)
    this.at -= 1
    return this.fail('a known function')
  }

  private grouping(): Grouping | null {
    if (this.next !== 'by' && this.next !== 'without') return null
    const without = this.next === 'without'
    this.at += 1
    this.take('(')
    return { without, labels: this.list(() => this.name(), ')') }
  }

  private parameter(): number | null {
    if (quantityOf(this.next ?? '') === null) return null
    const value = this.quantity()
    this.take(',')
    return value
  }

  private overTime(name: string): MetricQuery {
    this.take('(')
    const parameter = this.parameter()
    if ((name === 'quantile_over_time') !== (parameter !== null)) this.fail('a quantile')
    const log = this.log()
    this.take('[')
    const range = this.quantity()
    this.take(']')
    this.take(')')
    const unwraps = log.stages.some(({ kind }) => kind === 'unwrap')
    if (needUnwrap.has(name) && !unwraps) this.fail(`unwrap within ${name}`)
    return { kind: 'over-time', function: name, parameter, log, range, grouping: this.grouping() }
  }

  private aggregate(name: string): MetricQuery {
    const before = this.grouping()
    this.take('(')
    const parameter = this.parameter()
    if ((name === 'topk') !== (parameter !== null)) this.fail('the number of topk')
    const of = this.query()
    if (of.kind === 'log') this.fail('a metric query')
    this.take(')')
    const grouping = before ?? this.grouping() ?? { without: false, labels: [] }
    return { kind: 'aggregate', function: name, parameter, of, grouping }
  }

  private log(): LogQuery {
    this.take('{')
    const matchers = this.list(() => this.matcher(), '}')
    // Loki refuses a selector that the absence of all its labels would match.
    const bites = ({ op, value }: Matcher): boolean =>
      (op === '=' && value !== '') || (op === '=~' && !new RegExp(`^(?:${value})$`).test(''))
    if (!matchers.some(bites)) this.fail('a matcher that does not match the empty value')
    const stages: Stage[] = []
    for (;;) {
      const stage = this.stage()
      if (!stage) return { kind: 'log', matchers, stages }
      stages.push(stage)
    }
  }

  private matcher(): Matcher {
    const label = this.name()
    return { label, op: this.match(), value: this.text() }
  }

  private match(): Match {
    const op = this.next
    if (op !== '=' && op !== '!=' && op !== '=~' && op !== '!~') this.fail('= != =~ or !~')
    this.at += 1
    return op
  }

  private stage(): Stage | null {
    const op = this.next
    if (op === '|=' || op === '!=' || op === '|~' || op === '!~') {
      this.at += 1
      const values = [this.text()]
      while (this.took('or')) values.push(this.text())
      return { kind: 'line', op, values }
    }
    if (!this.took('|')) return null
    switch (this.next) {
      case 'json':
        this.at += 1
        return { kind: 'json', fields: this.jsonFields() }
      case 'line_format':
        this.at += 1
        return { kind: 'line_format', template: this.text() }
      case 'label_format': {
        this.at += 1
        const label = this.name()
        this.take('=')
        return { kind: 'label_format', label, from: this.name() }
      }
      case 'drop':
      case 'keep': {
        const kind = this.next
        this.at += 1
        const labels = [this.name()]
        while (this.took(',')) labels.push(this.name())
        return { kind, labels }
      }
      case 'unwrap':
        this.at += 1
        return this.unwrap()
      case undefined:
      default:
        return { kind: 'filter', filter: this.either() }
    }
  }

  /** `status="status", method="method"`; without any, every field becomes a label. */
  private jsonFields(): [string, string][] {
    const fields: [string, string][] = []
    while (isName(this.next) && this.tokens[this.at + 1] === '=') {
      const label = this.name()
      this.take('=')
      fields.push([label, this.text()])
      if (!this.took(',')) break
    }
    return fields
  }

  private unwrap(): Stage {
    const name = this.name()
    if (!this.took('(')) return { kind: 'unwrap', label: name, convert: '' }
    const convert = name === 'duration' ? 'duration_seconds' : name
    if (convert !== 'duration_seconds' && convert !== 'bytes') this.fail('duration() or bytes()')
    const label = this.name()
    this.take(')')
    return { kind: 'unwrap', label, convert }
  }

  private either(): LabelFilter {
    const parts = [this.both()]
    while (this.took('or')) parts.push(this.both())
    return parts.length === 1 ? parts[0]! : { kind: 'or', parts }
  }

  private both(): LabelFilter {
    const parts = [this.single()]
    while (this.took('and') || this.took(',')) parts.push(this.single())
    return parts.length === 1 ? parts[0]! : { kind: 'and', parts }
  }

  private single(): LabelFilter {
    if (this.took('(')) {
      const inner = this.either()
      this.take(')')
      return inner
    }
    const label = this.name()
    if (isText(this.tokens[this.at + 1])) {
      return { kind: 'text', label, op: this.match(), value: this.text() }
    }
    const op = this.next === '=' ? '==' : this.next
    if (!/^(==|!=|>=?|<=?)$/.test(op ?? '')) this.fail('a comparison')
    this.at += 1
    return { kind: 'number', label, op: op as Compare, value: this.quantity() }
  }
}

/** Throws SyntaxError for what is no LogQL, or more of it than is known here. */
export const parseLogql = (text: string): Query => new Parser(text).whole()
