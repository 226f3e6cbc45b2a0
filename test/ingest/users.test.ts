// Passwords as mosquitto_passwd stores them.

import { execFileSync } from 'node:child_process'
import { createHash, pbkdf2Sync } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { Users } from '../../agent/ingest/users.ts'
import { suite } from '../support/suite.ts'

const test = suite('users')
const salt = Buffer.from('0123456789ab')

function line7(name: string, password: string, iterations = 101): string {
  const hash = pbkdf2Sync(password, salt, iterations, 64, 'sha512')
  return `${name}:$7$${iterations}$${salt.toString('base64')}$${hash.toString('base64')}`
}

function line6(name: string, password: string): string {
  const hash = createHash('sha512').update(password).update(salt).digest('base64')
  return `${name}:$6$${salt.toString('base64')}$${hash}`
}

test('both formats tell the right password from a wrong one and from an unknown name', async () => {
  const text = `# comment\n\n${line7('ada', 'pässword')}\r\n${line6('bob', 'old')}\n`
  const users = Users.parse(text, 'users')
  const verify = (name: string, password: string) => users.verify(name, Buffer.from(password))
  assert.is(await verify('ada', 'pässword'), 'right')
  assert.is(await verify('bob', 'old'), 'right')
  assert.is(await verify('ada', 'old'), 'wrong')
  assert.is(await verify('ada', ''), 'wrong')
  assert.is(await verify('eve', 'old'), 'wrong')
  assert.is(await verify('constructor', 'x'), 'wrong')
})

test('a file of the real mosquitto_passwd is understood', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'users-'))
  try {
    const file = join(folder, 'passwd')
    try {
      execFileSync('mosquitto_passwd', ['-b', '-c', file, 'dev', 'secret'], { stdio: 'ignore' })
    } catch {
      console.log('skipped: no mosquitto_passwd (apt install mosquitto)')
      return
    }
    const users = Users.parse(readFileSync(file, 'utf8'), file)
    assert.is(await users.verify('dev', Buffer.from('secret')), 'right')
    assert.is(await users.verify('dev', Buffer.from('Secret')), 'wrong')
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('many at once are checked two by two, and all answered', async () => {
  const users = Users.parse(line7('ada', 'p', 1_000), 'users')
  const verdicts = await Promise.all(
    Array.from({ length: 50 }, (_, i) => users.verify('ada', Buffer.from(i % 2 ? 'p' : 'q'))),
  )
  assert.is(verdicts.filter((verdict) => verdict === 'right').length, 25)
  assert.is(verdicts.filter((verdict) => verdict === 'wrong').length, 25)
})

test('a flood of log-ins is answered busy beyond its bound', async () => {
  const users = Users.parse(line7('ada', 'p', 1), 'users')
  const verdicts = await Promise.all(
    Array.from({ length: 2_100 }, () => users.verify('ada', Buffer.from('p'))),
  )
  assert.ok(verdicts.filter((verdict) => verdict === 'busy').length >= 90)
  assert.is(await users.verify('ada', Buffer.from('p')), 'right')
})

test('a plain password or a damaged hash names the line and the way out', () => {
  const wrong = (text: string) => () => Users.parse(text, 'users')
  assert.throws(wrong('a:secret'), 'users:1: is not a hash of mosquitto_passwd; hash the file')
  assert.throws(wrong(`${line6('a', 'x')}\nnothing`), 'users:2: expected name:hash')
  assert.throws(wrong('a:$6$AAAA$AAAA'), 'users:1: holds a damaged hash')
  assert.throws(wrong(line7('a', 'x').replace('$101$', '$0$')), 'holds a damaged hash')
})

test('a file that is not there is named', async () => {
  let message = ''
  await Users.load('/nowhere/users').catch((error: Error) => {
    message = error.message
  })
  assert.is(message, 'mqtt.usersFile /nowhere/users cannot be read (ENOENT)')
})

test.run()
