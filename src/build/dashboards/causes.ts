// The causes on the service dashboard: event loop, CPU, memory, disk, file descriptors.
import { lines, section, table } from './panel.ts'
import { own, quantile, zoom } from './queries.ts'

export const causes = section(102, 'What holds it up', [
  lines(
    {
      id: 21,
      title: 'Requests in flight',
      about:
        'Requests being worked on. It grows when answers get slower than requests come. Next: the ' +
        'queue of the Models dashboard.',
      unit: 'short',
      width: 8,
    },
    [{ expr: `sum by (instance) (http_requests_in_flight{${own}})`, legend: '{{instance}}' }],
  ),
  lines(
    {
      id: 22,
      title: 'Event loop delay',
      about:
        'How late the HTTP process gets to its work; 100 ms (the line) is added to every request. ' +
        'Next: CPU beside it; very large bodies or too many series in /metrics are the usual cause.',
      unit: 's',
      width: 8,
    },
    [
      {
        expr: `max by (objective) (nodejs_eventloop_lag_seconds{${own}})`,
        legend: '{{objective}}',
      },
    ],
    {
      steps: [
        [null, 'green'],
        [0.1, 'red'],
      ],
    },
  ),
  lines(
    {
      id: 23,
      title: 'CPU',
      about:
        'Cores in use by the HTTP process and by all engines. Next, near the number of cores: add ' +
        'cores or instances; the Models dashboard shows the engines by lane.',
      unit: 'short',
      width: 8,
    },
    [
      { expr: `sum(rate(process_cpu_seconds_total{${own}}[${zoom}]))`, legend: 'HTTP process' },
      { expr: `sum(rate(engine_cpu_seconds_total{${own}}[${zoom}]))`, legend: 'engines' },
    ],
  ),
  lines(
    {
      id: 24,
      title: 'Memory',
      about:
        'Resident memory of the HTTP process and of all engines. Next, when engines near the setting ' +
        '`engine-memory`: fewer held versions or more memory; when the process grows for days: report it.',
      unit: 'bytes',
      width: 8,
    },
    [
      { expr: `sum(process_resident_memory_bytes{${own}})`, legend: 'HTTP process' },
      { expr: `sum(engine_resident_memory_bytes{${own}})`, legend: 'engines' },
    ],
  ),
  lines(
    {
      id: 25,
      title: 'SQLite, p99',
      about:
        'Time of the slowest 1 % of reads and writes. Writes wait for the disk. Next: the Storage row ' +
        'of the Registry dashboard (size of the write-ahead log, busy answers).',
      unit: 's',
      width: 8,
    },
    [
      {
        expr: quantile(0.99, `sqlite_query_duration_seconds{${own}}[${zoom}]`, 'operation, '),
        legend: '{{operation}}',
      },
    ],
    {
      steps: [
        [null, 'green'],
        [0.05, 'red'],
      ],
    },
  ),
  lines(
    {
      id: 26,
      title: 'Open files',
      about:
        'Share of the file descriptors that the process may open. At 100 % nothing can connect. Next: ' +
        'raise LimitNOFILE, or look for clients that never close.',
      unit: 'percentunit',
      width: 8,
    },
    [
      {
        expr: `max by (instance) (process_open_fds{${own}} / process_max_fds{${own}})`,
        legend: '{{instance}}',
      },
    ],
    {
      steps: [
        [null, 'green'],
        [0.8, 'red'],
      ],
      max: 1,
    },
  ),
  table(
    {
      id: 27,
      title: 'Instances',
      about:
        'What runs where and for how long. Two versions side by side are a roll-out. Next, when the ' +
        'uptime is short without one: the journal of the unit, then `relais doctor`.',
      width: 24,
      height: 5,
    },
    [
      'max by (instance, version, commit, runtime) (' +
        `(time() - process_start_time_seconds{${own}}) * on (job, instance) ` +
        `group_left (version, commit, runtime) relais_build_info{${own}})`,
    ],
    {
      columns: [
        { field: 'instance', title: 'Instance' },
        { field: 'version', title: 'Version', width: 120 },
        { field: 'commit', title: 'Commit', width: 160 },
        { field: 'runtime', title: 'Runtime', width: 140 },
        { field: 'A', title: 'Up for', unit: 's', width: 140 },
      ],
      sortBy: 'Up for',
    },
  ),
])
