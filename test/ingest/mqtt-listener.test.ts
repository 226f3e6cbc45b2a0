// The listeners with real sockets and real clients: mqtt.js over TCP and WebSocket, mosquitto's.

import { execFile, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect as connectSocket, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { connectAsync, type MqttClient } from 'mqtt'
import * as assert from 'uvu/assert'
import { systemClock } from '../../agent/base/clock.ts'
import { Logger, Metrics } from '../../agent/base/telemetry.ts'
import { MqttListener, type MqttListenerOptions } from '../../agent/ingest/mqtt-listener.ts'
import { FakeLog } from '../support/fake-log.ts'
import { MqttPeer } from '../support/mqtt-peer.ts'
import { waitUntil } from '../support/ports.ts'
import { suite } from '../support/suite.ts'

const test = suite('mqtt listener')
const run = promisify(execFile)

async function open(options: Partial<MqttListenerOptions> = {}) {
  const log = new FakeLog()
  const lines: string[] = []
  const write = (line: string) => void lines.push(line)
  const listener = await MqttListener.open({
    log,
    clock: systemClock,
    metrics: new Metrics(),
    logger: new Logger({ level: 'info', format: 'text', write, now: () => 0 }),
    gateway: 'gw',
    topicPrefix: '{gateway}.',
    routes: [],
    profiles: new Map(),
    deadLetter: 'dead-letter',
    unrouted: undefined,
    maxTopics: 100,
    topicSettings: () => ({ partitions: 1, replicated: true }),
    allowAnonymous: undefined,
    maxPacketSize: 524_288,
    listeners: [{ scheme: 'mqtt', host: '127.0.0.1', port: 0 }],
    usersFile: undefined,
    tls: {},
    maxConnections: 100,
    ...options,
  })
  const port = Number(listener.addresses[0]!.split(':').pop())
  return { log, lines, listener, port }
}

async function makeCertificate(certFile: string, keyFile: string): Promise<void> {
  const subject = ['-subj', '/CN=localhost', '-days', '2', '-nodes']
  const files = ['-keyout', keyFile, '-out', certFile]
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']
  await run('openssl', ['req', ...kind, ...subject, ...files])
}

async function refusal(options: Partial<MqttListenerOptions>): Promise<string> {
  try {
    const { listener } = await open(options)
    await listener.close()
    return 'listens'
  } catch (error) {
    return (error as Error).message
  }
}

test('mqtt.js publishes and subscribes at every QoS, over TCP and WebSocket', async () => {
  const { log, listener } = await open({
    listeners: [
      { scheme: 'mqtt', host: '127.0.0.1', port: 0 },
      { scheme: 'ws', host: '127.0.0.1', port: 0 },
    ],
  })
  for (const [index, url] of listener.addresses.entries()) {
    const client: MqttClient = await connectAsync(url, { protocolVersion: 4, reconnectPeriod: 0 })
    const got: string[] = []
    client.on('message', (topic, payload) => got.push(`${topic}=${payload}`))
    await client.subscribeAsync('echo/#', { qos: 2 })
    for (const qos of [0, 1, 2] as const) {
      await client.publishAsync(`echo/${qos}`, `${index}`, { qos })
    }
    await waitUntil('deliveries', 5_000, () => got.length === 3, 2)
    assert.equal(
      got.sort(),
      [0, 1, 2].map((qos) => `echo/${qos}=${index}`),
    )
    const big = Buffer.alloc(500_000, 'x')
    await client.publishAsync('big', big, { qos: 1 })
    assert.ok(log.records('gw.mqtt').at(-1)!.value!.equals(big))
    await client.endAsync()
  }
  assert.is(log.records('gw.mqtt').length, 8)
  await listener.close()
})

test('mosquitto_pub and mosquitto_sub work, with a will and a large burst', async () => {
  const { log, listener, port } = await open()
  const target = ['-h', '127.0.0.1', '-p', `${port}`]
  try {
    await run('mosquitto_pub', [...target, '-t', 'a/b', '-m', 'hello', '-q', '2'])
  } catch (error) {
    if ((error as { code?: string }).code !== 'ENOENT') throw error
    console.log('skipped: no mosquitto_pub (apt install mosquitto-clients)')
    await listener.close()
    return
  }
  assert.equal(log.values('gw.mqtt'), ['hello'])
  const sub = spawn('mosquitto_sub', [...target, '-t', 'burst', '-q', '1', '-C', '2000'])
  let out = ''
  sub.stdout.on('data', (chunk) => (out += chunk))
  const ended = new Promise((resolve) => sub.on('close', resolve))
  await waitUntil('the subscriber', 5_000, () => listener.status().clients === 1, 2)
  const pub = spawn('mosquitto_pub', [...target, '-t', 'burst', '-l', '-q', '1'])
  const lines = Array.from({ length: 2_000 }, (_, index) => `${index}`)
  pub.stdin.end(`${lines.join('\n')}\n`)
  await ended
  assert.equal(out.trim().split('\n'), lines)
  assert.is(log.records('gw.mqtt').length, 2_001)
  await listener.close()
})

test('a listener that others can reach needs users or an explicit allowAnonymous', async () => {
  const reachable = { listeners: [{ scheme: 'mqtt', host: '0.0.0.0', port: 0 } as const] }
  const sentence =
    'mqtt.listeners: mqtt://0.0.0.0:0 lets other machines in: ' +
    'set mqtt.usersFile (mosquitto_passwd makes it), or mqtt.allowAnonymous: true'
  assert.is(await refusal(reachable), sentence)
  assert.is(await refusal({ ...reachable, allowAnonymous: false }), sentence)
  assert.is(await refusal({ ...reachable, allowAnonymous: true }), 'listens')
})

test('a busy port says who it may be and what to set', async () => {
  const other = createServer()
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  const { port } = other.address() as { port: number }
  const listeners = [{ scheme: 'mqtt', host: '127.0.0.1', port } as const]
  assert.is(await refusal({ listeners }), `${port} is in use (mosquitto?): set mqtt.listeners`)
  other.close()
})

test('TLS listeners without a certificate are refused with the keys to set', async () => {
  const listeners = [{ scheme: 'mqtts', host: '127.0.0.1', port: 0 } as const]
  assert.is(await refusal({ listeners }), 'mqtts:// and wss:// need mqtt.tls.certFile and keyFile')
  assert.is(
    await refusal({ listeners, tls: { certFile: '/nowhere/c', keyFile: '/nowhere/k' } }),
    'mqtt.tls.certFile /nowhere/c cannot be read (ENOENT)',
  )
  assert.match(await refusal({ maxPacketSize: 1_048_576 }), 'mqtt.maxPacketSize can be at most')
})

test('mqtts:// and wss:// take the same clients', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tls-'))
  const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  try {
    await makeCertificate(certFile, keyFile)
    const { log, listener } = await open({
      tls: { certFile, keyFile },
      listeners: [
        { scheme: 'mqtts', host: '127.0.0.1', port: 0 },
        { scheme: 'wss', host: '127.0.0.1', port: 0 },
      ],
    })
    for (const url of listener.addresses) {
      const client = await connectAsync(url, { rejectUnauthorized: false, reconnectPeriod: 0 })
      await client.publishAsync('a', 'x', { qos: 2 })
      await client.endAsync()
    }
    assert.is(log.records('gw.mqtt').length, 2)
    await listener.close()
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('names and passwords are checked; the answers tell who is to blame', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'users-'))
  const usersFile = join(folder, 'users')
  const { createHash } = await import('node:crypto')
  const salt = Buffer.from('salt')
  const hash = createHash('sha512').update('secret').update(salt).digest('base64')
  writeFileSync(usersFile, `dev:$6$${salt.toString('base64')}$${hash}\n`)
  const { listener, port } = await open({ usersFile, allowAnonymous: false })
  const answer = async (username?: string, password?: string): Promise<number> => {
    const peer = new MqttPeer(connectSocket(port, '127.0.0.1'))
    const given = username === undefined ? {} : { username, password: password! }
    const connack = await peer.connect(given)
    peer.stream.destroy()
    return connack.body[1]!
  }
  assert.is(await answer('dev', 'secret'), 0)
  assert.is(await answer('dev', 'wrong'), 4)
  assert.is(await answer('eve', 'secret'), 4)
  assert.is(await answer(), 5)
  await listener.close()
  rmSync(folder, { recursive: true })
})

