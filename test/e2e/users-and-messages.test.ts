// Who may publish, over which wire, and what becomes of messages that fit nothing.

import { spawnSync } from 'node:child_process'
import { pbkdf2Sync } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import * as assert from 'uvu/assert'
import { AgentProcess } from '../support/agent-process.ts'
import { type ConnectFields, MqttPeer, publish, TYPE } from '../support/mqtt-peer.ts'
import { findProgram } from '../support/peers.ts'
import { waitUntil } from '../support/ports.ts'
import { peerOn, SteadyClient } from '../support/steady-client.ts'
import { suite } from '../support/suite.ts'

const test = suite('users and messages')
const folder = mkdtempSync(join(tmpdir(), 'tributary-users-'))
test.after(() => rmSync(folder, { recursive: true }))

const SECRET = 'korrekt horse'

/** As mosquitto_passwd writes it. */
function usersFile(name: string, password: string): string {
  const salt = Buffer.from('0123456789ab')
  const hash = pbkdf2Sync(password, salt, 101, 64, 'sha512').toString('base64')
  const file = join(folder, 'users')
  writeFileSync(file, `${name}:$7$101$${salt.toString('base64')}$${hash}\n`)
  return file
}

async function returnCode(port: number, fields: ConnectFields): Promise<number> {
  const peer = peerOn(port)
  const connack = await peer.connect(fields)
  peer.stream.destroy()
  return connack.body[1]!
}

interface Consumed {
  value: unknown
  key: string | null
  headers: Record<string, string> | [string, string][]
}

async function consumed(agent: AgentProcess, topic: string): Promise<Consumed[]> {
  const args = ['consume', topic, '-b', agent.kafkaAddress, '-e', '--format', 'json']
  const { stdout, stderr, code } = await agent.command(args)
  assert.is(code, 0, stderr)
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Consumed)
}

test('a listener for everybody takes the right password and nothing else, and tells nobody', async () => {
  const agent = await AgentProcess.create()
  const listeners = [`mqtt://0.0.0.0:${agent.mqttPort}`]
  agent.configure({ mqtt: { listeners, usersFile: usersFile('ann', SECRET) } })
  await agent.start()
  const codes = []
  for (const fields of [
    { username: 'ann', password: SECRET },
    { username: 'ann', password: 'wrong-guess' },
    { username: 'ann' },
    { username: '__proto__', password: SECRET },
    {},
  ]) {
    codes.push(await returnCode(agent.mqttPort, fields))
  }
  assert.equal(codes, [0, 4, 4, 4, 5])
  assert.is(await agent.stop(), 0)
  assert.not.match(agent.launchLog, /korrekt|wrong-guess|\$7\$/)
  await agent.remove()
})

test('secrets of the configuration are shown nowhere', async () => {
  const security = {
    protocol: 'SASL_PLAINTEXT',
    mechanism: 'PLAIN',
    username: 'u',
    password: 'hush-hush-1',
  }
  const upstream = { bootstrapServers: ['127.0.0.1:1'], security }
  const agent = await AgentProcess.create(
    { gateway: 'g', upstream, logging: { level: 'debug', format: 'text' } },
    { environment: { TRIBUTARY_UPSTREAM_SECURITY_PASSWORD: 'hush-hush-2' } },
  )
  const shown = await agent.command(['config', 'show', '-c', agent.configFile])
  assert.is(shown.code, 0, shown.stderr)
  assert.match(shown.stdout, /password: "\*+"/)
  await agent.start()
  const status = JSON.stringify(await agent.status())
  await agent.stop()
  agent.configure({
    gateway: 'g',
    upstream: { ...upstream, security: { passwort: 'hush-hush-3' } },
  })
  const checked = await agent.command(['config', 'check', '-c', agent.configFile])
  assert.is(checked.code, 78)
  const everything = [shown.stdout, shown.stderr, status, agent.log, checked.stdout, checked.stderr]
  assert.not.match(everything.join('\n'), /hush-hush/)
  await agent.remove()
})

