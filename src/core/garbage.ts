// Bodies that stream through: the collector does not see how large their pieces are.

/** Bytes that may have passed through before what is left of them is collected. */
const collectEvery = 24 << 20
let passed = 0

/** Notes that a piece of a body came in; without it 100 MB and more would pile up. */
export function passedThrough(bytes: number): void {
  passed += bytes
  if (passed < collectEvery) return
  passed = 0
  Bun.gc(true)
}
