// How many frames a lane keeps in flight, and when a slow engine waits a moment for more rows.

/** Two frames in flight keep an engine busy while the answer of the first is being handed out. */
const framesInFlight = 2
/** Slower frames, in milliseconds, go one at a time: more rows in the next gain more than overlap does. */
const slowFrame = 5
/** Share of a slow frame's time, and most milliseconds, in which those it answered may ask again. */
const lingerShare = 0.05
const longestLinger = 5

export class Pace {
  private readonly fixedWidth: number | undefined
  /** When the last run was answered, and how long its frame took, in milliseconds. */
  private answered = 0
  private frameMillis = 0
  /** Requests that were answered then, and those that waited: as many may come together again. */
  private company = 0

  /** `width`: frames in flight, where that must not vary. */
  constructor(width: number | undefined) {
    this.fixedWidth = width
  }

  /** Frames to have in flight; one that is full has nothing to gain from waiting. */
  width(isFull: boolean): number {
    return this.fixedWidth ?? (this.frameMillis > slowFrame && !isFull ? 1 : framesInFlight)
  }

  /** A run ended: its frame took `millis`, `company` requests were in it or waited meanwhile. */
  ran(now: number, millis: number, company: number): void {
    this.answered = now
    this.frameMillis = millis
    this.company = company
  }

  /** Is it worth it to let more than these `waiting` requests gather before an idle engine goes on? */
  lingers(now: number, waiting: number, isFull: boolean): boolean {
    if (isFull || this.frameMillis <= slowFrame) return false
    if (waiting === 0 || waiting >= this.company) return false
    return now - this.answered < Math.min(longestLinger, this.frameMillis * lingerShare)
  }
}
