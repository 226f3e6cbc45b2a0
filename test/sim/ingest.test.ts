// Devices, the ingest path and the real log on a disk that loses power: QoS 2 exactly once, QoS 1 at
// least once, nothing acked lost.
//
// Devices keep their session and retransmit what was not completed, as the standard asks of them.
// The power goes at any step of the disk, also in the middle of a write.

import * as assert from 'uvu/assert'
import { Metrics, silentLogger } from '../../agent/base/telemetry.ts'
import { MqttFront } from '../../agent/ingest/mqtt-front.ts'
import { Log } from '../../agent/log/log.ts'
import { decodeRecords } from '../../agent/record/record-batch.ts'
import { codecs, kernel } from '../support/batches.ts'
import { settle } from '../support/ingest-rig.ts'
import { ack, connect, MqttPeer, packetId, publish, TYPE } from '../support/mqtt-peer.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { suite } from '../support/suite.ts'
import { SimClock } from './sim-clock.ts'

const test = suite('ingest on a disk that loses power')

interface Sent {
  readonly name: string
  readonly qos: number
  isReceived: boolean
}

/** One device: a window of messages, completed or sent again after every connect. */
class Device {
  readonly id: string
  readonly acked = new Set<string>()
  readonly exactlyOnce = new Set<string>()
  readonly #sent = new Map<number, Sent>()
  readonly #count: number
  #next = 0
  #nextId = 1
  #peer: MqttPeer | undefined

  constructor(id: string, count: number) {
    this.id = id
    this.#count = count
  }

  get isDone(): boolean {
    return this.acked.size === this.#count
  }

  connect(front: MqttFront): void {
    this.#peer?.stream.destroy()
    const peer = MqttPeer.pair(front)
    this.#peer = peer
    peer.send(connect({ clientId: this.id, clean: false }))
    for (const [id, message] of this.#sent) this.#send(id, message, true)
    void this.#listen(peer)
  }

  /** Sends as many as the window and the roll allow. */
  step(random: SeededRandom): void {
    while (this.#sent.size < 6 && this.#next < this.#count && random.chance(0.7)) {
      const name = `${this.id}:${this.#next++}`
      const message = { name, qos: 1 + random.below(2), isReceived: false }
      while (this.#sent.has(this.#nextId)) this.#nextId = (this.#nextId % 8) + 1
      this.#sent.set(this.#nextId, message)
      this.#send(this.#nextId, message, false)
    }
  }

  #send(id: number, { name, qos, isReceived }: Sent, dup: boolean): void {
    const packet = isReceived ? ack(TYPE.pubrel, id) : publish('a', name, { qos, id, dup })
    this.#peer!.send(packet)
  }

  async #listen(peer: MqttPeer): Promise<void> {
    for (let packet = await peer.next(); packet !== undefined; packet = await peer.next()) {
      if (packet.type === TYPE.connack) continue
      const id = packetId(packet)
      const message = this.#sent.get(id)
      // The ack of a message that an earlier ack of the same id completed.
      if (message === undefined) continue
      if (packet.type === TYPE.pubrec) {
        message.isReceived = true
        peer.send(ack(TYPE.pubrel, id))
      } else {
        this.acked.add(message.name)
        if (message.qos === 2) this.exactlyOnce.add(message.name)
        this.#sent.delete(id)
      }
    }
  }
}

/** A start waits for a disk that refuses, as one does whose power is gone. */
async function progress<T>(work: Promise<T>, clock: SimClock): Promise<T> {
  let isDone = false
  const watched = work.finally(() => (isDone = true))
  watched.catch(() => {})
  for (let turns = 0; !isDone; turns++) {
    await settle(30)
    if (turns > 20) clock.advance(1001)
  }
  return watched
}

class Gateway {
  readonly log: Log
  readonly front: MqttFront
  readonly #clock: SimClock

  private constructor(log: Log, front: MqttFront, clock: SimClock) {
    this.log = log
    this.front = front
    this.#clock = clock
  }

