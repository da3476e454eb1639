// Serial queues: tasks run one after the other, in order, alone or for all that wait.

/** Returns a function that runs each task after all earlier ones have ended, whatever their fate. */
export function serialQueue(): <T>(task: () => Promise<T>) => Promise<T> {
  let tail: Promise<unknown> = Promise.resolve()
  return (task) => {
    const run = tail.then(task, task)
    tail = run.catch(() => undefined)
    return run
  }
}

/** Returns a function that hands `work` all items given while an earlier run was under way. */
export function gathered<T>(work: (items: T[]) => Promise<void>): (item: T) => Promise<void> {
  const inOrder = serialQueue()
  let next: { items: T[]; done: Promise<void> } | null = null
  return (item) => {
    if (next) next.items.push(item)
    else {
      const items = [item]
      const start = (): Promise<void> => {
        next = null
        return work(items)
      }
      next = { items, done: inOrder(start) }
    }
    return next.done
  }
}
