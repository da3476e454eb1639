// Cuts filters and orders of searches into tokens, in linear time.
import { Fault } from '../core/fault.ts'

export type Token =
  /** `key`, `kind.key`, or a word of the grammar; `quoted` ones are never such a word. */
  | { type: 'name'; kind: string | null; key: string; quoted: boolean }
  | { type: 'text'; text: string; quote: string }
  | { type: 'number'; text: string }
  | { type: 'sign'; text: string }

/** Longer ones are no searches, and SQLite bounds the patterns of LIKE. */
const longest = 200_000

export const malformed = (message: string): Fault => new Fault('request.invalid', message)

const space = /\s+/uy
const number = /-?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?(?![\p{L}\p{N}_])/iuy
const word = /[\p{L}\p{N}_]+/uy
const words = /[\p{L}\p{N}_]+(?:\.[\p{L}\p{N}_]+)*/uy
const sign = /[<>=!~]+|[(),]/uy

class Lexer {
  private readonly text: string
  private at = 0

  constructor(text: string) {
    this.text = text
  }

  next(): Token | null {
    this.take(space)
    if (this.at >= this.text.length) return null
    const found = this.take(number)
    if (found !== null) return { type: 'number', text: found }
    const quote = this.text.charAt(this.at)
    if (quote === "'" || quote === '"') return { type: 'text', text: this.quoted(), quote }
    const operator = this.take(sign)
    return operator === null ? this.name(quote === '`') : { type: 'sign', text: operator }
  }

  private name(quoted: boolean): Token {
    const first = quoted ? this.quoted() : this.take(word)
    if (first === null) throw this.stuck()
    if (this.text[this.at] !== '.') return { type: 'name', kind: null, key: first, quoted }
    this.at += 1
    const key = /["'`]/.test(this.text.charAt(this.at)) ? this.quoted() : this.take(words)
    if (key === null) throw this.stuck()
    return { type: 'name', kind: first, key, quoted: true }
  }

  /**
   * What stands between two quotes, as it stands: MLflow reads a doubled quote or one behind a
   * backslash as part of the text, unless nothing closes it after that.
   */
  private quoted(): string {
    const { text, at: start } = this
    const quote = text.charAt(start)
    let end = -1
    let at = start + 1
    for (; at < text.length; at += 1) {
      const pair = text.slice(at, at + 2)
      const isSoft = pair === quote + quote || (pair === `\\${quote}` && quote !== '`')
      if (isSoft) {
        end = pair[0] === quote ? at : at + 1
        at += 1
      } else if (text[at] === quote) {
        end = at
        break
      }
    }
    if (end < 0) throw this.stuck()
    this.at = end + 1
    return text.slice(start + 1, end)
  }

  private take(pattern: RegExp): string | null {
    pattern.lastIndex = this.at
    const found = pattern.exec(this.text)?.[0] ?? null
    this.at += found?.length ?? 0
    return found
  }

  private stuck(): Fault {
    const rest = this.text.slice(this.at, this.at + 40)
    return malformed(`Invalid clause(s) in filter string or order_by: '${rest}' cannot be read.`)
  }
}

/** The tokens of a filter or an order, or `request.invalid`. */
export function tokensOf(text: string): Token[] {
  if (text.length > longest) throw malformed(`At most ${longest} characters can be searched for.`)
  const lexer = new Lexer(text)
  const tokens: Token[] = []
  for (let token = lexer.next(); token !== null; token = lexer.next()) tokens.push(token)
  return tokens
}
