// A real broker for the fleet's tests, a subscriber that keeps the ledger's other side, and a link
// between devices and broker that can be cut.

import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect as connectSocket, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import mqtt, { type MqttClient } from 'mqtt'
import { Observations } from '../../firmware-sim/ledger.ts'
import { readMessage } from '../../firmware-sim/message.ts'
import { requirePeer } from '../support/peers.ts'
import { freePort, portAccepts, waitUntil } from '../support/ports.ts'

export interface Broker {
  readonly port: number
  readonly url: string
  stop(): Promise<void>
}

/** A broker with a clean memory, or undefined after a line that says what is skipped. */
export async function startMosquitto(
  passwordLines?: readonly string[],
  moreLines: readonly string[] = [],
): Promise<Broker | undefined> {
  const program = requirePeer('mosquitto')
  if (program === undefined) return undefined
  const folder = mkdtempSync(join(tmpdir(), 'mosquitto-'))
  const port = await freePort()
  const lines = [`listener ${port} 127.0.0.1`, 'max_queued_messages 0', 'max_inflight_messages 0']
  lines.push(`allow_anonymous ${passwordLines === undefined}`)
  if (process.getuid?.() === 0) lines.push('user root')
  if (passwordLines !== undefined) {
    writeFileSync(join(folder, 'passwords'), passwordLines.join('\n'), { mode: 0o600 })
    lines.push(`password_file ${join(folder, 'passwords')}`)
  }
  lines.push(...moreLines)
  writeFileSync(join(folder, 'mosquitto.conf'), lines.join('\n'))
  const child = spawn(program, ['-c', join(folder, 'mosquitto.conf')], { stdio: 'ignore' })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  await waitUntil('mosquitto does not listen', 10_000, () => portAccepts(port))
  return {
    port,
    url: `mqtt://127.0.0.1:${port}`,
    async stop() {
      child.kill('SIGKILL')
      await ended
      rmSync(folder, { recursive: true })
    },
  }
}

export interface Subscriber {
  readonly observations: Observations
  readonly payloads: Buffer[]
  readonly mqttTopics: Set<string>
  close(): Promise<void>
}

/** Reads everything from now on, in the broker's order. */
export async function subscribe(
  broker: Broker,
  options: { username?: string; password?: string } = {},
): Promise<Subscriber> {
  const client: MqttClient = await mqtt.connectAsync(broker.url, options)
  const observations = new Observations()
  const payloads: Buffer[] = []
  const mqttTopics = new Set<string>()
  client.on('message', (mqttTopic, payload) => {
    const message = readMessage(payload)
    if (message === undefined) throw new Error(`not a message of the fleet: ${payload}`)
    observations.see(message.device, message.sequence)
    payloads.push(payload)
    mqttTopics.add(mqttTopic)
  })
  await client.subscribeAsync('#', { qos: 2 })
  return { observations, payloads, mqttTopics, close: () => client.endAsync(true) }
}

export interface CuttableLink {
  readonly url: string
  /** Every connection ends at once. */
  cut(): void
  close(): Promise<void>
}

export async function startLink(broker: Broker): Promise<CuttableLink> {
  const sockets = new Set<Socket>()
  const server = createServer((inner) => {
    const outer = connectSocket(broker.port, '127.0.0.1')
    for (const [from, to] of [[inner, outer] as const, [outer, inner] as const]) {
      sockets.add(from)
      from.pipe(to)
      from.on('error', () => {})
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
    }
  })
  const port = await freePort()
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    url: `mqtt://127.0.0.1:${port}`,
    cut,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      cut()
      await closed
    },
  }
}
