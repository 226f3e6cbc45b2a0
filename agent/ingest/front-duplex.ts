// The stream that aedes takes for a client's socket: control packets go in, its packets come out.
//
// - `_writev` is a must: mqtt-packet corks the four to six writes of a packet, so one call carries
//   whole packets, and an ack of ours written to the socket never lands inside one.
// - It is not destroyed when its readable side ends: aedes may still have a CONNACK to write.

import { Duplex } from 'node:stream'
import type { Connection } from './connection.ts'

export class FrontDuplex extends Duplex {
  readonly connection: Connection

  constructor(connection: Connection, writableHighWaterMark: number) {
    super({ writableHighWaterMark, allowHalfOpen: true })
    this.connection = connection
  }

  override _read(): void {
    this.connection.frontReads()
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.connection.sendPackets(chunk, done)
  }

  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    const bytes = Buffer.concat(chunks.map(({ chunk }) => chunk))
    this.connection.sendPackets(bytes, done)
  }

  override _destroy(_error: Error | null, done: (error: null) => void): void {
    this.connection.frontEnded()
    done(null)
  }
}