test('one connection more than maxConnections is closed, and said once', async () => {
  const { listener, port, lines } = await open({ maxConnections: 2 })
  const peers = [1, 2].map(() => new MqttPeer(connectSocket(port, '127.0.0.1')))
  for (const [index, peer] of peers.entries()) await peer.connect({ clientId: `c${index}` })
  for (let i = 0; i < 2; i++) {
    const extra = new MqttPeer(connectSocket(port, '127.0.0.1'))
    await extra.closed
  }
  assert.is(lines.filter((line) => line.includes('mqtt.maxConnections 2 is reached')).length, 1)
  await listener.close()
})

test('closing ends every connection and frees the ports', async () => {
  const { listener, port } = await open()
  const peer = new MqttPeer(connectSocket(port, '127.0.0.1'))
  await peer.connect()
  await listener.close()
  await peer.closed
  const again = await open({ listeners: [{ scheme: 'mqtt', host: '127.0.0.1', port }] })
  await again.listener.close()
})

test('a plain HTTP request to a WebSocket listener is answered and ended', async () => {
  const { listener, port } = await open({
    listeners: [{ scheme: 'ws', host: '127.0.0.1', port: 0 }],
  })
  const answer = await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(5_000) })
  assert.is(answer.status, 426)
  assert.is(answer.headers.get('connection'), 'close')
  await listener.close()
})

test('a socket in the middle of its TLS handshake holds up no shutdown', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'tributary-tls-'))
  const [certFile, keyFile] = [join(directory, 'cert.pem'), join(directory, 'key.pem')]
  await makeCertificate(certFile, keyFile)
  const { listener, port } = await open({
    listeners: [{ scheme: 'mqtts', host: '127.0.0.1', port: 0 }],
    tls: { certFile, keyFile },
  })
  const silent = connectSocket(port, '127.0.0.1').on('error', () => {})
  await new Promise((resolve) => silent.once('connect', resolve))
  const ended = new Promise((resolve) => silent.once('close', resolve))
  silent.resume()
  const started = performance.now()
  await listener.close()
  await ended
  assert.ok(performance.now() - started < 5_000, 'it waits for the handshake to time out')
  rmSync(directory, { recursive: true })
})

test.run()
