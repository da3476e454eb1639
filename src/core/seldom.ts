// Work that may take long and need not be fresh: done now and then, and never waited for long.

/** Between two looks lies at least so many times what the last one took: one per cent of the time. */
const share = 100

/**
 * Returns a function that does `work` again, unless it is under way or was done less than `pause`
 * milliseconds ago; it resolves when the work has ended, at once when there is none. Failures end it too.
 */
export function seldom(work: () => Promise<void>, pause: number): () => Promise<void> {
  let running: Promise<void> | null = null
  let next = 0
  const run = async (): Promise<void> => {
    const started = performance.now()
    try {
      await work()
    } catch {
      // Whoever needs the outcome finds the old one, and the next look may succeed.
    }
    const now = performance.now()
    next = now + Math.max(pause, (now - started) * share)
    running = null
  }
  return async () => {
    if (running === null && performance.now() >= next) running = run()
    await running
  }
}
