// relais import mlflow: takes over all that a running MLflow server holds, and goes on where it was.
import { clientOf } from './client.ts'
import { clientOptions, type Command, CommandError, print, table, UsageError } from './command.ts'
import { ImportJob, type Tally } from './import-job.ts'
import { ImportTarget } from './import-target.ts'
import { Meter } from './meter.ts'
import { MlflowSource } from './mlflow-source.ts'

const wordsOf = (kind: string): string => kind.replaceAll('_', ' ')
const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1)

function progressText({ counts, bytes }: Tally): string {
  const seen = [...counts].map(
    ([kind, { created, present }]) => `${created + present} ${wordsOf(kind)}`,
  )
  return `${seen.join(', ')}, ${megabytes(bytes)} MB copied`
}

function linesOf(tally: Tally, isRehearsal: boolean): string[] {
  const headings = ['', isRehearsal ? 'WOULD COME' : 'NEW', 'HERE']
  const rows = [...tally.counts].map(([kind, { created, present }]) => [
    wordsOf(kind),
    created,
    present,
  ])
  const { bytes, prompts, problems } = tally
  return [
    ...table(headings, rows),
    `${megabytes(bytes)} MB of files ${isRehearsal ? 'would be copied' : 'copied'}`,
    ...(prompts > 0 ? [`${prompts} prompts left out: Relais has none`] : []),
    ...problems.map(({ what, why }) => `FAILED ${what}: ${why}`),
  ]
}

export const importMlflow: Command = {
  name: 'import mlflow',
  usage: '',
  needs: '--from URI',
  summary: 'take over experiments, runs, models and files from an MLflow server',
  options: {
    ...clientOptions,
    from: { type: 'string', value: 'URI', help: 'the MLflow server, e.g. http://mlflow:5000' },
    'dry-run': { type: 'boolean', help: 'only count what would come' },
    verify: { type: 'boolean', help: 'read files that are here already, too, and compare them' },
  },
  example: 'relais import mlflow --from http://mlflow:5000 --dry-run',
  run: async (args, output, env) => {
    const from = args.text('from')
    if (from === undefined) throw new UsageError('--from is required')
    const isRehearsal = args.flag('dry-run')
    const source = new MlflowSource(from, env)
    const target = new ImportTarget(clientOf(args, env), isRehearsal)
    const meter = new Meter(output)
    const shown = (tally: Tally): void => meter.show(() => progressText(tally))
    const job = new ImportJob({ source, target }, args.flag('verify'), shown)
    const tally = await job.run().catch((error: unknown) => {
      output.progress('')
      if (!(error instanceof CommandError)) throw error
      const next = `${error.next ?? ''} The same command goes on where this one stopped.`.trim()
      throw new CommandError(error.message, next, error.problem)
    })
    output.progress('')
    const { bytes, prompts, problems } = tally
    const summary = {
      from: source.url,
      dry_run: isRehearsal,
      ...Object.fromEntries(tally.counts),
      bytes,
      prompts,
      problems,
      seconds: Number(meter.seconds.toFixed(3)),
    }
    print(args, output, summary, () => linesOf(tally, isRehearsal))
    return problems.length > 0 ? 1 : 0
  },
}
