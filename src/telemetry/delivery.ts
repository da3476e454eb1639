// Sends items to an HTTP receiver in batches: a bounded queue, retries with growing pauses, an end with a deadline.
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'

// Packs on a thread of its own.
const pack = promisify(gzip)

export interface DeliveryOptions<T> {
  url: string
  headers: Readonly<Record<string, string>>
  gzip: boolean
  /** Items that may wait; the oldest give way to new ones. */
  most: number
  /** Items in a request. */
  batch: number
  /** Milliseconds that an item waits for others. */
  delay: number
  /** Milliseconds that the receiver has for an answer. */
  timeout: number
  encode: (items: readonly T[]) => Uint8Array | string
  /** Is the request worth another try after this status? Lost connections always are. */
  again: (status: number) => boolean
  /** How many items an accepted request lost, as its answer tells. */
  rejected?: (answer: Uint8Array) => number
  /** Told once when deliveries begin to fail, with the reason, and once, with null, when they go well again. */
  onTrouble: (why: string | null) => void
}

interface Refusal {
  why: string
  again: boolean
  /** Is it the receiver's word, not the network's? */
  said: boolean
  /** Milliseconds that the receiver asks for. */
  pause?: number | undefined
}

const firstPause = 500
const longestPause = 30_000
/** A batch that the receiver itself refused so often is given up: it may be what breaks it. */
const mostRefusals = 10

/** Milliseconds of a Retry-After in seconds; its other form, a date, is left to our own pauses. */
function pauseAsked(response: Response): number | undefined {
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN)
  return seconds >= 0 ? Math.min(seconds * 1000, longestPause) : undefined
}

export class Delivery<T> {
  dropped = 0
  private readonly options: DeliveryOptions<T>
  private queue: T[] = []
  private head = 0
  private running: Promise<void> | null = null
  private timer: ReturnType<typeof setTimeout> | undefined
  private closing = false
  private troubled = false
  private readonly end = new AbortController()
  private wake: () => void = () => undefined

  constructor(options: DeliveryOptions<T>) {
    this.options = options
  }

  get waiting(): number {
    return this.queue.length - this.head
  }

  add(item: T): void {
    const { most, batch, delay } = this.options
    this.queue.push(item)
    if (this.waiting > most) {
      this.head += 1
      this.dropped += 1
      if (this.head > most) this.compact()
    }
    if (this.running) return
    if (this.waiting >= batch) this.start()
    else this.timer ??= setTimeout(() => this.start(), delay).unref()
  }

  /** Sends what waits for at most so many milliseconds; what is left then is dropped and counted. */
  async close(deadline: number): Promise<void> {
    this.closing = true
    this.wake()
    if (this.waiting > 0 && !this.running) this.start()
    const late = setTimeout(() => {
      this.end.abort()
      this.wake()
    }, deadline)
    await this.running
    clearTimeout(late)
    clearTimeout(this.timer)
    this.dropped += this.waiting
    this.queue = []
    this.head = 0
  }

  private start(): void {
    clearTimeout(this.timer)
    this.timer = undefined
    this.running ??= this.run().finally(() => {
      this.running = null
      // What came while the last batch was on its way waits for company again.
      if (this.waiting > 0 && !this.closing) {
        this.timer ??= setTimeout(() => this.start(), this.options.delay).unref()
      }
    })
  }

  private async run(): Promise<void> {
    const { batch } = this.options
    do {
      const items = this.queue.slice(this.head, this.head + batch)
      this.head += items.length
      this.compact()
      await this.deliver(items)
    } while (
      this.waiting >= batch ||
      (this.closing && this.waiting > 0 && !this.end.signal.aborted)
    )
  }

  private compact(): void {
    this.queue = this.queue.slice(this.head)
    this.head = 0
  }

  private async deliver(items: readonly T[]): Promise<void> {
    let body: Uint8Array | string
    try {
      body = this.options.encode(items)
      if (this.options.gzip) body = await pack(body)
    } catch (error) {
      this.drop(items.length, `cannot be encoded: ${String(error)}`)
      return
    }
    let refusals = 0
    for (let attempt = 0; ; attempt += 1) {
      const refused = await this.post(body)
      if (refused === null) {
        this.tell(null)
        return
      }
      if (refused.said) refusals += 1
      if (!refused.again || refusals >= mostRefusals || this.end.signal.aborted) {
        this.drop(items.length, refused.why)
        return
      }
      this.tell(refused.why)
      await this.pause(refused.pause ?? firstPause * 2 ** Math.min(attempt, 10))
    }
  }

  /** Null when it was taken. */
  private async post(body: Uint8Array | string): Promise<Refusal | null> {
    const { url, headers, gzip: packed, timeout, again } = this.options
    try {
      const response = await fetch(url, {
        method: 'POST',
        body: body as Uint8Array<ArrayBuffer>,
        headers: { ...headers, ...(packed ? { 'content-encoding': 'gzip' } : {}) },
        // Credentials go where the settings say and nowhere else.
        redirect: 'manual',
        signal: AbortSignal.any([this.end.signal, AbortSignal.timeout(timeout)]),
      })
      const answer = await response.bytes()
      if (response.ok) {
        this.dropped += this.rejectedIn(answer)
        return null
      }
      const { status } = response
      const why = `${status} ${Buffer.from(answer).toString('utf8').trim().slice(0, 300)}`
      return { why, again: again(status), said: status !== 429, pause: pauseAsked(response) }
    } catch (error) {
      return {
        why: error instanceof Error ? error.message : String(error),
        again: true,
        said: false,
      }
    }
  }

  /** An answer that cannot be read says nothing: what was taken must not be sent again. */
  private rejectedIn(answer: Uint8Array): number {
    try {
      return this.options.rejected?.(answer) ?? 0
    } catch {
      return 0
    }
  }

  /** Ends early when the delivery is being closed. */
  private pause(millis: number): Promise<void> {
    const jittered = Math.min(millis, longestPause) * (0.75 + Math.random() / 2)
    // At shutdown there is time for a few quick attempts only.
    const wait = this.closing ? Math.min(jittered, 250) : jittered
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, wait)
      this.wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  private drop(count: number, why: string): void {
    this.dropped += count
    this.tell(why)
  }

  private tell(why: string | null): void {
    const troubled = why !== null
    if (troubled === this.troubled) return
    this.troubled = troubled
    this.options.onTrouble(why)
  }
}
