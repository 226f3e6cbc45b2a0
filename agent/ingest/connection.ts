// One MQTT client's socket: our frame scanner in front, aedes behind.
//
//   socket ─▶ CHUNK (kernel memory) ─▶ frames ─┬─ PUBLISH, PUBREL, PINGREQ: handled here
//                                              └─ everything else ─▶ FrontDuplex ─▶ aedes
//
// - Phases: connect → accepting (CONNECT is with aedes) → open → leaving → closed. Nothing behind
//   CONNECT is looked at before aedes has sent its CONNACK, nothing behind SUBSCRIBE before SUBACK.
// - Bytes that cannot be handled yet are carried and the socket is paused; why is a set of reasons,
//   and the connection goes on when the last one is gone.
// - While it is paused the keep alive is not enforced and the client gets unasked PINGRESPs, because
//   its PINGREQ sits unread behind its own messages.
// - The client's FIN is kept until everything before it is handled and acknowledged.

import type { Duplex } from 'node:stream'
import { ACK_PUBACK, ACK_PUBCOMP, ACK_PUBREC, type AckOwner, AckQueue } from './acks.ts'
import type { BrokerPacket } from './broker-packet.ts'
import {
  PINGRESP,
  readConnect,
  refusingConnack,
  subscribeFault,
  unsubscribeFault,
} from './control-packet.ts'
import { FrameFlow, type FrameOwner } from './frame-flow.ts'
import {
  CONNECT,
  DISCONNECT,
  PINGREQ,
  PUBLISH,
  PUBREL,
  SUBSCRIBE,
  UNSUBSCRIBE,
} from './frame-scanner.ts'
import { FrontDuplex } from './front-duplex.ts'
import { NO_ROOM, REFUSED, type Source } from './ingest.ts'
import type { MqttFront } from './mqtt-front.ts'
import { BACKLOG_MAX, Outbound } from './outbound.ts'
import type { Qos2Session } from './qos2.ts'

type Phase = 'connect' | 'accepting' | 'open' | 'leaving' | 'closed'

// Why nothing is read.
const WAITS_CONNACK = 1
const WAITS_SUBACK = 2
/** Too many bytes of this client are not durable. */
const WAITS_WINDOW = 4
const WAITS_ROOM = 8
/** aedes has not taken what it was given. */
const WAITS_FRONT = 16
/** The client does not read its acks. */
const WAITS_SOCKET = 32
/** The agent is closing. */
const WAITS_END = 64

const ACK_BACKLOG_MAX = 65_536
const EARLY_PINGRESP_MS = 2_000
/** A socket that takes nothing for this long is given up. */
const STUCK_MS = 5_000
const UNREAD_ACKS_MS = 60_000

export class Connection implements Source, AckOwner, FrameOwner {
  readonly number: number
  /** For log lines. */
  readonly peer: string
  readonly isLoopback: boolean
  clientId = ''
  username: string | undefined
  readonly #front: MqttFront
  readonly #socket: Duplex
  readonly #flow: FrameFlow
  readonly #outbound: Outbound
  readonly #acks: AckQueue
  #duplex: FrontDuplex | undefined
  #session: Qos2Session | undefined
  #phase: Phase = 'connect'
  #clean = true
  #hasFin = false
  #hasSkipped = false
  #keepAliveMs = 0
  /** Monotonic: of the phase, of the last unasked PINGRESP. */
  #since: number
  #pingedAt = 0

