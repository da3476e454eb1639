// The generated tables of README and docs are fresh, and what the README names exists.
import { expect, test } from 'bun:test'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import { filled, pages, sectionNames } from '../src/build/readme.ts'
import { commands } from '../src/cli/cli.ts'

const root = join(import.meta.dir, '..')
const readme = readFileSync(join(root, 'README.md'), 'utf8')

test('tables are those of the code; `bun src/build/readme.ts` renews them', () => {
  for (const page of pages) {
    const text = readFileSync(page, 'utf8')
    expect(filled(text)).toBe(text)
  }
})

test('every generated section stands on one page', () => {
  const texts = pages.map((page) => readFileSync(page, 'utf8'))
  const places = (name: string) => texts.filter((text) => text.includes(`<!-- ${name} -->`))
  expect(sectionNames.filter((name) => places(name).length !== 1)).toEqual([])
})

test('every relais command in the examples exists', () => {
  const lines = [...readme.matchAll(/^relais ([a-z]+(?: [a-z]+)?)/gm)].map(
    (match) => match[1] ?? '',
  )
  expect(lines.length).toBeGreaterThan(8)
  const names = commands.map(({ name }) => name)
  const unknown = lines.filter(
    (words) => !names.includes(words) && !names.includes(words.split(' ')[0] ?? ''),
  )
  expect(unknown).toEqual([])
})

test('files and pictures it links to are there', () => {
  const links = [...readme.matchAll(/\]\(([^)#]+)\)/g)].map((match) => match[1] ?? '')
  expect(links.filter((link) => !existsSync(join(root, link)))).toEqual([])
})
