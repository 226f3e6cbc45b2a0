// A crowd of publishers, half of them QoS 1, half QoS 2, that acts as one.

import { waitUntil } from '../support/ports.ts'
import { Publisher } from './publisher.ts'
import { Random } from './random.ts'

export interface CrowdOptions {
  port: number
  /** Publishers of each QoS. */
  each: number
  /** They publish to `<prefix>/<client>/<qos>`. */
  prefix: string
  window: number
  paddingMax: number
  seed: number
}

export class Crowd {
  readonly publishers: readonly Publisher[]

  constructor({ port, each, prefix, window, paddingMax, seed }: CrowdOptions) {
    this.publishers = Array.from({ length: 2 * each }, (_, index) => {
      const qos = index % 2 === 0 ? 1 : 2
      const clientId = `q${qos}-${index}`
      const random = new Random(seed * 1000 + index)
      const mqttTopic = `${prefix}/${clientId}/${qos}`
      return new Publisher({ port, clientId, qos, mqttTopic, window, paddingMax, random })
    })
  }

  get acked(): number {
    return this.publishers.reduce((sum, publisher) => sum + publisher.acked, 0)
  }

  start(): void {
    for (const publisher of this.publishers) publisher.start()
  }

  surge(): void {
    for (const publisher of this.publishers) publisher.surge()
  }

  calm(): void {
    for (const publisher of this.publishers) publisher.calm()
  }

  resume(): void {
    for (const publisher of this.publishers) publisher.resume()
  }

  /** No new messages; resolves when every ack has come. */
  async quiet(limitMs: number): Promise<void> {
    for (const publisher of this.publishers) publisher.pause()
    const idle = () => this.publishers.every((publisher) => publisher.isIdle)
    try {
      await waitUntil('every message is acked', limitMs, idle)
    } catch (error) {
      const stuck = this.publishers.filter((publisher) => !publisher.isIdle)
      const names = stuck.map(({ clientId, unacked }) => `${clientId}: ${unacked}`)
      throw new Error(`${(error as Error).message}; unacked ${names.join(', ')}`)
    }
  }

  /** What the server did that MQTT does not allow, since the last call. */
  takeFaults(): string[] {
    return this.publishers.flatMap((publisher) => publisher.faults.splice(0))
  }

  close(): void {
    for (const publisher of this.publishers) publisher.close()
  }
}