  static async start(fs: SimFileSystem, boot: number): Promise<Gateway> {
    const clock = new SimClock(Date.UTC(2026, 0, 1))
    const common = { clock, logger: silentLogger, metrics: new Metrics() }
    const opening = Log.open({
      ...common,
      directory: 'store',
      fs,
      kernel,
      gateway: 'gw',
      journalBytes: 64 * 1024,
      batchBytes: 2_048,
      segmentBytes: 8_192,
      carryTailBytes: 512,
      commitIntervalMs: 0,
      lock: { pid: 1, startOf: async () => String(boot) },
    })
    const log = await progress(opening, clock)
    const front = await MqttFront.open({
      ...common,
      log,
      gateway: 'gw',
      topicPrefix: '{gateway}.',
      routes: [],
      profiles: new Map(),
      deadLetter: 'dead-letter',
      unrouted: undefined,
      maxTopics: 10,
      topicSettings: () => ({ partitions: 2, replicated: true }),
      users: undefined,
      allowAnonymous: undefined,
      maxPacketSize: 65_536,
    })
    return new Gateway(log, front, clock)
  }

  /** The process is dead; what it had begun fails on its dead disk before the next one starts. */
  async bury(): Promise<void> {
    const closing = this.front.close()
    this.#clock.advance(2_000)
    await closing
    this.#clock.forget()
    await settle(30)
    this.#clock.forget()
  }

  async values(): Promise<string[]> {
    const values: string[] = []
    for (const partition of this.log.topic('gw.mqtt')?.partitions ?? []) {
      for (let offset = 0; offset < partition.highWatermark; ) {
        const read = await partition.read(offset, 65_536)
        if (read.kind !== 'batches') throw new Error(`${read.kind} at ${offset}`)
        for (let at = 0; at < read.bytes.length; ) {
          const batch = read.bytes.subarray(at, at + 12 + read.bytes.readInt32BE(at + 8))
          for (const { value } of decodeRecords(batch, codecs)) values.push(String(value))
          at += batch.length
        }
        offset = read.nextOffset
      }
    }
    return values
  }
}

/** Runs until every device is done; returns how often the power went. */
async function run(seed: number): Promise<number> {
  const random = new SeededRandom(seed)
  const devices = Array.from({ length: 4 }, (_, index) => new Device(`d${index}`, 40))
  let stepsLeft = 200
  let crashed: SimFileSystem | undefined
  let crashes = 0
  let fs = new SimFileSystem(seed)
  const arm = (disk: SimFileSystem) => {
    disk.faults.onStep = () => {
      if (crashed !== undefined || --stepsLeft > 0 || crashes >= 8) return
      crashes++
      stepsLeft = 20 + random.below(150)
      crashed = disk.crash()
    }
  }
  arm(fs)
  let gateway: Gateway | undefined
  for (let boot = 0; ; boot++) {
    try {
      gateway = await Gateway.start(fs, boot)
      for (const device of devices) device.connect(gateway.front)
      for (let turn = 0; turn < 2_000 && crashed === undefined; turn++) {
        for (const device of devices) device.step(random)
        await settle(2)
        if (devices.every(({ isDone }) => isDone)) break
      }
    } catch (error) {
      if (crashed === undefined) throw error
    }
    if (crashed === undefined) break
    await gateway?.bury()
    gateway = undefined
    fs = crashed
    crashed = undefined
    arm(fs)
  }
  assert.ok(gateway)
  assert.ok(
    devices.every(({ isDone }) => isDone),
    `seed ${seed}: a device is stuck`,
  )
  const counts = new Map<string, number>()
  for (const value of await gateway!.values()) counts.set(value, (counts.get(value) ?? 0) + 1)
  for (const device of devices) {
    for (const name of device.acked) {
      const count = counts.get(name) ?? 0
      assert.ok(count >= 1, `seed ${seed}: ${name} was acked and is lost`)
      if (device.exactlyOnce.has(name)) assert.is(count, 1, `seed ${seed}: ${name}`)
    }
  }
  assert.is(gateway!.front.heldIds.count, 0)
  await gateway!.bury()
  return crashes
}

test('QoS 2 is exactly once and QoS 1 at least once, whenever the power goes', async () => {
  let crashes = 0
  for (let seed = 1; seed <= 12; seed++) crashes += await run(seed)
  assert.ok(crashes > 40, `only ${crashes} crashes`)
})

test.run()
