// The bytes of one socket on their way to frames: copied once into the kernel, handled in place.
//
// - A chunk goes to CHUNK behind the bytes that were carried; whole frames are handled there; what
//   is left of the last one is carried.
// - While anything has to be waited for, the socket is paused and bytes stay carried. Reasons to wait
//   are bits; the flow goes on, first with what it carries, when the last one is gone.

import type { Duplex } from 'node:stream'
import type { Clock } from '../base/clock.ts'
import { type CarriedBudget, CarriedBytes } from './carried-bytes.ts'
import { FrameScanner, frameFault, INCOMPLETE } from './frame-scanner.ts'
import type { Ingest } from './ingest.ts'
import type { IngestLog } from './ingest-log.ts'
import { CHUNK, CHUNK_BYTES } from './staging.ts'

const NOTHING = Buffer.alloc(0)

/** Who handles the frames. */
export interface FrameOwner {
  /** One whole frame at `position` of the kernel's memory; false: it has to wait, keep its bytes. */
  takeFrame(type: number, position: number): boolean
  /** All that could be handled was. */
  tookChunk(): void
  /** The bytes are no MQTT, or too many. */
  refuseFrame(reason: string): void
}

export interface FrameFlowOptions {
  kernel: IngestLog['kernel']
  ingest: Ingest
  clock: Clock
  carriedBudget: CarriedBudget
  maxPacketSize: number
}

export class FrameFlow {
  readonly scanner: FrameScanner
  /** CONNECT has been handled. */
  isConnected = false
  /** When bytes last came, or the flow last went on; monotonic. */
  seenAt: number
  /** When it began to wait without anything going on. */
  pausedAt = 0
  /** Why nothing is handled; 0 = it flows. */
  waits = 0
  readonly #options: FrameFlowOptions
  readonly #socket: Duplex
  readonly #owner: FrameOwner
  readonly #carried: CarriedBytes
  /** Bytes without which the carried frame stays incomplete. */
  #needed = 0
  #isStopped = false

  constructor(options: FrameFlowOptions, socket: Duplex, owner: FrameOwner) {
    this.#options = options
    this.#socket = socket
    this.#owner = owner
    this.scanner = new FrameScanner(options.maxPacketSize)
    this.#carried = new CarriedBytes(options.carriedBudget)
    this.seenAt = options.clock.monotonic()
    socket.on('data', (chunk: Buffer) => this.#receive(chunk))
  }

  wait(reason: number): void {
    if (this.waits === 0) {
      this.pausedAt = this.#options.clock.monotonic()
      this.#socket.pause()
    }
    this.waits |= reason
  }

  resume(reason: number): void {
    if ((this.waits & reason) === 0) return
    this.waits &= ~reason
    if (this.waits !== 0 || this.#isStopped) return
    this.seenAt = this.#options.clock.monotonic()
    const { pausedAt } = this
    const carried = this.#carried.length
    this.#handle(NOTHING)
    if (this.waits === 0) this.#socket.resume()
    // Nothing could go on: it has been waiting all the time.
    else if (this.#carried.length === carried) this.pausedAt = pausedAt
  }

  /** Whatever still comes is dropped. */
  stop(): void {
    this.#isStopped = true
    this.#carried.release()
  }

  #receive(chunk: Buffer): void {
    if (this.#isStopped) return
    this.seenAt = this.#options.clock.monotonic()
    const isShort = this.#carried.length + chunk.length < this.#needed
    if (this.waits === 0 && !isShort) this.#handle(chunk)
    else this.#carry(chunk, 0, chunk.length)
  }

  /** Handles the carried bytes and the chunk behind them as far as nothing has to be waited for. */
  #handle(chunk: Buffer): void {
    const { ingest, kernel } = this.#options
    const carried = this.#carried
    let from = 0
    let isClipped = false
    do {
      const before = Math.min(carried.length, CHUNK_BYTES)
      isClipped = before < carried.length
      const take = isClipped ? 0 : Math.min(chunk.length - from, CHUNK_BYTES - before)
      if (before > 0) carried.copyTo(kernel.u8, CHUNK, before)
      chunk.copy(kernel.buffer, CHUNK + before, from, from + take)
      ingest.beginChunk()
      const used = this.#scan(kernel.u8, CHUNK + before + take) - CHUNK
      ingest.endChunk()
      if (this.#isStopped) return
      carried.skip(Math.min(used, before))
      const rest = from + Math.max(0, used - before)
      from += take
      if (!this.#carry(chunk, rest, from)) return
    } while (this.waits === 0 && (from < chunk.length || isClipped))
    if (this.#carry(chunk, from, chunk.length)) this.#owner.tookChunk()
  }

  /** Handles whole frames from CHUNK on; returns where it stopped. */
  #scan(u8: Uint8Array, end: number): number {
    const { scanner } = this
    let position = CHUNK
    this.#needed = 0
    while (position < end && this.waits === 0 && !this.#isStopped) {
      const type = scanner.next(u8, position, end, this.isConnected)
      if (type === INCOMPLETE) {
        this.#needed = scanner.needed
        return position
      }
      if (type < 0) {
        this.#owner.refuseFrame(frameFault(type))
        return position
      }
      const { frameEnd } = scanner
      if (!this.#owner.takeFrame(type, position)) return position
      position = frameEnd
    }
    return position
  }

  #carry(source: Buffer, from: number, to: number): boolean {
    if (this.#carried.keep(source, from, to)) return true
    this.#owner.refuseFrame('too many half-received packets at once')
    return false
  }
}
