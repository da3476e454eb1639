// Dashboard 2: which versions serve, how fast each is, and what their engines do.
import { bars, type Dashboard, lines, section, stat, table } from './panel.ts'
import { mean, ofModel, ofVersion, own, predict, quantile, zoom } from './queries.ts'

const byVersion = 'model, model_version'
const name = '{{model}} v{{model_version}}'
const perVersion = (metric: string): string => `max by (${byVersion}) (${metric}{${ofVersion}})`

const versions = section(200, 'Versions', [
  table(
    {
      id: 1,
      title: 'Loaded versions',
      about:
        'What engines hold, with what was recorded at training. Next: a version that is live but gets ' +
        'no predictions is either new or forgotten; a click on the model shows its quality.',
      width: 24,
    },
    [
      `max by (${byVersion}, stage, sha256) (model_info{${ofVersion}})`,
      perVersion('model_loaded'),
      `sum by (${byVersion}) (rate(predictions_total{${ofVersion}}[${zoom}]))`,
      perVersion('model_training_accuracy'),
      perVersion('f1_score'),
      `time() - ${perVersion('model_promotion_timestamp_seconds')}`,
      perVersion('model_load_duration_seconds'),
    ],
    {
      columns: [
        {
          field: 'model',
          title: 'Model',
          link: '/d/relais-quality?var-model=${__value.raw}&${datasource:queryparam}&${__url_time_range}',
        },
        { field: 'model_version', title: 'Version', width: 90 },
        { field: 'stage', title: 'Stage', width: 120 },
        { field: 'sha256', title: 'SHA-256', width: 140 },
        { field: 'B', title: 'In memory', unit: 'bool_yes_no', width: 100 },
        { field: 'C', title: 'Predictions', unit: 'reqps', width: 120 },
        { field: 'D', title: 'Accuracy', unit: 'percentunit', decimals: 1, width: 100 },
        { field: 'E', title: 'F1', unit: 'percentunit', decimals: 1, width: 90 },
        { field: 'F', title: 'Live since', unit: 's', width: 120 },
        { field: 'G', title: 'Load time', unit: 's', width: 110 },
      ],
      sortBy: 'Model',
    },
  ),
  stat(
    {
      id: 2,
      title: 'Stages on their fall-back',
      about:
        'Stages that serve an older version because the promoted one was put aside. Next: ' +
        '`relais models NAME` says why; roll back, or repair and promote again.',
      unit: 'short',
      width: 6,
      height: 8,
    },
    `sum(model_fallback{${ofModel}}) or vector(0)`,
    {
      steps: [
        [null, 'green'],
        [1, 'red'],
      ],
    },
  ),
  lines(
    {
      id: 3,
      title: 'Predictions by version',
      about:
        'Prediction requests per second, so that a swap or a canary can be seen. Next, when a version ' +
        'lost its traffic: is the stage where you think it is?',
      unit: 'reqps',
      width: 9,
    },
    [
      {
        expr: `sum by (${byVersion}) (rate(predictions_total{${ofVersion}}[${zoom}]))`,
        legend: name,
      },
    ],
  ),
  bars(
    {
      id: 4,
      title: 'Failed predictions by reason',
      about:
        'Schema: the input does not fit (the caller’s fault). Overload: refused before it waited too ' +
        'long. Timeout and runtime: the model. Next: schema leads to the Quality dashboard, overload to ' +
        'the queue below, the others to the error log.',
      unit: 'reqps',
      width: 9,
    },
    [
      {
        expr: `sum by (reason) (rate(prediction_errors_total{${ofVersion}}[${zoom}]))`,
        legend: '{{reason}}',
      },
    ],
    { colours: { schema: 'yellow', overload: 'orange', timeout: 'purple', runtime: 'red' } },
  ),
])

const predictRange = `{${own},${predict},status_class="2xx"}[${zoom}]`
const runRange = `{${ofVersion}}[${zoom}]`
const meanLatency = mean('http_request_duration_seconds', predictRange)
const meanWait = mean('inference_queue_wait_seconds', `{${own}}[${zoom}]`)
const meanRun = mean('model_inference_duration_seconds', `{${own}}[${zoom}]`)

