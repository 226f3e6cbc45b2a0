// The command as a process: what only a real one can show. Each start costs half a second.

import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { suite } from '../support/suite.ts'

const test = suite('cli process')

interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

function start(args: readonly string[], nodeArgs: readonly string[] = []) {
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', ...nodeArgs, 'agent/main.ts', ...args],
    {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { PATH: process.env.PATH },
    },
  )
  let [out, err] = ['', '']
  child.stdout.on('data', (chunk) => (out += chunk))
  child.stderr.on('data', (chunk) => (err += chunk))
  const ended = new Promise<Ended>((resolve) =>
    child.on('close', (code) => resolve({ code, out, err })),
  )
  return { child, ended }
}

test('an old Node gets one line', async () => {
  const pretend = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '18.19.1' } })`
  const { ended } = start(
    ['--version'],
    ['--import', `data:text/javascript,${encodeURIComponent(pretend)}`],
  )
  assert.equal(await ended, { code: 2, out: '', err: 'needs Node ≥ 20.19, this is 18.19\n' })
})

test('the first file has only syntax that an old Node parses', () => {
  const source = readFileSync('agent/main.ts', 'utf8')
  assert.match(source, /^#!\/usr\/bin\/env node\n/)
  for (const young of [/^import /m, /^export /m, /\?\./, /\?\?/, /^\s*await /m, /#\w+\(/]) {
    assert.not.match(source.replace(/^#!.*/, '').replace(/^\/\/.*$/gm, ''), young)
  }
})

test('output, errors and exit code reach the shell', async () => {
  const [version, wrong] = await Promise.all([
    start(['--version']).ended,
    start(['config', 'chekc']).ended,
  ])
  assert.equal([version.code, version.err], [0, ''])
  assert.match(version.out, /^\d+\.\d+\.\d+\n$/)
  assert.equal([wrong.code, wrong.out], [2, ''])
})

test('a reader that has seen enough ends the command with 0', async () => {
  const { child, ended } = start(['--help'])
  child.stdout.destroy()
  const { code, err } = await ended
  assert.equal([code, err], [0, ''])
})

/** A process that closes slowly: it says what reaches it, and would go on for a minute. */
function startSlow() {
  const script = `
    import { onInterrupt } from './agent/cli/process.ts'
    onInterrupt(() => console.log('closing'))
    setTimeout(() => {}, 60_000)
    console.log('up')`
  const args = ['--import', 'tsx', '--input-type=module', '-e', script]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let out = ''
  const waiting = new Set<() => void>()
  child.stdout.on('data', (chunk) => {
    out += chunk
    for (const look of waiting) look()
  })
  const said = (text: string) =>
    new Promise<void>((resolve) => {
      const look = () => out.includes(text) && resolve()
      waiting.add(look)
      look()
    })
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
  return { child, said, ended, text: () => out }
}

test('SIGHUP is ignored, one Ctrl-C asks, a second one ends at once with 130', async () => {
  const { child, said, ended, text } = startSlow()
  await said('up')
  child.kill('SIGHUP')
  child.kill('SIGTERM')
  await said('closing')
  child.kill('SIGINT')
  assert.is(await ended, 130)
  assert.is(text(), 'up\nclosing\n')
})

test('run says one ready line, and SIGTERM ends it with 0', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-run-'))
  const file = join(folder, 'tributary.yaml')
  const free = '["127.0.0.1:0"]'
  const mqtt = 'mqtt: { listeners: ["mqtt://127.0.0.1:0"] }'
  writeFileSync(file, `${mqtt}\nkafka: { listeners: ${free} }\nadmin: { listeners: ${free} }\n`)
  const { child, ended } = start(['run', '-c', file])
  child.stdout.once('data', () => child.kill('SIGTERM'))
  const { code, out } = await ended
  rmSync(folder, { recursive: true })
  assert.is(code, 0)
  const loopback = String.raw`127\.0\.0\.1:\d+`
  assert.match(
    out,
    new RegExp(
      `^tributary \\S+ ready: mqtt://${loopback}  kafka ${loopback}  admin http://${loopback}  .*\n$`,
    ),
  )
})

test.run()
