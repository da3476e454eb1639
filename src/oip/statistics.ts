// Statistics of loaded versions in the shape of Triton's statistics extension.
// https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_statistics.md
import type { Deployment } from '../inference/deployment.ts'
import type { Tally } from '../inference/statistics.ts'

const shown = ({ count, ns }: Tally): { count: number; ns: number } => ({ count, ns })
/** There is no cache of answers; clients want its members all the same. */
const none = { count: 0, ns: 0 }

/** Counted since the version was loaded. Times are nanoseconds, `last_inference` is epoch ms. */
export function statisticsOf({ model, version, statistics, memory }: Deployment): object {
  const { success, fail, queue, input, infer, output, batches } = statistics
  const times = { compute_infer: shown(infer), compute_output: shown(output) }
  return {
    name: model,
    version,
    last_inference: statistics.lastInference,
    inference_count: statistics.inferences,
    execution_count: statistics.executions,
    inference_stats: {
      success: shown(success),
      fail: shown(fail),
      queue: shown(queue),
      compute_input: shown(input),
      ...times,
      cache_hit: none,
      cache_miss: none,
    },
    // A request has one response, the one numbered 0.
    response_stats: {
      '0': {
        ...times,
        success: shown(success),
        fail: shown(fail),
        empty_response: none,
        cancel: none,
      },
    },
    batch_stats: [...batches].map(([size, tally]) => ({
      batch_size: size,
      compute_input: shown(tally.input),
      compute_infer: shown(tally.infer),
      compute_output: shown(tally.output),
    })),
    memory_usage: [{ type: 'CPU', id: 0, byte_size: memory }],
  }
}
