// A well-behaved MQTT publisher beside whatever else happens: QoS 1, one message after the other, each
// with its number; it remembers what was acked and what is still out.

import { connect } from 'node:net'
import { MqttPeer, packetId, publish, TYPE } from './mqtt-peer.ts'

/** A raw peer on a real port. */
export function peerOn(port: number): MqttPeer {
  return new MqttPeer(connect({ port, host: '127.0.0.1', noDelay: true }))
}

export class SteadyClient {
  readonly peer: MqttPeer
  readonly topic: string
  readonly payload: (number: number) => Buffer
  /** Numbers whose PUBACK came. */
  readonly acked: number[] = []
  sent = 0
  isClosed = false

  constructor(
    port: number,
    topic: string,
    payload: (number: number) => Buffer = (number) => Buffer.from(`${number}`),
  ) {
    this.peer = peerOn(port)
    this.topic = topic
    this.payload = payload
    this.peer.closed.then(() => {
      this.isClosed = true
    })
  }

  static async connect(
    port: number,
    options: { clientId: string; topic: string; payload?: (number: number) => Buffer },
  ): Promise<SteadyClient> {
    const client = new SteadyClient(port, options.topic, options.payload)
    await client.peer.connect({ clientId: options.clientId })
    return client
  }

  /** Publishes one message and waits for its ack. */
  async publish(): Promise<void> {
    const number = this.send()
    const ack = await this.peer.expect(TYPE.puback)
    if (packetId(ack) !== (number % 65_535) + 1) throw new Error('an ack out of order')
    this.acked.push(number)
  }

  /** Publishes without waiting; `collect` finds the acks later. */
  send(): number {
    const number = this.sent++
    this.peer.send(publish(this.topic, this.payload(number), { qos: 1, id: (number % 65_535) + 1 }))
    return number
  }

  /** Notes the acks that have come in so far, which have to be in order. */
  collect(): number {
    for (const packet of this.peer.take()) {
      if (packet.type !== TYPE.puback) continue
      const number = this.acked.length
      if (packetId(packet) !== (number % 65_535) + 1) throw new Error('an ack out of order')
      this.acked.push(number)
    }
    return this.acked.length
  }

  close(): void {
    this.peer.stream.destroy()
  }
}
