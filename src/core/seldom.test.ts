// Work that is done now and then: never twice at once, not soon again, and failures end it.
import { expect, test } from 'bun:test'

import { seldom } from './seldom.ts'

test('who asks meanwhile waits for the same work', async () => {
  let done = 0
  const look = seldom(async () => {
    await Bun.sleep(20)
    done += 1
  }, 0)
  await Promise.all([look(), look(), look()])
  expect(done).toBe(1)
})

test('it is not done again before its pause, or before a hundred times what it took', async () => {
  let done = 0
  const quick = seldom(() => Promise.resolve(void (done += 1)), 60)
  await quick()
  await quick()
  expect(done).toBe(1)
  await Bun.sleep(80)
  await quick()
  expect(done).toBe(2)
  const slow = seldom(async () => {
    await Bun.sleep(10)
    done += 1
  }, 0)
  await slow()
  await Bun.sleep(100)
  await slow()
  expect(done).toBe(3)
})

test('a failure is no answer, and the next look may succeed', async () => {
  let asked = 0
  const look = seldom(async () => {
    asked += 1
    if (asked === 1) throw new Error('locked')
  }, 0)
  await look()
  await Bun.sleep(60)
  await look()
  expect(asked).toBe(2)
})
