// A serial queue: tasks run one after the other, in order.

/** Returns a function that runs each task after all earlier ones have ended, whatever their fate. */
export function serialQueue(): <T>(task: () => Promise<T>) => Promise<T> {
  let tail: Promise<unknown> = Promise.resolve()
  return (task) => {
    const run = tail.then(task, task)
    tail = run.catch(() => undefined)
    return run
  }
}
