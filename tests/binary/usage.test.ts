// What the binary says without a server: help, examples, wrong usage, and its exit codes.
import { afterAll, describe, expect, test } from 'bun:test'
import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { binary, cleanUp, relais, temporary } from '../support/binary.ts'

afterAll(cleanUp)

const commands: [words: string, usage: string][] = [
  ['serve', 'relais serve'],
  ['push', 'relais push NAME FILE'],
  ['promote', 'relais promote NAME VERSION --to STAGE'],
  ['rollback', 'relais rollback NAME'],
  ['quarantine clear', 'relais quarantine clear NAME VERSION'],
  ['models', 'relais models [NAME]'],
  ['predict', 'relais predict NAME --input FILE'],
  ['import mlflow', 'relais import mlflow --from URI'],
  ['token create', 'relais token create --sub NAME --role ROLE'],
  ['token revoke', 'relais token revoke JTI'],
  ['token list', 'relais token list'],
  ['keys rotate', 'relais keys rotate'],
  ['audit', 'relais audit'],
  ['doctor', 'relais doctor'],
  ['backup', 'relais backup FILE'],
  ['restore', 'relais restore FILE --data DIR'],
  ['version', 'relais version'],
]

test('the binary is at most 170 MiB', () => {
  const size = statSync(binary()).size / 1048576
  console.log(`binary: ${size.toFixed(1)} MiB`)
  expect(size).toBeLessThanOrEqual(170)
})

for (const args of [[], ['--help'], ['-h'], ['help']]) {
  test(`relais ${args.join(' ')} prints every command`, async () => {
    const { code, out, err } = await relais(args)
    expect([code, err]).toEqual([0, ''])
    for (const [, usage] of commands) expect(out).toContain(`  ${usage} `)
  })
}

for (const [words, usage] of commands) {
  test(`relais ${words} --help shows how, every option, and an example`, async () => {
    const { code, out, err } = await relais([...words.split(' '), '--help'])
    expect([code, err]).toEqual([0, ''])
    expect(out.startsWith(`${usage}: `)).toBe(true)
    expect(out).toMatch(new RegExp(`\\nExample:\\n  relais ${words}( |\\n)`))
  })
}

