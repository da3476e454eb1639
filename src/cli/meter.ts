// Tells how far a command is: often to a person, now and then to a log.
import type { Output } from './command.ts'

export class Meter {
  private readonly began = performance.now()
  private shown = this.began
  private readonly isPerson = process.stderr.isTTY
  private readonly every = this.isPerson ? 200 : 5_000
  private readonly output: Output
  private readonly quiet: number

  /** `quiet`: milliseconds in which nothing is told, for what may be over by then. */
  constructor(output: Output, quiet = 0) {
    this.output = output
    this.quiet = quiet
  }

  get seconds(): number {
    return (performance.now() - this.began) / 1000
  }

  /** Shows what `text` says, when it is time. */
  show(text: () => string): void {
    const now = performance.now()
    if (now - this.began < this.quiet || now - this.shown < this.every) return
    this.shown = now
    if (this.isPerson) this.output.progress(text())
    else this.output.note(text())
  }
}
