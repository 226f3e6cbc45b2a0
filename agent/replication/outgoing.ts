// The next batches of one partition on their way to the mirror: read from sealed segments, patched
// for the wire, waiting to be sent.
//
//   acked ≤ sent ≤ read: `ready` holds [sent, read), in whole batches
//
// Wire batch = stored batch with base offset 0, leader epoch −1, and producer id, epoch 0 and
// sequence = offset mod 2^31 patched in; the CRC is patched with them, never computed anew.

import type { Codecs } from '../../wasm/codecs.ts'
import type { Kernel } from '../../wasm/kernel.ts'
import { AgentError } from '../base/errors.ts'
import type { PartitionLog } from '../log/partition-log.ts'
import { buildBatch, decodeRecords, patchForWire, readBatchHeader } from '../record/record-batch.ts'

export interface OutgoingBatch {
  baseOffset: number
  nextOffset: number
  bytes: Buffer
}

/** Bytes of batches read ahead per partition. */
const READY_BYTES_MAX = 256 * 1024
const READ_BYTES = 128 * 1024
const SEQUENCE_MODULUS = 2 ** 31

export class Outgoing {
  readonly #log: PartitionLog
  readonly #kernel: Kernel
  readonly #codecs: Codecs
  readonly #producerId: bigint
  readonly #ready: OutgoingBatch[] = []
  #readyBytes = 0
  #readOffset: number

  constructor(
    log: PartitionLog,
    tools: { kernel: Kernel; codecs: Codecs; producerId: bigint },
    startOffset: number,
  ) {
    this.#log = log
    this.#kernel = tools.kernel
    this.#codecs = tools.codecs
    this.#producerId = tools.producerId
    this.#readOffset = startOffset
  }

  get next(): OutgoingBatch | undefined {
    return this.#ready[0]
  }

  get readOffset(): number {
    return this.#readOffset
  }

  /** Enough is read ahead. */
  get isFull(): boolean {
    return this.#readyBytes >= READY_BYTES_MAX
  }

  take(): OutgoingBatch | undefined {
    const batch = this.#ready.shift()
    if (batch !== undefined) this.#readyBytes -= batch.bytes.length
    return batch
  }

  /** Reads ahead; the bytes read, 0 when there is nothing sealed to read. */
  async fill(): Promise<number> {
    const read = await this.#log.readSealed(this.#readOffset, READ_BYTES)
    if (read.kind === 'empty') return 0
    if (read.kind === 'outOfRange') {
      const { logStartOffset, highWatermark } = read
      throw new AgentError(
        'CORRUPT_STORE',
        `${this.#log.name}: offset ${this.#readOffset} is not in the log (${logStartOffset} to ${highWatermark})`,
      )
    }
    for (let at = 0; at < read.bytes.length; ) {
      const { size } = readBatchHeader(read.bytes, at)
      this.#add(read.bytes.subarray(at, at + size))
      at += size
    }
    return read.bytes.length
  }

  #add(stored: Buffer): void {
    const { baseOffset, lastOffsetDelta } = readBatchHeader(stored)
    const nextOffset = baseOffset + lastOffsetDelta + 1
    // Only the first batch can begin below: the mirror ends in its middle.
    const isCut = baseOffset < this.#readOffset
    const bytes = isCut ? this.#cut(stored) : stored
    const first = isCut ? this.#readOffset : baseOffset
    const baseSequence = first % SEQUENCE_MODULUS
    const producer = { producerId: this.#producerId, producerEpoch: 0, baseSequence }
    patchForWire(bytes, producer, this.#kernel)
    this.#ready.push({ baseOffset: first, nextOffset, bytes })
    this.#readyBytes += bytes.length
    this.#readOffset = nextOffset
  }

  /** The records from the read offset on, as a batch of their own. */
  #cut(stored: Buffer): Buffer {
    const records = [...decodeRecords(stored, this.#codecs)].filter(
      ({ offset }) => offset >= this.#readOffset,
    )
    return buildBatch(records, { codecs: this.#codecs, codec: this.#log.topic.codec })
  }
}
