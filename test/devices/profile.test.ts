import * as assert from 'uvu/assert'
import { checkProfile, type Profile } from '../../devices/profile.ts'
import { suite } from '../support/suite.ts'

const test = suite('devices/profile')

function problemsOf(value: unknown): readonly string[] {
  const check = checkProfile(value, 'p.yaml')
  return check.kind === 'invalid' ? check.problems : []
}

function valid(value: object): Profile {
  const check = checkProfile({ name: 'p', mqttTopic: 'a/{device}', ...value }, 'p.yaml')
  if (check.kind === 'invalid') throw new Error(check.problems.join('\n'))
  return check.profile
}

function problemOf(value: object): string {
  const problems = problemsOf({ name: 'p', mqttTopic: 'a/{device}', ...value })
  assert.is(problems.length, 1, problems.join('\n'))
  return problems[0]!
}

test('the least profile has the defaults', () => {
  const profile = valid({})
  assert.is(profile.format, 'json')
  assert.equal(profile.fields, [])
  assert.is(profile.normalise, false)
  assert.is(profile.time, undefined)
  assert.equal(profile.limits, { maxBytes: 262_144, maxDepth: 16, maxItems: 10_000 })
})

test('paths are dotted, lists for keys with dots, empty for the whole payload, the name by default', () => {
  const fields = [
    { name: 'a', path: 'x.y.0' },
    { name: 'b', path: ['x.y', 'z'] },
    { name: 'c', path: '' },
    { name: 'd' },
  ]
  assert.equal(
    valid({ fields }).fields.map(({ path }) => path),
    [['x', 'y', '0'], ['x.y', 'z'], [], ['d']],
  )
})

test('one look at a file names everything that is wrong with it', () => {
  const problems = problemsOf({
    nam: 'x',
    mqttTopic: null,
    format: 'jsno',
    time: { path: 'ts', zone: 'Europe/Berln' },
    fields: [{ name: 'a', type: 'sting' }, 7],
  })
  for (const part of [
    'unknown key "nam"; did you mean name?',
    'p.yaml: name is missing',
    '# begins a YAML comment: quote it',
    'format is "jsno", expected json, cbor; did you mean json?',
    'time.zone is "Europe/Berln"',
    'fields[0].type is "sting", expected number, integer, string, boolean; did you mean string?',
    'fields[1] is 7, expected a mapping',
  ]) {
    assert.ok(
      problems.some((problem) => problem.includes(part)),
      `${part}\nnot in\n${problems.join('\n')}`,
    )
  }
  assert.is(problems.length, 7)
})

test('a profile that is no mapping says so', () => {
  for (const value of [null, 'x', [1], 7]) assert.match(problemsOf(value)[0]!, 'expected a mapping')
})

test('a key that YAML read as a mapping gets the hint to quote it', () => {
  assert.match(problemOf({ key: { device: null } }), 'write key: "{device}", quoted')
  assert.match(problemOf({ key: '{sensor}' }), '{sensor} is not known')
})

test('relations between the keys of a field are checked', () => {
  assert.match(problemOf({ fields: [{ name: 'a', min: 5, max: 1 }] }), 'min 5 above max 1')
  assert.match(problemOf({ fields: [{ name: 'a', type: 'string', min: 5 }] }), 'min or max')
  assert.match(problemOf({ fields: [{ name: 'a', values: ['x'] }] }), 'only a string')
  assert.match(problemOf({ fields: [{ name: 'a' }, { name: 'a' }] }), 'another field')
  assert.match(problemOf({ fields: [{ name: 'a', type: 'string', values: [true] }] }), 'quote')
  assert.match(problemOf({ fields: [{ name: 'a', path: 'x..y' }] }), 'expected a path')
  assert.match(problemOf({ fields: [{ name: 'a', sentinels: [null] }] }), 'sentinels')
  assert.match(problemOf({ fields: [{ name: 'a', required: 'yes' }] }), 'true or false')
})

test('limits may be set within reason', () => {
  assert.is(valid({ limits: { maxBytes: 100 } }).limits.maxBytes, 100)
  assert.match(
    problemOf({ limits: { maxDepth: 1_000 } }),
    'limits.maxDepth is 1000, expected 1 … 64',
  )
})

test.run()
