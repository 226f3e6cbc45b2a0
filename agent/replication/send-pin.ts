// How far one partition may have been sent upstream. What may be there is never changed here: the log
// gives nothing up below `pinnedOffset` when the disk is full (whenFull: dropOldest).
//
//   before the first handshake   the lease: an earlier life has sent nothing at or above it
//   the handshake found L        L: what is below is upstream, and nothing else is on its way
//   while the log is being read  everything: what was read is sent as it was read
//   while the connection lives   the end of what was read
//   when it is lost              the end of what was sent over it
//
// The lease, state `repl/sent/<log id>`, decimal, is durable before anything at or above it is sent.
// It reaches as far as some megabytes of records, is renewed early enough that sending does not wait
// for it, and goes back to what was sent when a connection is lost: a gateway that starts again in an
// outage must be able to give up the rest. It is there only where data may be given up: without a lease
// everything that an earlier life found durable may have been sent.

import type { Log } from '../log/log.ts'
import type { PartitionLog } from '../log/partition-log.ts'

const LEASED_BYTES = 16 * 1024 * 1024
const LEASED_RECORDS_MIN = 100
const LEASED_RECORDS_MAX = 50_000

export class SendPin {
  readonly #log: Log
  readonly #partition: PartitionLog
  readonly #renewed: () => void
  /** Nothing at or above was sent since the last handshake; before one: ever. */
  #sentOffset: number
  #readOffset: number
  /** How far beyond what is sent a lease reaches. */
  #leasedRecords = LEASED_RECORDS_MAX
  /** Undefined: there has never been one. */
  #lease: number | undefined
  #durableLease: number
  #isRenewing = false

  /** `isKnown`: an earlier life has seen the mirror. `renewed`: what had to wait may go now. */
  constructor(log: Log, partition: PartitionLog, isKnown: boolean, renewed: () => void) {
    this.#log = log
    this.#partition = partition
    this.#renewed = renewed
    const stored = log.state.get(this.#key)
    this.#lease = stored === undefined ? undefined : Number(stored.toString())
    this.#durableLease = this.#lease ?? 0
    // Only what is durable is ever sent.
    this.#sentOffset = Math.min(this.#lease ?? (isKnown ? Infinity : 0), partition.highWatermark)
    this.#readOffset = this.#sentOffset
    partition.pinnedOffset = this.#sentOffset
    if (this.#lease === undefined && isKnown && this.#isWanted) this.#put(this.#sentOffset, true)
  }

  /** A handshake has found the mirror's end, and nothing of ours is on its way. */
  found(end: number): void {
    this.#sentOffset = end
    this.#readOffset = end
    this.#partition.pinnedOffset = end
  }

  reading(): void {
    this.#partition.pinnedOffset = Number.POSITIVE_INFINITY
  }

  /** So many bytes were read, which end at `offset`. */
  read(offset: number, bytes: number): void {
    if (bytes > 0) {
      const records = Math.ceil((LEASED_BYTES * (offset - this.#readOffset)) / bytes)
      const atLeast = Math.max(records, LEASED_RECORDS_MIN)
      this.#leasedRecords = Math.min(atLeast, LEASED_RECORDS_MAX)
    }
    this.#readOffset = offset
    this.#partition.pinnedOffset = offset
    const left = this.#durableLease - offset
    if (this.#isLeased && left < this.#leasedRecords / 2) this.#renew(offset)
  }

  sent(offset: number): void {
    if (offset > this.#sentOffset) this.#sentOffset = offset
  }

  /** What was read and not sent is forgotten. */
  lost(): void {
    const { isDeleted } = this.#partition
    this.#partition.pinnedOffset = this.#sentOffset
    if (isDeleted || this.#lease === undefined || this.#lease <= this.#sentOffset) return
    this.#put(this.#sentOffset, true)
    this.#durableLease = Math.min(this.#durableLease, this.#sentOffset)
  }

  /** Whether what ends at `offset` may be sent; if not, `renewed` is called when it may. */
  covers(offset: number): boolean {
    if (!this.#isLeased || offset <= this.#durableLease) return true
    this.#renew(offset)
    return false
  }

  get #key(): string {
    return `repl/sent/${this.#partition.logId}`
  }

  get #isWanted(): boolean {
    return this.#partition.topic.settings.whenFull === 'dropOldest'
  }

  /** Once there is a lease it is kept up, or it would be wrong when it is wanted again. */
  get #isLeased(): boolean {
    return this.#lease !== undefined || this.#isWanted
  }

  #put(lease: number, ride: boolean): void {
    this.#lease = lease
    this.#log.state.put(this.#key, Buffer.from(String(lease)), { ride })
  }

  #renew(offset: number): void {
    if (this.#isRenewing || this.#partition.isDeleted) return
    this.#isRenewing = true
    const lease = offset + this.#leasedRecords
    this.#put(lease, false)
    this.#log.durable(this.#log.openCommit).then(
      () => {
        this.#isRenewing = false
        // The connection may have been lost meanwhile, and the lease with it.
        if (this.#lease === lease) this.#durableLease = lease
        this.#renewed()
      },
      // The log has failed or closes: nothing more is sent.
      () => {},
    )
  }
}
