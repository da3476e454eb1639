// Dashboard 3: is what comes in and goes out still what the model was trained for?
import { bars, type Dashboard, gauges, heatmap, lines, section, type Step, table } from './panel.ts'
import { mean, ofVersion, zoom } from './queries.ts'

const byVersion = 'model, model_version'
const name = '{{model}} v{{model_version}}'

/** No score is good or bad by itself: a model is held against the version before it. */
const plain: readonly Step[] = [[null, 'blue']]

const training = section(300, 'What training promised', [
  gauges(
    {
      id: 1,
      title: 'Accuracy at training',
      about:
        'The metric that was pushed with each loaded version. Next, when a new version is below the ' +
        'one it replaced: ask its author, or roll back.',
      unit: 'percentunit',
      width: 12,
    },
    { expr: `max by (${byVersion}) (model_training_accuracy{${ofVersion}})`, legend: name },
    { steps: plain, max: 1 },
  ),
  gauges(
    {
      id: 2,
      title: 'F1 at training',
      about:
        'As the trainer averaged it. Next, when accuracy is high and F1 low: a rare class is not ' +
        'found; look at the class mix below.',
      unit: 'percentunit',
      width: 12,
    },
    { expr: `max by (${byVersion}) (f1_score{${ofVersion}})`, legend: name },
    { steps: plain, max: 1 },
  ),
])

const out = section(301, 'What goes out', [
  lines(
    {
      id: 11,
      title: 'Predicted classes, share by version',
      about:
        'Share of each class among what a version predicts. Choose one model. A share that moves ' +
        'without a promotion means other inputs or another world. Next: "Checks that failed", then ' +
        'the people who feed the model.',
      unit: 'percentunit',
      width: 12,
    },
    [
      {
        expr:
          `sum by (${byVersion}, class) (rate(predicted_class_total{${ofVersion}}[${zoom}])) / ` +
          `on (${byVersion}) group_left () ` +
          `sum by (${byVersion}) (rate(predicted_class_total{${ofVersion}}[${zoom}]))`,
        legend: `${name} {{class}}`,
      },
    ],
    { max: 1 },
  ),
  heatmap(
    {
      id: 12,
      title: 'Greatest probability',
      about:
        'How sure the classifiers are. Mass that moves down means inputs the model has not seen. ' +
        'Next: choose one model and version, and compare with the time before.',
      unit: 'percentunit',
      width: 12,
    },
    `sum by (le) (increase(prediction_score_bucket{${ofVersion}}[${zoom}]))`,
  ),
  lines(
    {
      id: 13,
      title: 'Mean probability by version',
      about:
        'The same as one line per version. Next, when a new version is less sure than the one before ' +
        'on the same traffic: it may be undertrained; compare their metrics above.',
      unit: 'percentunit',
      width: 24,
    },
    [{ expr: mean('prediction_score', `{${ofVersion}}[${zoom}]`, byVersion), legend: name }],
    { max: 1 },
  ),
])

const rejected = (window: string): string =>
  `sum by (${byVersion}) (rate(prediction_errors_total{${ofVersion},reason="schema"}[${window}])) / ` +
  `(sum by (${byVersion}) (rate(predictions_total{${ofVersion}}[${window}])) > 0)`

const input = section(302, 'What comes in', [
  lines(
    {
      id: 21,
      title: 'Requests whose input does not fit',
      about:
        'Share of prediction requests refused with 422. InputsRejected fires above 10 % for 15 ' +
        'minutes. Next: "Checks that failed" names the check, the answer to the caller the place.',
      unit: 'percentunit',
      width: 12,
    },
    [{ expr: rejected(zoom), legend: name }],
    {
      steps: [
        [null, 'green'],
        [0.1, 'red'],
      ],
    },
  ),
  bars(
    {
      id: 22,
      title: 'Checks that failed',
      about:
        'Values per second that failed a check of the feature schema: type, null, range, set, shape, ' +
        'missing, unknown. Next: null or type is a broken pipeline, range or set a changed world or a ' +
        'schema that is too narrow.',
      unit: 'cps',
      width: 12,
    },
    [
      {
        expr: `sum by (check) (rate(data_check_failures_total{${ofVersion}}[${zoom}]))`,
        legend: '{{check}}',
      },
    ],
  ),
  table(
    {
      id: 23,
      title: 'Checks that failed, by model',
      about:
        'Failed checks over the chosen time. Next: the owner of the model on top compares its feature ' +
        'schema with what the callers send.',
      width: 24,
    },
    [
      `sum by (${byVersion}, check) (increase(data_check_failures_total{${ofVersion}}[$__range])) > 0`,
    ],
    {
      columns: [
        { field: 'model', title: 'Model' },
        { field: 'model_version', title: 'Version', width: 100 },
        { field: 'check', title: 'Check', width: 160 },
        { field: 'A', title: 'Failed', unit: 'short', decimals: 0, width: 140 },
      ],
      sortBy: 'Failed',
      most: 50,
    },
  ),
])

export const quality: Dashboard = {
  uid: 'relais-quality',
  name: 'quality',
  title: 'Relais: drift and quality',
  about: 'What training promised, what goes out, and what comes in.',
  variables: ['model', 'model_version'],
  sections: [training, out, input],
}
