// Help, unknown words, refusals and exit codes: what every command shares.

import { readdirSync } from 'node:fs'
import * as assert from 'uvu/assert'
import { COMMANDS } from '../../agent/cli/registry.ts'
import { suite } from '../support/suite.ts'
import { tributary } from './test-terminal.ts'

const test = suite('cli entry')

const LATER = ['groups', 'replication', 'cloud-bridge']

test('without a word it shows the commands on stderr and is a usage error', async () => {
  const { code, out, err } = await tributary([])
  assert.equal([code, out], [2, ''])
  assert.match(err, 'tributary run ')
})

test('help goes to stdout and is good', async () => {
  for (const args of [['--help'], ['-h'], ['help']]) {
    const { code, out, err } = await tributary(args)
    assert.equal([code, err], [0, ''])
    assert.match(out, 'tributary consume')
    for (const later of LATER) assert.not.match(out, `tributary ${later} `)
  }
})

test('every command has help that begins with its usage and takes no effect', async () => {
  for (const name of Object.keys(COMMANDS)) {
    if (LATER.includes(name)) continue
    for (const args of [
      [name, '--help'],
      ['help', name],
      [name, 'x', '-h'],
    ]) {
      const { code, out, err } = await tributary(args)
      assert.equal([code, err], [0, ''], name)
      assert.ok(out.startsWith(`tributary ${name}`), name)
    }
  }
})

test('every file of a command is registered', () => {
  const withCommand = readdirSync('agent/cli').map((file) => file.replace('.ts', ''))
  for (const name of Object.keys(COMMANDS)) {
    if (!LATER.includes(name)) assert.ok(withCommand.includes(name), name)
  }
})

test('an unknown command names the nearest', async () => {
  assert.equal(await tributary(['consmue', 'x']), {
    code: 2,
    out: '',
    err: 'unknown command consmue; did you mean consume?\n',
  })
  assert.is(
    (await tributary(['constructor'])).err,
    'unknown command constructor; tributary --help lists them\n',
  )
})

test('what is not in this version is refused with a sentence', async () => {
  for (const name of LATER) {
    const { code, err } = await tributary([name, 'list'])
    assert.is(code, 2)
    assert.match(err, new RegExp(`^tributary ${name} \\(.*\\): not in this version\\n$`))
  }
  assert.equal(await tributary(['consume', 't', '-g', 'dash']), {
    code: 2,
    out: '',
    err: '-g GROUP: not in this version (tributary consume --help)\n',
  })
})

test('wrong options are one sentence with the way to the help', async () => {
  const cases: [string[], string][] = [
    [['consume'], 'TOPIC is missing'],
    [['consume', 't', 'u'], '"u" is one argument too many'],
    [['consume', 't', '--formt', 'json'], 'unknown option --formt; did you mean --format?'],
    [['consume', 't', '--from'], '--from needs a value'],
    [['consume', 't', '--exit=1'], '--exit takes no value'],
    [['consume', 't', '-n', 'many'], '--count: "many" is no whole number (at least 1)'],
    [['consume', 't', '--format', 'xml'], '--format xml is neither value nor json'],
    [['consume', 't', '-b', 'nowhere'], '"nowhere" is no host:port'],
    [['consume', 't', '-b', 'a:1', '--upstream'], '-b and --upstream name two clusters; give one'],
    [
      ['produce', 't', '-k', 'a', '--key-separator', ':'],
      '-k and --key-separator both give the key; choose one',
    ],
    [['produce', 't', '-H', 'novalue'], '-H "novalue" is no NAME:VALUE'],
    [['topics', 'show'], '"show" is none of list, describe, create, delete'],
    [['topics', 'create'], 'TOPIC is missing'],
    [['topics', 'list', 't'], 'list takes no TOPIC; describe shows one'],
    [['config', 'chck'], '"chck" is neither check nor show'],
    [['status', '--max-lag', 'long'], '--max-lag "long" is no duration such as 30s or 10m'],
    [
      ['sim', '--devices', '0'],
      'tributary sim: devices is 0, expected a whole number from 1 to 10000',
    ],
  ]
  for (const [args, sentence] of cases) {
    const { code, out, err } = await tributary(args)
    assert.equal([code, out, err], [2, '', `${sentence} (tributary ${args[0]} --help)\n`])
  }
})

test('a stack is shown only with --debug', async () => {
  const plain = await tributary(['consume'])
  assert.is(plain.err.trim().split('\n').length, 1)
  assert.match((await tributary(['consume', '--debug'])).err, /^ {4}at /m)
})

test('what cannot be reached is exit 3 and says where', async () => {
  const { code, err } = await tributary(['topics', 'list', '-b', '127.0.0.1:1'])
  assert.is(code, 3)
  assert.match(err, /^127.0.0.1:1 refused the connection: [^\n]+\n$/)
})

test('--version says the version of the package', async () => {
  assert.match((await tributary(['--version'])).out, /^\d+\.\d+\.\d+\n$/)
})

test.run()