  constructor(front: MqttFront, socket: Duplex, number: number, peer: string, isLoopback: boolean) {
    this.#front = front
    this.#socket = socket
    this.number = number
    this.peer = peer
    this.isLoopback = isLoopback
    this.#flow = new FrameFlow(front, socket, this)
    this.#outbound = new Outbound(socket, front, () => {
      return !this.#clean && front.hasSession(this.clientId)
    })
    this.#acks = new AckQueue(front.acks, socket, this)
    this.#since = front.clock.monotonic()
    socket.on('end', () => {
      this.#hasFin = true
      this.#endWhenDone()
    })
    socket.on('drain', () => this.#flow.resume(WAITS_SOCKET))
    socket.on('error', () => {})
    socket.on('close', () => this.#closed())
  }

  // ---- from the socket

  takeFrame(type: number, position: number): boolean {
    if (type === PUBLISH) return this.#publish(this.#front.kernel.u8, position)
    this.#control(type, position)
    return true
  }

  tookChunk(): void {
    const { log, fanOut } = this.#front
    if (!this.#acks.isEmpty) this.#acks.release(log.durableCommit)
    if (fanOut.waiting > 0) fanOut.settle(log.durableCommit)
    if (this.#socket.writableLength > ACK_BACKLOG_MAX) this.#flow.wait(WAITS_SOCKET)
    this.#endWhenDone()
  }

  /** False when the message has to wait: its bytes are not used. */
  #publish(u8: Uint8Array, position: number): boolean {
    const front = this.#front
    const { bodyStart, frameEnd } = this.#flow.scanner
    const flags = u8[position]!
    const qos = (flags >> 1) & 3
    const topicAt = bodyStart + 2
    const topicLength = (u8[bodyStart]! << 8) | u8[bodyStart + 1]!
    const idAt = topicAt + topicLength
    const payloadAt = qos === 0 ? idAt : idAt + 2
    if (frameEnd < topicAt || payloadAt > frameEnd) return this.refuseFrame('a PUBLISH cut short')
    const packetId = qos === 0 ? 0 : (u8[idAt]! << 8) | u8[idAt + 1]!
    if (qos > 0 && packetId === 0) return this.refuseFrame('packet id 0')
    const session = this.#session!
    if (qos === 2) {
      const held = session.commitOf(packetId)
      if (held !== undefined) {
        this.#acks.seen = this.#flow.seenAt
        this.#acks.push(ACK_PUBREC, packetId, held, 0)
        return true
      }
      if (!session.hasRoom) return this.refuseFrame('too many QoS 2 messages without PUBREL')
    }
    const retain = (flags & 1) === 1
    const payloadLength = frameEnd - payloadAt
    const { ingest } = front
    const appended = ingest.publish(this, topicAt, topicLength, payloadAt, payloadLength, retain)
    if (appended === REFUSED) return this.refuseFrame(ingest.fault)
    if (appended === NO_ROOM) {
      if (qos === 0 && front.isOutOfRoom(ingest.refusedBy)) {
        front.dropped.add()
        return true
      }
      this.#flow.wait(WAITS_ROOM)
      front.waitForRoom(this, ingest.refusedBy)
      return false
    }
    const commit = qos === 2 ? session.hold(packetId, appended) : appended
    front.messages[qos]!++
    const topic = ingest.routed!
    if (topic.kind !== 'ignored' && (retain || front.fanOut.isWanted(topic))) {
      const payload = Buffer.from(u8.subarray(payloadAt, frameEnd))
      const { mqttTopic } = topic
      front.fanOut.add({ topic: mqttTopic, payload, qos, retain, clientId: this.clientId }, commit)
    }
    const size = frameEnd - position
    this.#acks.seen = this.#flow.seenAt
    if (qos === 0) this.#acks.hold(commit, size)
    else this.#acks.push(qos === 1 ? ACK_PUBACK : ACK_PUBREC, packetId, commit, size)
    if (this.#acks.windowBytes > front.windowBytes) this.#flow.wait(WAITS_WINDOW)
    return true
  }

  #control(type: number, position: number): void {
    const { buffer, u8 } = this.#front.kernel
    const { bodyStart, frameEnd } = this.#flow.scanner
    switch (type) {
      case CONNECT:
        this.#connect(position)
        return
      case PINGREQ:
        this.#socket.write(PINGRESP)
        return
      case SUBSCRIBE:
      case UNSUBSCRIBE: {
        const judge = type === SUBSCRIBE ? subscribeFault : unsubscribeFault
        const fault = judge(buffer, bodyStart, frameEnd)
        if (fault === undefined) {
          this.#flow.wait(WAITS_SUBACK)
          this.#forward(position)
        } else {
          this.refuseFrame(fault)
        }
        return
      }
      case DISCONNECT:
        this.#forward(position)
        this.#leave()
        return
      default:
        this.#acknowledge(type, position, (u8[bodyStart]! << 8) | u8[bodyStart + 1]!)
    }
  }

  /** PUBREL of a message to us; PUBACK, PUBREC or PUBCOMP of a delivery. */
  #acknowledge(type: number, position: number, packetId: number): void {
    if (type === PUBREL && packetId > 0) {
      const commit = this.#session!.release(packetId)
      this.#acks.seen = this.#flow.seenAt
      this.#acks.push(ACK_PUBCOMP, packetId, commit, 0)
      return
    }
    const fault = packetId === 0 ? 'packet id 0' : this.#outbound.ackFault(type, packetId)
    if (fault === undefined) this.#forward(position)
    else this.refuseFrame(fault)
  }

  #connect(position: number): void {
    const front = this.#front
    const { buffer } = front.kernel
    const { bodyStart, frameEnd } = this.#flow.scanner
    const connect = readConnect(buffer, bodyStart, frameEnd)
    if (connect.kind === 'malformed') {
      this.refuseFrame(connect.reason)
      return
    }
    this.clientId = connect.clientId
    if (connect.kind === 'refused') {
      front.refusedConnect(this, connect)
      this.#socket.write(refusingConnack(connect.returnCode))
      this.#leave()
      return
    }
    this.username = connect.username
    this.#clean = connect.clean
    this.#keepAliveMs = connect.keepAliveS * 1_500
    // aedes' own keep alive runs on the wall clock's timers and does not see our packets.
    buffer.writeUInt16BE(0, connect.keepAlivePosition)
    this.#phase = 'accepting'
    this.#flow.isConnected = true
    this.#flow.wait(WAITS_CONNACK)
    this.#duplex = new FrontDuplex(this, BACKLOG_MAX + front.maxPacketSize)
    front.broker.handle(this.#duplex)
    this.#duplex.push(Buffer.from(buffer.subarray(position, frameEnd)))
  }

  #forward(position: number): void {
    const { u8 } = this.#front.kernel
    const frame = Buffer.from(u8.subarray(position, this.#flow.scanner.frameEnd))
    if (this.#duplex?.push(frame) === false) this.#flow.wait(WAITS_FRONT)
  }

  // ---- waiting

  /** The log has room again, or QoS 0 is to be dropped from now on. */
  roomMade(): void {
    this.#flow.resume(WAITS_ROOM)
  }

  /** Acks of ours left, or bytes became durable. */
  settled(): void {
    if (this.#acks.windowBytes <= this.#front.windowBytes / 2) this.#flow.resume(WAITS_WINDOW)
    this.#endWhenDone()
  }

  #endWhenDone(): void {
    if (!this.#hasFin) return
    if (this.#phase === 'connect') {
      this.#socket.destroy()
    } else if (this.#phase === 'open' && this.#flow.waits === 0 && this.#acks.isEmpty) {
      this.#duplex?.push(null)
      this.#leave()
    }
  }

  // ---- from aedes

  /** CONNACK 0 has been written. */
  accepted(clientId: string): void {
    if (this.#phase !== 'accepting') return
    const front = this.#front
    this.#phase = 'open'
    this.clientId = clientId
    this.#session = front.heldIds.open(clientId, this.#clean)
    if (!this.#clean) front.broker.persistence.beginSession(clientId)
    front.opened(this)
    this.#flow.resume(WAITS_CONNACK)
  }

  /** SUBACK or UNSUBACK has been written. */
  subscribed(): void {
    this.#flow.resume(WAITS_SUBACK)
  }

  frontReads(): void {
    this.#flow.resume(WAITS_FRONT)
  }

  /** Whole packets of aedes for the client. */
  sendPackets(packets: Buffer, done: () => void): void {
    if (this.#phase === 'closed') done()
    else this.#outbound.send(packets, done)
  }

  /** Whether a live message may be written now; retained and queued ones wait for themselves. */
  mayDeliver(packet: BrokerPacket): boolean {
    if (packet.messageId || packet.brokerId === null) return true
    if (this.#phase !== 'open') return false
    if (!this.#outbound.isOver) return true
    this.#front.skipped.add()
    if (packet.qos > 0 && !this.#clean) this.#hasSkipped = true
    return false
  }

  /** aedes has ended the connection. */
  frontEnded(): void {
    if (this.#phase === 'closed') return
    this.#leave()
    const socket = this.#socket as Duplex & { destroySoon?: () => void }
    if (socket.destroySoon !== undefined) socket.destroySoon()
    else socket.end(() => socket.destroy())
  }

  // ---- ending

  /** Stops reading; what is written still leaves, for a while. */
  #leave(): void {
    if (this.#phase === 'leaving' || this.#phase === 'closed') return
    this.#phase = 'leaving'
    this.#since = this.#front.clock.monotonic()
    this.#flow.stop()
    if (this.#duplex === undefined) this.frontEnded()
    else this.#socket.resume()
  }

  /** The peer broke the protocol. Always false, for the callers' convenience. */
  refuseFrame(reason: string): false {
    this.#front.refused(this, reason)
    this.#phase = 'leaving'
    this.#flow.stop()
    this.#socket.destroy()
    return false
  }

  /** Ends the connection from our side; its will is published. */
  destroy(reason: string): void {
    this.#front.refused(this, reason)
    this.#socket.destroy()
  }

  /** The agent stops taking messages; acks that are owed still leave. */
  stopReading(): void {
    this.#flow.wait(WAITS_END)
  }

  end(): void {
    this.#socket.destroy()
  }

  #closed(): void {
    if (this.#phase === 'closed') return
    this.#phase = 'closed'
    this.#acks.discard()
    this.#flow.stop()
    this.#outbound.release()
    if (this.#session !== undefined) this.#front.heldIds.close(this.#session)
    this.#front.closed(this)
    this.#duplex?.destroy()
  }

  /** Called about once a second with monotonic time. */
  sweep(now: number): void {
    const { backlog, movedAt, isOver } = this.#outbound
    if (this.#phase === 'connect' || this.#phase === 'accepting') {
      if (now - this.#since > this.#front.connectTimeoutMs) this.destroy('no CONNECT in time')
    } else if (this.#phase === 'leaving') {
      if (now - this.#since > STUCK_MS) this.#socket.destroy()
    } else if (isOver && now - movedAt > STUCK_MS) {
      this.destroy('does not read what it subscribed to')
    } else if (this.#hasSkipped && backlog === 0) {
      this.destroy('read too slowly; it gets what it missed when it connects again')
    } else if (this.#flow.waits === 0) {
      const isLate = this.#keepAliveMs > 0 && now - this.#flow.seenAt > this.#keepAliveMs
      if (isLate) this.destroy('was silent for longer than its keep alive')
    } else {
      this.#sweepPaused(now)
    }
  }

  #sweepPaused(now: number): void {
    if ((this.#flow.waits & WAITS_SOCKET) !== 0) {
      if (now - this.#flow.pausedAt > UNREAD_ACKS_MS) this.destroy('does not read its acks')
      return
    }
    const since = Math.max(this.#flow.pausedAt, this.#pingedAt)
    if (this.#keepAliveMs === 0 || now - since < EARLY_PINGRESP_MS) return
    this.#pingedAt = now
    this.#socket.write(PINGRESP)
  }
}
