// The fields of a call, from its query or its JSON body, with MLflow's words for what is wrong.
import { Fault, type Flaw } from '../core/fault.ts'
import { isObject } from '../core/object.ts'

type Values = Readonly<Record<string, unknown>>

/** Strings quoted, everything else as JSON, and cut: an answer need not repeat a megabyte. */
const shown = (value: unknown): string => {
  const text = typeof value === 'string' ? `'${value}'` : JSON.stringify(value)
  return text.length > 100 ? `${text.slice(0, 100)}...` : text
}

/** `request.invalid`, which is INVALID_PARAMETER_VALUE at this door. */
export function invalid(pointer: string, message: string): Fault {
  const errors: Flaw[] = [{ pointer, code: 'schema', message }]
  return new Fault('request.invalid', message, { errors })
}

/**
 * Reads typed fields. Absent, null and (for texts that are required) empty count as missing; int64 may
 * come as a number or a string; unknown fields are ignored. Every fault is `request.invalid`.
 */
export class Fields {
  private readonly values: Values
  private readonly place: string
  /** A query knows only texts. */
  private readonly isQuery: boolean

  constructor(values: unknown, place = '', isQuery = false) {
    if (!isObject(values)) throw invalid(place, `Invalid value ${shown(values)}: not an object`)
    this.values = values
    this.place = place
    this.isQuery = isQuery
  }

  has(name: string): boolean {
    return this.raw(name) !== undefined
  }

  text(name: string): string {
    const text = this.optionalText(name)
    if (text === undefined || text === '') throw this.missing(name)
    return text
  }

  optionalText(name: string): string | undefined {
    const value = this.raw(name)
    if (value === undefined || typeof value === 'string') return value
    throw this.misfit(name, value)
  }

  integer(name: string): number {
    const value = this.optionalInteger(name)
    if (value === undefined) throw this.missing(name)
    return value
  }

  optionalInteger(name: string): number | undefined {
    const value = this.raw(name)
    if (value === undefined) return undefined
    const number = typeof value === 'string' && /^-?\d+$/.test(value) ? Number(value) : value
    if (typeof number === 'number' && Number.isSafeInteger(number)) return number
    throw this.misfit(name, value)
  }

  /** A number or its text, which may be one of the words for those that JSON cannot write. */
  number(name: string): number {
    const value = this.raw(name)
    if (value === undefined) throw this.missing(name)
    if (typeof value === 'number') return value
    const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : Number.NaN
    if (!Number.isNaN(number) || value === 'NaN') return number
    throw this.misfit(name, value)
  }

  /** In a query the words `true` and `false` stand for booleans. */
  boolean(name: string, absent = false): boolean {
    const value = this.raw(name)
    if (value === undefined) return absent
    const known = this.isQuery ? ['true', 'false'] : [true, false]
    if (known.includes(value as never)) return value === known[0]
    throw this.misfit(name, value)
  }

  /** One of some words, or `absent` when the field is missing. */
  choice<T extends string>(name: string, words: readonly T[], absent: T): T {
    const value = this.raw(name) ?? absent
    const found = words.find((word) => word === value)
    if (found === undefined) throw this.misfit(name, value)
    return found
  }

  /** One of some words, or its place among them counted from 1, as protobuf numbers them. */
  numbered<T extends string>(name: string, words: readonly T[], prefix = ''): T | undefined {
    const value = this.raw(name)
    if (value === undefined) return undefined
    const found = words.find((word, at) => value === `${prefix}${word}` || value === at + 1)
    if (found === undefined) throw this.misfit(name, value)
    return found
  }

  /** A list of strings; in a query one value alone is a list, too. */
  texts(name: string): string[] {
    const list = this.list(name)
    const other = list.find((item) => typeof item !== 'string')
    if (other !== undefined) throw this.misfit(name, other)
    return list as string[]
  }

  /** A list of objects. */
  objects(name: string): Fields[] {
    return this.list(name).map((item, at) => new Fields(item, `${this.place}/${name}/${at}`))
  }

  object(name: string): Fields {
    const value = this.raw(name)
    if (value === undefined) throw this.missing(name)
    return new Fields(value, `${this.place}/${name}`)
  }

  /** `[{key, value}]` as pairs; a value that is missing is empty. */
  pairs(name: string): [string, string][] {
    return this.objects(name).map((item) => [item.text('key'), item.optionalText('value') ?? ''])
  }

  missing(name: string): Fault {
    const message = `Missing value for required parameter '${this.pathOf(name)}'.`
    return invalid(`${this.place}/${name}`, message)
  }

  misfit(name: string, value: unknown = this.raw(name)): Fault {
    const message = `Invalid value ${shown(value)} for parameter '${this.pathOf(name)}' supplied.`
    return invalid(`${this.place}/${name}`, message)
  }

  /** A field as MLflow writes it: `metrics[0].key`. */
  private pathOf(name: string): string {
    const above = this.place
      .slice(1)
      .replaceAll(/\/(\d+)/g, '[$1]')
      .replaceAll('/', '.')
    return above === '' ? name : `${above}.${name}`
  }

  private list(name: string): unknown[] {
    const value = this.raw(name)
    if (value === undefined) return []
    if (Array.isArray(value)) return value
    if (this.isQuery) return [value]
    throw this.misfit(name, value)
  }

  private raw(name: string): unknown {
    return Object.hasOwn(this.values, name) ? (this.values[name] ?? undefined) : undefined
  }
}

/** The query of a call; a repeated parameter is a list. */
export function queryFields(query: URLSearchParams): Fields {
  const values: Record<string, unknown> = Object.create(null) as Record<string, unknown>
  for (const name of new Set(query.keys())) {
    const all = query.getAll(name)
    values[name] = all.length > 1 ? all : all[0]
  }
  return new Fields(values, '', true)
}