test('mqtts with a certificate of one’s own, and only for clients that have one, too', async () => {
  const openssl = findProgram('openssl')
  if (openssl === undefined) return console.log('skipped: openssl is not installed')
  const make = (name: string) => {
    const words = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
    const files = ['-keyout', join(folder, `${name}.key`), '-out', join(folder, `${name}.pem`)]
    const args = [...words, '-days', '2', '-subj', `/CN=${name}`, ...files]
    assert.is(spawnSync(openssl, args).status, 0)
    const read = (kind: string) => readFileSync(join(folder, `${name}.${kind}`))
    return { cert: read('pem'), key: read('key') }
  }
  const [server, client, stranger] = [make('localhost'), make('device'), make('stranger')]
  const agent = await AgentProcess.create()
  const tls = {
    certFile: join(folder, 'localhost.pem'),
    keyFile: join(folder, 'localhost.key'),
    clientCaFile: join(folder, 'device.pem'),
  }
  agent.configure({ mqtt: { listeners: [`mqtts://127.0.0.1:${agent.mqttPort}`], tls } })
  await agent.start()
  const attempt = async (options: ConnectionOptions): Promise<'acked' | 'refused'> => {
    const at = { port: agent.mqttPort, host: '127.0.0.1', servername: 'localhost' }
    const peer = new MqttPeer(connectTls({ ...at, ca: server.cert, ...options }))
    try {
      await peer.connect()
      peer.send(publish('a', 'x', { qos: 1 }))
      await peer.expect(TYPE.puback)
      return 'acked'
    } catch {
      return 'refused'
    } finally {
      peer.stream.destroy()
    }
  }
  assert.is(await attempt({ ...client }), 'acked')
  assert.is(await attempt({ ...stranger }), 'refused')
  assert.is(await attempt({}), 'refused')
  const plain = peerOn(agent.mqttPort)
  plain.send(publish('a', 'x'))
  await plain.closed
  assert.is(await attempt({ ...client }), 'acked')
  assert.is(await agent.stop(), 0)
  await agent.remove()
})

test('what fails its profile goes to the dead letters with the reason, and is acked', async () => {
  const profile = join(folder, 'thermo.yaml')
  writeFileSync(
    profile,
    'name: thermo\nmqttTopic: t/{device}\nfields:\n  - name: celsius\n    type: number\n    max: 100\n',
  )
  const agent = await AgentProcess.create({
    gateway: 'g',
    profiles: [profile],
    topicDefaults: { partitions: 1 },
    routes: [{ mqttTopic: 't/{device}', topic: 't', profile: 'thermo' }],
  })
  await agent.start()
  const bad = ['{"celsius":1000}', 'no JSON', '{"celsius":{"__proto__":1}}', '']
  const payload = (number: number) => Buffer.from(bad[number] ?? '{"celsius":20}')
  const client = await SteadyClient.connect(agent.mqttPort, {
    clientId: 'c',
    topic: 't/a',
    payload,
  })
  for (let count = 0; count < 5; count++) await client.publish()
  const letters = await consumed(agent, 'g.dead-letter')
  assert.equal(letters.map(({ value }) => value).sort(), [...bad].sort())
  for (const { headers } of letters) assert.match(JSON.stringify(headers), /dead\.letter\.reason/)
  assert.match(JSON.stringify(letters[0]!.headers), /celsius/)
  assert.is((await consumed(agent, 'g.t')).length, 1)
  assert.is(await agent.metric('tributary_dead_letter_records_total'), 4)
  await agent.remove()
})

test('what has no route is acked, counted, and named once per first level', async () => {
  const agent = await AgentProcess.create({
    gateway: 'g',
    routes: [{ mqttTopic: 'sensors/{device}/{metric}', topic: 'sensors' }],
  })
  await agent.start()
  for (const topic of ['sensor/a/temp', 'sensor/b/temp', '__proto__/x', 'constructor']) {
    const client = await SteadyClient.connect(agent.mqttPort, { clientId: topic, topic })
    for (let count = 0; count < 3; count++) await client.publish()
    client.close()
  }
  assert.is((await agent.status()).mqtt.unroutedTotal, 12)
  const lines = agent.launchLog.split('\n').filter((line) => line.includes('no route for'))
  assert.is(lines.length, 3, lines.join('\n'))
  const sentence =
    /no route for "sensor\/a\/temp" \(1 acked, not stored\); nearest: sensors\/\{device\}\/\{metric\}/
  assert.match(lines[0]!, sentence)
  await agent.remove()
})

test('names that devices choose make no path and no more topics than allowed', async () => {
  const agent = await AgentProcess.create({
    gateway: 'g',
    topicPrefix: '',
    maxTopics: 8,
    topicDefaults: { partitions: 1 },
    routes: [{ mqttTopic: 'x/{name...}', topic: '{name}' }],
  })
  await agent.start()
  const names = ['../../etc/passwd', '..', '.', 'journal', 'checkpoint', '__proto__', 'a b', '/']
  const more = Array.from({ length: 20 }, (_, index) => `t${index}`)
  for (const name of [...names, ...more]) {
    const client = await SteadyClient.connect(agent.mqttPort, { clientId: 'c', topic: `x/${name}` })
    await client.publish()
    client.close()
    await waitUntil('it has gone', 2_000, async () => (await agent.status()).mqtt.clients === 0, 5)
  }
  const topics = (await agent.status()).topics.map(({ topic }) => topic)
  assert.is(topics.length, 8)
  for (const topic of topics) assert.match(topic, /^[\w.-]+$/)
  assert.not(topics.some((topic) => ['.', '..', 'journal', 'checkpoint'].includes(topic)))
  assert.is(await agent.stop(), 0)
  assert.is((await agent.command(['verify', agent.dataDir])).code, 0)
  await agent.remove()
})

test.run()
