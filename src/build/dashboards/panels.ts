// Panels of a dashboard as builders of Grafana's SDK, one function for each way of drawing.
import { PanelBuilder as BarGauge } from '@grafana/grafana-foundation-sdk/bargauge'
import type { Builder, Dataquery as AnyQuery } from '@grafana/grafana-foundation-sdk/cog'
import {
  BarGaugeDisplayMode,
  BigValueColorMode,
  BigValueGraphMode,
  GraphDrawStyle,
  GraphThresholdsStyleConfigBuilder,
  GraphThresholdsStyleMode,
  LegendDisplayMode,
  LegendPlacement,
  LogsSortOrder,
  ReduceDataOptionsBuilder,
  ScaleDistribution,
  ScaleDistributionConfigBuilder,
  SortOrder,
  StackingConfigBuilder,
  StackingMode,
  TooltipDisplayMode,
  VisibilityMode,
  VizLegendOptionsBuilder,
  VizOrientation,
  VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common'
import {
  type DynamicConfigValue,
  FieldColorBuilder,
  FieldColorModeId,
  type Panel as ClassicPanel,
  ThresholdsConfigBuilder,
  ThresholdsMode,
} from '@grafana/grafana-foundation-sdk/dashboard'
import {
  HeatmapColorMode,
  HeatmapColorOptionsBuilder,
  HeatmapColorScale,
  PanelBuilder as Heatmap,
  YAxisConfigBuilder,
} from '@grafana/grafana-foundation-sdk/heatmap'
import { PanelBuilder as Logs } from '@grafana/grafana-foundation-sdk/logs'
import { DataqueryBuilder as LokiQuery } from '@grafana/grafana-foundation-sdk/loki'
import {
  DataqueryBuilder as PrometheusQuery,
  PromQueryFormat,
} from '@grafana/grafana-foundation-sdk/prometheus'
import { PanelBuilder as Stat } from '@grafana/grafana-foundation-sdk/stat'
import { PanelBuilder as Table } from '@grafana/grafana-foundation-sdk/table'
import { PanelBuilder as Timeseries } from '@grafana/grafana-foundation-sdk/timeseries'

import type { Draw, Panel, Query, Step } from './panel.ts'
import { loki, prometheus } from './variables.ts'

type Drawn<K extends Draw['kind']> = Extract<Draw, { kind: K }>

/** Letters by which tables and overrides speak of queries. */
const letter = (at: number): string => String.fromCharCode(65 + at)

/** LogQL starts with, or is about, a stream selector; PromQL of ours never names that label. */
const isLogQl = (expr: string): boolean => expr.includes('{service_name=')

function target(draw: Draw, { expr, legend, instant }: Query, at: number): Builder<AnyQuery> {
  if (isLogQl(expr)) {
    const query = new LokiQuery().refId(letter(at)).datasource(loki).expr(expr).queryType('range')
    return legend === undefined ? query : query.legendFormat(legend)
  }
  const query = new PrometheusQuery().refId(letter(at)).datasource(prometheus).expr(expr)
  if (instant) query.instant()
  else query.range()
  if (draw.kind === 'table') query.format(PromQueryFormat.Table)
  if (draw.kind === 'heatmap') query.format(PromQueryFormat.Heatmap)
  return legend === undefined ? query : query.legendFormat(legend)
}

const thresholds = (steps: readonly Step[]) =>
  new ThresholdsConfigBuilder()
    .mode(ThresholdsMode.Absolute)
    .steps(steps.map(([value, color]) => ({ value, color })))

const lastValue = () => new ReduceDataOptionsBuilder().calcs(['lastNotNull']).values(false)

const byThreshold = () => new FieldColorBuilder().mode(FieldColorModeId.Thresholds)

function statPanel({ steps, decimals, spark, empty }: Drawn<'stat'>): Stat {
  const builder = new Stat()
    .thresholds(thresholds(steps))
    .colorScheme(byThreshold())
    .colorMode(BigValueColorMode.Background)
    .graphMode(spark ? BigValueGraphMode.Area : BigValueGraphMode.None)
    .reduceOptions(lastValue())
  if (decimals !== undefined) builder.decimals(decimals)
  return empty === undefined ? builder : builder.noValue(empty)
}

/** Dashed and without filling: a line to stay below, not a measurement. */
const limit: DynamicConfigValue[] = [
  { id: 'custom.lineStyle', value: { fill: 'dash', dash: [10, 10] } },
  { id: 'custom.lineWidth', value: 1 },
  { id: 'custom.fillOpacity', value: 0 },
  { id: 'color', value: { mode: 'fixed', fixedColor: 'red' } },
]

const fixed = (fixedColor: string): DynamicConfigValue[] => [
  { id: 'color', value: { mode: 'fixed', fixedColor } },
]

function timeseriesPanel(draw: Drawn<'lines' | 'bars'>): Timeseries {
  const isBars = draw.kind === 'bars'
  const builder = new Timeseries()
    .drawStyle(isBars ? GraphDrawStyle.Bars : GraphDrawStyle.Line)
    .lineWidth(isBars ? 0 : 2)
    .fillOpacity(isBars ? 70 : 0)
    .showPoints(VisibilityMode.Never)
    .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.PaletteClassicByName))
    .tooltip(
      new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending),
    )
    .legend(
      new VizLegendOptionsBuilder()
        .displayMode(LegendDisplayMode.List)
        .placement(LegendPlacement.Bottom)
        .showLegend(true),
    )
  if (draw.stack) builder.stacking(new StackingConfigBuilder().mode(StackingMode.Normal))
  if (draw.max !== undefined) builder.max(draw.max)
  if (draw.log) {
    builder.scaleDistribution(
      new ScaleDistributionConfigBuilder().type(ScaleDistribution.Log).log(10),
    )
  } else builder.min(0)
  if (draw.steps) {
    const style = new GraphThresholdsStyleConfigBuilder().mode(GraphThresholdsStyleMode.Dashed)
    builder.thresholds(thresholds(draw.steps)).thresholdsStyle(style)
  }
  for (const [legend, colour] of Object.entries(draw.colours ?? {})) {
    builder.overrideByRegexp(legend, fixed(colour))
  }
  return draw.limits === undefined ? builder : builder.overrideByRegexp(draw.limits, limit)
}

