// Packet ids of QoS 2 that were received and not yet released: what makes a message exactly one
// record, over retransmissions, takeovers and crashes of the agent [MQTT-4.3.3-2].
//
//   state key   qos2/<client id, percent-encoded>/<packet id>
//   value       wall time of the PUBLISH, milliseconds, 8 bytes big-endian
//
// - The id is held by the commit that holds the record, and released by a commit of its own kind
//   before PUBCOMP leaves; so after a crash either both are there or neither.
// - A clean session ends with its connection: its ids stay in memory only.
// - Bounded per client and in all; ids of a client that was not seen for `expiryMs` are forgotten,
//   but never in the first hour of the process, because a gateway's clock may jump when it starts.
// - A retransmission is answered on the connection it came in on, when the commit of the original is
//   durable: after a takeover that is the session's current connection.

import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/telemetry.ts'
import type { IngestLog } from './ingest-log.ts'

const PREFIX = 'qos2/'
const EXPIRY_GRACE_MS = 3_600_000

export interface HeldIdsLimits {
  readonly perClient: number
  readonly inAll: number
  readonly expiryMs: number
}

export const HELD_IDS_LIMITS: HeldIdsLimits = {
  perClient: 4_096,
  inAll: 50_000,
  expiryMs: 7 * 86_400_000,
}

export interface HeldIdsOptions {
  log: IngestLog
  clock: Clock
  logger: Logger
  limits?: HeldIdsLimits
}

export class HeldIds {
  readonly #options: HeldIdsOptions
  readonly #limits: HeldIdsLimits
  /** Only sessions with ids, or with somebody connected. */
  readonly #sessions = new Map<string, Qos2Session>()
  readonly #started: number
  #count = 0

  /** Reads what an earlier run holds. */
  constructor(options: HeldIdsOptions) {
    this.#options = options
    this.#limits = options.limits ?? HELD_IDS_LIMITS
    this.#started = options.clock.monotonic()
    for (const [key, value] of options.log.state.entries(PREFIX)) {
      const slash = key.lastIndexOf('/')
      const session = this.#session(decodeURIComponent(key.slice(PREFIX.length, slash)))
      session.restore(Number(key.slice(slash + 1)), Number(value.readBigUInt64BE()))
      this.#count++
    }
  }

  get count(): number {
    return this.#count
  }

  holds(clientId: string): boolean {
    return (this.#sessions.get(clientId)?.size ?? 0) > 0
  }

  /** The session of a client that was just accepted; a clean one begins with nothing. */
  open(clientId: string, clean: boolean): Qos2Session {
    if (clean || this.#sessions.get(clientId)?.isClean === true) this.discard(clientId)
    const session = this.#session(clientId)
    session.isClean = clean
    session.users++
    return session
  }

  /** The connection ended; the ids of a clean session end with the last one. */
  close(session: Qos2Session): void {
    session.users--
    if (session.users > 0) return
    if (this.#sessions.get(session.clientId) !== session) session.forget()
    else if (session.isClean) this.discard(session.clientId)
    else if (session.size === 0) this.#sessions.delete(session.clientId)
  }

  /** Forgets all ids of a client; durable with the open commit. True when there were any. */
  discard(clientId: string): boolean {
    const session = this.#sessions.get(clientId)
    if (session === undefined) return false
    this.#sessions.delete(clientId)
    const had = session.size > 0
    session.forget()
    return had
  }

  /** Forgets the ids of clients that have not been here for long. Call it now and then. */
  expire(): void {
    const { clock, logger } = this.#options
    if (clock.monotonic() - this.#started < EXPIRY_GRACE_MS) return
    const limit = clock.now() - this.#limits.expiryMs
    for (const session of this.#sessions.values()) {
      if (session.users > 0 || session.lastHeld > limit) continue
      logger.warn('forgot the QoS 2 packet ids of a client that did not come back', {
        client: session.clientId,
        packetIds: session.size,
      })
      this.discard(session.clientId)
    }
  }

  #session(clientId: string): Qos2Session {
    let session = this.#sessions.get(clientId)
    if (session === undefined) {
      session = new Qos2Session(clientId, this)
      this.#sessions.set(clientId, session)
    }
    return session
  }

  // ---- for Qos2Session

  hasRoomFor(session: Qos2Session): boolean {
    return session.size < this.#limits.perClient && this.#count < this.#limits.inAll
  }

  /** Returns the commit that holds the id, or `appended` where nothing of it is journaled. */
  store(session: Qos2Session, packetId: number, appended: number): number {
    const { log, clock } = this.#options
    this.#count++
    session.lastHeld = clock.now()
    if (session.isClean) return appended
    const value = Buffer.allocUnsafe(8)
    value.writeBigUInt64BE(BigInt(Math.max(0, Math.trunc(session.lastHeld))))
    log.state.put(session.keyOf(packetId), value)
    return log.openCommit
  }

  remove(session: Qos2Session, packetId: number): number {
    const { log } = this.#options
    this.#count--
    if (session.isClean) return 0
    log.state.delete(session.keyOf(packetId))
    return log.openCommit
  }
}

/** One client's held ids. */
export class Qos2Session {
  readonly clientId: string
  isClean = false
  users = 0
  lastHeld = 0
  readonly #store: HeldIds
  readonly #prefix: string
  /** Packet id → commit that makes record and id durable. */
  readonly #held = new Map<number, number>()
  #lastRelease = 0

  constructor(clientId: string, store: HeldIds) {
    this.clientId = clientId
    this.#store = store
    this.#prefix = `${PREFIX}${encodeURIComponent(clientId)}/`
  }

  get size(): number {
    return this.#held.size
  }

  get hasRoom(): boolean {
    return this.#store.hasRoomFor(this)
  }

  keyOf(packetId: number): string {
    return this.#prefix + packetId
  }

  /** The commit to wait for when the id is held, so that its PUBLISH is a retransmission. */
  commitOf(packetId: number): number | undefined {
    return this.#held.get(packetId)
  }

  /** Holds an id whose message was just appended for commit `appended`; what PUBREC waits for. */
  hold(packetId: number, appended: number): number {
    const commit = this.#store.store(this, packetId, appended)
    this.#held.set(packetId, commit)
    return commit
  }

  /**
   * Releases an id; returns the commit to wait for before PUBCOMP. One that is not held was released
   * before, maybe by a commit that is still on its way.
   */
  release(packetId: number): number {
    if (this.#held.delete(packetId)) this.#lastRelease = this.#store.remove(this, packetId)
    return this.#lastRelease
  }

  restore(packetId: number, heldAt: number): void {
    this.#held.set(packetId, 0)
    this.lastHeld = Math.max(this.lastHeld, heldAt)
  }

  /** Lets go of all ids; a connection that still uses this session writes no state any more. */
  forget(): void {
    for (const packetId of this.#held.keys()) this.#store.remove(this, packetId)
    this.#held.clear()
    this.isClean = true
  }
}