const time = section(201, 'Where the time goes', [
  lines(
    {
      id: 11,
      title: 'Where the time goes, mean',
      about:
        'Mean time of a prediction, and of its parts: waiting for an engine, running in it, the rest ' +
        '(HTTP, JSON, checks). Means add up where percentiles do not. Next: waiting asks for more ' +
        'cores, running for a smaller model, the rest for smaller bodies.',
      unit: 's',
      width: 12,
    },
    [
      { expr: meanLatency, legend: 'whole request' },
      { expr: meanWait, legend: 'waiting' },
      { expr: meanRun, legend: 'running' },
      { expr: `clamp_min(${meanLatency} - ${meanWait} - ${meanRun}, 0)`, legend: 'the rest' },
    ],
  ),
  lines(
    {
      id: 12,
      title: 'Time in ONNX Runtime, p95, by version',
      about:
        'How long a run of the model takes, without HTTP and waiting. Next, when a new version is ' +
        'slower than the one before: roll back, or give the model fewer trees or layers.',
      unit: 's',
      width: 12,
    },
    [
      {
        expr: quantile(0.95, `model_inference_duration_seconds${runRange}`, `${byVersion}, `),
        legend: name,
      },
    ],
    { log: true },
  ),
  lines(
    {
      id: 13,
      title: 'Waiting for an engine',
      about:
        'Time from arrival to hand-over. It is the first to grow under overload. Next: fewer rows at ' +
        'once, more cores, or another instance.',
      unit: 's',
      width: 8,
    },
    [
      { expr: quantile(0.5, `inference_queue_wait_seconds{${own}}[${zoom}]`), legend: 'p50' },
      { expr: quantile(0.95, `inference_queue_wait_seconds{${own}}[${zoom}]`), legend: 'p95' },
    ],
    { colours: { p50: 'blue', p95: 'orange' } },
  ),
  lines(
    {
      id: 14,
      title: 'Queue',
      about:
        'Requests that wait, in all and by lane (`live` is what Production shares, `side` what other ' +
        'versions share, `own` a heavy model’s, `bulk` jobs). Next, when one lane grows: its engine’s CPU below.',
      unit: 'short',
      width: 8,
    },
    [
      { expr: `sum(inference_queue_depth{${own}})`, legend: 'all' },
      { expr: `sum by (lane) (engine_queue_depth{${own}})`, legend: '{{lane}}' },
    ],
  ),
  lines(
    {
      id: 15,
      title: 'Rows per run, mean',
      about:
        'Rows that one run of the model takes; above 1 requests are gathered, which is what keeps up ' +
        'under load. Next: a model that stays at 1 while its queue grows cannot take many rows; ' +
        'convert it with a free first dimension.',
      unit: 'short',
      width: 8,
    },
    [
      {
        expr: mean('prediction_batch_size', `{${ofModel}}[${zoom}]`, 'model'),
        legend: '{{model}}',
      },
    ],
  ),
])

const engines = section(202, 'Engine processes', [
  stat(
    {
      id: 21,
      title: 'Engines',
      about:
        'Engine processes alive. None means that no model is loaded. Next: `relais models` and ' +
        '/health say which versions should be.',
      unit: 'short',
      width: 4,
      height: 8,
    },
    `sum(engines_running{${own}})`,
    {
      steps: [
        [null, 'red'],
        [1, 'green'],
      ],
      spark: true,
    },
  ),
  bars(
    {
      id: 22,
      title: 'Engines that ended, by cause',
      about:
        'Crash and hang are a model’s doing and lead to quarantine; memory is the limit of the engine; ' +
        'killed came from outside. Next: the log line engine.ended names the lane, version.quarantined the version.',
      unit: 'short',
      width: 6,
    },
    [
      {
        expr: `sum by (cause) (increase(engine_restarts_total{${own}}[${zoom}]))`,
        legend: '{{cause}}',
      },
    ],
  ),
  lines(
    {
      id: 23,
      title: 'Memory by lane',
      about:
        'Resident memory of the engines. Next, when one grows without an end: the versions it holds; ' +
        'a promotion of the same version into a fresh engine frees it.',
      unit: 'bytes',
      width: 7,
    },
    [
      {
        expr: `sum by (lane) (engine_resident_memory_bytes{${own}})`,
        legend: '{{lane}}',
      },
    ],
  ),
  lines(
    {
      id: 24,
      title: 'CPU by lane',
      about:
        'Cores that each lane uses. Next: a heavy model gives way to light ones by itself; the ' +
        'setting `engine-threads` limits it.',
      unit: 'short',
      width: 7,
    },
    [
      {
        expr: `sum by (lane) (rate(engine_cpu_seconds_total{${own}}[${zoom}]))`,
        legend: '{{lane}}',
      },
    ],
  ),
])

export const models: Dashboard = {
  uid: 'relais-models',
  name: 'models',
  title: 'Relais: models',
  about: 'Versions that serve, their traffic, speed and engines.',
  variables: ['model', 'model_version'],
  sections: [versions, time, engines],
}
