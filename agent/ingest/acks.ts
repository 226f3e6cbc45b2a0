// Acknowledgements that wait for their commit, and the bytes that count against a client's window.
//
// - An ack is four bytes behind each other in a slab; a mark says up to where a commit covers them.
//   No object, closure or promise per message.
// - All acks that a commit released to one connection leave in one socket write, in the order in
//   which their packets came [MQTT-4.6.0-2, -3, -4]. An ack with nothing to wait for queues too.
// - A slab that was handed to the socket is never written again.

import type { Duplex } from 'node:stream'
import type { Clock } from '../base/clock.ts'
import type { Histogram } from '../base/telemetry.ts'

export const ACK_PUBACK = 0x40
export const ACK_PUBREC = 0x50
export const ACK_PUBCOMP = 0x70

const ACK_BYTES = 4
const SLAB_BYTES = 256
/** Marks beyond this join the last one: its acks then wait for a later commit, never an earlier. */
const MARKS_MAX = 16

/** Who is told when acks of its left. */
export interface AckOwner {
  settled(): void
}

interface Mark {
  commit: number
  /** Bytes of the slab it covers, behind the mark before. */
  ackBytes: number
  /** Message bytes it takes out of the window. */
  windowBytes: number
  /** When its first packet was seen. */
  seen: number
}

/** The queues of all connections; `settle` runs once per commit. */
export class AckBoard {
  readonly #clock: Clock
  readonly #durations: Histogram
  #active: AckQueue[] = []
  #flushed: AckQueue[] = []
  #drainWaiters: (() => void)[] = []
  pending = 0

  constructor(clock: Clock, durations: Histogram) {
    this.#clock = clock
    this.#durations = durations
  }

  /** Sends what `durableCommit` releases, then lets the owners go on. */
  settle(durableCommit: number): void {
    const active = this.#active
    const flushed = this.#flushed
    let kept = 0
    for (const queue of active) {
      if (queue.release(durableCommit)) flushed.push(queue)
      if (queue.isEmpty) queue.isActive = false
      else active[kept++] = queue
    }
    active.length = kept
    this.#flushed = []
    for (const queue of flushed) queue.owner.settled()
    flushed.length = 0
    this.#flushed = flushed
    if (this.pending > 0 || this.#drainWaiters.length === 0) return
    for (const resolve of this.#drainWaiters) resolve()
    this.#drainWaiters = []
  }

  /** Resolves when no ack is pending. */
  drained(): Promise<void> {
    if (this.pending === 0) return Promise.resolve()
    return new Promise((resolve) => this.#drainWaiters.push(resolve))
  }

  activate(queue: AckQueue): void {
    if (queue.isActive) return
    queue.isActive = true
    this.#active.push(queue)
  }

  now(): number {
    return this.#clock.monotonic()
  }

  observe(sinceMs: number, acks: number, now: number): void {
    const seconds = (now - sinceMs) / 1000
    for (let i = 0; i < acks; i++) this.#durations.observe(seconds)
    this.pending -= acks
  }
}

export class AckQueue {
  readonly owner: AckOwner
  isActive = false
  /** Bytes that are appended and not durable. */
  windowBytes = 0
  /** When the packets now coming in were seen, monotonic. */
  seen = 0
  readonly #board: AckBoard
  readonly #socket: Duplex
  readonly #marks: Mark[] = []
  #slab: Buffer = Buffer.alloc(0)
  #start = 0
  #end = 0

  constructor(board: AckBoard, socket: Duplex, owner: AckOwner) {
    this.#board = board
    this.#socket = socket
    this.owner = owner
  }

  get isEmpty(): boolean {
    return this.#marks.length === 0
  }

  /** Acknowledges `packetId` when `commit` is durable; 0 = nothing to wait for. */
  push(kind: number, packetId: number, commit: number, windowBytes: number): void {
    if (this.#end + ACK_BYTES > this.#slab.length) this.#grow()
    const slab = this.#slab
    const at = this.#end
    slab[at] = kind
    slab[at + 1] = 2
    slab[at + 2] = packetId >> 8
    slab[at + 3] = packetId & 0xff
    this.#end = at + ACK_BYTES
    this.#board.pending++
    this.#mark(commit, ACK_BYTES, windowBytes)
  }

  /** Counts bytes that nobody acknowledges (QoS 0) until they are durable. */
  hold(commit: number, windowBytes: number): void {
    if (commit > 0) this.#mark(commit, 0, windowBytes)
  }

  /** Sends what is released; true when anything left the queue. */
  release(durableCommit: number): boolean {
    const marks = this.#marks
    let released = 0
    let bytes = 0
    const now = marks.length > 0 && marks[0]!.commit <= durableCommit ? this.#board.now() : 0
    while (released < marks.length && marks[released]!.commit <= durableCommit) {
      const mark = marks[released++]!
      bytes += mark.ackBytes
      this.windowBytes -= mark.windowBytes
      this.#board.observe(mark.seen, mark.ackBytes / ACK_BYTES, now)
    }
    if (released === 0) return false
    marks.splice(0, released)
    if (bytes > 0) {
      const start = this.#start
      this.#start += bytes
      this.#socket.write(this.#slab.subarray(start, this.#start))
    }
    return true
  }

  /** The connection is gone: nobody is left to acknowledge to. */
  discard(): void {
    for (const mark of this.#marks) this.#board.pending -= mark.ackBytes / ACK_BYTES
    this.#marks.length = 0
    this.windowBytes = 0
    this.#start = this.#end
  }

  #mark(commit: number, ackBytes: number, windowBytes: number): void {
    const marks = this.#marks
    this.windowBytes += windowBytes
    const last = marks[marks.length - 1]
    if (last !== undefined && (commit <= last.commit || marks.length >= MARKS_MAX)) {
      if (commit > last.commit) last.commit = commit
      last.ackBytes += ackBytes
      last.windowBytes += windowBytes
      return
    }
    if (last === undefined) this.#board.activate(this)
    marks.push({ commit, ackBytes, windowBytes, seen: this.seen })
  }

  #grow(): void {
    const waiting = this.#end - this.#start
    const slab = Buffer.allocUnsafe(Math.max(SLAB_BYTES, waiting * 2))
    this.#slab.copy(slab, 0, this.#start, this.#end)
    this.#slab = slab
    this.#start = 0
    this.#end = waiting
  }
}
