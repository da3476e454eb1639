// Burns a share of one core until it is stopped, in slices of a few milliseconds.
// Usage: bun burn.ts SHARE

const share = Number(process.argv[2])
const began = performance.now()
const used = (): number => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
const before = used()
console.log('burning')
for (;;) {
  while (used() - before < (performance.now() - began) * share) {
    for (let turn = 0; turn < 10_000; turn += 1) Math.sqrt(turn)
  }
  await Bun.sleep(2)
}

export {}