test('the example of a command passes its own reading of arguments', async () => {
  for (const [words] of commands.filter(([name]) => name !== 'serve')) {
    const { out } = await relais([...words.split(' '), '--help'])
    const [, line = ''] = /Example:\n {2}relais (.*)\n/.exec(out) ?? []
    const args = [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map((m) => m[1] ?? m[2] ?? m[3]!)
    const env = { RELAIS_URL: 'http://127.0.0.1:9' }
    expect([line, (await relais(args, { env })).code]).not.toEqual([line, 2])
  }
})

describe('wrong usage exits 2 and says what is wrong', () => {
  const table: [args: string[], says: string][] = [
    [['frobnicate'], "there is no command 'frobnicate'"],
    [['token'], 'did you mean token create, token revoke, token list?'],
    [['token', 'make'], 'did you mean token create'],
    [['quarantine', 'iris', '1'], 'did you mean quarantine clear?'],
    [['serve', '--prot', '80'], "Unknown option '--prot'"],
    [['serve', 'here'], 'unexpected here'],
    [['serve', '--port', 'http'], "'http' is no whole number"],
    [['serve', '--drain-timeout', 'soon'], "'soon' is no duration"],
    [['serve', '--max-model', 'big'], "'big' is no size"],
    [['push'], 'missing NAME FILE'],
    [['push', 'iris'], 'missing FILE'],
    [['push', 'iris', 'a.onnx', 'b.onnx'], 'unexpected b.onnx'],
    [['push', 'iris', '/dev/null', '--metric', 'accuracy'], '--metric takes KEY=VALUE'],
    [['push', 'iris', '/dev/null', '--metric', 'accuracy=high'], '--metric accuracy: no number'],
    [['push', 'iris', '/dev/null', '--tag', '=x'], '--tag takes KEY=VALUE'],
    [['push', 'iris', '/dev/null', '--colour', 'red'], "Unknown option '--colour'"],
    [['promote', 'iris', '1'], '--to is required'],
    [['promote', 'iris', 'first', '--to', 'Production'], "a whole number, not 'first'"],
    [['promote', 'iris', '0', '--to', 'Production'], "a whole number, not '0'"],
    [['rollback'], 'missing NAME'],
    [['rollback', 'iris', '--to', 'Staging'], "Unknown option '--to'"],
    [['quarantine', 'clear', 'iris'], 'missing VERSION'],
    [['models', 'iris', '2'], 'unexpected 2'],
    [['models', '--url'], '--url'],
    [['models', '--url', 'here'], "'here' is no address"],
    [['models', '..'], 'no model can be named ..'],
    [['predict', 'iris'], '--input is required'],
    [['token', 'create', '--sub', 'a'], '--sub and --role are required'],
    [['token', 'create', '--sub', 'a', '--role', 'king'], '--role is one of viewer'],
    [['token', 'create', '--sub', 'a', '--role', 'admin', '--ttl', 'long'], 'is no duration'],
    [['token', 'revoke'], 'missing JTI'],
    [['token', 'list', '--all'], "Unknown option '--all'"],
    [['keys', 'rotate', '--now'], "Unknown option '--now'"],
    [['audit', '--verify=yes'], '--verify'],
    [['doctor', 'all'], 'unexpected all'],
    [['backup'], 'missing FILE'],
    [['restore', 'a.tar'], '--data is required'],
    [['restore', '--data', '/tmp/x'], 'missing FILE'],
    [['version', '--short'], "Unknown option '--short'"],
  ]
  for (const [args, says] of table) {
    test(`relais ${args.join(' ')}`, async () => {
      const { code, out, err } = await relais(args)
      expect([code, out]).toEqual([2, ''])
      expect(err).toContain(says)
    })
  }
})

test('an unknown setting in the environment is wrong usage of serve', async () => {
  const { code, err } = await relais(['serve'], { env: { RELAIS_PROT: '80' } })
  expect([code, err.includes('unknown setting RELAIS_PROT')]).toEqual([2, true])
})

describe('what fails exits 1 and says what to do next', () => {
  const away = ['--url', 'http://127.0.0.1:9']
  const table: [args: string[], says: string, next: string][] = [
    [['models', ...away], 'no answer from http://127.0.0.1:9', 'relais serve'],
    [['doctor', ...away], 'no answer from', 'relais serve'],
    [['models', '--token-file', '/nowhere', ...away], 'cannot read /nowhere', '--token-file'],
    [['push', 'iris', '/nowhere.onnx', ...away], 'there is no file /nowhere.onnx', ''],
    [['push', 'iris', '/tmp', ...away], 'there is no file /tmp', ''],
    [
      ['push', 'iris', '/dev/null', '--schema', '/nowhere.json', ...away],
      'cannot read /nowhere.json',
      '',
    ],
    [['predict', 'iris', '--input', '/nowhere.json', ...away], 'cannot read /nowhere.json', ''],
    [['restore', '/nowhere.tar', '--data', '/tmp/relais-none'], 'there is no file', ''],
    [
      ['token', 'create', '--sub', 'a', '--role', 'admin', '--data', '/nowhere'],
      '/nowhere holds no relais data',
      'relais serve --data',
    ],
    [['serve', '--data', '/proc/none'], '', ''],
  ]
  for (const [args, says, next] of table) {
    test(`relais ${args.join(' ')}`, async () => {
      const { code, out, err } = await relais(args)
      expect([code, out]).toEqual([1, ''])
      expect(err).toContain(says)
      expect(err).toContain(next)
      expect(err).not.toContain('    at ')
    })
  }
})

test('version tells version, commit and runtime, also as JSON', async () => {
  const { code, out } = await relais(['version'])
  expect(code).toBe(0)
  expect(out).toMatch(/^relais \d+\.\d+\.\d+ \(\w+, bun 1\.4\.5\)\n$/)
  const told = JSON.parse((await relais(['version', '--json'])).out) as Record<string, string>
  expect(Object.keys(told)).toEqual(['version', 'commit', 'runtime'])
})

test('the binary does not read settings of Bun from where it is called', async () => {
  const folder = temporary()
  writeFileSync(join(folder, 'bunfig.toml'), 'preload = ["./absent.ts"]')
  writeFileSync(join(folder, '.env'), 'RELAIS_PORT=nonsense')
  const before = ['/bin/sh', '-c', `cd ${folder} && exec "$@"`, 'sh']
  expect((await relais(['version'], { before })).code).toBe(0)
  const { err } = await relais(['serve', '--data', '/proc/none'], { before })
  expect(err).not.toContain('nonsense')
})
