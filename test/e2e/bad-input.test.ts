// What an operator can get wrong before the agent runs: every start ends in one sentence that names
// the thing and the way out, in the right exit code, and touches nothing of anybody else.

import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { type AgentConfig, AgentProcess } from '../support/agent-process.ts'
import { findProgram } from '../support/peers.ts'
import { freePort } from '../support/ports.ts'
import { SmallDisk } from '../support/small-disk.ts'
import { suite } from '../support/suite.ts'

const test = suite('bad input at the start')

/** Starts an agent that must end by itself; what it printed, without the line's end, and its code. */
async function refused(agent: AgentProcess): Promise<{ code: number | null; text: string }> {
  agent.spawn()
  const code = await agent.ended()
  return { code, text: agent.launchLog.trimEnd() }
}

async function refusedWith(config: AgentConfig) {
  const agent = await AgentProcess.create(config)
  const outcome = await refused(agent)
  await agent.remove()
  return outcome
}

function listen(port: number): Promise<Server> {
  const server = createServer()
  return new Promise((resolve) => server.listen(port, '127.0.0.1', () => resolve(server)))
}

const BUSY: [part: string, sentence: (port: number) => string][] = [
  ['mqtt', (port) => `${port} is in use (mosquitto?): set mqtt.listeners`],
  ['kafka', (port) => `${port} is in use: set kafka.listeners`],
  ['admin', (port) => `${port} is in use (another agent?): set admin.listeners`],
]
for (const [part, sentence] of BUSY) {
  test(`a busy ${part} port is named, and the key that moves it`, async () => {
    const agent = await AgentProcess.create()
    const port = { mqtt: agent.mqttPort, kafka: agent.kafkaPort, admin: agent.adminPort }[part]!
    const server = await listen(port)
    assert.equal(await refused(agent), { code: 3, text: sentence(port) })
    server.close()
    // What was begun meanwhile is a whole store.
    assert.is((await agent.command(['verify', agent.dataDir])).code, 0)
    await agent.remove()
  })
}

test('a data directory in use is named with its holder, who goes on unharmed', async () => {
  const first = await AgentProcess.create({ gateway: 'plant-7' })
  await first.start()
  const before = readdirSync(first.dataDir)
  const second = await AgentProcess.create({ gateway: 'plant-7', dataDir: first.dataDir })
  const sentence = `store in use by pid ${first.pid}`
  assert.equal(await refused(second), { code: 3, text: sentence })
  const verify = await second.command(['verify', first.dataDir])
  assert.equal([verify.code, verify.stderr], [3, `${sentence}\n`])
  assert.equal(readdirSync(first.dataDir), before)
  assert.is((await first.status()).gateway, 'plant-7')
  assert.is(await first.stop(), 0)
  assert.is((await first.command(['verify', first.dataDir])).code, 0)
  await second.remove()
  await first.remove()
})

test('a gateway that was renamed is refused, and the store stays the old one', async () => {
  const agent = await AgentProcess.create({ gateway: 'plant-7' })
  await agent.start()
  await agent.stop()
  agent.configure({ gateway: 'plant-8' })
  assert.equal(await refused(agent), {
    code: 78,
    text: 'gateway is "plant-7" in the store, "plant-8" in the file',
  })
  agent.configure({ gateway: 'plant-7' })
  await agent.start()
  await agent.remove()
})

test('YAML that is none is refused with file and line', async () => {
  const agent = await AgentProcess.create()
  writeFileSync(agent.configFile, 'gateway: plant-7\nroutes:\n  - topic: {device}\n   x: [\n')
  const { code, text } = await refused(agent)
  assert.is(code, 78)
  assert.match(text, /tributary\.yaml:\d+: /)
  assert.not.match(text, /\n\s+at /)
  writeFileSync(agent.configFile, Buffer.from([0xff, 0xfe, 0, 1, 2, 3]))
  assert.is((await refused(agent)).code, 78)
  await agent.remove()
})

test('an unknown key and an unknown variable say what was meant', async () => {
  const agent = await AgentProcess.create({}, { environment: { TRIBUTARY_STORAGE_KEPFREE: '1' } })
  writeFileSync(agent.configFile, 'gateway: plant-7\nmqtt:\n  listeneres: []\n')
  const { code, text } = await refused(agent)
  assert.is(code, 78)
  assert.match(
    text,
    /tributary\.yaml:3: unknown key mqtt\.listeneres; did you mean mqtt\.listeners\?/,
  )
  assert.match(text, /TRIBUTARY_STORAGE_KEPFREE: .*did you mean TRIBUTARY_STORAGE_KEEP_FREE\?/)
  await agent.remove()
})

test('a listener for other machines is refused without users', async () => {
  const port = await freePort()
  const { code, text } = await refusedWith({ mqtt: { listeners: [`mqtt://0.0.0.0:${port}`] } })
  assert.is(code, 78)
  assert.match(text, /mqtt\.listeners.*mqtt\.usersFile/)
  assert.is(text.split('\n').length, 1, text)
})

test('an address that is not of this machine is one sentence', async () => {
  const { code, text } = await refusedWith({ kafka: { listeners: ['192.0.2.1:9092'] } })
  const sentence = 'kafka.listeners: cannot listen on 192.0.2.1:9092 (EADDRNOTAVAIL)'
  assert.is(text.split('\n').at(-1), sentence)
  assert.is(code, 78)
})

test('a data directory that nobody may write is one sentence, not a stack', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-read-only-'))
  const disk = await SmallDisk.mount(folder, { size: '1m' })
  await disk?.run('mount', '-o', 'remount,ro', folder)
  const launcher = disk?.launcher ?? nobody()
  if (launcher === undefined) {
    console.log('skipped: a read-only data directory (needs unshare, or setpriv as root)')
    rmSync(folder, { recursive: true })
    return
  }
  chmodSync(folder, 0o555)
  for (const dataDir of [folder, join(folder, 'data')]) {
    const agent = await AgentProcess.create({ dataDir }, { launcher })
    chmodSync(agent.folder, 0o755)
    const { code, text } = await refused(agent)
    assert.is(code, 1)
    assert.match(text, /^dataDir \S+ cannot be written \((EROFS|EACCES|ENOENT)\): /)
    assert.is(text.split('\n').length, 1, text)
    await agent.remove()
  }
  disk?.unmount()
  rmSync(folder, { recursive: true })
})

test('a data directory that is a file, or holds a foreign one, is one sentence', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-odd-'))
  writeFileSync(join(folder, 'file'), '')
  const file = await refusedWith({ dataDir: join(folder, 'file') })
  assert.match(file.text, /^dataDir \S+file cannot be written \((EEXIST|ENOTDIR)\): /)
  mkdirSync(join(folder, 'store/journal-0'), { recursive: true })
  const odd = await refusedWith({ dataDir: join(folder, 'store') })
  for (const { code, text } of [file, odd]) {
    assert.is(code, 1)
    assert.is(text.split('\n').length, 1, text)
  }
  rmSync(folder, { recursive: true })
})

/** Root may write everywhere: as somebody else then. */
function nobody(): string[] | undefined {
  const setpriv = findProgram('setpriv')
  if (process.getuid?.() !== 0) return []
  if (setpriv === undefined) return undefined
  const words = [setpriv, '--reuid', '65534', '--regid', '65534', '--clear-groups']
  const canRun = spawnSync(words[0]!, [...words.slice(1), process.execPath, '-v']).status === 0
  return canRun ? words : undefined
}

test.run()
