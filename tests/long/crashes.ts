// 100 cycles of kill -9 during writes: nothing acknowledged is lost, the audit chain is whole, no half
// version is left.
import { demand, Server } from './server.ts'

interface Acknowledged {
  models: Set<string>
  /** Description each model was last acknowledged to have, and what may have been under way. */
  descriptions: Map<string, string[]>
  versions: Map<string, number>
}

export async function crashes(cycles = 100) {
  const server = new Server(['--log-level', 'error'])
  await server.start()
  await server.pushExample('base', 'iris', { stage: 'Production' })
  const known: Acknowledged = {
    models: new Set(),
    descriptions: new Map(),
    versions: new Map(),
  }
  let acknowledged = 0
  let slowest = 0
  for (let cycle = 0; cycle < cycles; cycle += 1) {
    const state = { running: true }
    const writers = [0, 1, 2, 3].map((writer) => write(server, known, `${cycle}-${writer}`, state))
    await Bun.sleep(60 + Math.random() * 340)
    await server.kill('SIGKILL')
    state.running = false
    const counts = await Promise.all(writers)
    acknowledged += counts.reduce((sum, count) => sum + count, 0)
    slowest = Math.max(slowest, await server.start())
    await compare(server, known, cycle, `m-${cycle}-`)
  }
  // Once more all of them: a later crash must not lose what an earlier one had kept.
  await compare(server, known, cycles, 'm-')
  const verdict = await server.call('GET', '/api/v1/audit/verify')
  const doctor = await server.call('GET', '/api/v1/doctor')
  demand(doctor.body.ok, JSON.stringify(doctor.body))
  await server.close()
  return {
    cycles,
    acknowledged,
    audit_entries: verdict.body.entries,
    lost: 0,
    slowest_restart_ms: Math.round(slowest),
  }
}

/** Writes until the server is gone; returns how many writes were acknowledged. */
async function write(
  server: Server,
  known: Acknowledged,
  name: string,
  state: { running: boolean },
): Promise<number> {
  let count = 0
  const path = `/api/v1/models/m-${name}`
  try {
    const made = await server.call('POST', '/api/v1/models', { name: `m-${name}` })
    if (made.status !== 201) return count
    known.models.add(`m-${name}`)
    count += 1
    if (name.endsWith('-0')) {
      const pushed = await server.pushExample(`m-${name}`, 'iris')
      if (pushed.status === 201) known.versions.set(`m-${name}`, pushed.body.version)
      count += 1
    }
    for (let n = 0; state.running; n += 1) {
      const description = `${name} ${n}`
      const sent = known.descriptions.get(`m-${name}`) ?? []
      known.descriptions.set(`m-${name}`, [sent.at(-1) ?? '', description])
      const edited = await server.call('PATCH', path, { description })
      if (edited.status !== 200) return count
      known.descriptions.set(`m-${name}`, [description])
      count += 1
    }
  } catch {
    // The server was killed under the request: it was not acknowledged.
  }
  return count
}

async function compare(
  server: Server,
  known: Acknowledged,
  cycle: number,
  prefix: string,
): Promise<void> {
  const verdict = await server.call('GET', '/api/v1/audit/verify')
  demand(verdict.body.valid, `cycle ${cycle}: ${JSON.stringify(verdict.body)}`)
  const recent = [...known.models].filter((name) => name.startsWith(prefix))
  for (const name of recent) {
    const found = await server.call('GET', `/api/v1/models/${name}`)
    demand(found.status === 200, `cycle ${cycle}: lost model ${name}`)
    const allowed = known.descriptions.get(name) ?? ['']
    demand(allowed.includes(found.body.description), `cycle ${cycle}: lost an edit of ${name}`)
    const listed = await server.call('GET', `/api/v1/models/${name}/versions`)
    const acknowledged = known.versions.get(name) ?? 0
    const versions: any[] = listed.body.versions
    demand(versions.length >= acknowledged, `cycle ${cycle}: lost a version of ${name}`)
    for (const { version } of versions) {
      const bytes = await fetch(`${server.url}/api/v1/models/${name}/versions/${version}/model`, {
        headers: { authorization: `Bearer ${server.admin}` },
      })
      demand(bytes.status === 200, `cycle ${cycle}: half version ${name} ${version}`)
    }
  }
}
