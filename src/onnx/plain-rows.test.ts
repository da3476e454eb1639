import { describe, expect, test } from 'bun:test'

import type { Signature } from './model.ts'
import { drawSchema } from './signature.ts'
import { Validator } from './validate.ts'

const slot = (name: string, type: 'float32' | 'float64' | 'int64', width: number | null) => ({
  name,
  type,
  shape: width === null ? ['N'] : ['N', width],
})

function validatorOf(inputs: ReturnType<typeof slot>[], more: object = {}): Validator {
  const signature = { inputs, outputs: [] } as unknown as Signature
  const schema = drawSchema(signature)
  const columns = schema.columns.map((column) => ({ ...column, ...more }))
  return new Validator(signature, { ...schema, columns })
}

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

/** Both ways must say the same, or the quick one must step back. */
function compare(validator: Validator, text: string): 'same' | 'left' {
  const scanned = validator.scan(bytesOf(text))
  if (scanned === null) return 'left'
  const { instances } = JSON.parse(text) as { instances: unknown }
  expect([text, scanned]).toEqual([text, validator.rows(instances)])
  return 'same'
}

describe('rows of plain numbers', () => {
  const three = validatorOf([slot('X', 'float32', 3)])

  test('are read as JSON is', () => {
    const table: string[] = [
      '{"instances":[[1,2,3]]}',
      '{"instances": [[5.1, 3.5, 1.4], [-0, 0.0, 1e3]]}',
      ' {\n\t"instances" :\r [ [ 1, 2, -3E+2 ] , [0.1 ,2.5e-3\t, 0.3\n] ] } \n',
      '{"instances":[[1,2,3],[17.989999771118164,1.0000000000000000000001,123456789012345678]]}',
      '{"instances":[[1,2,3],[0.000000000000000000000000000001,3.4028234663852886e38,-1e-50]]}',
    ]
    for (const text of table) expect([text, compare(three, text)]).toEqual([text, 'same'])
  })

  test('several inputs, and inputs without a second dimension', () => {
    const both = validatorOf([slot('a', 'float64', 2), slot('b', 'float32', null)])
    expect(compare(both, '{"instances":[[1,2,3],[0.1,0.30000000000000004,7]]}')).toBe('same')
  })

  test('random numbers in random notations', () => {
    let seed = 7
    const random = (): number => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0
      return seed / 2 ** 32
    }
    const wide = validatorOf([slot('X', 'float64', 3)])
    for (let round = 0; round < 3000; round += 1) {
      const cells = Array.from({ length: 3 }, () => {
        const value = (random() - 0.5) * 10 ** Math.floor(random() * 40 - 20)
        const forms = [
          String(value),
          value.toFixed(Math.floor(random() * 12)),
          value.toExponential(Math.floor(random() * 20)),
          String(Math.fround(value)),
          value.toPrecision(1 + Math.floor(random() * 20)),
        ]
        return forms[Math.floor(random() * forms.length)] as string
      })
      const text = `{"instances":[[1,2,3],[${cells.join(random() < 0.5 ? ',' : ', ')}]]}`
      expect([text, compare(three, text), compare(wide, text)]).toEqual([text, 'same', 'same'])
    }
  })

  test('anything else is left to those who can say what is wrong', () => {
    const table: string[] = [
      '',
      '{}',
      '{"instances":[]}',
      '{"instances":[[]]}',
      '{"instances":[[1,2]]}',
      '{"instances":[[1,2,3,4]]}',
      '{"instances":[[1,2,null]]}',
      '{"instances":[[1,2,"3"]]}',
      '{"instances":[[1,2,true]]}',
      '{"instances":[[1,2,[3]]]}',
      '{"instances":[{"f0":1,"f1":2,"f2":3}]}',
      '{"instances":[[1,2,3],]}',
      '{"instances":[[1,2,3]],"signature_name":"x"}',
      '{"signature_name":"x","instances":[[1,2,3]]}',
      '{"instances":[[1,2,3]]}{}',
      '{"instances":[[1,2,3]]',
      '{"instances":[[1,2,3',
      '{"instances":[[1,2,1e999]]}',
      '{"instances":[[1,2,1e39]]}',
      '{"instances":[[1,2,NaN]]}',
      '{"instances":[[01,2,3]]}',
      '{"instances":[[1.,2,3]]}',
      '{"instances":[[1.e1,2,3]]}',
      '{"instances":[[.5,2,3]]}',
      '{"instances":[[-.5,2,3]]}',
      '{"instances":[[+5,2,3]]}',
      '{"instances":[[1e,2,3]]}',
      '{"instances":[[-,2,3]]}',
      '{"instances":[[1 2,3]]}',
      '{"instances":[[1;2;3]]}',
      '{"inputs":[[1,2,3]]}',
    ]
    for (const text of table) expect([text, three.scan(bytesOf(text))]).toEqual([text, null])
  })

  test('rows of long numbers are left to the native parser, which is as quick', () => {
    expect(three.scan(bytesOf('{"instances":[[0.1234567891,0.1234567891,3]]}'))).toBeNull()
    expect(compare(three, '{"instances":[[0.1234567891,2,3]]}')).toBe('same')
  })

  test('ranges hold; other types are never plain', () => {
    const narrow = validatorOf([slot('X', 'float32', 2)], { min: 0, max: 10 })
    expect(compare(narrow, '{"instances":[[0,10]]}')).toBe('same')
    expect(narrow.scan(bytesOf('{"instances":[[0,10.001]]}'))).toBeNull()
    expect(narrow.scan(bytesOf('{"instances":[[-0.001,1]]}'))).toBeNull()
    const whole = validatorOf([slot('X', 'int64', 2)])
    expect(whole.scan(bytesOf('{"instances":[[0,10]]}'))).toBeNull()
    const some = validatorOf([slot('X', 'float32', 2)], { allowed: [1, 2] })
    expect(some.scan(bytesOf('{"instances":[[1,2]]}'))).toBeNull()
  })
})
