// Writes a dashboard as Grafana's classic JSON: file provisioning takes no other (grafana #122663).
import {
  AnnotationQueryBuilder,
  type Dashboard as ClassicDashboard,
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  RowBuilder,
} from '@grafana/grafana-foundation-sdk/dashboard'
import { DataqueryBuilder } from '@grafana/grafana-foundation-sdk/prometheus'

import type { Dashboard } from './panel.ts'
import { builderOf } from './panels.ts'
import { ofModel, own, zoom } from './queries.ts'
import { prometheus, variablesOf } from './variables.ts'

const tag = 'relais'

/** One menu to the other dashboards; the chosen time and variables go along. */
const links = () =>
  new DashboardLinkBuilder('Relais')
    .type(DashboardLinkType.Dashboards)
    .tags([tag])
    .asDropdown(true)
    .includeVars(true)
    .keepTime(true)

/** Grafana runs the target; older ones, and readers of the JSON, know the query beside it. */
const annotation = (name: string, colour: string, expr: string) =>
  new AnnotationQueryBuilder()
    .name(name)
    .datasource(prometheus)
    .enable(true)
    .iconColor(colour)
    .expr(expr)
    .step('30s')
    .target(new DataqueryBuilder().refId('Anno').expr(expr).interval('30s').range())

/** Where a line jumps, the reader wants to know what changed at that time. */
function annotations(dashboard: Dashboard) {
  const which = dashboard.variables.includes('model') ? ofModel : own
  return [
    annotation(
      'Promotions',
      'blue',
      // Grafana takes a value for a time in milliseconds.
      `model_promotion_timestamp_seconds{${which}} * 1000`,
    )
      .useValueForTime(true)
      .titleFormat('{{model}} v{{model_version}} → {{stage}}')
      .textFormat('went live'),
    annotation(
      'Rollbacks',
      'orange',
      `sum by (model) (increase(model_rollbacks_total{${which}}[${zoom}])) > 0`,
    ).titleFormat('{{model}} rolled back'),
    annotation(
      'Firing alerts',
      'red',
      'ALERTS{alertstate="firing",alertname!="Watchdog",job=~"$job|"}',
    )
      .titleFormat('{{alertname}}')
      .textFormat('{{severity}} {{instance}}')
      .tagKeys('severity'),
  ]
}

export function classicOf(dashboard: Dashboard): ClassicDashboard {
  const builder = new DashboardBuilder(dashboard.title)
    .uid(dashboard.uid)
    .description(dashboard.about)
    .tags([tag, 'generated'])
    .readonly()
    .tooltip(DashboardCursorSync.Crosshair)
    .timezone('browser')
    .time({ from: 'now-1h', to: 'now' })
    .refresh('30s')
    .version(1)
    .link(links())
    .annotations(annotations(dashboard))
    .variables(variablesOf(dashboard))
  for (const { id, title, panels } of dashboard.sections) {
    builder.withRow(new RowBuilder(title).id(id))
    for (const panel of panels) builder.withPanel(builderOf(panel))
  }
  const classic = builder.build()
  // The SDK puts links into a menu that has to be opened first; they belong in sight.
  for (const link of classic.links ?? []) delete link.placement
  return classic
}
