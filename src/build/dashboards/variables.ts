// The variables above a dashboard: data sources first, so that one file fits any Grafana.
import type { DataSourceRef } from '@grafana/grafana-foundation-sdk/common'
import {
  DatasourceVariableBuilder,
  QueryVariableBuilder,
  TextBoxVariableBuilder,
  VariableHide,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard'

import type { Dashboard } from './panel.ts'

export const prometheus: DataSourceRef = { type: 'prometheus', uid: '${datasource}' }
export const loki: DataSourceRef = { type: 'loki', uid: '${logs}' }

/** A data source of one type; compose names each after its type. */
const source = (name: string, label: string, type: string) =>
  new DatasourceVariableBuilder(name).label(label).type(type).current({ text: label, value: type })

/** Values of a label, any number of them, all at first. */
function labelValues(name: string, label: string, series: string) {
  const query = `label_values(${series}, ${name})`
  return new QueryVariableBuilder(name)
    .label(label)
    .datasource(prometheus)
    .query({ qryType: 1, query, refId: 'PrometheusVariableQueryEditor-VariableQuery' })
    .definition(query)
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.NaturalAsc)
    .multi(true)
    .includeAll(true)
    .allValue('.*')
    .current({ text: ['All'], value: ['$__all'] })
}

const makers = {
  model: () => labelValues('model', 'Model', 'model_info{job=~"$job",instance=~"$instance"}'),
  model_version: () =>
    labelValues(
      'model_version',
      'Version',
      'model_info{job=~"$job",instance=~"$instance",model=~"$model"}',
    ),
  trace_id: () => new TextBoxVariableBuilder('trace_id').label('Trace id').defaultValue(''),
}

/** What a dashboard has no use for is hidden and not left out: links carry it on to the next. */
export function variablesOf({ variables, sections }: Dashboard) {
  const hasLogs = sections.some(({ panels }) => panels.some(({ draw }) => draw.kind === 'logs'))
  const logs = source('logs', 'Loki', 'loki')
  if (!hasLogs) logs.hide(VariableHide.HideVariable)
  return [
    source('datasource', 'Prometheus', 'prometheus'),
    logs,
    labelValues('job', 'Job', 'relais_build_info'),
    labelValues('instance', 'Instance', 'relais_build_info{job=~"$job"}'),
    ...variables.map((name) => makers[name]()),
  ]
}
