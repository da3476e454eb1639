// MLflow's filters: `key operator value`, joined by AND, as clauses.
import { malformed, type Token, tokensOf } from './tokens.ts'

export const comparators = [
  '=',
  '!=',
  '<',
  '<=',
  '>',
  '>=',
  'LIKE',
  'ILIKE',
  'IN',
  'NOT IN',
  'IS NULL',
  'IS NOT NULL',
] as const
export type Comparator = (typeof comparators)[number]

export interface Literal {
  type: 'text' | 'number'
  text: string
}

/** What a clause or an order speaks of: `tags.x` has a kind, a bare attribute has none. */
export interface Reference {
  kind: string | null
  key: string
}

export interface Clause extends Reference {
  comparator: Comparator
  /** One value, several for lists, none for IS [NOT] NULL. */
  values: Literal[]
}

/** Bounds of one filter. */
const mostClauses = 100
const mostValues = 10_000

/** Is the token this word of the grammar, in any case? */
export const isWord = (token: Token | undefined, word: string): boolean =>
  token?.type === 'name' && !token.quoted && token.key.toUpperCase() === word

const isSign = (token: Token | undefined, text: string): boolean =>
  token?.type === 'sign' && token.text === text

/** The key that a token names, or null. Attributes may stand in double quotes. */
export function referenceOf(token: Token | undefined): Reference | null {
  if (token?.type === 'name') return { kind: token.kind, key: token.key }
  return token?.type === 'text' && token.quote === '"' ? { kind: null, key: token.text } : null
}

class Parser {
  private readonly tokens: readonly Token[]
  private at = 0

  constructor(tokens: readonly Token[]) {
    this.tokens = tokens
  }

  /** ANDs may lack or be too many, as in MLflow. */
  clauses(): Clause[] {
    const found: Clause[] = []
    for (;;) {
      while (this.skip('AND'));
      if (this.at >= this.tokens.length) return found
      if (found.length >= mostClauses) throw malformed(`At most ${mostClauses} clauses are read.`)
      found.push(this.clause())
    }
  }

  private clause(): Clause {
    const reference = referenceOf(this.tokens[this.at])
    if (reference === null) throw malformed('Invalid clause(s) in filter string: a key is missing.')
    this.at += 1
    const comparator = this.comparator()
    if (comparator === 'IN' || comparator === 'NOT IN') {
      return { ...reference, comparator, values: this.list() }
    }
    const isNull = comparator === 'IS NULL' || comparator === 'IS NOT NULL'
    return { ...reference, comparator, values: isNull ? [] : [this.literal()] }
  }

  private comparator(): Comparator {
    if (this.skip('IS')) {
      const not = this.skip('NOT')
      if (this.skip('NULL')) return not ? 'IS NOT NULL' : 'IS NULL'
    } else if (this.skip('NOT')) {
      if (this.skip('IN')) return 'NOT IN'
    } else {
      const token = this.tokens[this.at]
      const found = comparators.find((one) => isSign(token, one) || isWord(token, one))
      this.at += 1
      if (found !== undefined) return found
    }
    throw malformed(`Invalid comparator: not one of ${comparators.join(', ')}.`)
  }

  private literal(): Literal {
    const token = this.tokens[this.at]
    this.at += 1
    if (token?.type === 'text') return { type: 'text', text: token.text }
    if (token?.type === 'number') return { type: 'number', text: token.text }
    throw malformed('Expected a quoted string value or a number behind the comparator.')
  }

  private list(): Literal[] {
    const values: Literal[] = []
    if (!this.skip('(')) throw malformed('Expected a list of quoted string values in parentheses.')
    while (!this.skip(')')) {
      if (values.length >= mostValues) throw malformed(`A list has at most ${mostValues} values.`)
      values.push(this.literal())
      if (!this.skip(',') && !isSign(this.tokens[this.at], ')')) {
        throw malformed('Expected a list of quoted string values, but got an ill-formed list.')
      }
    }
    if (values.length === 0) throw malformed('Expected a non-empty list of string values.')
    return values
  }

  /** Steps over a word or sign when it comes next. */
  private skip(text: string): boolean {
    const token = this.tokens[this.at]
    const comes = isWord(token, text) || isSign(token, text)
    if (comes) this.at += 1
    return comes
  }
}

/** The clauses of a filter; `request.invalid` says what is wrong with it. */
export function parseFilter(filter = ''): Clause[] {
  return new Parser(tokensOf(filter)).clauses()
}
