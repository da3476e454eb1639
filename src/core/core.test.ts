import { describe, expect, test } from 'bun:test'

import { Fault, type FaultCode, faults, problemOf, toFault } from './fault.ts'
import { canonical, newId, randomHex, sha256 } from './ids.ts'
import { gathered, serialQueue } from './queue.ts'

describe('faults', () => {
  test('every code has a status of an error and a title for people', () => {
    for (const [code, [status, title]] of Object.entries(faults)) {
      expect([code, /^[a-z0-9]+(?:[.-][a-z0-9]+)*$/.test(code)]).toEqual([code, true])
      expect([code, status >= 400 && status < 600, title.length > 5]).toEqual([code, true, true])
    }
  })

  test('503 always says when to come back, others only if asked to', () => {
    for (const [code, [status]] of Object.entries(faults)) {
      const fault = new Fault(code as FaultCode, 'x')
      expect([code, fault.retryAfter]).toEqual([code, status === 503 ? 1 : undefined])
    }
    expect(new Fault('engine.busy', 'x', { retryAfter: 9 }).retryAfter).toBe(9)
  })

  test('a problem document shows 50 places at most and never the cause', () => {
    const errors = Array.from({ length: 60 }, (_, at) => ({
      pointer: `/${at}`,
      code: 'type',
      message: 'm',
    }))
    const fault = new Fault('input.invalid', 'd', { errors, cause: new Error('secret') })
    const problem = problemOf(fault, 'r')
    expect((problem['errors'] as unknown[]).length).toBe(50)
    expect(JSON.stringify(problem)).not.toInclude('secret')
    expect([problem['status'], problem['code'], problem['instance']]).toEqual([
      422,
      'input.invalid',
      'r',
    ])
  })

  test('what is thrown becomes a fault: ours as it is, a full disk 507, the rest internal', () => {
    const own = new Fault('engine.busy', 'x')
    expect(toFault(own)).toBe(own)
    expect(toFault(Object.assign(new Error(), { code: 'ENOSPC' })).code).toBe('storage.full')
    expect(toFault(Object.assign(new Error(), { code: 'SQLITE_FULL' })).code).toBe('storage.full')
    for (const thrown of [new Error('/etc/secret'), 'text', null, undefined, 7]) {
      const fault = toFault(thrown)
      expect([fault.code, fault.message.includes('secret')]).toEqual(['internal', false])
      expect(fault.cause).toBe(thrown)
    }
  })
})

describe('ids', () => {
  test('are UUIDv7 in the order of their making', () => {
    const ids = Array.from({ length: 1000 }, newId)
    expect(new Set(ids).size).toBe(1000)
    expect(ids.toSorted()).toEqual(ids)
    expect(ids[0]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/)
  })

  test('digests and random bytes are lower-case hex', () => {
    expect(sha256('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
    expect(sha256(Buffer.from('abc'))).toBe(sha256('abc'))
    expect(randomHex(16)).toMatch(/^[0-9a-f]{32}$/)
    expect(randomHex(16)).not.toBe(randomHex(16))
  })

  test('equal values have one canonical text', () => {
    expect(canonical({ b: 1, a: { d: [2, { z: 1, y: 2 }], c: null } })).toBe(
      canonical({ a: { c: null, d: [2, { y: 2, z: 1 }] }, b: 1 }),
    )
    expect(canonical([1, 2])).not.toBe(canonical([2, 1]))
  })
})

describe('the serial queue', () => {
  test('runs one after the other, whatever happens to the one before', async () => {
    const inOrder = serialQueue()
    const seen: string[] = []
    const task = (name: string, wait: number, fails = false) =>
      inOrder(async () => {
        seen.push(`+${name}`)
        await Bun.sleep(wait)
        seen.push(`-${name}`)
        if (fails) throw new Error(name)
        return name
      })
    const results = await Promise.allSettled([task('a', 20), task('b', 1, true), task('c', 5)])
    expect(seen).toEqual(['+a', '-a', '+b', '-b', '+c', '-c'])
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  })
})

describe('the gathering queue', () => {
  test('hands over together what was given meanwhile, and goes on after a failure', async () => {
    const runs: number[][] = []
    const give = gathered(async (items: number[]) => {
      runs.push(items)
      await Bun.sleep(5)
      if (items.includes(2)) throw new Error('two')
    })
    const first = give(0)
    await Bun.sleep(1)
    const rest = await Promise.allSettled([first, give(1), give(2), give(3)])
    await give(4)
    expect(runs).toEqual([[0], [1, 2, 3], [4]])
    expect(rest.map(({ status }) => status)).toEqual([
      'fulfilled',
      'rejected',
      'rejected',
      'rejected',
    ])
  })
})
