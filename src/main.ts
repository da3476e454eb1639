// Entry of the binary: a hidden child mode or a command. The only file that ends the process.

const [mode, ...rest] = process.argv.slice(2)

/** Modules are loaded per mode: an engine must not pay for the server. */
async function run(): Promise<number> {
  switch (mode ?? '') {
    case '__engine': {
      Object.assign(globalThis, { relaisNativeFolder: rest[0] })
      const { runEngine } = await import('./inference/engine.ts')
      await runEngine(rest.slice(1))
      return 0
    }
    case '__trial': {
      Object.assign(globalThis, { relaisNativeFolder: rest[0] })
      const { runTrial } = await import('./inference/trial-child.ts')
      await runTrial(rest.slice(1))
      return 0
    }
    case '__snapshot': {
      const { snapshot } = await import('./upkeep/backup.ts')
      snapshot(rest[0] ?? '', rest[1] ?? '')
      return 0
    }
    default: {
      const { runCli } = await import('./cli/cli.ts')
      return runCli(process.argv.slice(2), process.env)
    }
  }
}

process.exit(await run())

export {}
