// Every query of the dashboards and rules, with variables replaced as Grafana would replace them.
import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'

import { shippedRules } from '../support/rules.ts'
import { root } from '../support/sources.ts'

export interface Question {
  /** File, then panel, variable or annotation. */
  where: string
  language: 'promql' | 'logql'
  /** As it stands in the file. */
  text: string
  dashboard: string
  /** Shows one value at a time, so that NaN would be read as one; lines only have a gap there. */
  single: boolean
}

export interface Variable {
  name: string
  type: string
  /** `label_values(…)` or the like; empty when it asks nothing. */
  query: string
  language: 'promql' | 'logql'
  includeAll: boolean
  allValue: string
  multi: boolean
  /** What is chosen when nobody chose. */
  current: string
}

export interface Dashboard {
  file: string
  uid: string
  title: string
  variables: Variable[]
  questions: Question[]
  json: any
}

/** Panels of a dashboard, those inside collapsed rows, too. */
const panelsOf = (panels: any[] = []): any[] =>
  panels.flatMap((panel) => [panel, ...panelsOf(panel.panels)])

const languageOf = (source: any): 'promql' | 'logql' | null => {
  if (source?.type === 'prometheus') return 'promql'
  return source?.type === 'loki' ? 'logql' : null
}

/** Panels that draw a course over time. */
const overTime: ReadonlySet<string> = new Set(['timeseries', 'heatmap', 'logs', 'state-timeline'])

function questionsOf(file: string, dashboard: any): Question[] {
  const questions: Question[] = []
  const add = (where: string, source: any, text: unknown, type = 'annotation'): void => {
    if (typeof text !== 'string' || text === '') return
    const language = languageOf(source)
    if (language === null) throw new Error(`${file} ${where}: ${text} is for no known data source`)
    const single = !overTime.has(type)
    questions.push({ where: `${file} ${where}`, language, text, dashboard: file, single })
  }
  for (const panel of panelsOf(dashboard.panels)) {
    for (const target of panel.targets ?? []) {
      const where = `panel '${panel.title}' ${target.refId ?? ''}`.trim()
      add(where, target.datasource ?? panel.datasource, target.expr, panel.type)
    }
  }
  for (const note of dashboard.annotations?.list ?? []) {
    add(`annotation '${note.name}'`, note.datasource, note.expr ?? note.target?.expr)
  }
  return questions
}

function variableOf(one: any): Variable {
  const query = typeof one.query === 'string' ? one.query : (one.query?.query ?? '')
  const current = [one.current?.value].flat()[0]
  return {
    name: one.name,
    type: one.type,
    query: one.type === 'query' ? query : '',
    language: languageOf(one.datasource) ?? 'promql',
    includeAll: one.includeAll === true,
    allValue: one.allValue ?? '',
    multi: one.multi === true,
    current: current ?? (one.type === 'query' ? '' : query),
  }
}

export function dashboards(): Dashboard[] {
  const folder = join(root, 'dashboards')
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((file) => {
      const parsed = JSON.parse(readFileSync(join(folder, file), 'utf8'))
      return {
        file,
        uid: parsed.uid,
        title: parsed.title,
        variables: (parsed.templating?.list ?? []).map(variableOf),
        questions: questionsOf(file, parsed),
        json: parsed,
      }
    })
}

/** Grafana's own variables, for a range of an hour at a scrape interval of 15 s. */
const builtIn: Record<string, string> = {
  __rate_interval: '1m',
  __interval: '15s',
  __interval_ms: '15000',
  __auto: '1m',
  __range: '1h',
  __range_s: '3600',
  __from: '0',
  __to: '0',
}

/** `$name`, `${name}` and `${name:format}`. Throws for a name that nobody defined. */
export function substituted(text: string, values: Readonly<Record<string, string>>): string {
  return text.replaceAll(
    /\$(?:(\w+)|\{(\w+)(?::\w+)?\})/g,
    (all, plain?: string, braced?: string) => {
      const name = plain ?? braced ?? ''
      // `$1` belongs to label_replace.
      if (/^\d+$/.test(name)) return all
      const value = values[name] ?? builtIn[name]
      if (value === undefined) throw new Error(`${all} is no variable of the dashboard: ${text}`)
      return value
    },
  )
}

export interface Rule {
  where: string
  group: string
  name: string
  kind: 'alert' | 'record'
  text: string
  labels: Record<string, string>
  annotations: Record<string, string>
}

export function rules(): Rule[] {
  return shippedRules.map(({ file, group, alert, record, expr, labels, annotations }) => {
    const name = alert ?? record ?? ''
    const kind = alert === undefined ? 'record' : 'alert'
    const where = `${basename(file)} ${group} ${name}`
    return { where, group, name, kind, text: expr, labels, annotations }
  })
}