function gaugesPanel({ steps, max }: Drawn<'gauges'>): BarGauge {
  const builder = new BarGauge()
    .thresholds(thresholds(steps))
    .colorScheme(byThreshold())
    .displayMode(BarGaugeDisplayMode.Basic)
    .orientation(VizOrientation.Horizontal)
    .reduceOptions(lastValue())
    .min(0)
  return max === undefined ? builder : builder.max(max)
}

const heatmapPanel = (unit: string): Heatmap =>
  new Heatmap()
    .calculate(false)
    .color(
      new HeatmapColorOptionsBuilder()
        .mode(HeatmapColorMode.Scheme)
        .scheme('Blues')
        .scale(HeatmapColorScale.Exponential)
        .exponent(0.5)
        .steps(64),
    )
    .yAxis(new YAxisConfigBuilder().unit(unit))
    .cellGap(1)
    .showLegend()

/** Name of a column as it comes from the data source. */
const sourceOf = (field: string, queries: number): string => {
  if (!/^[A-Z]$/.test(field)) return field
  return queries === 1 ? 'Value' : `Value #${field}`
}

function tablePanel(draw: Drawn<'table'>, queries: number): Table {
  const { columns, sortBy, most } = draw
  const names = columns.map(({ field }) => sourceOf(field, queries))
  const hidden = [
    'Time',
    ...Array.from({ length: queries }, (_, at) => sourceOf(letter(at), queries)),
  ]
  const order = Object.fromEntries(names.map((name, at) => [name, at]))
  const renameByName = Object.fromEntries(columns.map(({ title }, at) => [names[at], title]))
  const excludeByName = Object.fromEntries(
    hidden.filter((name) => !names.includes(name)).map((name) => [name, true]),
  )
  const builder = new Table()
    .withTransformation({ id: 'merge', options: {} })
    .withTransformation({
      id: 'organize',
      options: { excludeByName, indexByName: order, renameByName },
    })
    .withTransformation({
      id: 'sortBy',
      options: { sort: [{ field: sortBy, desc: isValue(columns, sortBy) }] },
    })
  if (most !== undefined) {
    builder.withTransformation({ id: 'limit', options: { limitField: most } })
  }
  for (const { title, ...column } of columns) {
    const properties = propertiesOf(column)
    if (properties.length > 0) builder.overrideByName(title, properties)
  }
  return builder
}

/** Numbers are sorted from the greatest, names from A. */
const isValue = (columns: Drawn<'table'>['columns'], title: string): boolean =>
  columns.some((column) => column.title === title && /^[A-Z]$/.test(column.field))

function propertiesOf(column: Omit<Drawn<'table'>['columns'][number], 'title'>) {
  const properties: DynamicConfigValue[] = []
  if (column.unit !== undefined) properties.push({ id: 'unit', value: column.unit })
  if (column.decimals !== undefined) properties.push({ id: 'decimals', value: column.decimals })
  if (column.width !== undefined) properties.push({ id: 'custom.width', value: column.width })
  if (column.link !== undefined) {
    properties.push({ id: 'links', value: [{ title: 'Quality of this model', url: column.link }] })
  }
  return properties
}

const logsPanel = (): Logs =>
  new Logs()
    .showTime(true)
    .wrapLogMessage(false)
    .prettifyLogMessage(false)
    .enableLogDetails(true)
    .sortOrder(LogsSortOrder.Descending)

function drawn({ draw, unit, queries }: Panel) {
  switch (draw.kind) {
    case 'stat':
      return statPanel(draw)
    case 'lines':
    case 'bars':
      return timeseriesPanel(draw)
    case 'gauges':
      return gaugesPanel(draw)
    case 'heatmap':
      return heatmapPanel(unit)
    case 'table':
      return tablePanel(draw, queries.length)
    case 'logs':
      return logsPanel()
  }
}

export function builderOf(panel: Panel): Builder<ClassicPanel> {
  const isLogs = panel.queries.some(({ expr }) => isLogQl(expr))
  return drawn(panel)
    .id(panel.id)
    .title(panel.title)
    .description(panel.about)
    .unit(panel.unit)
    .span(panel.width)
    .height(panel.height)
    .datasource(isLogs ? loki : prometheus)
    .targets(panel.queries.map((query, at) => target(panel.draw, query, at)))
}
