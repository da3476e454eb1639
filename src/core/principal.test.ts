import { describe, expect, test } from 'bun:test'

import { can, globMatches, grants, type Principal, rights, roles, system } from './principal.ts'

const principal = (role: Principal['role'], models: string[] | null = null): Principal => ({
  sub: 'x',
  role,
  jti: 'j',
  models,
  exp: 0,
})

describe('globs', () => {
  test('* stands for any run of characters, everything else for itself', () => {
    const table: [string, string, boolean][] = [
      ['iris', 'iris', true],
      ['iris', 'Iris', false],
      ['iris', 'iris2', false],
      ['iris*', 'iris2', true],
      ['*', '', true],
      ['*', 'anything', true],
      ['churn-*', 'churn-eu', true],
      ['churn-*', 'xchurn-eu', false],
      ['*-eu', 'churn-eu', true],
      ['*-eu', 'churn-us', false],
      ['a*b*c', 'a--b--c', true],
      ['a*b*c', 'acb', false],
      ['a*a', 'a', false],
      ['ab*ba', 'aba', false],
      ['a**b', 'ab', true],
      ['a.c', 'abc', false],
      ['[ab]', 'a', false],
      ['?', 'a', false],
      ['', '', true],
      ['', 'a', false],
    ]
    for (const [glob, name, fits] of table) {
      expect([glob, name, globMatches(glob, name)]).toEqual([glob, name, fits])
    }
  })

  test('agrees with a regular expression on random globs', () => {
    let seed = 1
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0
      return (seed >>> 16) % below
    }
    const word = (letters: string): string =>
      Array.from({ length: random(8) }, () => letters[random(letters.length)]).join('')
    let matched = 0
    for (let round = 0; round < 20_000; round += 1) {
      const [glob, name] = [word('ab*'), word('ab')]
      const pattern = new RegExp(`^${glob.replaceAll(/\*+/g, '.*')}$`)
      expect([glob, name, globMatches(glob, name)]).toEqual([glob, name, pattern.test(name)])
      if (pattern.test(name)) matched += 1
    }
    expect(matched).toBeGreaterThan(500)
  })

  test('hostile globs cost linear time', () => {
    const started = performance.now()
    expect(globMatches('a*'.repeat(5000), 'a'.repeat(100_000))).toBe(true)
    expect(globMatches(`${'a*'.repeat(5000)}b`, 'a'.repeat(100_000))).toBe(false)
    expect(globMatches(`*${'ab'.repeat(50)}*c`, 'ab'.repeat(50_000))).toBe(false)
    expect(performance.now() - started).toBeLessThan(200)
  })
})

describe('§10 rights', () => {
  test('a token narrowed to models holds its rights there and nowhere else', () => {
    const narrow = principal('admin', ['iris', 'churn-*'])
    expect(can(narrow, 'models:read', 'iris')).toBe(true)
    expect(can(narrow, 'models:read', 'churn-eu')).toBe(true)
    expect(can(narrow, 'models:read', 'secret')).toBe(false)
    for (const right of [
      'metrics:read',
      'audit:read',
      'tokens:manage',
      'settings:manage',
    ] as const) {
      expect([right, can(narrow, right)]).toEqual([right, false])
    }
    expect(can(principal('admin', []), 'models:read', 'iris')).toBe(false)
  })

  test('roles hold what the table says', () => {
    expect(roles.filter((role) => can(principal(role), 'models:predict', 'm'))).toEqual([
      'predictor',
      'data-scientist',
      'ml-lead',
      'ci',
      'admin',
    ])
    expect(roles.filter((role) => can(principal(role), 'stage:Production', 'm'))).toEqual([
      'ml-lead',
      'ci',
      'admin',
    ])
    expect(roles.filter((role) => can(principal(role), 'tokens:manage'))).toEqual(['admin'])
    expect(roles.filter((role) => can(principal(role), 'audit:read'))).toEqual(['auditor', 'admin'])
    expect([...grants.predictor]).toEqual(['models:predict'])
    expect(rights.every((right) => can(system, right, 'm'))).toBe(true)
  })
})
