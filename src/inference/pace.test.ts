import { expect, test } from 'bun:test'

import { Pace } from './pace.ts'

test('quick frames overlap and never wait', () => {
  const pace = new Pace(undefined)
  expect(pace.width(false)).toBe(2)
  pace.ran(100, 4, 32)
  expect([pace.width(false), pace.lingers(100, 1, false)]).toEqual([2, false])
})

test('slow frames go alone, and the next one waits until all are back or the time is up', () => {
  const pace = new Pace(undefined)
  pace.ran(100, 40, 32)
  expect(pace.width(false)).toBe(1)
  const table: [now: number, waiting: number, lingers: boolean][] = [
    [100, 1, true],
    [101.9, 31, true],
    [101.9, 32, false],
    [102, 31, false],
    [100, 0, false],
  ]
  for (const [now, waiting, lingers] of table) {
    expect([now, waiting, pace.lingers(now, waiting, false)]).toEqual([now, waiting, lingers])
  }
  pace.ran(1000, 4000, 32)
  expect([pace.lingers(1004, 1, false), pace.lingers(1005, 1, false)]).toEqual([true, false])
})

test('a slow frame that is full follows at once, behind the one that runs', () => {
  const pace = new Pace(undefined)
  pace.ran(100, 200, 2000)
  expect([pace.width(true), pace.lingers(100, 1800, true)]).toEqual([2, false])
  expect([pace.width(false), pace.lingers(100, 1800, false)]).toEqual([1, true])
  expect(new Pace(1).width(true)).toBe(1)
})

test('a width that is given stays', () => {
  const pace = new Pace(1)
  pace.ran(0, 1, 1)
  expect(pace.width(false)).toBe(1)
})
