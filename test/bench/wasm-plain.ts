// What one would write without kernels: records by plain JavaScript into one buffer that stays, LZ4 and
// CRC-32C by native add-ons.

import type { Peers } from './wasm-peers.ts'

const HEADER_BYTES = 61

export class PlainBatch {
  readonly #lz4: NonNullable<Peers['lz4Napi']>
  readonly #crc: NonNullable<Peers['nodeRs']>
  readonly #records = Buffer.alloc(1 << 20)
  #end = 0

  constructor(lz4: NonNullable<Peers['lz4Napi']>, crc: NonNullable<Peers['nodeRs']>) {
    this.#lz4 = lz4
    this.#crc = crc
  }

  /** A batch with one record a millisecond, all with this key. */
  seal(values: readonly Buffer[], key: Buffer, start: number): Buffer {
    this.#end = 0
    for (let i = 0; i < values.length; i++) this.#record(i, i, key, values[i]!)
    const packed = this.#lz4.compressFrameSync(this.#records.subarray(0, this.#end))
    const batch = Buffer.allocUnsafe(HEADER_BYTES + packed.length)
    packed.copy(batch, HEADER_BYTES)
    const last = values.length - 1
    batch.writeBigInt64BE(0n, 0)
    batch.writeInt32BE(batch.length - 12, 8)
    batch.writeInt32BE(0, 12)
    batch[16] = 2
    batch.writeInt16BE(3, 21)
    batch.writeInt32BE(last, 23)
    batch.writeBigInt64BE(BigInt(start), 27)
    batch.writeBigInt64BE(BigInt(start + last), 35)
    batch.fill(0xff, 43, 57)
    batch.writeInt32BE(values.length, 57)
    batch.writeUInt32BE(this.#crc.crc32c(batch.subarray(21)), 17)
    return batch
  }

  #record(offsetDelta: number, timestampDelta: number, key: Buffer, value: Buffer): void {
    const body =
      2 +
      size(timestampDelta) +
      size(offsetDelta) +
      size(key.length) +
      key.length +
      size(value.length) +
      value.length
    this.#varint(body)
    this.#records[this.#end++] = 0
    this.#varint(timestampDelta)
    this.#varint(offsetDelta)
    this.#bytes(key)
    this.#bytes(value)
    this.#records[this.#end++] = 0
  }

  #bytes(bytes: Buffer): void {
    this.#varint(bytes.length)
    this.#records.set(bytes, this.#end)
    this.#end += bytes.length
  }

  #varint(value: number): void {
    let z = value << 1
    for (; z > 0x7f; z >>>= 7) this.#records[this.#end++] = z | 0x80
    this.#records[this.#end++] = z
  }
}

/** Bytes of a varint, zig-zag included. */
function size(value: number): number {
  return value < 64 ? 1 : value < 8192 ? 2 : value < 1_048_576 ? 3 : 4
}
